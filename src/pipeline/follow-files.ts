/**
 *  patterns ─ find ─► logs ─► each by itself: look ─► files with something new, oldest first ─► resume point ─► a slice up to a line end
 *                      ▲                                                                                          │
 *                      └── hints of the file system, or a second ◄── nothing new ◄── batches, each ONE transaction ◄┘
 *
 * In: names, folders and globs of logs that grow. Out: rows, until the signal; then the report of everything. A file that cannot be read, a
 * database that is away and another process at the same log are told and tried again; they stop no other log. Positions are those of `ingest`:
 * killed at any time, the next run loses nothing and stores nothing twice. Folds every minute, because it may run for months.
 */
import type { Retention } from '../core/aggregate/retention.ts'
import { dirname, resolve } from 'node:path'
import { AppError } from '../core/base/app-error.ts'
import { findLogs, isGlob } from '../sources/find-logs.ts'
import type { FoundLog } from '../sources/find-logs.ts'
import { FollowedLog } from '../sources/follow-file.ts'
import type { LogPart } from '../sources/log-file.ts'
import { FolderHints } from '../sources/watch-folders.ts'
import { withRetry } from '../store/db/database.ts'
import type { Database } from '../store/db/database.ts'
import { selectContentRecords } from '../store/read/select-positions.ts'
import type { Ingester } from './ingest.ts'
import { emptyReport } from './ingest-report.ts'
import type { IngestReport } from './ingest-report.ts'
import { Pause } from './pause.ts'
import type { Wakeful } from './pause.ts'
import { findResumePoint } from './resume-point.ts'
import { retain } from './retain.ts'
import { TurnTaking } from './turn-taking.ts'

/** Lines wait this long at most to be stored. Longer: larger transactions; shorter: flows appear sooner. */
const FLUSH_MS = 1_000
/** How often a log is looked at without a hint. */
const POLL_MS = 1_000
/** How often new logs are looked for without a hint. */
const FIND_MS = 5_000
/** The least time between two searches for new logs. */
const FIND_PAUSE_MS = 200
/** A log of a pattern that was away for so long is forgotten; when it comes again it is found again. */
const FORGET_MS = 60_000
/** Slices read at the same time. More: one slow disk holds up fewer of the others; fewer: less memory, two batches for each. */
const PARALLEL_SLICES = 4
/** Housekeeping is due so long after the last one. As in the service. */
const HOUSEKEEPING_MS = 60_000
/** Waits after a failure, growing. */
const FIRST_RETRY_MS = 1_000
const LAST_RETRY_MS = 30_000

/** How far one log is. */
export interface FollowedState {
  readonly path: string
  /** Bytes seen and not stored. */
  readonly behindBytes: number
  /** False while it is waited for. */
  readonly isThere: boolean
}

export interface FollowRequest {
  /** Files, folders and globs. */
  readonly patterns: readonly string[]
  readonly nowUs: () => number
  /** How long what is stored is kept; default DEFAULT_RETENTION. */
  readonly retention?: Retention | undefined
  /** Ends following: what is being read is stored. */
  readonly signal: AbortSignal
  /** Sentences for people; unescaped. */
  readonly onNotice: (text: string) => void
  /** Told after every stored batch. */
  readonly onProgress?: (() => void) | undefined
  /** Instead of the waiting times of FollowedLog; for tests. */
  readonly quietMs?: number
  readonly searchMs?: number
}

/** What is followed; `state` may be asked at any time. */
export interface FollowRun {
  readonly report: IngestReport
  /** The logs, those that are furthest behind first. */
  state(): FollowedState[]
  /** Resolves after the signal, when everything that was read is stored. Rejects when following cannot go on. */
  readonly ended: Promise<IngestReport>
}

export function followFiles(database: Database, ingester: Ingester, request: FollowRequest): FollowRun {
  const run = new Following(database, ingester, request)
  return { report: run.report, state: () => run.state(), ended: run.run() }
}

class Following {
  readonly report = emptyReport()
  readonly #database: Database
  readonly #ingester: Ingester
  readonly #request: FollowRequest
  readonly #slices = new TurnTaking(PARALLEL_SLICES)
  readonly #hints = new FolderHints()
  readonly #logs = new Map<string, LogRun>()
  readonly #running = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  #failure: { readonly error: unknown } | undefined

