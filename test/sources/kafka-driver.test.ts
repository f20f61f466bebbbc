import { afterEach, describe, expect, test } from '@jest/globals'
import { Kafka, logLevel } from 'kafkajs'
import type { KafkaDriverName } from '../../src/sources/kafka/kafka-driver.ts'
import { createKafkaDriver } from '../../src/sources/kafka/create-driver.ts'
import { describeKafka, kafkaBroker, topicName } from '../support/kafka/kafka.ts'
import { startReader } from '../support/kafka/reader.ts'
import type { Reader } from '../support/kafka/reader.ts'

const TIMEOUT_MS = 120_000
const texts = (count: number, prefix = 'm'): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`)

describe.each<KafkaDriverName>(['kafkajs', 'platformatic'])('the Kafka driver %s', (name) => {
  const readers: Reader[] = []
  const read = async (...args: Parameters<typeof startReader> extends [unknown, ...infer Rest] ? Rest : never): Promise<Reader> => {
    const reader = await startReader(name, ...args)
    readers.push(reader)
    return reader
  }

  afterEach(async () => {
    const all = readers.splice(0)
    await Promise.all(all.map((reader) => reader.stop()))
    expect(all.flatMap((reader) => reader.complaints)).toEqual([])
  })

  describeKafka('reads', () => {
    test('every compression, tombstones and several partitions, each in order', async () => {
      const { brokers, topics } = await kafkaBroker()
      const topic = topicName()
      await topics.create(topic, { partitions: 3 })
      const wanted: (string | null)[] = []
      for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const) {
        await topics.produce(topic, [...texts(50, `${compression} ${'x'.repeat(2000)}`), { value: null, key: 'gone' }], { compression })
        wanted.push(...texts(50, `${compression} ${'x'.repeat(2000)}`), null)
      }
      await topics.produce(topic, [{ value: 'late', timestampMs: 1_700_000_000_123 }], { partition: 2 })
      const reader = await read({ brokers, topics: [topic] })
      await reader.until('all are read', () => reader.records.length === 256)
      expect(reader.values.get(`${topic}/0`)).toEqual(wanted)
      expect(reader.values.get(`${topic}/2`)).toEqual(['late'])
      expect(reader.values.has(`${topic}/1`)).toBe(false)
      expect(reader.records.find(({ value }) => value?.toString() === 'late')).toMatchObject({ offset: 0, timestampMs: 1_700_000_000_123 })
      expect(reader.highWatermarks.get(`${topic}/0`)).toBe(255)
    }, TIMEOUT_MS)

    test.each(['gzip', 'snappy', 'lz4', 'zstd'])('%s as the broker itself compresses, with the libraries of Java producers', async (codec) => {
      const { brokers, topics } = await kafkaBroker()
      const topic = topicName()
      await topics.create(topic, { config: { 'compression.type': codec } })
      const values = texts(300, 'repeated words '.repeat(20))
      await topics.produce(topic, values)
      const reader = await read({ brokers, topics: [topic] })
      await reader.until('all are read', () => reader.records.length === 300)
      expect(reader.values.get(`${topic}/0`)).toEqual(values)
    }, TIMEOUT_MS)

    test('from the offsets that `assigned` tells, however late, and from the earliest where it tells none', async () => {
      const { brokers, topics } = await kafkaBroker()
      const topic = topicName()
      await topics.create(topic, { partitions: 2 })
      await topics.produce(topic, texts(20))
      await topics.produce(topic, texts(5, 'n'), { partition: 1 })
      const reader = await read({ brokers, topics: [topic] }, {
        starts: async () => {
          await new Promise((resolve) => { setTimeout(resolve, 700) })
          return [{ topic, partition: 0, offset: 17 }]
        },
      })
      await reader.until('all are read', () => reader.records.length === 8)
      expect(reader.values.get(`${topic}/0`)).toEqual(['m17', 'm18', 'm19'])
      expect(reader.values.get(`${topic}/1`)).toEqual(texts(5, 'n'))
    }, TIMEOUT_MS)

    test('again after `seek`, and nothing of before', async () => {
      const { brokers, topics } = await kafkaBroker()
      const topic = topicName()
      await topics.create(topic)
      await topics.produce(topic, texts(100))
      let hasSought = false
      const reader = await read({ brokers, topics: [topic] }, {
        onBatch: (_, self) => {
          if (hasSought) return
          hasSought = true
          self.seek({ topic, partition: 0, offset: 90 })
        },
      })
      await reader.until('the rest is read again', () => hasSought && reader.next.get(`${topic}/0`) === 100)
      await topics.produce(topic, ['more'])
      await reader.until('more is read', () => reader.next.get(`${topic}/0`) === 101)
      expect(reader.values.get(`${topic}/0`)?.slice(-11)).toEqual([...texts(100).slice(90), 'more'])
    }, TIMEOUT_MS)

    test('other partitions while one is paused, and that one on from where it was', async () => {
      const { brokers, topics } = await kafkaBroker()
      const topic = topicName()
      await topics.create(topic, { partitions: 2 })
      for (let i = 0; i < 8; i++) await topics.produce(topic, texts(20, `${i} ${'x'.repeat(20_000)} `), { partition: 0 })
      const slow = { topic, partition: 0 }
      const reader = await read({ brokers, topics: [topic] }, { onBatch: (batch, self) => { if (batch.partition === 0) self.pause([slow]) } })
      await reader.until('the first batch is here', () => reader.records.length > 0)
      await topics.produce(topic, texts(10), { partition: 1 })
      await reader.until('the other partition is read', () => reader.values.get(`${topic}/1`)?.length === 10)
      expect(reader.values.get(`${topic}/0`)?.length).toBeLessThan(160)
      while (reader.values.get(`${topic}/0`)?.length !== 160) {
        const before = reader.values.get(`${topic}/0`)?.length ?? 0
        reader.resume([slow])
        await reader.until('the slow partition goes on', () => (reader.values.get(`${topic}/0`)?.length ?? 0) > before)
      }
      expect(new Set(reader.values.get(`${topic}/0`)).size).toBe(160)
    }, TIMEOUT_MS)

    test('behind transaction markers, aborted messages and open transactions as a reader of committed ones', async () => {
      const { brokers, topics } = await kafkaBroker()
      const topic = topicName()
      await topics.create(topic)
      const producer = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).producer({ transactionalId: topic, idempotent: true, maxInFlightRequests: 1 })
      await producer.connect()
      for (const [value, isKept] of [['kept', true], ['aborted', false], ['kept, too', true], ['aborted at last', false]] as const) {
        const transaction = await producer.transaction()
        await transaction.send({ topic, messages: [{ value, partition: 0 }, { value: `${value} 2`, partition: 0 }] })
        await (isKept ? transaction.commit() : transaction.abort())
      }
      await producer.disconnect()
      const reader = await read({ brokers, topics: [topic] })
      // Two messages and a marker each: the last marker is behind the last message.
      await reader.until('the end is reached', () => reader.next.get(`${topic}/0`) === 12)
      expect(reader.values.get(`${topic}/0`)).toEqual(['kept', 'kept 2', 'kept, too', 'kept, too 2'])
      expect(await reader.driver.readRecord({ topic, partition: 0, offset: 2 })).toMatchObject({ offset: 6, value: Buffer.from('kept, too') })
      expect(await reader.driver.readRecord({ topic, partition: 0, offset: 8 })).toBeUndefined()
    }, TIMEOUT_MS)

    test('topics by name and by pattern, also those that appear later, never the internal and excluded ones', async () => {
      const { brokers, topics } = await kafkaBroker()
      const prefix = topicName()
      await topics.create(`${prefix}-a`)
      await topics.create(`${prefix}-letters`)
      await topics.create(`other-${prefix}`)
      for (const topic of [`${prefix}-a`, `${prefix}-letters`, `other-${prefix}`]) await topics.produce(topic, [topic])
      const reader = await read({ brokers, topics: [`other-${prefix}`, new RegExp(`^(?:${prefix}-.*|__.*)$`)], excludedTopics: [`${prefix}-letters`] })
      await reader.until('both are read', () => reader.records.length === 2)
      await topics.create(`${prefix}-b`, { partitions: 2 })
      await topics.produce(`${prefix}-b`, ['new'], { partition: 1 })
      await reader.until('the new one is read', () => reader.values.has(`${prefix}-b/1`))
      expect([...reader.values.keys()].sort()).toEqual([`${prefix}-a/0`, `${prefix}-b/1`, `other-${prefix}/0`])
    }, TIMEOUT_MS)

    test('a position outside of the log is told, and left by `seek`', async () => {
      const { brokers, topics } = await kafkaBroker()
      const topic = topicName()
      await topics.create(topic)
      await topics.produce(topic, texts(5))
      const reader = await read({ brokers, topics: [topic] }, { starts: () => Promise.resolve([{ topic, partition: 0, offset: 1000 }]) })
      await reader.until('it is told', () => reader.outOfRange.length > 0)
      expect(reader.outOfRange).toEqual([{ topic, partition: 0, offset: 1000, earliest: 0, latest: 5, generation: reader.owned.get(`${topic}/0`) }])
      reader.seek({ topic, partition: 0, offset: 3 })
      await reader.until('the rest is read', () => reader.records.length === 2)
    }, TIMEOUT_MS)
  })

  describeKafka('shares', () => {
    test('partitions with other members, and takes them back', async () => {
      const { brokers, topics } = await kafkaBroker()
      const [topic, groupId] = [topicName(), topicName('group')]
      await topics.create(topic, { partitions: 4 })
      // Positions as a database would hold them, for both.
      const positions = new Map<string, number>()
      const member = (): Promise<Reader> => read({ brokers, topics: [topic], groupId }, {
        starts: (partitions) => Promise.resolve(partitions.map(({ partition }) => ({ topic, partition, offset: positions.get(`${topic}/${partition}`) ?? 0 }))),
        onBatch: (batch) => { positions.set(`${batch.topic}/${batch.partition}`, batch.nextOffset) },
      })
      const first = await member()
      await first.until('all are its own', () => first.owned.size === 4)
      const second = await member()
      await second.until('they are shared', () => first.owned.size === 2 && second.owned.size === 2)
      expect([...first.owned.keys(), ...second.owned.keys()].sort()).toEqual([0, 1, 2, 3].map((p) => `${topic}/${p}`))
      for (const partition of [0, 1, 2, 3]) await topics.produce(topic, texts(10, `${partition} `), { partition })
      await second.until('both have read', () => first.records.length + second.records.length === 40)
      readers.splice(readers.indexOf(second), 1)
      await second.stop()
      expect(second.owned.size).toBe(0)
      await first.until('all are its own again', () => first.owned.size === 4)
      await topics.produce(topic, ['last'], { partition: 3 })
      await first.until('it goes on', () => positions.get(`${topic}/3`) === 11)
      expect(first.records.length + second.records.length).toBe(41)
      expect(second.complaints).toEqual([])
    }, TIMEOUT_MS)

    test('its position with lag monitors', async () => {
      const { brokers, topics } = await kafkaBroker()
      const [topic, groupId] = [topicName(), topicName('group')]
      await topics.create(topic)
      await topics.produce(topic, texts(10))
      const reader = await read({ brokers, topics: [topic], groupId })
      await reader.until('all are read', () => reader.records.length === 10)
      await reader.driver.commit([{ topic, partition: 0, offset: 7 }])
      const [committed] = await topics.admin.fetchOffsets({ groupId, topics: [topic] })
      expect(committed?.partitions).toMatchObject([{ partition: 0, offset: '7' }])
    }, TIMEOUT_MS)
  })

  describeKafka('answers', () => {
    test('what is where, which cluster it is, and sends', async () => {
      const { brokers, topics } = await kafkaBroker()
      const topic = topicName()
      await topics.create(topic, { partitions: 2 })
      await topics.produce(topic, texts(3))
      await topics.admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '1' }] })
      const driver = await createKafkaDriver(name, { brokers, clientId: 'flowfence-test', groupId: topicName('group'), topics: [topic] })
      try {
        expect(await driver.clusterId()).toBe((await topics.admin.describeCluster()).clusterId)
        expect(await driver.ranges(topic)).toEqual([{ topic, partition: 0, earliest: 1, latest: 3 }, { topic, partition: 1, earliest: 0, latest: 0 }])
        expect(await driver.readRecord({ topic, partition: 0, offset: 0 })).toMatchObject({ offset: 1, value: Buffer.from('m1') })
        expect(await driver.readRecord({ topic, partition: 0, offset: 2 })).toMatchObject({ offset: 2, value: Buffer.from('m2') })
        expect(await driver.readRecord({ topic, partition: 0, offset: 3 })).toBeUndefined()
        expect(await driver.readRecord({ topic, partition: 1, offset: 0 })).toBeUndefined()
        await driver.send(topic, texts(5, 'letter ').map((text) => ({ key: text, value: Buffer.from(text), headers: { reason: 'not-json' } })))
        const ranges = await driver.ranges(topic)
        expect(ranges.reduce((sum, { latest }) => sum + latest, 0)).toBe(8)
        await expect(driver.ranges(`${topic}-missing`)).rejects.toThrow(`Kafka has no topic "${topic}-missing", or this user may not see it. Similar: `)
        await expect(driver.send(`${topic}-missing`, [{ key: 'k', value: Buffer.from('v'), headers: {} }])).rejects.toThrow(/no topic|does not answer/)
      } finally {
        await driver.close()
      }
    }, TIMEOUT_MS)
  })
})
