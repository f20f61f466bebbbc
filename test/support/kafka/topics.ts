/**
 * Topics and messages for tests, over a listener without security. Messages are written by kafkajs, which finds new leaders when brokers die;
 * compressed ones by @platformatic/kafka, which has the codecs. A topic with the setting `compression.type` has its messages compressed by the
 * broker, as a Java producer would.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Producer } from '@platformatic/kafka'
import type { CompressionAlgorithmValue } from '@platformatic/kafka'
import { Kafka, logLevel } from 'kafkajs'
import type { Admin, Message } from 'kafkajs'

export interface TopicOptions {
  readonly partitions?: number
  readonly replicas?: number
  /** Kafka's own names, such as `retention.ms`. */
  readonly config?: Readonly<Record<string, string>>
}

export interface TestMessage {
  /** `null`: a tombstone. */
  readonly value: Buffer | string | null
  readonly key?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly timestampMs?: number
}

export interface ProduceOptions {
  readonly partition?: number
  readonly compression?: CompressionAlgorithmValue
}

/** What tests do to a broker from outside. */
export interface Topics {
  readonly admin: Admin
  /** Returns when every partition has a leader. */
  create(topic: string, options?: TopicOptions): Promise<void>
  /** Returns when the name is free again. */
  delete(topic: string): Promise<void>
  /** Appends one batch, acknowledged by all replicas; returns the offset of its first message. Partition 0 unless told. */
  produce(topic: string, messages: readonly (TestMessage | Buffer | string)[], options?: ProduceOptions): Promise<number>
  close(): Promise<void>
}

const POLL_MS = 100
const TOPIC_TIMEOUT_MS = 30_000

export async function openTopics(brokers: readonly string[]): Promise<Topics> {
  const kafka = new Kafka({ clientId: 'flowfence-test', brokers: [...brokers], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  const producer = kafka.producer({ allowAutoTopicCreation: false, retry: { retries: 30, maxRetryTime: 1000 } })
  await producer.connect()
  let compressor: Producer | undefined
  return {
    admin,
    create: async (topic, { partitions = 1, replicas = 1, config = {} } = {}) => {
      await admin.createTopics({
        topics: [{
          topic, numPartitions: partitions, replicationFactor: replicas,
          configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
        }],
      })
      await until(`Topic ${topic} has no leader`, async () => {
        const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
        const found = topics[0]?.partitions ?? []
        return found.length === partitions && found.every(({ leader, isr }) => leader >= 0 && isr.length === replicas)
      })
    },
    delete: async (topic) => {
      await admin.deleteTopics({ topics: [topic] })
      await until(`Topic ${topic} is not deleted`, async () => !(await admin.listTopics()).includes(topic))
    },
    produce: async (topic, messages, { partition = 0, compression = 'none' } = {}) => {
      const complete = messages.map((message) => typeof message === 'string' || Buffer.isBuffer(message) ? { value: message } : message)
      if (compression === 'none') {
        const [written] = await producer.send({ topic, acks: -1, messages: complete.map((message) => forKafkajs(message, partition)) })
        return Number(written?.baseOffset ?? -1)
      }
      compressor ??= new Producer({ clientId: 'flowfence-test', bootstrapBrokers: [...brokers], retries: 20, retryDelay: 250 })
      const { offsets = [] } = await compressor.send({
        acks: -1, compression, messages: complete.map((message) => forPlatformatic(message, topic, partition)),
      })
      return Number(offsets[0]?.offset ?? -1n)
    },
    close: async () => {
      await compressor?.close()
      await producer.disconnect()
      await admin.disconnect()
    },
  }
}

function forKafkajs({ key, value, headers, timestampMs }: TestMessage, partition: number): Message {
  return {
    partition,
    key: key ?? null,
    value,
    ...(headers !== undefined && { headers }),
    ...(timestampMs !== undefined && { timestamp: String(timestampMs) }),
  }
}

type PlatformaticMessage = Parameters<Producer['send']>[0]['messages'][number]

function forPlatformatic({ key, value, headers, timestampMs }: TestMessage, topic: string, partition: number): PlatformaticMessage {
  return {
    topic,
    partition,
    ...(value !== null && { value: Buffer.from(value) }),
    ...(key !== undefined && { key: Buffer.from(key) }),
    ...(headers !== undefined && { headers: new Map(Object.entries(headers).map(([k, v]) => [Buffer.from(k), Buffer.from(v)])) }),
    ...(timestampMs !== undefined && { timestamp: BigInt(timestampMs) }),
  }
}

async function until(complaint: string, isDone: () => Promise<boolean>): Promise<void> {
  const giveUpAt = performance.now() + TOPIC_TIMEOUT_MS
  while (!(await isDone().catch(() => false))) {
    if (performance.now() > giveUpAt) throw new Error(`${complaint} after ${TOPIC_TIMEOUT_MS / 1000} s.`)
    await sleep(POLL_MS)
  }
}

/**
 * Until the broker knows itself and as many members as told. `check` is called between attempts and ends the waiting with its error.
 */
export async function waitForBrokers(address: string, wanted: { id: number; members: number }, timeoutMs: number, check: () => Promise<void>): Promise<void> {
  const giveUpAt = performance.now() + timeoutMs
  const kafka = new Kafka({
    clientId: 'flowfence-test', brokers: [address], logLevel: logLevel.NOTHING, retry: { retries: 0 }, connectionTimeout: 1000, requestTimeout: 5000,
  })
  for (;;) {
    await check()
    const admin = kafka.admin()
    try {
      await admin.connect()
      const { brokers, controller } = await admin.describeCluster()
      if (controller !== null && brokers.length >= wanted.members && brokers.some(({ nodeId }) => nodeId === wanted.id)) return
    } catch (error) {
      if (performance.now() > giveUpAt) throw error
    } finally {
      await admin.disconnect().catch(() => undefined)
    }
    if (performance.now() > giveUpAt) throw new Error(`The broker at ${address} does not take part in its cluster after ${timeoutMs / 1000} s.`)
    await sleep(POLL_MS)
  }
}