  constructor(database: Database, ingester: Ingester, request: FollowRequest) {
    this.#database = database
    this.#ingester = ingester
    this.#request = request
    if (request.signal.aborted) this.#stop.abort()
    else request.signal.addEventListener('abort', () => this.#stop.abort(), { once: true })
  }

  state(): FollowedState[] {
    return [...this.#logs.values()].map((log) => log.state()).sort((a, b) => b.behindBytes - a.behindBytes || (a.path < b.path ? -1 : 1))
  }

  async run(): Promise<IngestReport> {
    const housekeeping = this.#keepHouse()
    await this.#findAgainAndAgain()
    await Promise.all(this.#running)
    await housekeeping
    if (this.#failure !== undefined) throw this.#failure.error
    await retain(this.#database, this.#ingester.clusterId, this.#request.nowUs(), { retention: this.#request.retention })
    return this.report
  }

  async #findAgainAndAgain(): Promise<void> {
    const { patterns, onNotice } = this.#request
    const pause = new Pause(this.#stop.signal)
    // Hints of the folders tell of new files soon; what globs with several levels find waits until it is time.
    const folders = new Set(patterns.map((pattern) => resolve(isGlob(pattern) ? dirname(pattern) : pattern)))
    const endHints = [...folders].map((folder) => this.#hints.listen(folder, (hint) => pause.hint(hint)))
    let isToldEmpty = false
    while (!this.#stop.signal.aborted) {
      const found = await findLogs(patterns, [...this.#logs.keys()])
      for (const log of found) this.#start(log)
      if (this.#logs.size === 0 && !isToldEmpty) onNotice(`No file yet for ${patterns.join(', ')}; waiting for one.`)
      isToldEmpty = this.#logs.size === 0
      await pause.wait(FIND_MS, 'name')
      // Where names come and go all the time, not every one of them is worth a listing.
      await pause.wait(FIND_PAUSE_MS, 'none')
    }
    for (const end of endHints) end()
  }

  #start(found: FoundLog): void {
    if (this.#logs.has(found.path)) return
    const log = new LogRun(found, { database: this.#database, ingester: this.#ingester, request: this.#request, report: this.report, slices: this.#slices, hints: this.#hints, stop: this.#stop.signal })
    this.#logs.set(found.path, log)
    const running = log.run()
      .catch((error: unknown) => {
        this.#failure ??= { error }
        this.#stop.abort()
      })
      .finally(() => {
        this.#logs.delete(found.path)
        this.#running.delete(running)
      })
    this.#running.add(running)
  }

  async #keepHouse(): Promise<void> {
    const pause = new Pause(this.#stop.signal)
    for (;;) {
      await pause.wait(HOUSEKEEPING_MS, 'none')
      if (this.#stop.signal.aborted) return
      await retain(this.#database, this.#ingester.clusterId, this.#request.nowUs(), { retention: this.#request.retention })
        .catch((error: unknown) => this.#request.onNotice(`Housekeeping failed and is tried again in a minute: ${String(error)}`))
    }
  }
}

interface LogContext {
  readonly database: Database
  readonly ingester: Ingester
  readonly request: FollowRequest
  readonly report: IngestReport
  readonly slices: TurnTaking
  readonly hints: FolderHints
  readonly stop: AbortSignal
}

/** One log, from when it is found until the end. */
class LogRun {
  readonly #found: FoundLog
  readonly #context: LogContext
  readonly #log: FollowedLog
  #behindBytes = 0
  #failures = 0
  #told = ''

  constructor(found: FoundLog, context: LogContext) {
    this.#found = found
    this.#context = context
    const { onNotice, quietMs, searchMs } = context.request
    this.#log = new FollowedLog(found.path, { onNotice, ...(quietMs !== undefined && { quietMs }), ...(searchMs !== undefined && { searchMs }) })
  }

  state(): FollowedState {
    return { path: this.#found.path, behindBytes: this.#behindBytes, isThere: this.#log.missingMs === 0 }
  }

  async run(): Promise<void> {
    const { hints, stop } = this.#context
    const pause = new Pause(stop)
    const endHints = hints.listen(dirname(resolve(this.#found.path)), (hint) => pause.hint(hint))
    try {
      while (!stop.aborted && !this.#isForgotten()) {
        const { waitMs, wakeful } = await this.#step()
        if (waitMs > 0) await pause.wait(waitMs, wakeful)
      }
    } finally {
      endHints()
      await this.#log.close()
    }
  }

  #isForgotten(): boolean {
    return !this.#found.isNamed && this.#log.missingMs > FORGET_MS
  }

  /** Stores what is there; how long to wait before the next look, and for what. */
  async #step(): Promise<{ readonly waitMs: number, readonly wakeful: Wakeful }> {
    try {
      const outcome = await this.#storeParts(await this.#log.look())
      this.#failures = 0
      this.#told = ''
      if (outcome === 'more') return { waitMs: 0, wakeful: 'none' }
      // What was written in the meantime waits, so that a busy log makes a transaction a second and not one for each line.
      return outcome === 'stored' ? { waitMs: FLUSH_MS, wakeful: 'name' } : { waitMs: POLL_MS, wakeful: 'write' }
    } catch (error) {
      if (this.#context.stop.aborted) return { waitMs: 0, wakeful: 'none' }
      const sentence = tellable(error, this.#found.path)
      if (sentence === undefined) throw error
      if (sentence !== this.#told && sentence !== '') this.#context.request.onNotice(sentence)
      this.#told = sentence
      // Spread, so that two processes at one log do not meet again each time.
      return { waitMs: Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures++) * (0.5 + Math.random() / 2), wakeful: 'none' }
    }
  }

  /** One slice after the other; `more` when there is more: a look in between, because the log may be rotated meanwhile. */
  async #storeParts(parts: readonly LogPart[]): Promise<'nothing' | 'stored' | 'more'> {
    let hasStored = false
    for (const part of parts) {
      if (this.#context.stop.aborted) return 'nothing'
      const outcome = await this.#context.slices.take(() => this.#storeSlice(part, parts))
      if (outcome === 'more') return 'more'
      hasStored ||= outcome === 'stored'
    }
    this.#behindBytes = 0
    return hasStored ? 'stored' : 'nothing'
  }

  /** `more` when the part holds more than was stored now. */
  async #storeSlice(part: LogPart, parts: readonly LogPart[]): Promise<'nothing' | 'stored' | 'more'> {
    const { database, ingester, report, request, stop } = this.#context
    const { clusterId } = ingester
    const known = part.contentDigest === undefined ? undefined : await withRetry(() => selectContentRecords(database, clusterId, part.contentDigest ?? Buffer.alloc(0)))
    const point = await withRetry(() => findResumePoint(database, clusterId, part.source))
    const slice = point.isComplete || known !== undefined ? undefined : await part.slice(point.startByte)
    if (slice === undefined) {
      part.settle()
      return 'nothing'
    }
    // Parts after this one are not begun: all of them is behind, as far as it is not known to be stored.
    const later = parts.slice(parts.indexOf(part) + 1).reduce((sum, p) => sum + p.waitingBytes, 0)
    const [before, left] = [report.bytes, part.source.sizeBytes - point.startByte + later]
    this.#behindBytes = left
    const onProgress = (): void => {
      this.#behindBytes = Math.max(0, left - (report.bytes - before))
      request.onProgress?.()
    }
    // A slice of a growing file is soon read to its end; a compressed file is one slice, however large.
    await ingester.ingestFrom(slice.source, point, { report, onProgress, ...(part.contentDigest !== undefined && { signal: stop }) })
    this.#behindBytes = left - slice.sizeBytes
    if (slice.isLast) part.settle()
    return slice.isLast ? 'stored' : 'more'
  }
}

/** The words for a failure that is worth another try; '' for one that needs none; `undefined` for a mistake of the program. */
function tellable(error: unknown, path: string): string | undefined {
  if (!(error instanceof AppError)) return undefined
  if (error.code === 'conflict') return `Another process stores ${path} at the same time; both go on, and nothing is stored twice. One is enough.`
  if (error.code === 'input-unreadable' && error.retryable) return ''
  return ['input-unreadable', 'bad-encoding', 'unavailable'].includes(error.code) ? `${error.message} Following goes on when that is over.` : undefined
}
