/** The settings of reading from Kafka, part of the table in settings.ts; what must fit together is in kafka-problems.ts. */
import { Secret } from './secret.ts'
import { clusterName, oneOf } from './setting-parsers.ts'

/** Topics of one name, or of all names that a pattern matches whole, and the cluster that their flows belong to; `undefined`: the service's own. */
export interface TopicBinding {
  readonly topic: string | RegExp
  readonly cluster: string | undefined
}

const TOPIC_ITEM = /^\s*(?:\/([^/]+)\/|([A-Za-z0-9._-]{1,249}))\s*(?:=\s*([^,\s]*)\s*)?(?:,|$)/
const TOPIC_HELP = 'must be a comma list of topics, each topic, topic=cluster, /pattern/ or /pattern/=cluster, such as hubble-flows,/flows-.*/=prod-eu.'

export function topicList(text: string): readonly TopicBinding[] {
  const bindings: TopicBinding[] = []
  let rest = text.trim()
  while (rest !== '') {
    const m = TOPIC_ITEM.exec(rest)
    if (m === null) throw new Error(`holds "${rest.slice(0, 80)}", but ${TOPIC_HELP}`)
    const [item, pattern, name = '', cluster] = m
    try {
      bindings.push({ topic: pattern === undefined ? name : new RegExp(`^(?:${pattern})$`), cluster: cluster === undefined ? undefined : clusterName(cluster) })
    } catch (error) {
      throw new Error(`holds "${item.replace(/,$/, '').trim()}", ${error instanceof SyntaxError ? 'whose pattern is no regular expression' : `whose cluster ${error instanceof Error ? error.message : ''}`}`, { cause: error })
    }
    rest = rest.slice(item.length).trim()
  }
  const twice = bindings.find(({ topic }, i) => bindings.findIndex((other) => String(other.topic) === String(topic)) !== i)
  if (twice !== undefined) throw new Error(`holds ${String(twice.topic)} twice; each topic belongs to one cluster.`)
  return bindings
}

export function brokerList(text: string): readonly string[] {
  return text.split(',').map((item) => item.trim()).filter((item) => item !== '').map((item) => {
    const [, port] = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(item) ?? []
    if (port === undefined || Number(port) < 1 || Number(port) > 65_535) {
      throw new Error(`holds "${item}", but must be a comma list of host:port, such as kafka-0.kafka:9092,kafka-1.kafka:9092.`)
    }
    return item
  })
}

function topicName(text: string): string {
  if (!/^[A-Za-z0-9._-]{1,249}$/.test(text)) throw new Error(`is "${text}", but a topic name has letters, digits, ".", "_" and "-", at most 249 of them.`)
  return text
}

function httpUrl(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) throw new Error('must be an address that begins with https:// or http://. Its value is not shown.')
  return text
}

const asIs = (text: string): string => text
const asSecret = (text: string): Secret => new Secret(text)
const NO_SECRET: Secret | undefined = undefined
const NO_TEXT: string | undefined = undefined

