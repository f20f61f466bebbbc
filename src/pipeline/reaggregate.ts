/**
 *  raw flows ─ revise (cluster state as known now, at each flow's time) ─► EdgeBatch ─► edge windows, outside addresses     day by day, newest last
 *                                                                                        └► hours and days by the next rollup
 *
 * Rebuilds edges from raw flows. One transaction per UTC day: readers see a day before or after it, never half; batches that arrive meanwhile are
 * neither lost nor counted twice; a run that was killed is repeated. Without new cluster state the edges come out as they were.
 * A day is rebuilt only if raw flows hold all that its windows were made of. Raw flows stay as they are: they say what was known when they came, so a
 * repeated run starts from the same, and rewriting them would cost more than everything else.
 * Memory: that of one batch, and the cluster's history. Leaves to others: node hours and totals, which ends have no part in; label rules (reading).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { EdgeBatch } from '../core/aggregate/edge-batch.ts'
import { PodNetworks } from '../core/aggregate/pod-networks.ts'
import type { Retention } from '../core/aggregate/retention.ts'
import { AppError } from '../core/base/app-error.ts'
import { formatTimeUs, parseTimeUs, US_PER_DAY } from '../core/base/time.ts'
import { snapshotIdentities } from '../core/cluster/snapshot-identities.ts'
import { buildIdentityMap } from '../core/flow/identity-map.ts'
import type { Identity } from '../core/flow/identity.ts'
import type { LabelRulesConfig } from '../core/flow/label-rules.ts'
import { FlowReviser } from '../core/normalize/revise-flow.ts'
import type { DayReport, ReaggregateReport } from '../core/report/reaggregation.ts'
import { CopyBuffer } from '../store/db/copy.ts'
import { withRetry, withTransaction } from '../store/db/database.ts'
import type { Database, RetryOptions, Transaction } from '../store/db/database.ts'
import { findCluster } from '../store/read/select-clusters.ts'
import { selectObservedRange } from '../store/read/select-edges.ts'
import { FlowSelector } from '../store/read/select-flows.ts'
import { selectIdentities } from '../store/read/select-identities.ts'
import { appendEdgeWindows, encodeEdgeWindows } from '../store/write/append-edge-windows.ts'
import { appendExternalPeers, encodeExternalPeers, markExternalOverflows } from '../store/write/append-external-peers.ts'
import { insertIdentities, insertPodNetworks } from '../store/write/insert-identities.ts'
import { deleteDay, findUncovered, isExpiredDay, lockDay, selectWindowDays } from '../store/write/replace-day.ts'
import { DEFAULT_LIMITS } from './cluster-limits.ts'
import { loadHistory, loadSnapshotAt } from './cluster-state.ts'
import { contentDigest, identityMapVersions, versionIdentityMap } from './identity-map.ts'
import { retain } from './retain.ts'

/** Edge-window rows held in memory. More: fewer partial rows to fold; fewer: less memory, about 500 bytes each. */
const BATCH_WINDOW_ROWS = 250_000
/** How long housekeeping may hold a day before we give up: one of its units takes seconds. */
const LOCK_PATIENCE_MS = 60_000
const LOCK_PAUSE_MS = 200

/** One holds the locks of a day, one works, one makes identities known. */
const CONNECTIONS = 3

export interface ReaggregateOptions {
  readonly cluster: string
  /** Days that this range touches; without a bound, all. */
  readonly sinceUs?: number | undefined
  readonly untilUs?: number | undefined
  /** Only tells what would be done. */
  readonly isDryRun?: boolean
  readonly podCidrs?: readonly string[] | undefined
  readonly ownWorkloads?: readonly string[] | undefined
  readonly labelRules?: LabelRulesConfig | undefined
  /** Identities that the cluster may have; see ClusterLimits. */
  readonly maxIdentities?: number | undefined
  readonly retention?: Retention | undefined
  readonly nowUs: () => number
  readonly onProgress?: (progress: ReaggregateProgress) => void
  readonly signal?: AbortSignal | undefined
  readonly retry?: RetryOptions
}

export interface ReaggregateProgress {
  readonly day: string
  readonly days: number
  readonly daysDone: number
  /** Of this day. */
  readonly flows: number
}

