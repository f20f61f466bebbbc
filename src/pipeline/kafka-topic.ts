import { AppError } from '../core/base/app-error.ts'
import { invariant } from '../core/base/invariant.ts'
import { FlowBlockReader, FlowBlockWriter } from '../core/flow/flow-block.ts'
import type { KafkaRecord } from '../sources/kafka/kafka-driver.ts'
import type { PositionStep } from '../store/write/advance-position.ts'
import { BatchPace } from './batch-pace.ts'
import type { ReadBlock } from './decode-pool.ts'
import type { Ingester } from './ingest.ts'
import type { IngestReport } from './ingest-report.ts'
import type { KafkaPartition } from './kafka-partition.ts'
import { recordFingerprint } from './kafka-position.ts'

export interface TopicRunOptions {
  readonly topic: string
  readonly ingester: Ingester
  /** Of the topic, those that this process owns now. */
  readonly partitions: () => readonly KafkaPartition[]
  readonly isOwned: (partition: KafkaPartition) => boolean
  /** Told after records were taken out of a partition's queue. */
  readonly taken: (partition: KafkaPartition) => void
  /** Reads a partition's position again and goes on from there. */
  readonly fence: (partition: KafkaPartition) => Promise<void>
  /** Tries work again while the database is away. */
  readonly persist: <T>(work: () => Promise<T>) => Promise<T>
  readonly stored: (report: IngestReport, partitions: readonly KafkaPartition[]) => void
  readonly failed: (error: unknown) => void
  readonly flushMs: number
  readonly batchRecords: number | undefined
}

/** What one partition gives to a batch. */
interface Part {
  readonly partition: KafkaPartition
  readonly epoch: number
  readonly fromOffset: number
  readonly nextOffset: number
  readonly last: KafkaRecord | undefined
  readonly blocks: readonly ReadBlock[]
}

const BATCH_BYTES = 32 << 20

