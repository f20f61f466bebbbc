/** One followed log into the store, from when it is found until the end: looks, stores slices, waits, and tries again after failures. */
import { dirname, resolve } from 'node:path'
import { AppError } from '../core/base/app-error.ts'
import type { FoundLog } from '../sources/find-logs.ts'
import { FollowedLog } from '../sources/follow-file.ts'
import type { LogPart } from '../sources/log-file.ts'
import type { FolderHints } from '../sources/watch-folders.ts'
import { withRetry } from '../store/db/database.ts'
import type { Database } from '../store/db/database.ts'
import { selectContentRecords, wasReceived } from '../store/read/select-positions.ts'
import type { Ingester } from './ingest.ts'
import type { IngestReport } from './ingest-report.ts'
import { Pause } from './pause.ts'
import type { Wakeful } from './pause.ts'
import { findResumePoint } from './resume-point.ts'
import type { TurnTaking } from './turn-taking.ts'

/** Lines wait this long at most to be stored. Longer: larger transactions; shorter: flows appear sooner. */
const FLUSH_MS = 1_000
/** How often a log is looked at without a hint. */
const POLL_MS = 1_000
/** A log of a pattern that was away for so long is forgotten; when it comes again it is found again. */
const FORGET_MS = 60_000
/** Waits after a failure, growing. */
const FIRST_RETRY_MS = 1_000
const LAST_RETRY_MS = 30_000
const NO_DIGEST = Buffer.alloc(0)

/** How far one log is. */
export interface FollowedState {
  readonly path: string
  /** Bytes seen and not stored. */
  readonly behindBytes: number
  /** False while it is waited for. */
  readonly isThere: boolean
}

/** What following all logs passes on to each; see FollowRequest. */
export interface LogRequest {
  readonly onNotice: (text: string) => void
  readonly quietMs?: number
  readonly searchMs?: number
  readonly copyMs?: number
}

export interface LogContext {
  readonly database: Database
  readonly ingester: Ingester
  readonly request: LogRequest
  readonly report: IngestReport
  readonly slices: TurnTaking
  readonly hints: FolderHints
  readonly stop: AbortSignal
}

/** One log, from when it is found until the end. */
export class LogRun {
  readonly #found: FoundLog
  readonly #context: LogContext
  readonly #log: FollowedLog
  #behindBytes = 0
  #failures = 0
  #told = ''
  /** `suspected` when the log was stored before and no file of then was found yet. */
  #gap: 'suspected' | 'checked' | undefined
  /** Positions met so far, until the gap is checked. */
  readonly #positions = new Set<string>()

  constructor(found: FoundLog, context: LogContext) {
    this.#found = found
    this.#context = context
    const { onNotice, quietMs, searchMs, copyMs } = context.request
    this.#log = new FollowedLog(found.path, {
      onNotice, ...(quietMs !== undefined && { quietMs }), ...(searchMs !== undefined && { searchMs }), ...(copyMs !== undefined && { copyMs }),
    })
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
      const parts = await this.#log.look()
      if (this.#gap === undefined && parts.length > 0) await this.#askWhetherStored()
      const outcome = await this.#storeParts(parts)
      if (outcome === 'nothing' && parts.length === 0 && this.#gap !== undefined) this.#tellGap()
      this.#failures = 0
      this.#told = ''
      if (outcome === 'more') return { waitMs: 0, wakeful: 'none' }
      // What was written in the meantime waits, so that a busy log makes a transaction a second and not one for each line.
      return outcome === 'stored' ? { waitMs: FLUSH_MS, wakeful: 'name' } : { waitMs: POLL_MS, wakeful: 'write' }
    } catch (error) {
      if (this.#context.stop.aborted && error instanceof AppError) return { waitMs: 0, wakeful: 'none' }
      const sentence = tellable(error, this.#found.path)
      if (sentence === undefined) throw error
      if (sentence !== this.#told && sentence !== '') this.#context.request.onNotice(sentence)
      this.#told = sentence
      // Spread, so that two processes at one log do not meet again each time.
      return { waitMs: Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures++) * (0.5 + Math.random() / 2), wakeful: 'none' }
    }
  }

  async #askWhetherStored(): Promise<void> {
    const { database, ingester: { clusterId } } = this.#context
    this.#gap = await withRetry(() => wasReceived(database, clusterId, this.#found.path)) ? 'suspected' : 'checked'
  }

  /** Whether a part is one that was stored before following began. */
  #notePart(positionName: string, isStored: boolean): void {
    if (this.#gap === 'checked' || this.#positions.has(positionName)) return
    this.#positions.add(positionName)
    if (isStored) this.#gap = 'checked'
  }

  /** Tells, once all files were looked at, that this log was stored before and none of its files is one of then: they were rotated away, or moved. */
  #tellGap(): void {
    if (this.#gap === 'suspected') {
      this.#context.request.onNotice(`${this.#found.path} was stored before, but none of the files there is one that was: lines written after that and rotated away since are lost.`)
    }
    this.#gap = 'checked'
    this.#positions.clear()
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
    const { database, ingester, report, stop } = this.#context
    const { clusterId } = ingester
    const known = part.contentDigest === undefined ? undefined : await withRetry(() => selectContentRecords(database, clusterId, part.contentDigest ?? NO_DIGEST))
    const point = await withRetry(() => findResumePoint(database, clusterId, part.source))
    this.#notePart(point.positionName, known !== undefined || point.stored !== undefined)
    const slice = point.isComplete || known !== undefined ? undefined : await part.slice(point.startByte)
    if (slice === undefined) {
      part.settle()
      return 'nothing'
    }
    // Parts after this one are not begun: all of them is behind, as far as it is not known to be stored.
    const later = parts.slice(parts.indexOf(part) + 1).reduce((sum, p) => sum + p.waitingBytes, 0)
    const left = part.source.sizeBytes - point.startByte + later
    this.#behindBytes = left
    // A slice of a growing file is soon read to its end; a compressed file is one slice, however large.
    await ingester.ingestFrom(slice.source, point, { report, ...(part.contentDigest !== undefined && { signal: stop }) })
    this.#behindBytes = left - slice.sizeBytes
    if (slice.isLast) part.settle()
    return slice.isLast ? 'stored' : 'more'
  }
}

/** The words for a failure that is worth another try; '' for one that needs none; `undefined` for a mistake of the program. */
function tellable(error: unknown, path: string): string | undefined {
  if (!(error instanceof AppError)) return undefined
  if (error.code === 'conflict') return `Another process stores ${path} at the same time; both go on, and nothing is stored twice. One is enough.`
  if (error.code === 'input-unreadable' && (error.retryable || isGone(error.cause))) return ''
  return ['input-unreadable', 'bad-encoding', 'unavailable'].includes(error.code) ? `${error.message} Following goes on when that is over.` : undefined
}

/** A compressed file that was renamed while it was read: it is found under its new name. */
function isGone(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
}
