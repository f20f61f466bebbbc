/** Settings of Kafka that do not fit together, one sentence each that names the variables and says what to change. */
import type { Config } from './settings.ts'

export function kafkaProblems(config: Config): string[] {
  return [...kafkaConnection(config), ...kafkaTls(config), ...kafkaLogin(config)]
}

function kafkaConnection(config: Config): string[] {
  const problems: string[] = []
  const { kafkaTopics: topics, kafkaDeadLetterTopic: letters } = config
  if (topics.length > 0 && config.kafkaBrokers.length === 0) problems.push('FLOWFENCE_KAFKA_TOPICS is set, but FLOWFENCE_KAFKA_BROKERS is not: name the brokers.')
  if (letters !== undefined && topics.some(({ topic }) => topic === letters)) {
    problems.push(`FLOWFENCE_KAFKA_DEAD_LETTER_TOPIC is "${letters}", which FLOWFENCE_KAFKA_TOPICS reads: rejected records would come back. Take another topic.`)
  }
  if (config.kafkaInstanceId !== undefined && config.kafkaDriver === 'kafkajs') {
    problems.push('FLOWFENCE_KAFKA_INSTANCE_ID needs FLOWFENCE_KAFKA_DRIVER=platformatic: kafkajs has no static membership.')
  }
  return problems
}

function kafkaTls(config: Config): string[] {
  const problems: string[] = []
  const { kafkaTlsCaFile: ca, kafkaTlsCertFile: cert, kafkaTlsKeyFile: key } = config
  if (config.kafkaTls === 'off' && (ca ?? cert ?? key) !== undefined) problems.push('FLOWFENCE_KAFKA_TLS is off, but a FLOWFENCE_KAFKA_TLS_ file is set: unset one of them.')
  if ((cert === undefined) !== (key === undefined)) problems.push('FLOWFENCE_KAFKA_TLS_CERT_FILE and FLOWFENCE_KAFKA_TLS_KEY_FILE belong together: set both or neither.')
  if (config.kafkaTlsKeyPassphrase !== undefined && key === undefined) problems.push('FLOWFENCE_KAFKA_TLS_KEY_PASSPHRASE is set, but FLOWFENCE_KAFKA_TLS_KEY_FILE is not.')
  return problems
}

function kafkaLogin(config: Config): string[] {
  const { kafkaSaslMechanism: mechanism, kafkaSaslUsername: user, kafkaSaslPassword: password, kafkaSaslTokenFile: file, kafkaOauthTokenUrl: url } = config
  const client = [config.kafkaOauthClientId, config.kafkaOauthClientSecret]
  const hasPassword = user !== undefined || password !== undefined
  const hasToken = file !== undefined || url !== undefined || client.some((part) => part !== undefined)
  if (mechanism === undefined) {
    return hasPassword || hasToken ? ['FLOWFENCE_KAFKA_SASL_MECHANISM is not set, but credentials for a login are: set it to plain, scram-sha-256, scram-sha-512 or oauthbearer.'] : []
  }
  if (mechanism !== 'oauthbearer') {
    if (hasToken) return [`FLOWFENCE_KAFKA_SASL_MECHANISM is ${mechanism}, which takes no token: unset FLOWFENCE_KAFKA_SASL_TOKEN_FILE and FLOWFENCE_KAFKA_OAUTH_…, or set it to oauthbearer.`]
    return user === undefined || password === undefined
      ? [`FLOWFENCE_KAFKA_SASL_MECHANISM is ${mechanism}: set both FLOWFENCE_KAFKA_SASL_USERNAME and FLOWFENCE_KAFKA_SASL_PASSWORD.`] : []
  }
  if (hasPassword) return ['FLOWFENCE_KAFKA_SASL_MECHANISM is oauthbearer, which takes no password: unset FLOWFENCE_KAFKA_SASL_USERNAME and FLOWFENCE_KAFKA_SASL_PASSWORD.']
  if (file !== undefined && url !== undefined) return ['FLOWFENCE_KAFKA_SASL_TOKEN_FILE and FLOWFENCE_KAFKA_OAUTH_TOKEN_URL are both set: unset one of them.']
  if (file === undefined && (url === undefined || client.includes(undefined))) {
    return ['FLOWFENCE_KAFKA_SASL_MECHANISM is oauthbearer: set FLOWFENCE_KAFKA_SASL_TOKEN_FILE, or FLOWFENCE_KAFKA_OAUTH_TOKEN_URL, _CLIENT_ID and _CLIENT_SECRET.']
  }
  return []
}
