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
import type { Retention } from '../core/aggregate/retention.ts'
import { AppError } from '../core/base/app-error.ts'
import { createNormalizer } from '../core/normalize/normalizer.ts'
import { openFile } from '../sources/file.ts'
import type { OpenedSource } from '../sources/source.ts'
import { withRetry } from '../store/db/database.ts'
import type { Database, RetryOptions } from '../store/db/database.ts'
import { selectContentRecords } from '../store/read/select-positions.ts'
import type { PositionStep } from '../store/write/advance-position.ts'
import { ensureCluster } from '../store/write/ensure-cluster.ts'
import { BatchWriter } from './batch-writer.ts'
import type { LimitOptions } from './cluster-limits.ts'
import { BatchPace } from './batch-pace.ts'
import { ClusterLanes } from './cluster-lanes.ts'
import { CollectedRecords } from './collected-records.ts'
import type { DecodePool, ReadBlock } from './decode-pool.ts'
import { historyOf, packValues } from './decode-work.ts'
import type { LaneOptions } from './decode-work.ts'
import { addInputError, addStored, addTotals, emptyReport } from './ingest-report.ts'
import type { IngestReport } from './ingest-report.ts'
import { ingestStream } from './ingest-stream.ts'
import { timeBounds } from './record-collector.ts'
import type { TimeBounds } from './record-collector.ts'
import { replayLetters } from './replay-letters.ts'
import type { ReplayOptions, ReplayReport } from './replay-letters.ts'
import { LiveHistory } from './live-history.ts'
import { findResumePoint } from './resume-point.ts'
import type { ResumePoint } from './resume-point.ts'
import { retain } from './retain.ts'

/** Records per transaction of files and bodies: begins with `records`, and finds what takes about `targetMs`. */
const FILE_PACE = { records: 20_000, min: 5_000, max: 40_000, targetMs: 500 }
/** Edge-window rows of one body at most, which is stored in one transaction: a flow of a day makes 289. About 500 bytes each. */
const BODY_WINDOW_ROWS = 1_000_000

export interface IngesterOptions {
  /** The cluster everything is stored under; it wins over what records claim. */
  readonly cluster: string
  readonly podCidrs?: readonly string[]
  /** See NormalizerOptions. */
  readonly ownWorkloads?: readonly string[]
  /** Objects of a cluster state for which a person vouches: they resolve addresses and names instead of the state that the store holds. */
  readonly vouched?: readonly unknown[] | undefined
  /** What the source is bound to wins: records that claim another cluster are rejected(foreign-cluster). Default false: the claim is not looked at. */
  readonly isBound?: boolean
  /** Names by which the cluster's own records may call it, beside `cluster`. */
  readonly clusterAliases?: readonly string[]
  /** Threads that decode, shared by all ingesters; without it, decoding runs in place. */
  readonly decodePool?: DecodePool | undefined
  /** False: only aggregates are stored, no raw flows. Default true. */
  readonly keepsFlows?: boolean | undefined
  /** Flows of any age come, so all of the stored cluster state is read; otherwise that of as many days as flows may be late, and one. */
  readonly isAnyAge?: boolean
  /** The service's clock, microseconds. */
  readonly nowUs: () => number
  /** How long and how loudly to wait for the database. */
  readonly retry?: RetryOptions
  /** Records per transaction of files and bodies, fixed; without, learnt from how long storing takes. */
  readonly batchRecords?: number
  /** How much the cluster may put into the store; default DEFAULT_LIMITS. */
  readonly limits?: LimitOptions
  /** How late flows may be, and how long what is stored is kept; default DEFAULT_RETENTION. */
  readonly retention?: Retention | undefined
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
  /** Takes flows of any time; otherwise those later than `retention` allows are rejected `too-late` and more than an hour ahead `in-future`. */
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

/** Messages that were read, to be stored together. */
export interface MessageBatch {
  readonly source: string
  readonly blocks: readonly ReadBlock[]
  /** As for a ValueBatch. */
  readonly positions: readonly PositionStep[]
}

interface ReadValues extends Omit<ValueBatch, 'positions' | 'kind'> {
  readonly kind: 'protobuf' | undefined
  readonly maxLineBytes?: number | undefined
  readonly isBackfill?: boolean | undefined
  readonly isBody?: boolean
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
  /** Stores messages of a stream in one transaction; flows that are too late or more than an hour ahead are rejected. */
  ingestValues(batch: ValueBatch): Promise<IngestReport>
  /** The first half of `ingestValues`: decodes. May run while others store. */
  readMessages(batch: Omit<ValueBatch, 'positions'>): Promise<readonly ReadBlock[]>
  /** The second half: stores in one transaction. May be called again with the same blocks after a failure. */
  storeMessages(batch: MessageBatch): Promise<IngestReport>
  /** Reads complete dead letters again: what is accepted now is stored and its letter removed. */
  replayLetters(options?: ReplayOptions): Promise<ReplayReport>
}

/** Makes the cluster known. The schema must be migrated. */
export async function createIngester(database: Database, options: IngesterOptions): Promise<Ingester> {
  return new DatabaseIngester(database, await ensureCluster(database, options.cluster), options)
}

class DatabaseIngester implements Ingester {
  readonly clusterId: number
  private readonly database: Database
  private readonly options: IngesterOptions
  private readonly state: LiveHistory
  private readonly lanes: ClusterLanes
  private readonly writer: BatchWriter
  private readonly laneOptions: LaneOptions
  private readonly pace: BatchPace

