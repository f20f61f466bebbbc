import { expect, test } from '@jest/globals'
import { Kafka, logLevel } from 'kafkajs'
import type { KafkaConfig } from 'kafkajs'
import { createAuthority } from '../certificates.ts'
import { describeKafka, describeOwnKafka, kafkaBroker, kafkaListeners, oauthToken, startKafka, topicName } from './kafka.ts'
import { KAFKA_USER } from './server-properties.ts'
import type { Topics } from './topics.ts'

/** The id of the cluster as a client sees it, or the error it gets. */
async function connect(address: string, config: Omit<KafkaConfig, 'brokers'>): Promise<string> {
  const admin = new Kafka({ clientId: 'flowfence-test', logLevel: logLevel.NOTHING, retry: { retries: 0 }, brokers: [address], ...config }).admin()
  try {
    await admin.connect()
    const { clusterId } = await admin.describeCluster()
    return clusterId
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  } finally {
    await admin.disconnect()
  }
}

async function endOf(topics: Topics, topic: string): Promise<number> {
  const [first] = await topics.admin.fetchTopicOffsets(topic)
  return Number(first?.offset)
}

describeKafka('the Kafka broker of a test run', () => {
  test('keeps messages of every compression, and gives a deleted name free', async () => {
    const { topics } = await kafkaBroker()
    const topic = topicName()
    await topics.create(topic, { partitions: 2 })
    expect(await topics.produce(topic, ['a', { value: null, key: 'k', timestampMs: 1 }], { partition: 1 })).toBe(0)
    let next = 2
    for (const compression of ['gzip', 'snappy', 'lz4', 'zstd'] as const) {
      expect(await topics.produce(topic, ['a', 'a', 'a'], { partition: 1, compression })).toBe(next)
      next += 3
    }
    expect(await topics.admin.fetchTopicOffsets(topic)).toEqual(expect.arrayContaining([
      expect.objectContaining({ partition: 0, offset: '0' }), expect.objectContaining({ partition: 1, offset: '14' }),
    ]))
    await topics.delete(topic)
    await topics.create(topic)
    expect(await topics.produce(topic, ['again'])).toBe(0)
  })
})

describeOwnKafka('the secure listeners of the Kafka broker', () => {
  test('TLS needs the authority, mutual TLS a certificate of it', async () => {
    const { clusterId, secure } = await kafkaListeners()
    const stranger = await createAuthority()
    expect(await connect(secure.tls, { ssl: { ca: [secure.ca] } })).toBe(clusterId)
    expect(await connect(secure.tls, { ssl: { ca: [stranger.ca] } })).toMatch(/certificate/)
    expect(await connect(secure.mutualTls, { ssl: { ca: [secure.ca], ...secure.client } })).toBe(clusterId)
    expect(await connect(secure.mutualTls, { ssl: { ca: [secure.ca] } })).not.toBe(clusterId)
    expect(await connect(secure.mutualTls, { ssl: { ca: [secure.ca], ...(await stranger.client('flowfence')) } })).not.toBe(clusterId)
  })

  test.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)('SASL %s takes the right password only, with and without TLS', async (mechanism) => {
    const { clusterId, secure } = await kafkaListeners()
    expect(await connect(secure.sasl, { sasl: { mechanism, ...KAFKA_USER } as never })).toBe(clusterId)
    expect(await connect(secure.saslTls, { ssl: { ca: [secure.ca] }, sasl: { mechanism, ...KAFKA_USER } as never })).toBe(clusterId)
    expect(await connect(secure.sasl, { sasl: { mechanism, ...KAFKA_USER, password: 'wrong' } as never })).toMatch(/[Aa]uthentication failed/)
  })

  test('SASL OAUTHBEARER takes a token that is not past its time', async () => {
    const { clusterId, secure } = await kafkaListeners()
    const bearing = (value: string): Omit<KafkaConfig, 'brokers'> => ({
      sasl: { mechanism: 'oauthbearer', oauthBearerProvider: () => Promise.resolve({ value }) },
    })
    expect(await connect(secure.sasl, bearing(oauthToken()))).toBe(clusterId)
    expect(await connect(secure.saslTls, { ssl: { ca: [secure.ca] }, ...bearing(oauthToken()) })).toBe(clusterId)
    expect(await connect(secure.sasl, bearing(oauthToken({ lifetimeS: -100 })))).not.toBe(clusterId)
  })
})

describeOwnKafka('a Kafka cluster that a test owns', () => {
  test('keeps its data and ports when its broker is killed, stopped and paused', async () => {
    const { nodes: [node], topics, clusterId, brokers: [address = ''] } = await startKafka()
    const topic = topicName()
    await topics.create(topic)
    await topics.produce(topic, ['a', 'b'])
    await node?.kill()
    expect(await connect(address, {})).not.toBe(clusterId)
    await node?.start()
    expect(await topics.produce(topic, ['c'])).toBe(2)
    await node?.pause()
    expect(await connect(address, { requestTimeout: 300, connectionTimeout: 300 })).not.toBe(clusterId)
    await node?.resume()
    await node?.stop()
    await node?.start()
    expect(await endOf(topics, topic)).toBe(3)
    expect(await connect(address, {})).toBe(clusterId)
  }, 120_000)

  const full = process.env.FLOWFENCE_TIER === 'full' ? test : test.skip
  full('of three brokers takes messages while one is dead (full tier)', async () => {
    const { nodes, topics } = await startKafka({ brokers: 3 })
    const topic = topicName()
    await topics.create(topic, { partitions: 3, replicas: 3, config: { 'min.insync.replicas': '2' } })
    for (const [round, node] of nodes.entries()) {
      await node.kill()
      for (const partition of [0, 1, 2]) expect(await topics.produce(topic, ['a'], { partition })).toBe(round)
      await node.start()
    }
  }, 300_000)
})
