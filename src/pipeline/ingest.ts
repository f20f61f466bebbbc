/**
 *  file, gzip, stdin ─ openFile ─► resume point ─┐ chunks                  ┌► rejected, ignored: counted by reason
 *                                                ├─► decode ─► normalize ──┤
 *  HTTP body ─ digest known? ────────────────────┘   raw         Outcome   └► flows ─┐ a batch: 20,000 records at most
 *                                                                                    ▼
 *      duplicates out (recent digests) ─► EdgeBatch ─► ONE transaction { position, raw flows, edge windows, outside addresses,
 *                                                        totals, dead letters, digests, coverage, pod networks, identities }
 *
 * In: bytes. Out: rows, and an IngestReport in which received = stored + duplicate + rejected + ignored.
 * Invariants: a crash anywhere loses nothing and counts nothing twice; the same input again changes no edge. While a batch is
 * being stored the next one is decoded, and not more: memory is bounded by two batches, whatever the size of the input.
 * Leaves to others: reading HTTP and decompressing it, folding and expiry (retain.ts), label rules and orientation (reading).
 */
import { createHash } from 'node:crypto'
import { AppError } from '../core/base/app-error.ts'
import type { ClusterHistory } from '../core/cluster/cluster-history.ts'
import { createNormalizer } from '../core/normalize/normalizer.ts'
import type { Normalizer } from '../core/normalize/normalizer.ts'
import { createDecoder } from '../decode/decode-chunk.ts'
import type { FastPath } from '../decode/decode-chunk.ts'
import { createFastPath } from '../decode/fast-path.ts'
import { decodeValue } from '../decode/decode-value.ts'
import type { DecodedItem } from '../decode/item-list.ts'
import { openFile } from '../sources/file.ts'
import type { OpenedSource } from '../sources/source.ts'
import { withRetry } from '../store/db/database.ts'
import type { Database, RetryOptions } from '../store/db/database.ts'
import { selectContentRecords } from '../store/read/select-positions.ts'
import type { PositionStep } from '../store/write/advance-position.ts'
import { ensureCluster } from '../store/write/ensure-cluster.ts'
import { BatchWriter } from './batch-writer.ts'
import type { LimitOptions } from './cluster-limits.ts'
import { CollectedRecords, timeBounds } from './collected-records.ts'
import type { ReadBytes } from './dead-letters.ts'
import { addInputError, addStored, addTotals, emptyReport } from './ingest-report.ts'
import type { IngestReport } from './ingest-report.ts'
import { ingestStream } from './ingest-stream.ts'
import { replayLetters } from './replay-letters.ts'
import type { ReplayOptions, ReplayReport } from './replay-letters.ts'
import { LiveHistory } from './live-history.ts'
import { findResumePoint } from './resume-point.ts'
import type { ResumePoint } from './resume-point.ts'
import { retain } from './retain.ts'

/**
 * Records per transaction at most. More: fewer commits and better grouping; fewer: less memory (about 1 KB each) and less to
 * repeat after a crash.
 */
const BATCH_RECORDS = 20_000
/** Edge-window rows of one body at most, which is stored in one transaction: a flow of a day makes 289. About 500 bytes each. */
const BODY_WINDOW_ROWS = 1_000_000

export interface IngesterOptions {
  /** The cluster everything is stored under; it wins over what records claim. */
  readonly cluster: string
  readonly podCidrs?: readonly string[]
  /** See NormalizerOptions. */
  readonly ownWorkloads?: readonly string[]
  /** Resolves addresses and names instead of the cluster state that the store holds. */
  readonly history?: ClusterHistory
  /** Flows of any age come, so all of the stored cluster state is read; otherwise that of the last 9 days. */
  readonly isAnyAge?: boolean
  /** The service's clock, microseconds. */
  readonly nowUs: () => number
  /** How long and how loudly to wait for the database. */
  readonly retry?: RetryOptions
  /** Default 20000. */
  readonly batchRecords?: number
  /** How much the cluster may put into the store; default DEFAULT_LIMITS. */
  readonly limits?: LimitOptions
}

