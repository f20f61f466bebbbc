/**
 * A live stream into the store:
 *
 *   stream ─ messages ─► batch (by count, bytes, time) ─► ONE transaction { flows …, position } ─► next batch
 *      ▲                   full while one is being stored: the stream is paused
 *      └── resumes at position - overlap; what comes twice is dropped by its digest
 *
 * Invariants: what the stream brought is stored once or counted as what became of it, whatever dies in between; memory is bounded by two batches. Of
 * two processes on one stream one stores: each batch moves the position from where this process saw it last, and whoever finds it moved throws away
 * what it holds, stands by until the other is silent, and goes on from its position. Leaves to others: connections (sources/grpc-stream.ts), what
 * silence and gaps mean (stream-watch.ts), decoding and everything behind it (ingest.ts).
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../core/base/app-error.ts'
import type { CoverageEvent } from '../core/flow/flow-record.ts'
import type { LiveStream, StreamHandler } from '../sources/grpc-stream.ts'
import { withRetry, withTransaction } from '../store/db/database.ts'
import type { Database } from '../store/db/database.ts'
import { selectPosition } from '../store/read/select-positions.ts'
import type { Position } from '../store/read/select-positions.ts'
import { insertCoverageEvents } from '../store/write/insert-ingest-records.ts'
import type { Ingester, StreamValue } from './ingest.ts'
import type { IngestReport } from './ingest-report.ts'
import type { LiveProtocol } from './live-protocols.ts'
import { StreamWatch } from './stream-watch.ts'

export interface LiveIngestOptions {
  readonly database: Database
  /** Of the cluster that the stream is bound to. */
  readonly ingester: Pick<Ingester, 'clusterId' | 'ingestValues'>
  readonly protocol: LiveProtocol
  readonly address: string
  readonly stream: LiveStream
  readonly nowUs: () => number
  /** The connection is lost or back, another process reads the stream, the database does not answer: one sentence each. */
  readonly onStatus?: (status: LiveStatus) => void
  readonly onStored?: (report: IngestReport) => void
  /** Signs of incomplete observation that the stream itself did not tell. */
  readonly onCoverage?: (events: readonly CoverageEvent[]) => void
  /** Messages and bytes of one transaction at most. More: fewer commits; fewer: less memory (about 1 KB and 3 times their bytes). Default 10000 and 8 MiB. */
  readonly batchMessages?: number
  readonly batchBytes?: number
  /** A batch that is not full is stored after this. Longer: fewer commits; shorter: flows are seen earlier. Default 1000. */
  readonly flushMs?: number
  /** A stream that is open and brings nothing for this long, though there are flows, is told and opened anew. Default 60000. */
  readonly silenceMs?: number
  /** A process that stands by takes over when nothing was stored for this long. Longer: flows wait longer; shorter: two processes change turns more often. Default 30000. */
  readonly takeOverMs?: number
}

export interface LiveStatus {
  /** `standby`: another process stores this stream. */
  readonly state: 'connected' | 'disconnected' | 'standby'
  readonly text: string
}

const DEFAULT_MESSAGES = 10_000
const DEFAULT_BYTES = 8 << 20
/** Longer, and stopping takes longer while the database is away. */
const PATIENCE_MS = 10_000
/** Pause before what the database did not take is tried again; its own patience comes first. */
const RETRY_MS = 2_000

/** Reads until `signal` is aborted; what came by then is stored. AppError where trying again cannot help: one sentence with the next step. */
export async function ingestLive(options: LiveIngestOptions, signal: AbortSignal): Promise<void> {
  await new LiveRun(options, signal).run()
}

interface Batch {
  readonly values: StreamValue[]
  bytes: number
}

class LiveRun implements StreamHandler {
  readonly #options: LiveIngestOptions
  readonly #signal: AbortSignal
  readonly #source: string
  readonly #watch: StreamWatch
  /** Names this process in positions; each step also has a number, so that a step whose commit got no answer can never pass twice. */
  readonly #owner = randomBytes(8).toString('hex')
  #step = 0
  #position: Position | undefined
  #batch: Batch = { values: [], bytes: 0 }
  #received = 0
  #storing: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #isFenced = false
  /** Of the stream itself, to be told again when the database is back. */
  #connection: LiveStatus | undefined
  /** Resume here at least, whatever the position says. */
  #skipToUs = 0
  #notes: Promise<void> = Promise.resolve()
  #failure: { readonly error: unknown } | undefined

  constructor(options: LiveIngestOptions, signal: AbortSignal) {
    const { protocol, address, silenceMs = 60_000 } = options
    this.#options = options
    this.#signal = signal
    this.#source = `${protocol.name}:${address}`
    this.#watch = new StreamWatch({ protocol, address, silenceUs: silenceMs * 1000 })
  }

