import { describe, expect, test } from '@jest/globals'
import { loadConfig } from '../../src/config/load-config.ts'
import { kafkaSetup } from '../../src/start/kafka-options.ts'

const KAFKA = { FLOWFENCE_KAFKA_BROKERS: 'a:9092', FLOWFENCE_KAFKA_TOPICS: 'flows' }

describe('Kafka settings', () => {
  test('topics are names or patterns, each bound to a cluster; patterns may hold commas and equals signs', async () => {
    const { config, problems } = loadConfig({
      FLOWFENCE_KAFKA_BROKERS: 'kafka-0.kafka:9092, [::1]:9093', FLOWFENCE_KAFKA_TOPICS: 'hubble-flows, calico=prod-eu,/flows-[a=b]{1,2}/=lab ,/audit.*/', FLOWFENCE_CLUSTER: 'home',
    })
    expect(problems).toEqual([])
    expect(config?.kafkaBrokers).toEqual(['kafka-0.kafka:9092', '[::1]:9093'])
    expect(config?.kafkaTopics).toEqual([
      { topic: 'hubble-flows', cluster: undefined }, { topic: 'calico', cluster: 'prod-eu' }, { topic: /^(?:flows-[a=b]{1,2})$/, cluster: 'lab' },
      { topic: /^(?:audit.*)$/, cluster: undefined },
    ])
    const setup = config === undefined ? undefined : await kafkaSetup(config)
    expect(['hubble-flows', 'calico', 'flows-ab', 'audit-1', 'other'].map((topic) => setup?.clusterOf(topic))).toEqual(['home', 'prod-eu', 'lab', 'home', 'home'])
  })

  test('a pattern is for whole names', () => {
    const [binding] = loadConfig({ ...KAFKA, FLOWFENCE_KAFKA_TOPICS: '/flows|calls/' }).config?.kafkaTopics ?? []
    expect(['flows', 'calls', 'my-flows', 'flows-2'].map((topic) => binding?.topic instanceof RegExp && binding.topic.test(topic))).toEqual([true, true, false, false])
  })

  test('without topics no Kafka is read, whatever the brokers', async () => {
    const { config } = loadConfig({ FLOWFENCE_KAFKA_BROKERS: 'kafka:9092' })
    expect(config === undefined ? 'problem' : await kafkaSetup(config)).toBeUndefined()
  })

  test('the dead-letter topic is never read, not even by a pattern', async () => {
    const { config } = loadConfig({ ...KAFKA, FLOWFENCE_KAFKA_TOPICS: '/.*/', FLOWFENCE_KAFKA_DEAD_LETTER_TOPIC: 'letters' })
    expect(config === undefined ? 'problem' : (await kafkaSetup(config))?.options.excludedTopics).toEqual(['letters'])
  })

  test.each([
    [{ FLOWFENCE_KAFKA_BROKERS: 'kafka' }, 'FLOWFENCE_KAFKA_BROKERS holds "kafka", but must be a comma list of host:port, such as kafka-0.kafka:9092,kafka-1.kafka:9092.'],
    [{ FLOWFENCE_KAFKA_TOPICS: 'a b' }, 'FLOWFENCE_KAFKA_TOPICS holds "a b", but must be a comma list of topics, each topic, topic=cluster, /pattern/ or /pattern/=cluster, such as hubble-flows,/flows-.*/=prod-eu.'],
    [{ FLOWFENCE_KAFKA_TOPICS: '/(/' }, 'FLOWFENCE_KAFKA_TOPICS holds "/(/", whose pattern is no regular expression'],
    [{ FLOWFENCE_KAFKA_TOPICS: 'flows,flows=x' }, 'FLOWFENCE_KAFKA_TOPICS holds flows twice; each topic belongs to one cluster.'],
    [{ FLOWFENCE_KAFKA_OAUTH_TOKEN_URL: 'ftp://user:hunter2@x' }, 'FLOWFENCE_KAFKA_OAUTH_TOKEN_URL must be an address that begins with https:// or http://. Its value is not shown.'],
  ])('a malformed value: %j', (env, problem) => {
    expect(loadConfig({ ...KAFKA, ...env }).problems).toEqual([problem])
  })

  test.each([
    [{ FLOWFENCE_KAFKA_BROKERS: '' }, 'FLOWFENCE_KAFKA_TOPICS is set, but FLOWFENCE_KAFKA_BROKERS is not: name the brokers.'],
    [{ FLOWFENCE_KAFKA_DEAD_LETTER_TOPIC: 'flows' }, 'FLOWFENCE_KAFKA_DEAD_LETTER_TOPIC is "flows", which FLOWFENCE_KAFKA_TOPICS reads: rejected records would come back. Take another topic.'],
    [{ FLOWFENCE_KAFKA_INSTANCE_ID: 'x' }, 'FLOWFENCE_KAFKA_INSTANCE_ID needs FLOWFENCE_KAFKA_DRIVER=platformatic: kafkajs has no static membership.'],
    [{ FLOWFENCE_KAFKA_TLS: 'off', FLOWFENCE_KAFKA_TLS_CA_FILE: 'ca.pem' }, 'FLOWFENCE_KAFKA_TLS is off, but a FLOWFENCE_KAFKA_TLS_ file is set: unset one of them.'],
    [{ FLOWFENCE_KAFKA_TLS_CERT_FILE: 'c.pem' }, 'FLOWFENCE_KAFKA_TLS_CERT_FILE and FLOWFENCE_KAFKA_TLS_KEY_FILE belong together: set both or neither.'],
    [{ FLOWFENCE_KAFKA_TLS_KEY_PASSPHRASE: 'hunter2' }, 'FLOWFENCE_KAFKA_TLS_KEY_PASSPHRASE is set, but FLOWFENCE_KAFKA_TLS_KEY_FILE is not.'],
    [{ FLOWFENCE_KAFKA_SASL_PASSWORD: 'hunter2' }, 'FLOWFENCE_KAFKA_SASL_MECHANISM is not set, but credentials for a login are: set it to plain, scram-sha-256, scram-sha-512 or oauthbearer.'],
    [{ FLOWFENCE_KAFKA_SASL_MECHANISM: 'plain', FLOWFENCE_KAFKA_SASL_USERNAME: 'u' }, 'FLOWFENCE_KAFKA_SASL_MECHANISM is plain: set both FLOWFENCE_KAFKA_SASL_USERNAME and FLOWFENCE_KAFKA_SASL_PASSWORD.'],
    [{ FLOWFENCE_KAFKA_SASL_MECHANISM: 'scram-sha-512', FLOWFENCE_KAFKA_SASL_TOKEN_FILE: 't' },
      'FLOWFENCE_KAFKA_SASL_MECHANISM is scram-sha-512, which takes no token: unset FLOWFENCE_KAFKA_SASL_TOKEN_FILE and FLOWFENCE_KAFKA_OAUTH_…, or set it to oauthbearer.'],
    [{ FLOWFENCE_KAFKA_SASL_MECHANISM: 'oauthbearer' },
      'FLOWFENCE_KAFKA_SASL_MECHANISM is oauthbearer: set FLOWFENCE_KAFKA_SASL_TOKEN_FILE, or FLOWFENCE_KAFKA_OAUTH_TOKEN_URL, _CLIENT_ID and _CLIENT_SECRET.'],
    [{ FLOWFENCE_KAFKA_SASL_MECHANISM: 'oauthbearer', FLOWFENCE_KAFKA_SASL_TOKEN_FILE: 't', FLOWFENCE_KAFKA_OAUTH_TOKEN_URL: 'https://x' },
      'FLOWFENCE_KAFKA_SASL_TOKEN_FILE and FLOWFENCE_KAFKA_OAUTH_TOKEN_URL are both set: unset one of them.'],
    [{ FLOWFENCE_KAFKA_SASL_MECHANISM: 'oauthbearer', FLOWFENCE_KAFKA_SASL_PASSWORD: 'hunter2' },
      'FLOWFENCE_KAFKA_SASL_MECHANISM is oauthbearer, which takes no password: unset FLOWFENCE_KAFKA_SASL_USERNAME and FLOWFENCE_KAFKA_SASL_PASSWORD.'],
  ])('values that do not fit together: %j', (env, problem) => {
    expect(loadConfig({ ...KAFKA, ...env }).problems).toEqual([problem])
  })

  test('a certificate file that is not there is named with its setting', async () => {
    const { config } = loadConfig({ ...KAFKA, FLOWFENCE_KAFKA_TLS_CA_FILE: '/nowhere/ca.pem' })
    await expect(config === undefined ? undefined : kafkaSetup(config)).rejects.toThrow('FLOWFENCE_KAFKA_TLS_CA_FILE names /nowhere/ca.pem, which cannot be read (ENOENT).')
  })
})