export interface IngestProgress {
  readonly file: string
  /** Decompressed bytes of this file, and how many of them are read. */
  readonly sizeBytes: number
  readonly bytes: number
  /** Records received so far, over all files. */
  readonly records: number
}

export interface FileOptions {
  readonly onProgress?: (progress: IngestProgress) => void
  readonly signal?: AbortSignal
}

export interface BodyOptions {
  /** Name in totals and dead letters, e.g. `http`. */
  readonly source: string
  /** Decompressed bytes at most; more is AppError `too-large`. */
  readonly maxBytes: number
  /** Takes flows of any time; otherwise older than 8 days is rejected `too-late` and more than an hour ahead `in-future`. */
  readonly isBackfill?: boolean
  /** The body is one protobuf message; else lines or arrays of text. */
  readonly kind?: 'protobuf'
  /** As for a decoder: one line of text at most. Default 1 MiB. */
  readonly maxLineBytes?: number
}

/** How content is stored that was received whole and can be read again. */
export interface ContentOptions {
  /** As for a body. */
  readonly isBackfill?: boolean
  /** The content's bytes, for dead letters. */
  readonly readBytes: ReadBytes
  /** Stops between two batches; the same content again goes on from there. */
  readonly signal?: AbortSignal
}

/** How a source is stored from a point on. */
export interface FromOptions {
  /** Counts what several calls store. */
  readonly report: IngestReport
  /** Told after every stored batch. */
  readonly onProgress?: () => void
  /** Stops between two batches. */
  readonly signal?: AbortSignal
}

/** One message of a stream; `null` is a tombstone. */
export interface StreamValue {
  readonly bytes: Buffer | null
  /** Where it lies in its stream: shown with dead letters. */
  readonly offset: number
}

export interface ValueBatch {
  /** Name in totals and dead letters. */
  readonly source: string
  readonly values: readonly StreamValue[]
  /** All values are protobuf messages; else each one's bytes tell. */
  readonly kind?: 'protobuf'
  /** Moved in the same transaction. AppError `conflict` (its `at` names the source) when another process moved one of them: nothing is stored. */
  readonly positions?: readonly PositionStep[]
}

/** Stores flow logs of one cluster. One per process and cluster: it remembers identities and recent digests. */
export interface Ingester {
  readonly clusterId: number
  /** Stores files one after the other, then folds. A file that cannot be read is listed in inputErrors, the others still go through. */
  ingestFiles(paths: readonly string[], options?: FileOptions): Promise<IngestReport>
  /** Stores a decompressed body in one transaction: all of it or, when this throws, nothing. */
  ingestBody(body: Buffer | AsyncIterable<Buffer>, options: BodyOptions): Promise<IngestReport>
  /**
   * Stores content named `content:…` batch after batch: memory is that of two batches, whatever its size. What was committed before a failure
   * stays, and the same content again goes on after it. AppError `conflict` when the same content is stored twice at once.
   */
  ingestContent(content: OpenedSource, options: ContentOptions): Promise<IngestReport>
  /** Stores what a source holds behind a point, batch after batch; flows of any time. Nothing is folded. */
  ingestFrom(source: OpenedSource, point: ResumePoint, options: FromOptions): Promise<void>
  /** Stores messages of a stream in one transaction; flows older than 8 days or more than an hour ahead are rejected. */
  ingestValues(batch: ValueBatch): Promise<IngestReport>
  /** Reads complete dead letters again: what is accepted now is stored and its letter removed. */
  replayLetters(options?: ReplayOptions): Promise<ReplayReport>
}

/** Makes the cluster known. The schema must be migrated. */
export async function createIngester(database: Database, options: IngesterOptions): Promise<Ingester> {
  const { cluster, history, isAnyAge = false, nowUs } = options
  const clusterId = await ensureCluster(database, cluster)
  const live = new LiveHistory(database, clusterId, { nowUs, isUnbounded: isAnyAge })
  const normalizer = createNormalizer({
    cluster, podCidrs: options.podCidrs ?? [], ownWorkloads: options.ownWorkloads ?? [], history: history === undefined ? live.current : () => history,
  })
  return new DatabaseIngester(database, { clusterId, normalizer, state: live }, options)
}

