/** Settings -> what a Kafka driver needs, with the files that they name. */
import type { Config } from '../config/settings.ts'
import type { KafkaDriverName, KafkaOptions, KafkaSasl, KafkaTls } from '../sources/kafka/kafka-driver.ts'
import { tokenFromFile, tokenFromServer } from '../sources/kafka/oauth-token.ts'
import { readPem } from './read-pem.ts'

export interface KafkaSetup {
  readonly driver: KafkaDriverName
  readonly options: KafkaOptions
  /** The cluster that a topic's flows belong to. A name counts before patterns, then the first pattern that matches. */
  clusterOf(topic: string): string
}

/** `undefined` where no Kafka is to be read. AppError `usage` for a file that cannot be read. */
export async function kafkaSetup(config: Config): Promise<KafkaSetup | undefined> {
  if (config.kafkaTopics.length === 0) return undefined
  const tls = await kafkaTls(config)
  const sasl = kafkaSasl(config)
  return {
    driver: config.kafkaDriver,
    options: {
      brokers: config.kafkaBrokers,
      clientId: 'flowfence',
      groupId: config.kafkaGroup,
      topics: config.kafkaTopics.map(({ topic }) => topic),
      ...(config.kafkaDeadLetterTopic !== undefined && { excludedTopics: [config.kafkaDeadLetterTopic] }),
      ...(tls !== undefined && { tls }),
      ...(sasl !== undefined && { sasl }),
      ...(config.kafkaInstanceId !== undefined && { instanceId: config.kafkaInstanceId }),
    },
    clusterOf: (topic) => {
      const binding = config.kafkaTopics.find((b) => b.topic === topic) ?? config.kafkaTopics.find((b) => typeof b.topic !== 'string' && b.topic.test(topic))
      return binding?.cluster ?? config.cluster
    },
  }
}

async function kafkaTls({ kafkaTls: mode, kafkaTlsCaFile, kafkaTlsCertFile, kafkaTlsKeyFile, kafkaTlsKeyPassphrase }: Config): Promise<KafkaTls | undefined> {
  if (mode === 'off' || (mode === undefined && (kafkaTlsCaFile ?? kafkaTlsCertFile) === undefined)) return undefined
  return {
    ...(kafkaTlsCaFile !== undefined && { ca: await readPem('FLOWFENCE_KAFKA_TLS_CA_FILE', kafkaTlsCaFile) }),
    ...(kafkaTlsCertFile !== undefined && { cert: await readPem('FLOWFENCE_KAFKA_TLS_CERT_FILE', kafkaTlsCertFile) }),
    ...(kafkaTlsKeyFile !== undefined && { key: await readPem('FLOWFENCE_KAFKA_TLS_KEY_FILE', kafkaTlsKeyFile) }),
    ...(kafkaTlsKeyPassphrase !== undefined && { passphrase: kafkaTlsKeyPassphrase.reveal() }),
  }
}

/** That the parts fit together was checked with the configuration. */
function kafkaSasl(config: Config): KafkaSasl | undefined {
  const { kafkaSaslMechanism: mechanism, kafkaSaslTokenFile: file } = config
  if (mechanism === undefined) return undefined
  if (mechanism !== 'oauthbearer') return { mechanism, username: config.kafkaSaslUsername ?? '', password: config.kafkaSaslPassword?.reveal() ?? '' }
  const token = file === undefined
    ? tokenFromServer({
      url: config.kafkaOauthTokenUrl ?? '', clientId: config.kafkaOauthClientId ?? '', clientSecret: config.kafkaOauthClientSecret?.reveal() ?? '', scope: config.kafkaOauthScope,
    })
    : tokenFromFile(file)
  return { mechanism, token }
}
