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
import { advancePosition } from '../store/write/advance-position.ts'
import { insertCoverageEvents } from '../store/write/insert-ingest-records.ts'
import type { Ingester } from './ingest.ts'
import type { IngestReport } from './ingest-report.ts'
import { KafkaPartition } from './kafka-partition.ts'
import { findStart, positionName } from './kafka-position.ts'
import type { OnReset } from './kafka-position.ts'
import { TopicRun } from './kafka-topic.ts'
import { TurnTaking } from './turn-taking.ts'

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
  readonly event: 'assigned' | 'revoked' | 'fenced' | 'reset' | 'records-lost' | 'connected' | 'connection' | 'database'
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
/** Partitions whose start is looked for at a time. More: a large assignment begins sooner; fewer: less at once for the database and the brokers. */
const ASSIGNED_AT_ONCE = 16
/** How long the end waits for batches under way. What is cut off is committed or not, and the position tells which. */
const STOP_MS = 10_000

/** Who does not answer while something is tried again. */
type Party = 'brokers' | 'database'
const EVENTS: Readonly<Record<Party, KafkaNotice['event']>> = { brokers: 'connection', database: 'database' }

/** One member of the consumer group and all it stores. */
export class KafkaIngest implements KafkaHandler {
  readonly #options: KafkaIngestOptions
  readonly #partitions = new Map<string, KafkaPartition>()
  readonly #topics = new Map<string, TopicRun>()
  #signal: AbortSignal = new AbortController().signal
  #stop: (error: unknown) => void = () => undefined
  #brokers: string | undefined
  #connection: { readonly isConnected: boolean; readonly text: string } = { isConnected: false, text: 'Not connected to Kafka yet.' }
  /** What is waited for: one sentence each. */
  readonly #waits = new Map<Party, string>()
  /** Of what the driver assigned and did not revoke, its positions known or not. */
  readonly #generations = new Map<string, number>()
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
      if (error !== undefined) failure ??= error instanceof Error ? error : new Error('Reading failed.', { cause: error })
      failed.abort()
    }
    this.#signal = AbortSignal.any([signal, failed.signal])
    try {
      await this.#options.driver.consume(this, this.#signal)
    } finally {
      this.#stop(undefined)
      const ended = Promise.all([...this.#topics.values()].map((topic) => topic.stop()))
      await Promise.race([ended, sleep(STOP_MS, undefined, { ref: false })])
      clearTimeout(this.#commitTimer)
    }
    if (failure !== undefined) throw failure
  }

  get state(): KafkaStatus {
    const owned = [...this.#partitions.values()]
    const { isConnected, text } = this.#connection
    const [database, brokers] = [this.#waits.get('database'), this.#waits.get('brokers')]
    const isAway = !isConnected || brokers !== undefined
    const condition = database !== undefined ? 'database-away' : !isAway ? 'ok' : this.#brokers === undefined && brokers === undefined ? 'starting' : 'brokers-away'
    return {
      condition, text: database ?? (isConnected ? brokers : undefined) ?? text, partitions: owned.length, paused: owned.filter((p) => p.isPaused).length,
      lag: owned.reduce((sum, p) => sum + p.lag, 0),
    }
  }

  // ---- what the driver tells

  async assigned(assignments: readonly Assignment[]): Promise<readonly (TopicPartition & { readonly offset: number })[]> {
    for (const assignment of assignments) this.#generations.set(keyOf(assignment), assignment.generation)
    const ranges = new Map<string, Promise<readonly PartitionRange[]>>()
    const rangesOf = (topic: string): Promise<readonly PartitionRange[]> => {
      const known = ranges.get(topic) ?? this.#patiently('brokers', () => this.#options.driver.ranges(topic), () => assignments.some((at) => this.#isCurrent(at)))
      ranges.set(topic, known)
      return known
    }
    const turns = new TurnTaking(ASSIGNED_AT_ONCE)
    const starts = await Promise.all(assignments.map((assignment) => turns.take(() => this.#begin(assignment, rangesOf))))
    const read = assignments.filter((assignment) => this.#isCurrent(assignment))
    if (read.length > 0) this.#notice('assigned', `Reads ${listOf(read)}.`)
    return starts.filter((start) => start !== undefined)
  }

  /** While the database or the brokers are waited for, it may be revoked, and assigned anew: then the newer call sees to it. */
  async #begin(assignment: Assignment, rangesOf: (topic: string) => Promise<readonly PartitionRange[]>): Promise<(TopicPartition & { readonly offset: number }) | undefined> {
    const { topic, partition: number } = assignment
    const isWanted = (): boolean => this.#isCurrent(assignment)
    if (!isWanted()) return undefined
    try {
      const partition = await this.#open(assignment)
      const range = (await rangesOf(topic)).find((r) => r.partition === number)
      if (range !== undefined) partition.next = await this.#startOf(partition, range)
      if (!isWanted()) return undefined
      this.#partitions.set(keyOf(assignment), partition)
      // The driver starts at the beginning of a log of which neither the range nor a position is known.
      return range === undefined && partition.position === undefined ? undefined : { topic, partition: number, offset: partition.next }
    } catch (error) {
      if (isWanted()) throw error
      return undefined
    }
  }

  #isCurrent(assignment: Assignment): boolean {
    return this.#generations.get(keyOf(assignment)) === assignment.generation
  }

  #isOwned(partition: KafkaPartition): boolean {
    return this.#partitions.get(keyOf(partition)) === partition
  }

  revoked(partitions: readonly TopicPartition[]): void {
    for (const partition of partitions) {
      this.#generations.delete(keyOf(partition))
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
    if (at.offset < at.earliest) {
      this.#lost(partition, at.earliest - at.offset)
      partition.next = at.earliest
      this.#options.driver.seek({ topic: at.topic, partition: at.partition, offset: partition.next })
      return
    }
    this.#goOn(partition, at).catch((error: unknown) => {
      if (this.#isOwned(partition)) this.#stop(error)
    })
  }

  /** The log was cut off while it was read. */
  async #goOn(partition: KafkaPartition, at: OutOfRange): Promise<void> {
    const offset = await this.#afterReset(partition, at, `it ends at offset ${at.latest}`)
    if (!this.#isOwned(partition)) return
    partition.clear()
    partition.next = offset
    this.#options.driver.seek({ topic: at.topic, partition: at.partition, offset })
  }

  status(status: { readonly isConnected: boolean; readonly text: string }): void {
    this.#connection = status
    this.#notice(status.isConnected ? 'connected' : 'connection', status.text)
  }

  // ---- positions

  async #open(assignment: Assignment): Promise<KafkaPartition> {
    const isWanted = (): boolean => this.#isCurrent(assignment)
    const brokers = this.#brokers ??= await this.#patiently('brokers', () => this.#options.driver.clusterId(), isWanted)
    const ingester = await this.#patiently('database', () => this.#options.ingesterOf(assignment.topic), isWanted)
    const name = positionName(brokers, assignment)
    return new KafkaPartition(assignment, { name, ingester, position: await this.#storedPosition(ingester, name, isWanted) })
  }

  #storedPosition(ingester: Ingester, name: string, isWanted: () => boolean): Promise<Position | undefined> {
    return this.#patiently('database', () => selectPosition(this.#options.database, ingester.clusterId, name), isWanted)
  }

  async #startOf(partition: KafkaPartition, known: PartitionRange): Promise<number> {
    const { position } = partition
    partition.highWatermark = known.latest
    if (position === undefined) return this.#options.start === 'latest' ? this.#settle(partition, known.latest) : known.earliest
    const isWanted = (): boolean => this.#isCurrent(partition)
    const { offset, lost, reset, range } = await this.#patiently('brokers', () => findStart(this.#options.driver, known, position, { isWanted }), isWanted)
    partition.highWatermark = range.latest
    if (!isWanted()) return offset
    if (reset !== undefined) return this.#afterReset(partition, range, reset)
    if (lost > 0) this.#lost(partition, lost)
    return offset
  }

  /** Where a partition goes on whose log is another one than was read before. */
  async #afterReset(partition: KafkaPartition, range: PartitionRange, why: string): Promise<number> {
    const { onReset } = this.#options
    const what = `Partition ${partition.partition} of topic ${partition.topic} was recreated or cut off: ${why}.`
    if (onReset === 'stop') {
      throw new AppError('conflict', `${what} Set FLOWFENCE_KAFKA_ON_RESET to earliest (read all of it) or latest (only what comes now) to go on.`, { at: partition.name })
    }
    this.#notice('reset', `${what} Going on at the ${onReset === 'earliest' ? 'beginning' : 'end'}.`)
    this.#note(partition, { type: 'gap', atUs: this.#options.nowUs(), node: '', lost: 0, detail: `Kafka topic ${partition.topic} partition ${partition.partition} was recreated or cut off` })
    return this.#settle(partition, onReset === 'earliest' ? range.earliest : range.latest)
  }

  /**
   * Stores where a partition goes on that passes over what is there: a later assignment, before anything was stored, must find it, or it would pass over
   * what came meanwhile, too. Where somebody else moved the position first, that holds.
   */
  async #settle(partition: KafkaPartition, offset: number): Promise<number> {
    const { name, ingester, position } = partition
    const isWanted = (): boolean => this.#isCurrent(partition)
    const step = { source: name, from: position, next: offset, fingerprint: '', records: position?.records ?? 0 }
    const isMine = await this.#patiently('database', () => withTransaction(this.#options.database, (tx) => advancePosition(tx, ingester.clusterId, step)), isWanted)
    partition.position = isMine ? step : await this.#storedPosition(ingester, name, isWanted)
    return partition.position?.next ?? offset
  }

  #lost(partition: KafkaPartition, records: number): void {
    const detail = `Kafka deleted records of topic ${partition.topic} partition ${partition.partition} before they were read`
    this.#notice('records-lost', `${detail}: ${records} offsets. Raise the topic's retention, or add consumers.`)
    this.#note(partition, { type: 'gap', atUs: this.#options.nowUs(), node: '', lost: records, detail })
  }

  #note({ ingester: { clusterId } }: KafkaPartition, event: CoverageEvent): void {
    this.#patiently('database', () => withTransaction(this.#options.database, (tx) => insertCoverageEvents(tx, clusterId, [event]))).catch((error: unknown) => {
      if (!this.#signal.aborted) this.#stop(error)
    })
  }

  /** Somebody else moved the position: what waits here may be stored already. */
  async #fence(partition: KafkaPartition): Promise<void> {
    partition.clear()
    const isOwned = (): boolean => this.#isOwned(partition)
    const position = await this.#storedPosition(partition.ingester, partition.name, isOwned).catch((error: unknown) => {
      if (isOwned()) throw error
      return undefined
    })
    if (!isOwned()) return
    // Without a position somebody removed it: what was read so far is kept, and what comes makes a new one.
    partition.position = position
    partition.next = position?.next ?? partition.next
    partition.clear()
    this.#resume(partition)
    this.#notice('fenced', `${listOf([partition])} was stored meanwhile by another process, or by a commit whose answer was lost; going on from its position.`)
    this.#options.driver.seek({ topic: partition.topic, partition: partition.partition, offset: partition.next })
  }

  // ---- storing

  #topicOf({ topic, ingester }: KafkaPartition): TopicRun {
    let run = this.#topics.get(topic)
    if (run === undefined) {
      run = new TopicRun({
        topic, ingester,
        partitions: () => [...this.#partitions.values()].filter((p) => p.topic === topic),
        isOwned: (partition) => this.#isOwned(partition),
        taken: (partition) => this.#resume(partition),
        fence: (partition) => this.#fence(partition),
        persist: (work) => this.#patiently('database', work),
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
    for (const partition of partitions) this.#uncommitted.set(keyOf(partition), { topic, partition: partition.partition, offset: partition.next })
    this.#commitTimer ??= setTimeout(() => {
      this.#commitTimer = undefined
      const next = [...this.#uncommitted.values()].filter((at) => this.#partitions.has(keyOf(at)))
      this.#uncommitted = new Map()
      if (next.length > 0) void this.#options.driver.commit(next)
    }, COMMIT_EVERY_MS)
  }

  /** Asks how far the log has grown behind partitions of which nothing comes because they are paused. For lag only: failures are swallowed. */
  async refreshLag(): Promise<void> {
    const paused = [...this.#partitions.values()].filter((p) => p.isPaused)
    await Promise.all([...new Set(paused.map((p) => p.topic))].map(async (topic) => {
      const ranges = await this.#options.driver.ranges(topic).catch(() => [])
      for (const { partition, latest } of ranges) {
        const owned = this.#partitions.get(keyOf({ topic, partition }))
        if (owned?.isPaused === true) owned.highWatermark = Math.max(owned.highWatermark, latest)
      }
    }))
  }

  /** Tries for as long as the database or the brokers are away. Rejected by what trying again cannot help, after the signal, and when nobody wants it any more. */
  async #patiently<T>(party: Party, work: () => Promise<T>, isWanted: () => boolean = () => true): Promise<T> {
    for (;;) {
      try {
        const result = await withRetry(work, { giveUpAfterMs: PATIENCE_MS })
        if (this.#waits.delete(party)) this.#notice(EVENTS[party], party === 'database' ? 'Storing goes on.' : 'Kafka answers again.')
        return result
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== 'unavailable' || this.#signal.aborted || !isWanted()) throw error
        if (!this.#waits.has(party)) this.#notice(EVENTS[party], `Waits: ${error.message}`)
        this.#waits.set(party, `Waits: ${error.message}`)
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
