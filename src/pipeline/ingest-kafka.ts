/**
 * Kafka into the store, exactly once in effect:
 *
 *   driver ─ batches of partitions ─► queues ─► decode (threads) ─► ONE transaction a topic { flows …, position of each partition } ─► offsets to the
 *     ▲  paused while a queue is full                                     │                                            group, for lag only
 *     └── seeks to the stored position: on assignment, and when fenced ◄──┘
 *
 * Invariants: what the topic holds is stored once or counted as what became of it, whatever dies in between. Each transaction moves the positions from
 * what this process read or wrote last; where somebody else moved one, the whole batch is rolled back, that partition is read again from its stored
 * position and the others are stored without it. Memory: the queues (`maxBytes`), one batch being decoded and one being stored per topic. Leaves to
 * others: the protocol (sources/kafka), duplicates by content and everything behind decoding (ingest.ts), dead letters into a topic (feed-letters.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../core/base/app-error.ts'
import type { CoverageEvent } from '../core/flow/flow-record.ts'
import type { Assignment, KafkaDriver, KafkaHandler, OutOfRange, PartitionBatch, PartitionRange, TopicPartition } from '../sources/kafka/kafka-driver.ts'
import { withRetry, withTransaction } from '../store/db/database.ts'
import type { Database } from '../store/db/database.ts'
import { selectPosition } from '../store/read/select-positions.ts'
import type { Position } from '../store/read/select-positions.ts'
import { insertCoverageEvents } from '../store/write/insert-ingest-records.ts'
import type { Ingester } from './ingest.ts'
import type { IngestReport } from './ingest-report.ts'
import { KafkaPartition } from './kafka-partition.ts'
import { findStart, positionName } from './kafka-position.ts'
import type { OnReset } from './kafka-position.ts'
import { TopicRun } from './kafka-topic.ts'

/** Why storing or reading waits, in words of a closed list; `ok` when it does not. */
export type KafkaCondition = 'starting' | 'ok' | 'brokers-away' | 'database-away'

export interface KafkaIngestOptions {
  readonly database: Database
  readonly driver: KafkaDriver
  /** The ingester of the cluster that a topic is bound to. */
  readonly ingesterOf: (topic: string) => Promise<Ingester>
  /** Where a partition without a position starts. */
  readonly start: 'earliest' | 'latest'
  readonly onReset: OnReset
  readonly nowUs: () => number
  readonly onStored?: (report: IngestReport, topic: string) => void
  /** One sentence each, for the log. */
  readonly onNotice?: (notice: KafkaNotice) => void
  /** Bytes of fetched records that wait to be decoded, over all partitions. More: fewer pauses; fewer: less memory. Default 32 MiB. */
  readonly maxBytes?: number
  /** A batch that is not full is stored after this. Longer: fewer commits; shorter: flows are seen earlier. Default 1000. */
  readonly flushMs?: number
  /** Records of a batch at most, fixed; without, learnt from how long storing takes. */
  readonly batchRecords?: number
}

export interface KafkaNotice {
  readonly event: 'assigned' | 'revoked' | 'fenced' | 'reset' | 'records-lost' | 'connection' | 'database'
  readonly text: string
}

/** For readiness and metrics. */
export interface KafkaStatus {
  readonly condition: KafkaCondition
  /** One sentence for people. */
  readonly text: string
  readonly partitions: number
  /** Records in the brokers that are not stored yet, over the partitions of this process. */
  readonly lag: number
  /** Partitions that wait because their queues are full. */
  readonly paused: number
}

const DEFAULT_MAX_BYTES = 32 << 20
/** However many partitions there are, each may hold a fetch. */
const MIN_PARTITION_BYTES = 256 << 10
const COMMIT_EVERY_MS = 2_000
/** Pause before what the brokers or the database did not take is tried again; their own patience comes first. */
const RETRY_MS = 1_000
const PATIENCE_MS = 5_000

/** One member of the consumer group and all it stores. */
export class KafkaIngest implements KafkaHandler {
  readonly #options: KafkaIngestOptions
  readonly #partitions = new Map<string, KafkaPartition>()
  readonly #topics = new Map<string, TopicRun>()
  #signal: AbortSignal = new AbortController().signal
  #stop: (error: unknown) => void = () => undefined
  #brokers: string | undefined
  #connection: { readonly isConnected: boolean; readonly text: string } = { isConnected: false, text: 'Not connected to Kafka yet.' }
  #database: string | undefined
  #uncommitted = new Map<string, TopicPartition & { readonly offset: number }>()
  #commitTimer: NodeJS.Timeout | undefined

  constructor(options: KafkaIngestOptions) {
    this.#options = options
  }