/** AppError `not-found` without such a cluster, `unavailable` when stopped, `busy` when housekeeping does not let go of a day. */
export async function reaggregate(database: Database, options: ReaggregateOptions): Promise<ReaggregateReport> {
  if (database.pool.options.max < CONNECTIONS) {
    throw new AppError('usage', `Rebuilding needs ${CONNECTIONS} connections to the database; FLOWFENCE_DATABASE_CONNECTIONS allows ${database.pool.options.max}.`)
  }
  const { id } = await findCluster(database, options.cluster)
  const { sinceUs = -Infinity, untilUs = Infinity } = options
  const days = (await selectWindowDays(database, id)).filter((dayUs) => dayUs + US_PER_DAY > sinceUs && dayUs < untilUs)
  const rebuild = await DayRebuild.open(database, id, options, days[0])
  const reports: DayReport[] = []
  for (const dayUs of days) {
    const tell = (flows: number): void => options.onProgress?.({ day: formatTimeUs(dayUs), days: days.length, daysDone: reports.length, flows })
    tell(0)
    reports.push(await rebuild.run(dayUs, tell))
  }
  const identityMap = await versionMap(database, id, options)
  if (options.isDryRun !== true && reports.some((day) => day.outcome === 'rebuilt')) await retain(database, id, options.nowUs(), { retention: options.retention, signal: options.signal })
  return { cluster: options.cluster, isDryRun: options.isDryRun ?? false, days: reports, olderEdges: await olderEdges(database, id, reports), identityMap }
}

/** Edges before the first rebuilt day. */
async function olderEdges(database: Database, clusterId: number, days: readonly DayReport[]): Promise<ReaggregateReport['olderEdges']> {
  const observed = await selectObservedRange(database, clusterId)
  if (observed === undefined) return null
  const rebuilt = days.find((day) => day.outcome === 'rebuilt')?.day
  const untilUs = rebuilt === undefined ? observed.untilUs : Math.min(observed.untilUs, parseTimeUs(rebuilt) ?? observed.untilUs)
  return observed.sinceUs < untilUs ? { since: formatTimeUs(observed.sinceUs), until: formatTimeUs(untilUs) } : null
}

/** The same map as `recommend` and `check` read by. */
async function versionMap(database: Database, clusterId: number, options: ReaggregateOptions): Promise<ReaggregateReport['identityMap']> {
  const observed = await selectObservedRange(database, clusterId)
  const snapshot = await loadSnapshotAt(database, clusterId, observed?.untilUs ?? Number.MAX_SAFE_INTEGER)
  const known = snapshot === undefined ? [] : snapshotIdentities(snapshot, options.cluster)
  const map = buildIdentityMap([...await selectIdentities(database, clusterId), ...known], options.labelRules)
  const version = (await identityMapVersions(database, clusterId)).get(contentDigest(map))
  if (version !== undefined || options.isDryRun === true) return { version: version ?? null, isNew: version === undefined }
  return { version: await versionIdentityMap(database, map, { cluster: options.cluster, nowUs: options.nowUs() }), isNew: true }
}

class DayRebuild {
  readonly #database: Database
  readonly #clusterId: number
  readonly #options: ReaggregateOptions
  readonly #reviser: FlowReviser
  readonly #flows: FlowSelector
  readonly #windowRows = new CopyBuffer()
  readonly #peerRows = new CopyBuffer()
  /** Known to be stored. */
  readonly #registered = new Set<Identity>()

  static async open(database: Database, clusterId: number, options: ReaggregateOptions, firstDayUs: number | undefined): Promise<DayRebuild> {
    const history = await loadHistory(database, clusterId, firstDayUs === undefined ? {} : { sinceUs: firstDayUs - US_PER_DAY })
    const keys = new Set((await selectIdentities(database, clusterId)).map((identity) => identity.key))
    const max = options.maxIdentities ?? DEFAULT_LIMITS.identities
    const mayHave = ({ kind, key }: Identity): boolean => {
      if (keys.has(key) || kind !== 'pod') return true
      if (keys.size >= max) return false
      keys.add(key)
      return true
    }
    const { cluster, podCidrs = [], ownWorkloads = [] } = options
    return new DayRebuild(database, clusterId, options, new FlowReviser({ cluster, podCidrs, ownWorkloads, history, mayHave }))
  }

  private constructor(database: Database, clusterId: number, options: ReaggregateOptions, reviser: FlowReviser) {
    this.#database = database
    this.#clusterId = clusterId
    this.#options = options
    this.#reviser = reviser
    this.#flows = new FlowSelector(clusterId)
  }