export const KAFKA_SETTINGS = {
  kafkaBrokers: {
    name: 'FLOWFENCE_KAFKA_BROKERS', parse: brokerList, fallback: [] as readonly string[], defaultText: 'none',
    effect: 'Comma list of brokers to begin with, each host:port; the others of the Kafka cluster are found through them (docs/sources/kafka.md).',
  },
  kafkaTopics: {
    name: 'FLOWFENCE_KAFKA_TOPICS', parse: topicList, fallback: [] as readonly TopicBinding[], defaultText: 'none: Kafka is not read',
    effect: 'Comma list of topics to read, each topic, topic=cluster, /pattern/ or /pattern/=cluster: flows belong to that cluster, else to FLOWFENCE_CLUSTER. A pattern is a regular expression for whole names; topics that appear later are read, too.',
  },
  kafkaGroup: {
    name: 'FLOWFENCE_KAFKA_GROUP', parse: asIs, fallback: 'flowfence', defaultText: 'flowfence',
    effect: 'Consumer group: processes of the same group share the partitions out.',
  },
  kafkaDriver: {
    name: 'FLOWFENCE_KAFKA_DRIVER', parse: oneOf<'kafkajs' | 'platformatic'>(['kafkajs', 'platformatic']), fallback: 'kafkajs', defaultText: 'kafkajs',
    effect: 'Client library: kafkajs, or platformatic (@platformatic/kafka), which has static membership.',
  },
  kafkaTls: {
    name: 'FLOWFENCE_KAFKA_TLS', parse: oneOf<'on' | 'off'>(['on', 'off']), fallback: undefined as 'on' | 'off' | undefined, defaultText: 'on when a FLOWFENCE_KAFKA_TLS_ file is set, else off',
    effect: 'on speaks TLS with the brokers.',
  },
  kafkaTlsCaFile: {
    name: 'FLOWFENCE_KAFKA_TLS_CA_FILE', parse: asIs, fallback: NO_TEXT, defaultText: 'the system\'s authorities',
    effect: 'PEM file of the authority that signed the certificates of the brokers.',
  },
  kafkaTlsCertFile: {
    name: 'FLOWFENCE_KAFKA_TLS_CERT_FILE', parse: asIs, fallback: NO_TEXT, defaultText: 'none',
    effect: 'PEM file of the client certificate, for brokers that ask for one.',
  },
  kafkaTlsKeyFile: {
    name: 'FLOWFENCE_KAFKA_TLS_KEY_FILE', parse: asIs, fallback: NO_TEXT, defaultText: 'none',
    effect: 'PEM file of the private key of FLOWFENCE_KAFKA_TLS_CERT_FILE.',
  },
  kafkaTlsKeyPassphrase: {
    name: 'FLOWFENCE_KAFKA_TLS_KEY_PASSPHRASE', parse: asSecret, fallback: NO_SECRET, defaultText: 'none',
    effect: 'Passphrase of FLOWFENCE_KAFKA_TLS_KEY_FILE, where it is encrypted.',
  },
  kafkaSaslMechanism: {
    name: 'FLOWFENCE_KAFKA_SASL_MECHANISM', parse: oneOf<'plain' | 'scram-sha-256' | 'scram-sha-512' | 'oauthbearer'>(['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer']),
    fallback: undefined as 'plain' | 'scram-sha-256' | 'scram-sha-512' | 'oauthbearer' | undefined, defaultText: 'none: no login',
    effect: 'How to log in: plain, scram-sha-256, scram-sha-512 (with a user name and password) or oauthbearer (with a token).',
  },
  kafkaSaslUsername: {
    name: 'FLOWFENCE_KAFKA_SASL_USERNAME', parse: asIs, fallback: NO_TEXT, defaultText: 'none',
    effect: 'User name for the login.',
  },
  kafkaSaslPassword: {
    name: 'FLOWFENCE_KAFKA_SASL_PASSWORD', parse: asSecret, fallback: NO_SECRET, defaultText: 'none',
    effect: 'Password for the login.',
  },
  kafkaSaslTokenFile: {
    name: 'FLOWFENCE_KAFKA_SASL_TOKEN_FILE', parse: asIs, fallback: NO_TEXT, defaultText: 'none',
    effect: 'File with the token for oauthbearer, read again for every connection, as Kubernetes projects and renews it.',
  },
  kafkaOauthTokenUrl: {
    name: 'FLOWFENCE_KAFKA_OAUTH_TOKEN_URL', parse: httpUrl, fallback: NO_TEXT, defaultText: 'none',
    effect: 'Address of the authorization server that gives tokens for oauthbearer, by client credentials.',
  },
  kafkaOauthClientId: {
    name: 'FLOWFENCE_KAFKA_OAUTH_CLIENT_ID', parse: asIs, fallback: NO_TEXT, defaultText: 'none',
    effect: 'Client id for FLOWFENCE_KAFKA_OAUTH_TOKEN_URL.',
  },
  kafkaOauthClientSecret: {
    name: 'FLOWFENCE_KAFKA_OAUTH_CLIENT_SECRET', parse: asSecret, fallback: NO_SECRET, defaultText: 'none',
    effect: 'Client secret for FLOWFENCE_KAFKA_OAUTH_TOKEN_URL.',
  },
  kafkaOauthScope: {
    name: 'FLOWFENCE_KAFKA_OAUTH_SCOPE', parse: asIs, fallback: NO_TEXT, defaultText: 'none',
    effect: 'Scope to ask FLOWFENCE_KAFKA_OAUTH_TOKEN_URL for.',
  },
  kafkaInstanceId: {
    name: 'FLOWFENCE_KAFKA_INSTANCE_ID', parse: asIs, fallback: NO_TEXT, defaultText: 'none: dynamic membership',
    effect: 'Name of this member within the group (group.instance.id), different for each process: a restart then moves no partitions. With FLOWFENCE_KAFKA_DRIVER=platformatic only.',
  },
  kafkaDeadLetterTopic: {
    name: 'FLOWFENCE_KAFKA_DEAD_LETTER_TOPIC', parse: topicName, fallback: NO_TEXT, defaultText: 'none',
    effect: 'Topic that rejected records are written to, beside the table of dead letters. It must exist.',
  },
  kafkaStart: {
    name: 'FLOWFENCE_KAFKA_START', parse: oneOf<'earliest' | 'latest'>(['earliest', 'latest']), fallback: 'earliest', defaultText: 'earliest',
    effect: 'Where partitions begin that were never read: earliest or latest record.',
  },
  kafkaOnReset: {
    name: 'FLOWFENCE_KAFKA_ON_RESET', parse: oneOf<'earliest' | 'latest' | 'stop'>(['earliest', 'latest', 'stop']), fallback: 'earliest', defaultText: 'earliest',
    effect: 'What happens when a topic was recreated or truncated, so that the stored position is no more: go on at the earliest or latest record, or stop.',
  },
} as const
