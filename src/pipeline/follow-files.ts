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
import { findLogs, isGlob } from '../sources/find-logs.ts'
import type { FoundLog } from '../sources/find-logs.ts'
import { FolderHints } from '../sources/watch-folders.ts'
import type { Database } from '../store/db/database.ts'
import { LogRun } from './follow-log.ts'
import type { FollowedState } from './follow-log.ts'
import type { Ingester } from './ingest.ts'
import { emptyReport } from './ingest-report.ts'
import type { IngestReport } from './ingest-report.ts'
import { Pause } from './pause.ts'
import { retain } from './retain.ts'
import { TurnTaking } from './turn-taking.ts'

/** How often new logs are looked for without a hint. */
const FIND_MS = 5_000
/** The least time between two searches for new logs. */
const FIND_PAUSE_MS = 200
/** Slices read at the same time. More: one slow disk holds up fewer of the others; fewer: less memory, two batches for each. */
const PARALLEL_SLICES = 4
/** Housekeeping is due so long after the last one. As in the service. */
const HOUSEKEEPING_MS = 60_000
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
  /** Instead of the waiting times of FollowedLog; for tests. */
  readonly quietMs?: number
  readonly searchMs?: number
  readonly copyMs?: number
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
    const log = new LogRun(found, {
      database: this.#database, ingester: this.#ingester, request: this.#request, report: this.report, slices: this.#slices, hints: this.#hints, stop: this.#stop.signal,
    })
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
