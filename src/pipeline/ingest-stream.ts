import { AppError } from '../core/base/app-error.ts'
import type { Normalizer } from '../core/normalize/normalizer.ts'
import { createDecoder } from '../decode/decode-chunk.ts'
import { createFastPath } from '../decode/fast-path.ts'
import type { Decoder } from '../decode/decode-chunk.ts'
import type { OpenedSource } from '../sources/source.ts'
import type { PositionStep } from '../store/write/advance-position.ts'
import type { BatchWriter, StoredBatch } from './batch-writer.ts'
import { CollectedRecords } from './collected-records.ts'
import type { TimeBounds } from './collected-records.ts'
import type { ReadBytes } from './dead-letters.ts'
import { addStored } from './ingest-report.ts'
import type { IngestReport } from './ingest-report.ts'
import { positionFingerprint } from './resume-point.ts'
import type { ResumePoint } from './resume-point.ts'

/** Decompressed bytes per transaction at most, for inputs of large records. */
const BATCH_BYTES = 48 << 20
/** Edge-window rows per transaction at most, for inputs of long connections: a flow of a day makes 289. About 500 bytes each. */
const BATCH_WINDOW_ROWS = 250_000

export interface StreamContext {
  readonly writer: BatchWriter
  readonly normalizer: Normalizer
  readonly report: IngestReport
  readonly batchRecords: number
  /** Told after every stored batch. */
  readonly onProgress: (() => void) | undefined
  /** Stops between two batches; what was stored stays stored. */
  readonly signal: AbortSignal | undefined
  /** Flows outside are rejected; without, any time is taken. */
  readonly bounds?: TimeBounds | undefined
  /** The source's bytes, for dead letters of flows outside of the bounds. */
  readonly readBytes?: ReadBytes
}

/**
 * Reads one source from its resume point to its end, batch after batch, each with its position. Throws what reading and storing
 * throw; batches committed before stay, and the next run goes on after them.
 */
export async function ingestStream(source: OpenedSource, from: ResumePoint, context: StreamContext): Promise<void> {
  await new StreamRun(source, from, context).run()
}

/** Reading pauses while a full batch waits for the one before: at most one is being stored while the next one is decoded. */
class StreamRun {
  private readonly source: OpenedSource
  private readonly point: ResumePoint
  private readonly context: StreamContext
  private readonly decoder: Decoder
  private collected: CollectedRecords
  private batchBytes = 0
  private bytesRead: number
  private position: PositionStep['from']
  private records: number
  private inFlight: Promise<void> = Promise.resolve()

  constructor(source: OpenedSource, point: ResumePoint, context: StreamContext) {
    this.source = source
    this.point = point
    this.context = context
    this.decoder = createDecoder({ startOffset: point.startByte, isFinished: source.isFinished, fastPath: createFastPath(context.normalizer) })
    this.bytesRead = point.startByte
    this.position = point.stored
    this.records = point.startRecords
    this.collected = this.newBatch()
  }

  async run(): Promise<void> {
    try {
      for await (const chunk of this.source.chunks(this.point.startByte)) await this.read(chunk)
      for (const item of this.decoder.end()) this.collected.add(item)
      await this.inFlight
      await this.store(this.collected, true)
    } finally {
      // After a failure elsewhere, a commit under way is waited for, so that nothing runs on behind the caller's back.
      await this.inFlight.catch(() => undefined)
    }
  }

  private async read(chunk: Buffer): Promise<void> {
    if (this.context.signal?.aborted === true) {
      throw new AppError('unavailable', `Stopped reading ${this.source.name}; run the same command again to go on from there.`, { retryable: true })
    }
    this.bytesRead += chunk.length
    this.batchBytes += chunk.length
    this.context.report.bytes += chunk.length
    for (const item of this.decoder.push(chunk)) {
      this.collected.add(item)
      if (this.collected.records >= this.context.batchRecords || this.collected.windowRows >= BATCH_WINDOW_ROWS) await this.flush()
    }
    if (this.batchBytes >= BATCH_BYTES) await this.flush()
  }

  private async flush(): Promise<void> {
    const collected = this.collected
    collected.finish()
    this.collected = this.newBatch()
    this.batchBytes = 0
    await this.inFlight
    this.inFlight = this.store(collected, false)
    // Whoever waits for it next gets the failure; until then it must not count as unhandled.
    this.inFlight.catch(() => undefined)
  }

  private async store(collected: CollectedRecords, isLast: boolean): Promise<void> {
    const { source, point, context } = this
    const content = isLast && point.contentDigest !== undefined ? { digest: point.contentDigest, records: this.records + collected.records } : undefined
    if (collected.records === 0 && content === undefined) return
    const next = collected.nextByte ?? this.position?.next ?? 0
    const fingerprint = point.contentDigest === undefined ? await positionFingerprint(source, next, isLast ? this.bytesRead : next) : ''
    const step: PositionStep = { source: point.positionName, from: this.position, next, fingerprint, records: this.records + collected.records }
    const stored = await context.writer.store(collected, { source: source.name, positions: [step], content })
    this.position = step
    this.records = step.records
    this.report(stored, collected)
  }

  private report(stored: StoredBatch, collected: CollectedRecords): void {
    addStored(this.context.report, stored, collected)
    this.context.onProgress?.()
  }

  private newBatch(): CollectedRecords {
    const { normalizer, bounds, readBytes } = this.context
    return new CollectedRecords({ normalizer, file: this.source.name, bounds, ...(readBytes !== undefined && { readBytes }) })
  }
}