  /** Reads until `signal` is aborted. AppError where trying again cannot help: one sentence with the next step. */
  async run(signal: AbortSignal): Promise<void> {
    const failed = new AbortController()
    let failure: Error | undefined
    this.#stop = (error) => {
      if (error !== undefined) failure ??= error instanceof Error ? error : new Error(String(error))
      failed.abort()
    }
    this.#signal = AbortSignal.any([signal, failed.signal])
    try {
      await this.#options.driver.consume(this, this.#signal)
    } finally {
      this.#stop(undefined)
      await Promise.all([...this.#topics.values()].map((topic) => topic.stop()))
      clearTimeout(this.#commitTimer)
    }
    if (failure !== undefined) throw failure
  }

  get state(): KafkaStatus {
    const owned = [...this.#partitions.values()]
    const { isConnected, text } = this.#connection
    const condition = this.#database !== undefined ? 'database-away' : isConnected ? 'ok' : this.#brokers === undefined ? 'starting' : 'brokers-away'
    return {
      condition, text: this.#database ?? text, partitions: owned.length, paused: owned.filter((p) => p.isPaused).length,
      lag: owned.reduce((sum, p) => sum + p.lag, 0),
    }
  }

  // ---- what the driver tells

  async assigned(assignments: readonly Assignment[]): Promise<readonly (TopicPartition & { readonly offset: number })[]> {
    const ranges = new Map<string, readonly PartitionRange[]>()
    const starts: (TopicPartition & { readonly offset: number })[] = []
    for (const assignment of assignments) {
      const partition = await this.#open(assignment)
      let of = ranges.get(assignment.topic)
      if (of === undefined) ranges.set(assignment.topic, of = await this.#patiently(() => this.#options.driver.ranges(assignment.topic)))
      const range = of.find((r) => r.partition === assignment.partition)
      if (range !== undefined) starts.push({ topic: assignment.topic, partition: assignment.partition, offset: await this.#startOf(partition, range) })
      this.#partitions.set(keyOf(assignment), partition)
    }
    if (assignments.length > 0) this.#notice('assigned', `Reads ${listOf(assignments)}.`)
    return starts
  }

  revoked(partitions: readonly TopicPartition[]): void {
    for (const partition of partitions) {
      this.#partitions.get(keyOf(partition))?.clear()
      this.#partitions.delete(keyOf(partition))
    }
    if (partitions.length > 0) this.#notice('revoked', `Reads ${listOf(partitions)} no more.`)
  }

  batch(batch: PartitionBatch): void {
    const partition = this.#partitions.get(keyOf(batch))
    if (partition === undefined || partition.generation !== batch.generation) return
    partition.push(batch, performance.now())
    if (!partition.isPaused && partition.bytes >= this.#roomPerPartition()) {
      partition.isPaused = true
      this.#options.driver.pause([partition])
    }
    this.#topicOf(partition).wake()
  }

  outOfRange(at: OutOfRange): void {
    const partition = this.#partitions.get(keyOf(at))
    if (partition === undefined || partition.generation !== at.generation) return
    partition.clear()
    this.#resume(partition)
    const { topic, partition: number } = at
    if (at.offset < at.earliest) {
      this.#lost(partition, at.earliest - at.offset)
      this.#options.driver.seek({ topic, partition: number, offset: at.earliest })
      return
    }
    try {
      this.#options.driver.seek({ topic, partition: number, offset: this.#afterReset(partition, at, `it ends at offset ${at.latest}`) })
    } catch (error) {
      this.#stop(error)
    }
  }

  status(status: { readonly isConnected: boolean; readonly text: string }): void {
    this.#connection = status
    this.#notice('connection', status.text)
  }

  // ---- positions

  async #open(assignment: Assignment): Promise<KafkaPartition> {
    const brokers = this.#brokers ??= await this.#patiently(() => this.#options.driver.clusterId())
    const ingester = await this.#patiently(() => this.#options.ingesterOf(assignment.topic))
    const name = positionName(brokers, assignment)
    return new KafkaPartition(assignment, { name, ingester, position: await this.#storedPosition(ingester, name) })
  }

  #storedPosition(ingester: Ingester, name: string): Promise<Position | undefined> {
    return this.#patiently(() => selectPosition(this.#options.database, ingester.clusterId, name))
  }

  async #startOf(partition: KafkaPartition, range: PartitionRange): Promise<number> {
    const { position } = partition
    if (position === undefined) return this.#options.start === 'latest' ? range.latest : range.earliest
    const { offset, lost, reset } = await this.#patiently(() => findStart(this.#options.driver, range, position))
    if (reset !== undefined) return this.#afterReset(partition, range, reset)
    if (lost > 0) this.#lost(partition, lost)
    return offset
  }

  /** Where a partition goes on whose log is another one than was read before. */
  #afterReset(partition: KafkaPartition, range: PartitionRange, why: string): number {
    const { onReset } = this.#options
    const what = `Partition ${partition.partition} of topic ${partition.topic} was recreated or cut off: ${why}.`
    if (onReset === 'stop') {
      throw new AppError('conflict', `${what} Set FLOWFENCE_KAFKA_ON_RESET to earliest (read all of it) or latest (only what comes now) to go on.`, { at: partition.name })
    }
    this.#notice('reset', `${what} Going on at the ${onReset === 'earliest' ? 'beginning' : 'end'}.`)
    this.#note(partition, { type: 'gap', atUs: this.#options.nowUs(), node: '', lost: 0, detail: `Kafka topic ${partition.topic} partition ${partition.partition} was recreated or cut off` })
    return onReset === 'earliest' ? range.earliest : range.latest
  }

  #lost(partition: KafkaPartition, records: number): void {
    const detail = `Kafka deleted records of topic ${partition.topic} partition ${partition.partition} before they were read`
    this.#notice('records-lost', `${detail}: ${records} offsets. Raise the topic's retention, or add consumers.`)
    this.#note(partition, { type: 'gap', atUs: this.#options.nowUs(), node: '', lost: records, detail })
  }

  #note({ ingester: { clusterId } }: KafkaPartition, event: CoverageEvent): void {
    this.#patiently(() => withTransaction(this.#options.database, (tx) => insertCoverageEvents(tx, clusterId, [event]))).catch((error: unknown) => this.#stop(error))
  }

  /** Somebody else moved the position: what waits here may be stored already. */
  async #fence(partition: KafkaPartition): Promise<void> {
    partition.clear()
    const position = await this.#storedPosition(partition.ingester, partition.name)
    if (this.#partitions.get(keyOf(partition)) !== partition) return
    partition.position = position
    partition.clear()
    this.#resume(partition)
    this.#notice('fenced', `Another process stored ${listOf([partition])} meanwhile; going on from its position.`)
    const { topic, partition: number } = partition
    this.#options.driver.seek({ topic, partition: number, offset: position?.next ?? 0 })
  }

  // ---- storing

  #topicOf({ topic, ingester }: KafkaPartition): TopicRun {
    let run = this.#topics.get(topic)
    if (run === undefined) {
      run = new TopicRun({
        topic, ingester,
        partitions: () => [...this.#partitions.values()].filter((p) => p.topic === topic),
        isOwned: (partition) => this.#partitions.get(keyOf(partition)) === partition,
        taken: (partition) => this.#resume(partition),
        fence: (partition) => this.#fence(partition),
        persist: (work) => this.#patiently(work),
        stored: (report, partitions) => this.#stored(report, topic, partitions),
        failed: (error) => { if (!this.#signal.aborted) this.#stop(error) },
        flushMs: this.#options.flushMs ?? 1_000,
        batchRecords: this.#options.batchRecords,
      })
      this.#topics.set(topic, run)
    }
    return run
  }

  #resume(partition: KafkaPartition): void {
    if (!partition.isPaused || partition.bytes > this.#roomPerPartition() / 2) return
    partition.isPaused = false
    this.#options.driver.resume([partition])
  }

  #roomPerPartition(): number {
    return Math.max(MIN_PARTITION_BYTES, (this.#options.maxBytes ?? DEFAULT_MAX_BYTES) / Math.max(1, this.#partitions.size))
  }

  #stored(report: IngestReport, topic: string, partitions: readonly KafkaPartition[]): void {
    this.#options.onStored?.(report, topic)
    for (const partition of partitions) {
      this.#uncommitted.set(keyOf(partition), { topic, partition: partition.partition, offset: partition.position?.next ?? 0 })
    }
    this.#commitTimer ??= setTimeout(() => {
      this.#commitTimer = undefined
      const next = [...this.#uncommitted.values()].filter((at) => this.#partitions.has(keyOf(at)))
      this.#uncommitted = new Map()
      if (next.length > 0) void this.#options.driver.commit(next)
    }, COMMIT_EVERY_MS)
  }

  /** Tries for as long as the database or the brokers are away. Rejected by what trying again cannot help, and after the signal. */
  async #patiently<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        const result = await withRetry(work, { giveUpAfterMs: PATIENCE_MS })
        if (this.#database !== undefined) {
          this.#database = undefined
          this.#notice('database', 'Storing goes on.')
        }
        return result
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== 'unavailable' || this.#signal.aborted) throw error
        if (this.#database === undefined) this.#notice('database', `Waits: ${error.message}`)
        this.#database = `Waits: ${error.message}`
        await sleep(RETRY_MS, undefined, { signal: this.#signal }).catch(() => undefined)
      }
    }
  }

  #notice(event: KafkaNotice['event'], text: string): void {
    this.#options.onNotice?.({ event, text })
  }
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

const SHOWN = 20

function listOf(partitions: readonly TopicPartition[]): string {
  const names = [...partitions].slice(0, SHOWN).map(keyOf).join(', ')
  return partitions.length > SHOWN ? `${names} and ${partitions.length - SHOWN} more` : names
}