  constructor(database: Database, clusterId: number, options: IngesterOptions) {
    const { cluster, podCidrs = [], ownWorkloads = [], isBound = false, clusterAliases = [], nowUs } = options
    this.database = database
    this.clusterId = clusterId
    this.options = options
    this.state = new LiveHistory(database, clusterId, { nowUs, isUnbounded: options.isAnyAge ?? false, vouched: options.vouched, latenessDays: options.retention?.latenessDays })
    this.laneOptions = { cluster, podCidrs, ownWorkloads, isBound, clusterAliases }
    const { batchRecords } = options
    this.pace = new BatchPace(batchRecords === undefined ? FILE_PACE : { records: batchRecords, min: batchRecords, max: batchRecords, targetMs: FILE_PACE.targetMs })
    this.lanes = new ClusterLanes(options.decodePool, this.laneOptions, this.state)
    this.writer = new BatchWriter(database, clusterId, { nowUs, retry: options.retry ?? {}, limits: options.limits, keepsFlows: options.keepsFlows })
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
    await retain(this.database, this.clusterId, this.options.nowUs(), { retention: this.options.retention })
    return report
  }

  async ingestBody(body: Buffer | AsyncIterable<Buffer>, options: BodyOptions): Promise<IngestReport> {
    const bytes = await readBody(body, options.maxBytes)
    const digest = createHash('sha256').update(bytes).digest()
    try {
      return await this.storeBody(bytes, digest, options)
    } catch (error) {
      // The same body was sent twice at once and the other one won: now it is known.
      if (error instanceof AppError && error.code === 'conflict') return this.storeBody(bytes, digest, options)
      throw error
    }
  }

  async ingestFrom(source: OpenedSource, point: ResumePoint, options: FromOptions): Promise<void> {
    await withRetry(() => this.state.refresh(), this.options.retry)
    await this.stream(source, point, options)
  }

  async ingestValues({ source, values, positions, kind }: ValueBatch): Promise<IngestReport> {
    return this.storeMessages({ source, blocks: await this.readMessages({ source, values, ...(kind !== undefined && { kind }) }), positions: positions ?? [] })
  }

  async readMessages({ source, values, kind }: Omit<ValueBatch, 'positions'>): Promise<readonly ReadBlock[]> {
    return this.readValues({ source, values, kind }, Infinity)
  }

  async storeMessages({ source, blocks, positions }: MessageBatch): Promise<IngestReport> {
    const collected = new CollectedRecords()
    for (const { block, rows } of blocks) collected.add(block, rows)
    const report = emptyReport()
    for (const { block } of blocks) report.bytes += block.bytes
    addStored(report, await this.writer.store(collected, { source, positions }), collected)
    return report
  }