/** Stores what comes of one topic: while a batch is stored, the next one is gathered and decoded. */
export class TopicRun {
  readonly #options: TopicRunOptions
  readonly #pace: BatchPace
  #running: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(options: TopicRunOptions) {
    this.#options = options
    const { batchRecords } = options
    this.#pace = new BatchPace(batchRecords === undefined
      ? { records: 10_000, min: 1_000, max: 40_000, targetMs: 400 }
      : { records: batchRecords, min: batchRecords, max: batchRecords, targetMs: 400 })
  }

  /** There may be something to store. */
  wake(): void {
    if (this.#isStopped || this.#running !== undefined) return
    const waitMs = this.#waitMs()
    if (waitMs > 0) {
      if (waitMs < Infinity) this.#timer ??= setTimeout(() => this.#wakeLater(), waitMs)
      return
    }
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#running = this.#run().catch((error: unknown) => {
      // What was taken is in no queue any more: storing what comes behind it would leave it out for ever.
      this.#isStopped = true
      this.#options.failed(error)
    }).finally(() => {
      this.#running = undefined
      this.wake()
    })
  }

  /** Waits for the batch under way; nothing is stored afterwards. */
  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    await this.#running
  }

  #wakeLater(): void {
    this.#timer = undefined
    this.wake()
  }

  /** How long the queues may wait for more; 0 when they are due. */
  #waitMs(): number {
    let records = 0
    let oldestMs = Infinity
    let isFull = false
    for (const partition of this.#options.partitions()) {
      records += partition.records
      isFull ||= partition.isPaused
      oldestMs = Math.min(oldestMs, partition.waitingSinceMs)
    }
    if (records === 0) return Infinity
    if (isFull || records >= this.#pace.records) return 0
    return Math.max(0, oldestMs + this.#options.flushMs - performance.now())
  }

  async #run(): Promise<void> {
    let storing: Promise<void> = Promise.resolve()
    try {
      while (!this.#isStopped && this.#waitMs() === 0) {
        const parts = await this.#gather()
        await storing
        storing = this.#store(parts)
        // Whoever waits for it next gets the failure; until then it must not count as unhandled.
        storing.catch(() => undefined)
      }
    } finally {
      await storing
    }
  }

  /** Takes from the partitions in turn, so that a full one cannot keep the others out, and decodes. */
  async #gather(): Promise<Part[]> {
    const { topic, ingester, taken, persist } = this.#options
    const waiting = this.#options.partitions().filter((p) => p.records > 0).sort((a, b) => a.waitingSinceMs - b.waitingSinceMs)
    const share = Math.ceil(this.#pace.records / Math.max(1, waiting.length))
    const bytes = Math.ceil(BATCH_BYTES / Math.max(1, waiting.length))
    return Promise.all(waiting.flatMap((partition) => {
      const found = partition.take(share, bytes, performance.now())
      if (found === undefined) return []
      taken(partition)
      const { records, fromOffset, nextOffset } = found
      const values = records.filter((r) => r.problem === undefined).map(({ value, offset }) => ({ bytes: value, offset }))
      const unreadable = records.filter((r) => r.problem !== undefined).map((record) => unreadableBlock(record, `kafka:${topic}`))
      const { epoch } = partition
      // Reading asks the database for the state of the cluster now and then.
      return [persist(() => ingester.readMessages({ source: `kafka:${topic}`, values })).then((blocks): Part => ({
        partition, epoch, fromOffset, nextOffset, last: records.findLast((r) => r.problem === undefined), blocks: [...blocks, ...unreadable].map((read) => placed(read, partition.partition)),
      }))]
    }))
  }

  async #store(gathered: readonly Part[]): Promise<void> {
    const { ingester, topic, persist, fence, stored, isOwned } = this.#options
    for (;;) {
      const parts = gathered.filter(({ partition, epoch }) => isOwned(partition) && partition.epoch === epoch)
      if (parts.length === 0) return
      const steps = new Map(parts.map((part) => [part.partition, stepOf(part)]))
      const startedMs = performance.now()
      try {
        const blocks = parts.flatMap((part) => part.blocks)
        const report = await persist(() => ingester.storeMessages({ source: `kafka:${topic}`, blocks, positions: [...steps.values()] }))
        this.#pace.stored(report.received, performance.now() - startedMs)
        for (const { partition, epoch, nextOffset } of parts) {
          partition.position = steps.get(partition)
          // Else it was sent elsewhere meanwhile.
          if (partition.epoch === epoch) partition.next = nextOffset
        }
        stored(report, [...steps.keys()])
        return
      } catch (error) {
        const fenced = error instanceof AppError && error.code === 'conflict' ? parts.find(({ partition }) => partition.name === error.at) : undefined
        if (fenced === undefined) throw error
        await fence(fenced.partition)
      }
    }
  }
}

function stepOf({ partition, fromOffset, nextOffset, last, blocks }: Part): PositionStep {
  const from = partition.position
  invariant(fromOffset === partition.next, 'records of a partition were left out', { partition: partition.name, fromOffset, next: partition.next })
  const records = blocks.reduce((sum, { block }) => sum + block.records, from?.records ?? 0)
  return { source: partition.name, from, next: nextOffset, fingerprint: last === undefined ? from?.fingerprint ?? '' : recordFingerprint(last), records }
}

/** A batch of records that cannot be decompressed: one rejected record, since nobody knows how many it holds. */
function unreadableBlock({ offset, problem = '' }: KafkaRecord, source: string): ReadBlock {
  const flows = new FlowBlockWriter().take()
  const rejection = { format: 'unknown', reason: 'unreadable-batch', detail: problem, line: 0, byte: offset, sample: '', isComplete: false }
  return {
    rows: new FlowBlockReader().read(flows),
    block: {
      flows, records: 1, problems: [{ format: 'unknown', outcome: 'rejected', reason: 'unreadable-batch', records: 1 }], rejections: [rejection], coverage: [],
      inputErrors: [{ file: source, message: `unreadable-batch: ${problem}` }], lettersDropped: 0, nextByte: undefined, bytes: 0,
    },
  }
}

/** Dead letters say which partition they lie in. */
function placed(read: ReadBlock, partition: number): ReadBlock {
  const { block } = read
  return block.rejections.length === 0 ? read : { ...read, block: { ...block, rejections: block.rejections.map((row) => ({ ...row, partition })) } }
}