  async run(): Promise<void> {
    try {
      await this.#options.stream.run(this, this.#signal)
    } finally {
      await this.#drain()
      await this.#notes
    }
    if (this.#failure !== undefined) throw this.#failure.error
  }

  async opening(): Promise<Buffer> {
    const { database, ingester, protocol, nowUs } = this.#options
    await this.#drain()
    if (this.#failure !== undefined) throw this.#failure.error
    if (this.#isFenced) await this.#standBy()
    this.#position = await this.#persist(() => selectPosition(database, ingester.clusterId, this.#source))
    this.#received = this.#position?.records ?? 0
    const now = nowUs()
    const stoppedUs = this.#position === undefined || this.#position.next === 0 ? undefined : this.#position.next
    const sinceUs = Math.max(stoppedUs === undefined ? now - protocol.lookBackUs : stoppedUs - protocol.overlapUs, this.#skipToUs)
    this.#watch.opened(sinceUs, stoppedUs, now)
    return protocol.request(sinceUs)
  }

  message(bytes: Buffer): void {
    const { protocol, nowUs, stream, batchMessages = DEFAULT_MESSAGES, batchBytes = DEFAULT_BYTES, flushMs = 1_000 } = this.#options
    if (this.#isFenced) return
    const gap = this.#watch.delivered(protocol.head(bytes), nowUs())
    if (gap !== undefined) this.#note([gap])
    this.#batch.values.push({ bytes, offset: this.#received++ })
    this.#batch.bytes += bytes.length
    if (this.#batch.values.length >= batchMessages || this.#batch.bytes >= batchBytes) {
      if (this.#storing === undefined) this.#flush()
      else stream.pause()
    } else {
      this.#timer ??= setTimeout(() => this.#flush(), flushMs)
    }
  }

  question(): Buffer | undefined {
    return this.#options.protocol.question(this.#watch.newestUs, this.#options.nowUs())
  }

  answer(bytes: Buffer): void {
    const { protocol, nowUs, stream } = this.#options
    const { events, wake } = this.#watch.asked(protocol.health(bytes), nowUs())
    if (events.length > 0) this.#note(events)
    if (wake !== undefined) stream.reopen(wake)
  }

  tooLarge(): void {
    const now = this.#options.nowUs()
    this.#note([this.#watch.skipped(now)])
    this.#skipToUs = now
  }

  status({ isConnected, text }: { readonly isConnected: boolean; readonly text: string }): void {
    this.#connection = { state: isConnected ? 'connected' : 'disconnected', text }
    this.#options.onStatus?.(this.#connection)
  }

  /** Stores what is there, unless a batch is being stored: then its end does. */
  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#storing !== undefined || this.#batch.values.length === 0) return
    const batch = this.#batch
    this.#batch = { values: [], bytes: 0 }
    const completeUs = this.#watch.completeUs(this.#options.nowUs())
    this.#storing = this.#store(batch, completeUs).catch((error: unknown) => this.#fail(error)).finally(() => {
      this.#storing = undefined
      this.#options.stream.resume()
      // More came meanwhile, and its time has come as well.
      this.#flush()
    })
  }

  /** Until nothing is left to be stored. */
  async #drain(): Promise<void> {
    this.#flush()
    while (this.#storing !== undefined) await this.#storing
  }

  async #store({ values }: Batch, completeUs: number | undefined): Promise<void> {
    const { ingester, onStored } = this.#options
    const from = this.#position
    const step = {
      source: this.#source, from, fingerprint: `${this.#owner}:${this.#step++}`, records: (from?.records ?? 0) + values.length,
      next: Math.max(from?.next ?? 0, Math.floor(completeUs ?? 0)),
    }
    try {
      const report = await this.#persist(() => ingester.ingestValues({ source: this.#source, kind: 'protobuf', values, positions: [step] }))
      this.#position = step
      onStored?.(report)
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'conflict') throw error
      this.#fence()
    }
  }

  /** Somebody else moved the position, or a commit of ours got no answer: nothing that is held may be stored from here. */
  #fence(): void {
    this.#isFenced = true
    this.#batch = { values: [], bytes: 0 }
    this.#options.stream.reopen(`The position of ${this.#source} was moved meanwhile; going on from there.`)
  }

  /** Waits until whoever moved the position stops doing so. */
  async #standBy(): Promise<void> {
    const { database, ingester, nowUs, takeOverMs = 30_000, onStatus } = this.#options
    const look = (): Promise<Position | undefined> => this.#persist(() => selectPosition(database, ingester.clusterId, this.#source))
    let seen = await look()
    if (seen?.fingerprint.startsWith(`${this.#owner}:`) !== true) {
      onStatus?.({ state: 'standby', text: `Another process stores ${this.#source}; standing by.` })
      for (let sinceUs = nowUs(); nowUs() - sinceUs < takeOverMs * 1000 && !this.#signal.aborted;) {
        await this.#pause(Math.max(10, takeOverMs / 6))
        const now = await look()
        if (now?.fingerprint !== seen?.fingerprint) sinceUs = nowUs()
        seen = now
      }
    }
    this.#isFenced = false
  }

  /** Tries for as long as the database is away. Rejected by what trying again cannot help, and after the signal. */
  async #persist<T>(work: () => Promise<T>): Promise<T> {
    for (let failures = 0; ; failures++) {
      try {
        const result = await withRetry(work, { giveUpAfterMs: PATIENCE_MS })
        if (failures > 0 && this.#connection !== undefined) this.#options.onStatus?.(this.#connection)
        return result
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== 'unavailable' || this.#signal.aborted) throw error
        this.#options.onStatus?.({ state: 'disconnected', text: `${this.#source} waits: ${error.message}` })
        await this.#pause(RETRY_MS)
      }
    }
  }

  /** Ends early with the signal. */
  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#signal }).catch(() => undefined)
  }

  #note(events: readonly CoverageEvent[]): void {
    const { database, ingester, onCoverage } = this.#options
    onCoverage?.(events)
    this.#notes = this.#notes.then(() => this.#persist(() => withTransaction(database, (tx) => insertCoverageEvents(tx, ingester.clusterId, events)))).catch((error: unknown) => this.#fail(error))
  }

  /** Ends the run at the next chance with the first failure. After the signal, what is not stored comes again. */
  #fail(error: unknown): void {
    if (this.#signal.aborted && error instanceof AppError && error.code === 'unavailable') return
    this.#failure ??= { error }
    this.#batch = { values: [], bytes: 0 }
    this.#options.stream.reopen('Storing failed.')
  }
}
