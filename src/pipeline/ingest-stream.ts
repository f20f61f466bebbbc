import { AppError } from '../core/base/app-error.ts'
import type { OpenedSource } from '../sources/source.ts'
import type { PositionStep } from '../store/write/advance-position.ts'
import type { BatchPace } from './batch-pace.ts'
import type { BatchWriter, StoredBatch } from './batch-writer.ts'
import { CollectedRecords } from './collected-records.ts'
import type { DecodeLane, ReadBlock } from './decode-pool.ts'
import { addStored } from './ingest-report.ts'
import type { IngestReport } from './ingest-report.ts'
import type { TimeBounds } from './record-collector.ts'
import { positionFingerprint } from './resume-point.ts'
import type { ResumePoint } from './resume-point.ts'

/** Decompressed bytes per transaction at most, for inputs of large records. */
const BATCH_BYTES = 48 << 20
/** Edge-window rows per transaction at most, for inputs of long connections: a flow of a day makes 289. About 500 bytes each. */
const BATCH_WINDOW_ROWS = 250_000
/** Bytes sent to a thread at once. More: less cost per byte; fewer: batches of more even size. */
const PIECE_BYTES = 1 << 20
/** Pieces sent ahead: one is decoded while the next one waits, and what they gave is taken. */
const PIECES_AHEAD = 3

export interface StreamContext {
  readonly writer: BatchWriter
  /** Where the stream is decoded. */
  readonly lane: DecodeLane
  readonly report: IngestReport
  /** Records per transaction; learns from each how long it took. */
  readonly pace: BatchPace
  /** Told after every stored batch. */
  readonly onProgress: (() => void) | undefined
  /** Stops between two batches; what was stored stays stored. */
  readonly signal: AbortSignal | undefined
  /** Flows outside are rejected; without, any time is taken. */
  readonly bounds: TimeBounds | undefined
}

/**
 * Reads one source from its resume point to its end, batch after batch, each with its position. Throws what reading and storing
 * throw; batches committed before stay, and the next run goes on after them.
 */
export async function ingestStream(source: OpenedSource, from: ResumePoint, context: StreamContext): Promise<void> {
  await new StreamRun(source, from, context).run()
}

/** Names streams within a process. */
let streams = 0

/** Reading pauses while a full batch waits for the one before: at most one is being stored while the next one is decoded. */
class StreamRun {
  private readonly source: OpenedSource
  private readonly point: ResumePoint
  private readonly context: StreamContext
  private readonly stream = streams++
  private collected = new CollectedRecords()
  private batchBytes = 0
  private bytesRead: number
  private position: PositionStep['from']
  private records: number
  private inFlight: Promise<void> = Promise.resolve()
  /** Chunks not sent yet, and what was sent and not taken yet. */
  private piece: Buffer<ArrayBuffer>[] = []
  private pieceBytes = 0
  private readonly sent: Promise<readonly ReadBlock[]>[] = []

  constructor(source: OpenedSource, point: ResumePoint, context: StreamContext) {
    this.source = source
    this.point = point
    this.context = context
    this.bytesRead = point.startByte
    this.position = point.stored
    this.records = point.startRecords
  }

  async run(): Promise<void> {
    const { lane, pace, bounds } = this.context
    const { stream, source: { name, isFinished }, point: { startByte } } = this
    await lane.request({ kind: 'open-stream', stream, start: { file: name, startByte, isFinished, bounds, maxRecords: pace.records } })
    try {
      for await (const chunk of this.source.chunks(startByte)) await this.read(chunk)
      await this.send()
      while (this.sent.length > 0) await this.takeOldest()
      await this.take(await lane.request({ kind: 'end-stream', stream }))
      await this.inFlight
      await this.store(this.collected, true)
    } catch (error) {
      lane.request({ kind: 'end-stream', stream }).catch(() => undefined)
      throw error
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
    this.pieceBytes += chunk.length
    this.piece.push(this.context.lane.isThread ? owned(chunk) : chunk as Buffer<ArrayBuffer>)
    // In place, a chunk is decoded before the next one may overwrite it.
    if (!this.context.lane.isThread || this.pieceBytes >= PIECE_BYTES) await this.send()
  }

  private async send(): Promise<void> {
    if (this.piece.length === 0) return
    const request = this.context.lane.request({ kind: 'push', stream: this.stream, chunks: this.piece })
    // Whoever takes it gets the failure; until then it must not count as unhandled.
    request.catch(() => undefined)
    this.piece = []
    this.pieceBytes = 0
    this.sent.push(request)
    while (this.sent.length >= (this.context.lane.isThread ? PIECES_AHEAD : 1)) await this.takeOldest()
  }

  private async takeOldest(): Promise<void> {
    const blocks = await this.sent.shift()
    if (blocks !== undefined) await this.take(blocks)
  }

  private async take(blocks: readonly ReadBlock[]): Promise<void> {
    for (const { block, rows } of blocks) {
      this.collected.add(block, rows)
      if (this.collected.records >= this.context.pace.records || this.collected.windowRows >= BATCH_WINDOW_ROWS) await this.flush()
    }
    if (this.batchBytes >= BATCH_BYTES) await this.flush()
  }

  private async flush(): Promise<void> {
    const collected = this.collected
    this.collected = new CollectedRecords()
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
    const startedMs = performance.now()
    const stored = await context.writer.store(collected, { source: source.name, positions: [step], content })
    context.pace.stored(collected.records, performance.now() - startedMs)
    this.position = step
    this.records = step.records
    this.report(stored, collected)
  }

  private report(stored: StoredBatch, collected: CollectedRecords): void {
    addStored(this.context.report, stored, collected)
    this.context.onProgress?.()
  }
}

/** The same bytes in memory of their own, so that they can be given away. */
function owned(chunk: Buffer): Buffer<ArrayBuffer> {
  if (chunk.byteLength === chunk.buffer.byteLength) return chunk as Buffer<ArrayBuffer>
  const copy = Buffer.allocUnsafeSlow(chunk.byteLength)
  chunk.copy(copy)
  return copy
}