  async replayLetters(options: ReplayOptions = {}): Promise<ReplayReport> {
    await withRetry(() => this.state.refresh(true), this.options.retry)
    const history = historyOf(this.state.source)
    const normalizer = createNormalizer({ ...this.laneOptions, history: () => history })
    const { database, clusterId, writer } = this
    return replayLetters({ database, clusterId, writer, normalizer, nowUs: this.options.nowUs, retry: this.options.retry ?? {}, retention: this.options.retention }, options)
  }

  async ingestContent(content: OpenedSource, options: ContentOptions): Promise<IngestReport> {
    const report = emptyReport()
    await withRetry(() => this.state.refresh(), this.options.retry)
    const point = await withRetry(() => findResumePoint(this.database, this.clusterId, content), this.options.retry)
    if (point.startRecords > 0 || point.isComplete) await this.countKnown(report, content.name, point.startRecords)
    if (!point.isComplete) {
      const bounds = options.isBackfill === true ? undefined : timeBounds(this.options.nowUs(), this.options.retention)
      await this.stream(content, point, { report, bounds, ...(options.signal !== undefined && { signal: options.signal }) })
    }
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
      await this.stream(source, point, {
        report, onProgress: () => options.onProgress?.(progressOf(source, point.startByte + report.bytes - before, report)),
        ...(options.signal !== undefined && { signal: options.signal }),
      })
    } finally {
      await source.close()
    }
  }

  private async stream(source: OpenedSource, point: ResumePoint, { report, onProgress, signal, bounds }: FromOptions & { bounds?: TimeBounds | undefined }): Promise<void> {
    const lane = await this.lanes.laneFor(source.sizeBytes - point.startByte)
    await ingestStream(source, point, { writer: this.writer, lane, report, pace: this.pace, signal, onProgress, bounds })
  }

  private async storeBody(bytes: Buffer, digest: Buffer, options: BodyOptions): Promise<IngestReport> {
    const report = emptyReport()
    report.bytes = bytes.length
    const { source, kind, maxLineBytes, isBackfill } = options
    const known = await selectContentRecords(this.database, this.clusterId, digest)
    if (known !== undefined) {
      await this.countKnown(report, source, known)
      return report
    }
    const collected = new CollectedRecords()
    const blocks = await this.readValues({ source, values: [{ bytes, offset: 0 }], kind, maxLineBytes, isBackfill, isBody: true }, bytes.length)
    for (const { block, rows } of blocks) collected.add(block, rows)
    if (collected.windowRows > BODY_WINDOW_ROWS) {
      throw new AppError('too-large', `The flows of this body last so long that they touch more than ${BODY_WINDOW_ROWS} windows of 5 minutes. Send it in several parts.`)
    }
    addStored(report, await this.writer.store(collected, { source, content: { digest, records: collected.records } }), collected)
    return report
  }

  private async readValues(of: ReadValues, sizeBytes: number): Promise<readonly ReadBlock[]> {
    await withRetry(() => this.state.refresh(), this.options.retry)
    const { source, values, kind, maxLineBytes, isBackfill, isBody } = of
    const bounds = isBackfill === true ? undefined : timeBounds(this.options.nowUs(), this.options.retention)
    const lane = await this.lanes.laneFor(sizeBytes)
    return lane.request({ kind: 'values', values: packValues(values, { source, kind, maxLineBytes, bounds, isBody }) })
  }

  /** Records that an earlier run stored and this one did not decode: all of them count as duplicates, under the format `unread`. */
  private async countKnown(report: IngestReport, source: string, records: number): Promise<void> {
    report.known.push({ source, records })
    addTotals(report, await this.writer.storeKnown(records, source))
  }
}

function progressOf(source: OpenedSource, bytes: number, report: IngestReport): IngestProgress {
  return { file: source.name, sizeBytes: source.sizeBytes, bytes, records: report.received }
}

async function readBody(body: Buffer | AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of Buffer.isBuffer(body) ? [body] : body) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new AppError('too-large', `The body holds more than ${maxBytes} bytes after decompression. Send it in several parts.`)
    // Chunks may be reused by the stream that gave them.
    chunks.push(Buffer.isBuffer(body) ? chunk : Buffer.from(chunk))
  }
  return chunks.length === 1 ? chunks[0] as Buffer : Buffer.concat(chunks)
}