class DatabaseIngester implements Ingester {
  readonly clusterId: number
  private readonly database: Database
  private readonly normalizer: Normalizer
  private readonly options: IngesterOptions
  private readonly state: LiveHistory
  private readonly writer: BatchWriter

  constructor(database: Database, of: { clusterId: number; normalizer: Normalizer; state: LiveHistory }, options: IngesterOptions) {
    const { clusterId } = of
    this.database = database
    this.clusterId = clusterId
    this.normalizer = of.normalizer
    this.state = of.state
    this.options = options
    this.writer = new BatchWriter(database, clusterId, { nowUs: options.nowUs, retry: options.retry ?? {}, limits: options.limits })
  }

  async ingestFiles(paths: readonly string[], options: FileOptions = {}): Promise<IngestReport> {
    const report = emptyReport()
    for (const path of paths) {
      try {
        await this.ingestFile(path, report, options)
      } catch (error) {
        if (!(error instanceof AppError) || (error.code !== 'input-unreadable' && error.code !== 'bad-encoding')) throw error
        addInputError(report, { file: path, message: error.message })
      }
    }
    await retain(this.database, this.clusterId, this.options.nowUs())
    return report
  }

  async ingestBody(body: Buffer | AsyncIterable<Buffer>, options: BodyOptions): Promise<IngestReport> {
    const chunks = await readBody(body, options.maxBytes)
    const hash = createHash('sha256')
    for (const chunk of chunks) hash.update(chunk)
    const digest = hash.digest()
    try {
      return await this.storeBody(chunks, digest, options)
    } catch (error) {
      // The same body was sent twice at once and the other one won: now it is known.
      if (error instanceof AppError && error.code === 'conflict') return this.storeBody(chunks, digest, options)
      throw error
    }
  }

  async ingestFrom(source: OpenedSource, point: ResumePoint, { report, onProgress, signal }: FromOptions): Promise<void> {
    await withRetry(() => this.state.refresh(), this.options.retry)
    const { writer, normalizer } = this
    await ingestStream(source, point, { writer, normalizer, report, batchRecords: this.options.batchRecords ?? BATCH_RECORDS, signal, onProgress })
  }

  async ingestValues({ source, values, kind, positions }: ValueBatch): Promise<IngestReport> {
    await withRetry(() => this.state.refresh(), this.options.retry)
    const report = emptyReport()
    const collected = new CollectedRecords({ normalizer: this.normalizer, file: source, bounds: timeBounds(this.options.nowUs()) })
    const fastPath = createFastPath(this.normalizer)
    for (const { bytes, offset } of values) {
      report.bytes += bytes?.length ?? 0
      for (const item of decodeValue(bytes ?? NO_BYTES, { fastPath, ...(kind !== undefined && { kind }) })) collected.add(item, offset)
    }
    addStored(report, await this.writer.store(collected, { source, positions: positions ?? [] }), collected)
    return report
  }

  async replayLetters(options: ReplayOptions = {}): Promise<ReplayReport> {
    await withRetry(() => this.state.refresh(true), this.options.retry)
    const { database, clusterId, writer, normalizer } = this
    return replayLetters({ database, clusterId, writer, normalizer, nowUs: this.options.nowUs, retry: this.options.retry ?? {} }, options)
  }

  async ingestContent(content: OpenedSource, options: ContentOptions): Promise<IngestReport> {
    const report = emptyReport()
    await withRetry(() => this.state.refresh(), this.options.retry)
    const point = await withRetry(() => findResumePoint(this.database, this.clusterId, content), this.options.retry)
    if (point.startRecords > 0 || point.isComplete) await this.countKnown(report, content.name, point.startRecords)
    if (point.isComplete) {
      report.bytes = content.sizeBytes
      return report
    }
    await ingestStream(content, point, {
      writer: this.writer, normalizer: this.normalizer, report, batchRecords: this.options.batchRecords ?? BATCH_RECORDS, signal: options.signal, onProgress: undefined,
      bounds: options.isBackfill === true ? undefined : timeBounds(this.options.nowUs()), readBytes: options.readBytes,
    })
    report.bytes = content.sizeBytes
    return report
  }

