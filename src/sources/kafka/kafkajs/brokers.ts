/** Reading from the brokers by kafkajs's connections, outside of any group: topics, leaders, ranges of offsets, bytes of records. */
import { createCluster, fetchMetadata, fetchRecords, isCompatible } from './internals.ts'
import type { Broker, Cluster, TopicMetadata } from './internals.ts'
import { brokerTooOld } from '../kafka-problems.ts'
import type { KafkajsClient } from './client.ts'
import type { FetchedPartition } from '../fetch-response.ts'
import type { FetchWanted } from '../partition-fetcher.ts'
import type { KafkaRecord, PartitionRange, TopicPartition } from '../kafka-driver.ts'
import { createAbortFilter, decodeBatch, splitBatches } from '../record-batch.ts'

const UNKNOWN_TOPIC = 3
/** Of one answer, while looking for a single record; a larger first batch comes whole. */
const RECORD_BYTES = 64 * 1024

export interface FetchLimits {
  /** How long the broker waits for data. */
  readonly waitMs: number
  readonly maxBytes: number
}

export class KafkajsBrokers {
  /** One of the topics followed was not there when asked last. */
  hasLostTopic = false
  readonly #client: KafkajsClient
  readonly #cluster: Cluster
  readonly #names: string
  readonly #leaders = new Map<string, number>()
  #topics: readonly string[] = []

  constructor(client: KafkajsClient, names: readonly string[]) {
    this.#client = client
    this.#cluster = createCluster(client.kafka)
    this.#names = names.join(', ')
  }

  async connect(): Promise<void> {
    await this.#cluster.connect()
    if (!isCompatible(this.#cluster.brokerPool.versions)) throw brokerTooOld(this.#names, '0.11')
    await this.#cluster.refreshMetadata()
  }

  destroy(): void {
    this.#client.destroy()
  }

  async clusterId(): Promise<string> {
    const { clusterId } = await fetchMetadata(await this.#anyBroker(), [])
    return clusterId ?? ''
  }

  /** With their errors; all that the user may see when none is named. */
  async topics(names: readonly string[] = []): Promise<readonly TopicMetadata[]> {
    return (await fetchMetadata(await this.#anyBroker(), names)).topicMetadata
  }

  /** Which topics' leaders are wanted from now on. */
  async follow(topics: readonly string[]): Promise<void> {
    this.#topics = [...topics]
    await this.refresh()
  }

  async refresh(): Promise<void> {
    await this.#cluster.refreshMetadata()
    if (this.#topics.length === 0) return
    const topics = await this.topics(this.#topics)
    this.#leaders.clear()
    this.hasLostTopic = topics.some(({ topicErrorCode }) => topicErrorCode === UNKNOWN_TOPIC)
    for (const { topic, partitionMetadata } of topics) {
      for (const { partitionId, leader } of partitionMetadata) if (leader >= 0) this.#leaders.set(`${topic}/${partitionId}`, leader)
    }
  }

  leaderOf({ topic, partition }: TopicPartition): number | undefined {
    return this.#leaders.get(`${topic}/${partition}`)
  }

  async fetch(nodeId: number, wanted: readonly FetchWanted[], { waitMs, maxBytes }: FetchLimits): Promise<readonly FetchedPartition[]> {
    const broker = await this.#cluster.findBroker({ nodeId })
    const topics = wanted.map(({ topic, partition, offset, maxBytes: most }) => ({ topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes: most }] }))
    try {
      return (await fetchRecords(broker, { maxWaitTime: waitMs, maxBytes, topics })).partitions
    } catch (error) {
      // A connection that answers no more stays open in kafkajs: the next request gets a new one.
      this.#cluster.removeBroker(broker.connectionPool)
      void broker.disconnect().catch(() => undefined)
      throw error
    }
  }

  /** Of the partitions named, or of all of the topic. */
  async ranges(topic: string, partitions?: readonly number[]): Promise<PartitionRange[]> {
    await this.#cluster.addMultipleTargetTopics([topic])
    await this.#cluster.refreshMetadata()
    const wanted = (partitions ?? (this.#cluster.brokerPool.metadata?.topicMetadata.find((t) => t.topic === topic)?.partitionMetadata ?? []).map((p) => p.partitionId))
      .map((partition) => ({ partition }))
    if (wanted.length === 0) return []
    const [earliest, latest] = await Promise.all([true, false].map((fromBeginning) => this.#offsets(topic, wanted, fromBeginning)))
    return wanted.map(({ partition }) => ({ topic, partition, earliest: earliest?.get(partition) ?? 0, latest: latest?.get(partition) ?? 0 }))
      .sort((a, b) => a.partition - b.partition)
  }

  /** The first one at or after an offset that readers of committed records see; its value is its own. */
  async readRecord({ topic, partition, offset }: TopicPartition & { readonly offset: number }): Promise<KafkaRecord | undefined> {
    const [range] = await this.ranges(topic, [partition])
    if (range === undefined) return undefined
    let next = Math.max(offset, range.earliest)
    while (next < range.latest) {
      const metadata = this.#cluster.brokerPool.metadata?.topicMetadata.find((t) => t.topic === topic)
      const leader = metadata?.partitionMetadata.find((p) => p.partitionId === partition)?.leader ?? -1
      const [answer] = await this.fetch(leader, [{ topic, partition, offset: next, maxBytes: RECORD_BYTES }], { waitMs: 0, maxBytes: RECORD_BYTES })
      if (answer === undefined || answer.errorCode !== 0) throw new Error(`Kafka answers with error ${answer?.errorCode ?? 'no partition'}`)
      const isVisible = createAbortFilter(answer.aborted)
      const batches = splitBatches(answer.bytes)
      for (const batch of batches) {
        const [record] = isVisible(batch, answer.bytes) ? await decodeBatch(batch, answer.bytes, next) : []
        if (record !== undefined) return { ...record, value: record.value === null ? null : Buffer.from(record.value) }
        next = Math.max(next, batch.lastOffset + 1)
      }
      // Behind it is an open transaction only.
      if (batches.length === 0) return undefined
    }
    return undefined
  }

  async #offsets(topic: string, partitions: { partition: number }[], fromBeginning: boolean): Promise<Map<number, number>> {
    const [found] = await this.#cluster.fetchTopicsOffset([{ topic, partitions, fromBeginning }])
    return new Map(found?.partitions.map(({ partition, offset }) => [partition, Number(offset)]))
  }

  async #anyBroker(): Promise<Broker> {
    return this.#cluster.brokerPool.findConnectedBroker()
  }
}
