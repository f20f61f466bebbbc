import { afterEach, describe, expect, test } from '@jest/globals'
import type { KafkaDriverName } from '../../src/sources/kafka/kafka-driver.ts'
import { describeOwnKafka, startKafka, topicName } from '../support/kafka/kafka.ts'
import type { KafkaBroker } from '../support/kafka/kafka.ts'
import type { KafkaCluster } from '../support/kafka/cluster.ts'
import { startReader } from '../support/kafka/reader.ts'
import type { Reader } from '../support/kafka/reader.ts'

const TIMEOUT_MS = 240_000
const full = process.env.FLOWFENCE_TIER === 'full' ? test : test.skip
const texts = (count: number, prefix: string): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`)

describeOwnKafka('when the broker fails', () => {
  let cluster: Promise<KafkaCluster & KafkaBroker> | undefined
  const ownCluster = (): Promise<KafkaCluster & KafkaBroker> => cluster ??= startKafka()

  describe.each<KafkaDriverName>(['kafkajs', 'platformatic'])('the Kafka driver %s', (name) => {
    const readers: Reader[] = []
    afterEach(async () => {
      const all = readers.splice(0)
      await Promise.all(all.map((reader) => reader.stop()))
      expect(all.flatMap((reader) => reader.complaints)).toEqual([])
    })

    /** Positions as a database would hold them. */
    async function read(brokers: readonly string[], topic: string): Promise<Reader> {
      const positions = new Map<string, number>()
      const reader = await startReader(name, { brokers, topics: [topic] }, {
        starts: (partitions) => Promise.resolve(partitions.map(({ partition }) => ({ topic, partition, offset: positions.get(`${topic}/${partition}`) ?? 0 }))),
        onBatch: (batch) => { positions.set(`${batch.topic}/${batch.partition}`, batch.nextOffset) },
      })
      readers.push(reader)
      return reader
    }

    test('goes on when it was killed and comes back, and when it was not there at first', async () => {
      const { brokers, topics, nodes: [node] } = await ownCluster()
      const topic = topicName()
      await topics.create(topic, { partitions: 2 })
      await topics.produce(topic, texts(10, 'before '))
      const reader = await read(brokers, topic)
      await reader.until('the first are read', () => reader.records.length === 10)
      await node?.kill()
      const late = await read(brokers, topic)
      await late.until('it is told', () => late.statuses.some(({ isConnected }) => !isConnected))
      await node?.start()
      await topics.produce(topic, texts(10, 'after '), { partition: 1 })
      // Both are members of groups of their own.
      await reader.until('the others are read', () => reader.records.length === 20)
      await late.until('all are read', () => late.records.length === 20)
      expect(late.statuses.at(-1)?.isConnected).toBe(true)
    }, TIMEOUT_MS)

    full('goes on after a minute in which it does not answer (full tier)', async () => {
      const { brokers, topics, nodes: [node] } = await ownCluster()
      const topic = topicName()
      await topics.create(topic)
      const reader = await read(brokers, topic)
      await reader.until('it has joined', () => reader.owned.size === 1)
      await node?.pause()
      await new Promise((resolve) => { setTimeout(resolve, 60_000) })
      expect(reader.statuses.at(-1)?.isConnected).toBe(false)
      await node?.resume()
      await topics.produce(topic, texts(5, 'late '))
      await reader.until('they are read', () => reader.records.length === 5)
    }, TIMEOUT_MS)

    full('waits for a topic that is deleted, and reads the new one of the same name (full tier)', async () => {
      const { brokers, topics } = await ownCluster()
      const [topic, other] = [topicName(), topicName()]
      await topics.create(topic)
      await topics.create(other)
      await topics.produce(topic, texts(5, 'old '))
      const reader = await startReader(name, { brokers, topics: [topic, other] })
      readers.push(reader)
      await reader.until('the old ones are read', () => reader.records.length === 5)
      await topics.delete(topic)
      await reader.until('the topic is given up', () => !reader.owned.has(`${topic}/0`))
      await topics.create(topic)
      await topics.produce(topic, texts(3, 'new '))
      await reader.until('the new ones are read', () => reader.records.length === 8)
    }, TIMEOUT_MS)
  })
})