  private async ingestFile(path: string, report: IngestReport, options: FileOptions): Promise<void> {
    const source = await openFile(path)
    try {
      await withRetry(() => this.state.refresh(true), this.options.retry)
      const point = await withRetry(() => findResumePoint(this.database, this.clusterId, source), this.options.retry)
      if (point.startRecords > 0 || point.isComplete) await this.countKnown(report, source.name, point.startRecords)
      if (point.isComplete) return
      const before = report.bytes
      await ingestStream(source, point, {
        writer: this.writer, normalizer: this.normalizer, report, batchRecords: this.options.batchRecords ?? BATCH_RECORDS, signal: options.signal,
        onProgress: () => options.onProgress?.(progressOf(source, point.startByte + report.bytes - before, report)),
      })
    } finally {
      await source.close()
    }
  }

  private async storeBody(chunks: readonly Buffer[], digest: Buffer, options: BodyOptions): Promise<IngestReport> {
    const report = emptyReport()
    for (const chunk of chunks) report.bytes += chunk.length
    const known = await selectContentRecords(this.database, this.clusterId, digest)
    if (known !== undefined) {
      await this.countKnown(report, options.source, known)
      return report
    }
    await withRetry(() => this.state.refresh(), this.options.retry)
    const bounds = options.isBackfill === true ? undefined : timeBounds(this.options.nowUs())
    const readBytes = (start: number, end: number): Buffer => bytesOf(chunks, start, end)
    const collected = new CollectedRecords({ normalizer: this.normalizer, file: options.source, bounds, readBytes })
    for (const items of decodeBody(chunks, options, createFastPath(this.normalizer))) {
      for (const item of items) collected.add(item)
      if (collected.windowRows > BODY_WINDOW_ROWS) {
        throw new AppError('too-large', `The flows of this body last so long that they touch more than ${BODY_WINDOW_ROWS} windows of 5 minutes. Send it in several parts.`)
      }
    }
    addStored(report, await this.writer.store(collected, { source: options.source, content: { digest, records: collected.records } }), collected)
    return report
  }

  /** Records that an earlier run stored and this one did not decode: all of them count as duplicates, under the format `unread`. */
  private async countKnown(report: IngestReport, source: string, records: number): Promise<void> {
    report.known.push({ source, records })
    addTotals(report, await this.writer.storeKnown(records, source))
  }
}

const NO_BYTES = Buffer.alloc(0)

/** The items of a body, a chunk's at a time. */
function* decodeBody(chunks: readonly Buffer[], { kind, maxLineBytes }: BodyOptions, fastPath: FastPath): Generator<DecodedItem[]> {
  if (kind === 'protobuf') {
    yield decodeValue(Buffer.concat(chunks), { kind })
    return
  }
  const decoder = createDecoder({ isFinished: true, fastPath, ...(maxLineBytes !== undefined && { maxLineBytes }) })
  for (const chunk of chunks) yield decoder.push(chunk)
  yield decoder.end()
}

/** The bytes from one offset to another of what comes in chunks. */
function bytesOf(chunks: readonly Buffer[], start: number, end: number): Buffer {
  let at = 0
  return Buffer.concat(chunks.flatMap((chunk) => {
    const from = at
    at += chunk.length
    return from < end && at > start ? [chunk.subarray(Math.max(0, start - from), end - from)] : []
  }))
}

function progressOf(source: OpenedSource, bytes: number, report: IngestReport): IngestProgress {
  return { file: source.name, sizeBytes: source.sizeBytes, bytes, records: report.received }
}

async function readBody(body: Buffer | AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer[]> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of Buffer.isBuffer(body) ? [body] : body) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new AppError('too-large', `The body holds more than ${maxBytes} bytes after decompression. Send it in several parts.`)
    // Chunks may be reused by the stream that gave them.
    chunks.push(Buffer.isBuffer(body) ? chunk : Buffer.from(chunk))
  }
  return chunks
}
