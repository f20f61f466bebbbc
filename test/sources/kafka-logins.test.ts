import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from '@jest/globals'
import { createKafkaDriver } from '../../src/sources/kafka/create-driver.ts'
import type { KafkaDriverName, KafkaOptions } from '../../src/sources/kafka/kafka-driver.ts'
import { createAuthority } from '../support/certificates.ts'
import { describeOwnKafka, kafkaListeners, oauthToken, topicName } from '../support/kafka/kafka.ts'
import { startReader } from '../support/kafka/reader.ts'
import { KAFKA_USER } from '../support/kafka/server-properties.ts'

const TIMEOUT_MS = 120_000
const WRONG = 'hunter2hunter2'
const LOGIN = 'check FLOWFENCE_KAFKA_SASL_USERNAME and FLOWFENCE_KAFKA_SASL_PASSWORD.'
const MECHANISMS = ['plain', 'scram-sha-256', 'scram-sha-512'] as const

describe.each<KafkaDriverName>(['kafkajs', 'platformatic'])('the Kafka driver %s', (name) => {
  /** What one message brings, or the error that reading ends with. */
  async function read(options: Partial<KafkaOptions> & Pick<KafkaOptions, 'brokers'>): Promise<string> {
    const { topics } = await kafkaListeners()
    const topic = topicName()
    await topics.create(topic)
    await topics.produce(topic, ['hello'])
    const reader = await startReader(name, { topics: [topic], ...options })
    try {
      await reader.until('it is read', () => reader.records.length === 1)
      return String(reader.values.get(`${topic}/0`))
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined
      return cause instanceof Error ? cause.message : String(error)
    } finally {
      await reader.stop()
    }
  }

  /** The error that reading ends with, and what was told until then. */
  async function refusal(options: Partial<KafkaOptions> & Pick<KafkaOptions, 'brokers'>): Promise<string> {
    const driver = await createKafkaDriver(name, { clientId: 'flowfence-test', groupId: topicName('group'), topics: ['flows'], ...options })
    const handler = { assigned: () => Promise.resolve([]), revoked: () => undefined, batch: () => undefined, outOfRange: () => undefined, status: () => undefined }
    try {
      return await driver.consume(handler, AbortSignal.timeout(30_000)).then(() => 'nothing', (error: unknown) => error instanceof Error ? error.message : String(error))
    } finally {
      await driver.close()
    }
  }

  describeOwnKafka('logs in', () => {
    test('by TLS and by a client certificate', async () => {
      const { secure } = await kafkaListeners()
      expect(await read({ brokers: [secure.tls], tls: { ca: secure.ca } })).toBe('hello')
      expect(await read({ brokers: [secure.mutualTls], tls: { ca: secure.ca, ...secure.client } })).toBe('hello')
    }, TIMEOUT_MS)

    test.each(MECHANISMS)('by SASL %s', async (mechanism) => {
      const { secure } = await kafkaListeners()
      expect(await read({ brokers: [secure.sasl], sasl: { mechanism, ...KAFKA_USER } })).toBe('hello')
      expect(await read({ brokers: [secure.saslTls], tls: { ca: secure.ca }, sasl: { mechanism, ...KAFKA_USER } })).toBe('hello')
    }, TIMEOUT_MS)

    test('by SASL OAUTHBEARER, with a token for every connection', async () => {
      const { secure } = await kafkaListeners()
      let asked = 0
      const token = (): Promise<string> => {
        asked++
        return Promise.resolve(oauthToken())
      }
      expect(await read({ brokers: [secure.sasl], sasl: { mechanism: 'oauthbearer', token } })).toBe('hello')
      expect(asked).toBeGreaterThan(1)
    }, TIMEOUT_MS)
  })

  describeOwnKafka('ends with one sentence', () => {
    test('for a wrong password or token, without repeating it', async () => {
      const { secure: { sasl: address } } = await kafkaListeners()
      for (const mechanism of MECHANISMS) {
        expect(await refusal({ brokers: [address], sasl: { mechanism, ...KAFKA_USER, password: WRONG } }))
          .toBe(`Kafka at ${address} refused the login (SASL ${mechanism.toUpperCase()}): ${LOGIN}`)
      }
      expect(await refusal({ brokers: [address], sasl: { mechanism: 'oauthbearer', token: () => Promise.resolve(oauthToken({ lifetimeS: -100 })) } }))
        .toBe(`Kafka at ${address} refused the login (SASL OAUTHBEARER): check the token (FLOWFENCE_KAFKA_SASL_TOKEN_FILE or FLOWFENCE_KAFKA_OAUTH_…).`)
    }, TIMEOUT_MS)

    test('for a login where there is none', async () => {
      const { brokers } = await kafkaListeners()
      expect(await refusal({ brokers, sasl: { mechanism: 'plain', ...KAFKA_USER } }))
        .toBe(`Kafka at ${brokers[0]} does not offer SASL PLAIN: correct FLOWFENCE_KAFKA_SASL_MECHANISM.`)
    }, TIMEOUT_MS)

    test('for certificates that are not trusted, on either side', async () => {
      const { secure } = await kafkaListeners()
      const stranger = await createAuthority()
      expect(await refusal({ brokers: [secure.tls], tls: { ca: stranger.ca } }))
        .toBe(`The certificate of Kafka at ${secure.tls} is not trusted (unknown authority): set FLOWFENCE_KAFKA_TLS_CA_FILE to the CA that signed it.`)
      const refused = `Kafka at ${secure.mutualTls} refused the client certificate: check FLOWFENCE_KAFKA_TLS_CERT_FILE and FLOWFENCE_KAFKA_TLS_KEY_FILE.`
      expect(await refusal({ brokers: [secure.mutualTls], tls: { ca: secure.ca } })).toBe(refused)
      expect(await refusal({ brokers: [secure.mutualTls], tls: { ca: secure.ca, ...await stranger.client('flowfence') } })).toBe(refused)
      expect(await refusal({ brokers: [secure.mutualTls], tls: { ca: secure.ca, cert: secure.client.cert, key: (await stranger.client('other')).key } })).toBe(
        'The client certificate or key cannot be used (they do not belong together): check FLOWFENCE_KAFKA_TLS_CERT_FILE, FLOWFENCE_KAFKA_TLS_KEY_FILE and FLOWFENCE_KAFKA_TLS_KEY_PASSPHRASE.')
    }, TIMEOUT_MS)

    test('for what is not Kafka, and for Kafka that speaks TLS only', async () => {
      const { secure } = await kafkaListeners()
      expect(await refusal({ brokers: [secure.tls] })).toBe(`${secure.tls} speaks TLS only: set FLOWFENCE_KAFKA_TLS=on.`)
      const server = createHttpServer((_, response) => response.end()).listen(0, '127.0.0.1')
      await once(server, 'listening')
      try {
        const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
        expect(await refusal({ brokers: [address] })).toBe(`${address} is not a Kafka broker (it speaks HTTP): correct FLOWFENCE_KAFKA_BROKERS.`)
      } finally {
        server.closeAllConnections()
        server.close()
      }
    }, TIMEOUT_MS)

    test('for a topic that is not there, with those of a similar name', async () => {
      const { brokers, topics } = await kafkaListeners()
      const topic = topicName('hubble')
      await topics.create(topic)
      expect(await refusal({ brokers, topics: [topic, `${topic}s`] }))
        .toBe(`Kafka has no topic "${topic}s", or this user may not see it. Similar: ${topic}. Create it, or correct FLOWFENCE_KAFKA_TOPICS.`)
    }, TIMEOUT_MS)
  })

  test('tells that nothing answers, and tries again with growing delay until it is aborted', async () => {
    const stopping = new AbortController()
    const driver = await createKafkaDriver(name, { brokers: ['localhost:1', '127.0.0.1:2'], clientId: 'flowfence-test', groupId: 'none', topics: ['flows'] })
    const texts: string[] = []
    const handler = { assigned: () => Promise.resolve([]), revoked: () => undefined, batch: () => undefined, outOfRange: () => undefined }
    await driver.consume({
      ...handler,
      status: ({ isConnected, text }) => {
        texts.push(`${isConnected} ${text}`)
        setTimeout(() => { stopping.abort() }, 1000)
      },
    }, stopping.signal)
    expect(texts[0]).toMatch(/^false Kafka does not answer at localhost:1, 127\.0\.0\.1:2 \(connection refused\)\./)
    await driver.close()
  }, TIMEOUT_MS)
})
