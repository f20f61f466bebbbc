/** Single records of any partition, and appending to a topic: beside the consumption, over connections of its own. */
import { murmur2 } from '@platformatic/kafka'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../../../core/base/app-error.ts'
import type { DeadLetterRecord, KafkaOptions, KafkaRecord, TopicPartition } from '../kafka-driver.ts'
import { createAbortFilter, decodeBatch, splitBatches } from '../record-batch.ts'
import type { BrokerAddress, BrokerConnections } from './broker-connections.ts'
import type { Cluster, TopicInfo } from './cluster.ts'
import { fatalConnectionError, fatalKafkaError, kafkaCodeOf, kafkaError, KafkaCode, reasonOf } from './failures.ts'
import { fetchOnce } from './fetch-request.ts'

const READ_BYTES = 262_144
const READ_WAIT_MS = 50
/** Of one request; brokers take 1 MiB by default, with what stands around the records. */
const SEND_BYTES = 786_432
const SEND_TIMEOUT_MS = 10_000
/** Leaders move; the second and later tries ask for them again. */
const TRIES = 6
const RETRY_MS = 250
const MESSAGE_TOO_LARGE = 10

export class TopicAccess {
  readonly #options: KafkaOptions
  readonly #connections: BrokerConnections
  readonly #cluster: Cluster

  constructor(options: KafkaOptions, connections: BrokerConnections, cluster: Cluster) {
    this.#options = options
    this.#connections = connections
    this.#cluster = cluster
  }

  /** The first record at or after an offset. */
  async readRecord(at: TopicPartition & { readonly offset: number }): Promise<KafkaRecord | undefined> {
    return this.#retried('read', at.topic, async (topic) => {
      let offset = Math.max(at.offset, (await this.#cluster.offsets(topic, 'earliest', [at.partition])).get(at.partition) ?? 0)
      for (;;) {
        const found = await this.#readFrom(topic, at.partition, offset)
        if (found.record !== undefined || found.nextOffset === offset) return found.record
        offset = found.nextOffset
      }
    })
  }

  async send(topicName: string, records: readonly DeadLetterRecord[]): Promise<void> {
    if (records.length === 0) return
    await this.#retried('send', topicName, async (topic) => {
      const byPartition = Map.groupBy(records, ({ key }) => (murmur2(key) & 0x7fff_ffff) % topic.leaders.length)
      for (const [partition, own] of byPartition) {
        for (const batch of batches(own)) await this.#append(this.#leader(topic, partition), { topic: topicName, partition }, batch)
      }
    })
  }

  #leader(topic: TopicInfo, partition: number): BrokerAddress {
    if (partition >= topic.leaders.length) throw new AppError('not-found', `The Kafka topic "${topic.name}" has no partition ${partition}.`)
    const broker = this.#cluster.broker(topic.leaders[partition] ?? -1)
    if (broker === undefined) throw new Error(`partition ${partition} of "${topic.name}" has no leader`)
    return broker
  }

  async #readFrom(topic: TopicInfo, partition: number, offset: number): Promise<{ readonly record?: KafkaRecord | undefined; readonly nextOffset: number }> {
    const wish = { topic: topic.name, topicId: topic.id, partition, offset, maxBytes: READ_BYTES }
    const how = { connections: this.#connections, broker: this.#leader(topic, partition), lane: 'read', maxBytes: READ_BYTES, maxWaitMs: READ_WAIT_MS } as const
    const [fetched] = await fetchOnce([wish], how)
    if (fetched === undefined || fetched.errorCode === KafkaCode.offsetOutOfRange) return { nextOffset: offset }
    if (fetched.errorCode !== 0) throw kafkaError(fetched.errorCode)
    const isVisible = createAbortFilter(fetched.aborted)
    let nextOffset = offset
    for (const batch of splitBatches(fetched.bytes)) {
      const [record] = isVisible(batch, fetched.bytes) ? await decodeBatch(batch, fetched.bytes, offset) : []
      if (record !== undefined) return { record, nextOffset }
      nextOffset = Math.max(nextOffset, batch.lastOffset + 1)
    }
    return { nextOffset }
  }

  async #append(broker: BrokerAddress, to: TopicPartition, records: readonly DeadLetterRecord[]): Promise<void> {
    const messages = records.map(({ key, value, headers }) => ({
      ...to, key: Buffer.from(key), value, headers: new Map(Object.entries(headers).map(([name, text]) => [Buffer.from(name), Buffer.from(text)])),
    }))
    await this.#connections.call(broker, 'send', 'Produce', [-1, SEND_TIMEOUT_MS, messages, {}])
  }

  async #retried<Result>(lane: 'read' | 'send', topicName: string, work: (topic: TopicInfo) => Promise<Result>): Promise<Result> {
    for (let tries = 1; ; tries++) {
      try {
        return await work(await this.#cluster.describe(topicName))
      } catch (error) {
        if (kafkaCodeOf(error) === MESSAGE_TOO_LARGE) throw new AppError('too-large', `Kafka does not take a record of this size for topic "${topicName}": raise its max.message.bytes.`, { cause: error })
        const fatal = fatalConnectionError(error, this.#options.brokers.join(', '), this.#options) ?? fatalKafkaError(error, this.#options, topicName)
        if (fatal !== undefined) throw fatal
        if (tries >= TRIES) throw new AppError('unavailable', `Kafka topic "${topicName}" cannot be used at the moment (${reasonOf(error)}): try again.`, { cause: error, retryable: true })
        this.#connections.dropLanes((name) => name === lane)
        await sleep(RETRY_MS * tries)
      }
    }
  }
}

function batches(records: readonly DeadLetterRecord[]): DeadLetterRecord[][] {
  const found: DeadLetterRecord[][] = []
  let sizeBytes = Infinity
  for (const record of records) {
    const own = record.value.length + record.key.length + Object.entries(record.headers).reduce((sum, [name, text]) => sum + name.length + Buffer.byteLength(text) + 4, 64)
    if (sizeBytes + own > SEND_BYTES) {
      found.push([])
      sizeBytes = 0
    }
    found.at(-1)?.push(record)
    sizeBytes += own
  }
  return found
}