  run(dayUs: number, tell: (flows: number) => void): Promise<DayReport> {
    if (this.#options.isDryRun === true) return withRetry(() => this.#inSnapshot((tx) => this.#rebuild(tx, dayUs, tell)), this.#options.retry)
    const giveUpAtMs = performance.now() + LOCK_PATIENCE_MS
    return withRetry(async () => {
      for (;;) {
        // Two transactions: the snapshot of the one that works must begin when the other one has the locks.
        const report = await withTransaction(this.#database, async (locks) => (
          await lockDay(locks, this.#clusterId, dayUs) ? this.#inSnapshot((tx) => this.#rebuild(tx, dayUs, tell)) : undefined))
        if (report !== undefined) return report
        this.#throwIfStopped()
        if (performance.now() > giveUpAtMs) throw new AppError('busy', `Housekeeping holds ${formatTimeUs(dayUs)} for a minute already. Run the same command again later.`, { retryable: true })
        await sleep(LOCK_PAUSE_MS)
      }
    }, this.#options.retry)
  }

  #inSnapshot(work: (tx: Transaction) => Promise<DayReport>): Promise<DayReport> {
    return withTransaction(this.#database, async (tx) => {
      await tx.query('set transaction isolation level repeatable read')
      // Statements of a whole day of a large cluster may take longer than those of daily work.
      await tx.query('set local statement_timeout = 0')
      return work(tx)
    })
  }

  async #rebuild(tx: Transaction, dayUs: number, tell: (flows: number) => void): Promise<DayReport> {
    const report = { day: formatTimeUs(dayUs), outcome: 'rebuilt' as DayReport['outcome'], flows: 0, revised: 0, leftOut: 0, uncovered: null as DayReport['uncovered'] }
    if (await isExpiredDay(tx, this.#clusterId, dayUs)) return { ...report, outcome: 'expired' }
    const uncovered = await findUncovered(tx, this.#clusterId, dayUs)
    if (uncovered !== undefined) {
      return { ...report, outcome: 'not-covered', uncovered: { windows: uncovered.windows, first: formatTimeUs(uncovered.firstUs), last: formatTimeUs(uncovered.lastUs) } }
    }
    if (this.#options.isDryRun !== true) await deleteDay(tx, this.#clusterId, dayUs)
    const dayEndUs = dayUs + US_PER_DAY
    let batch = new EdgeBatch()
    const networks = new PodNetworks()
    // What lasted until the next day may have been there today: presence reaches a day back.
    for await (const flow of this.#flows.read(tx, { sinceUs: dayUs, untilUs: dayEndUs + US_PER_DAY, firstBeforeUs: dayEndUs })) {
      const isOfDay = flow.lastAtUs < dayEndUs
      const revised = this.#reviser.revise(flow)
      if (isOfDay && ++report.flows % 10_000 === 0) {
        tell(report.flows)
        this.#throwIfStopped()
      }
      if (isOfDay && revised !== flow) report.revised++
      if (isOfDay && revised === undefined) report.leftOut++
      if (revised === undefined || this.#options.isDryRun === true) continue
      if (revised !== flow) networks.add(revised)
      batch.add(revised)
      if (batch.windowCount < BATCH_WINDOW_ROWS) continue
      await this.#append(tx, batch, dayUs)
      batch = new EdgeBatch()
    }
    await this.#append(tx, batch, dayUs)
    if (this.#options.isDryRun !== true) await insertPodNetworks(this.#database, this.#clusterId, networks.list())
    this.#throwIfStopped()
    return report
  }

  /** Appends what the batch says of the day. */
  async #append(tx: Transaction, batch: EdgeBatch, dayUs: number): Promise<void> {
    const windows = batch.windows().filter(({ windowStartUs }) => windowStartUs >= dayUs && windowStartUs < dayUs + US_PER_DAY)
    await this.#register([...new Set(windows.flatMap(({ from, to }) => [from, to]))])
    this.#windowRows.reset()
    this.#peerRows.reset()
    const starts = encodeEdgeWindows(this.#windowRows, this.#clusterId, windows)
    const dayStarts = encodeExternalPeers(this.#peerRows, this.#clusterId, batch.externalPeers().filter(({ dayStartUs }) => dayStartUs === dayUs))
    await appendEdgeWindows(tx, this.#clusterId, this.#windowRows, starts)
    await appendExternalPeers(tx, this.#clusterId, this.#peerRows, dayStarts)
    await markExternalOverflows(tx, this.#clusterId, batch.externalOverflows().filter(({ dayStartUs }) => dayStartUs === dayUs))
  }

  /** Not within the transaction, as batches do: others may bring the same identities and must not wait for a whole day. */
  async #register(identities: readonly Identity[]): Promise<void> {
    const unknown = identities.filter((identity) => !this.#registered.has(identity))
    await insertIdentities(this.#database, this.#clusterId, unknown)
    for (const identity of unknown) this.#registered.add(identity)
  }

  #throwIfStopped(): void {
    if (this.#options.signal?.aborted === true) throw new AppError('unavailable', 'Stopped. Days that were rebuilt stay so; run the same command again to go on.', { retryable: true })
  }
}
