import { randomUUID } from 'node:crypto'
import { EdgeBatch } from '../core/aggregate/edge-batch.ts'
import { NodeHours } from '../core/aggregate/node-hours.ts'
import { AppError } from '../core/base/app-error.ts'
import { invariant } from '../core/base/invariant.ts'
import { US_PER_DAY } from '../core/base/time.ts'
import { FlowView } from '../core/flow/flow-block.ts'
import type { Identity } from '../core/flow/identity.ts'
import { CopyBuffer } from '../store/db/copy.ts'
import { withRetry, withTransaction } from '../store/db/database.ts'
import type { Database, RetryOptions } from '../store/db/database.ts'
import type { ContentRow, PositionStep } from '../store/write/advance-position.ts'
import { encodeEdgeWindows } from '../store/write/append-edge-windows.ts'
import { encodeExternalPeers } from '../store/write/append-external-peers.ts'
import { ensureFlowPartitions } from '../store/write/ensure-flow-partitions.ts'
import { insertFlowEnds } from '../store/write/insert-flow-ends.ts'
import { encodeFlow } from '../store/write/insert-flows.ts'
import { insertIdentities, insertPodNetworks } from '../store/write/insert-identities.ts'
import { insertReceived, insertTotals } from '../store/write/insert-ingest-records.ts'
import type { TotalRow } from '../store/write/insert-ingest-records.ts'
import { storeBatch } from '../store/write/store-batch.ts'
import type { BatchRows } from '../store/write/store-batch.ts'
import { noteTries } from '../store/write/settle-letters.ts'
import { ClusterLimits, DEFAULT_LIMITS } from './cluster-limits.ts'
import type { LimitOptions } from './cluster-limits.ts'
import type { CollectedRecords } from './collected-records.ts'
import { EndBook } from './end-book.ts'
import { OutcomeCounts } from './ingest-report.ts'
import type { DeadLetterCounts } from './ingest-report.ts'
import { RecentDigests } from './recent-digests.ts'

export interface WriteTarget {
  readonly source: string
  /** Steps of the sources, committed with the batch. */
  readonly positions?: readonly PositionStep[]
  readonly content?: ContentRow | undefined
  /** Ids of the dead letters that the records were read from: removed with the commit. None of the records may be refused then. */
  readonly letters?: readonly string[] | undefined
}

/** What became of one batch. */
export interface StoredBatch {
  /** Add up to the records collected. */
  readonly totals: TotalRow[]
  readonly deadLetters: DeadLetterCounts
  /** Flows whose node's name was not kept. */
  readonly nodesNotKept: number
}

export interface WriterOptions {
  readonly nowUs: () => number
  readonly retry: RetryOptions
  readonly limits?: LimitOptions | undefined
  /** False: only aggregates are stored, no raw flows. Default true. */
  readonly keepsFlows?: boolean | undefined
}

interface Judged {
  readonly batch: EdgeBatch
  readonly nodes: NodeHours
  /** 8 bytes per stored flow. */
  readonly digests: Buffer
  readonly totals: TotalRow[]
  /** Flows of identities that the cluster has no room for. */
  readonly refused: number
}

const NOBODY: ReadonlySet<Identity> = new Set()

/** Marks of stored identities kept. Larger: fewer inserts that find what is there already; smaller: less memory. Past it all are forgotten. */
const MAX_STORED_MARKS = 250_000

/**
 * Stores collected records of one cluster, batch after batch: drops duplicates, aggregates, encodes, commits. Calls take turns,
 * because a flow may only count as duplicate of one that is stored: the next batch is judged when the one before is committed.
 */
export class BatchWriter {
  private readonly database: Database
  private readonly clusterId: number
  private readonly nowUs: () => number
  private readonly retry: RetryOptions
  private readonly recent: RecentDigests
  private readonly limits: ClusterLimits
  /** By Identity.index: stored by this process, or seen stored. */
  private readonly storedIdentities = new Set<number>()
  private readonly storedNetworks = new Set<string>()
  private readonly partitionedDays = new Set<number>()
  private readonly ends = new EndBook()
  private readonly keepsFlows: boolean
  private readonly flowRows = new CopyBuffer(1 << 22)
  private readonly windowRows = new CopyBuffer()
  private readonly peerRows = new CopyBuffer()
  private turn: Promise<unknown> = Promise.resolve()

  constructor(database: Database, clusterId: number, options: WriterOptions) {
    this.database = database
    this.clusterId = clusterId
    this.nowUs = options.nowUs
    this.retry = options.retry
    this.keepsFlows = options.keepsFlows ?? true
    this.recent = new RecentDigests(database, clusterId)
    this.limits = new ClusterLimits(database, clusterId, { limits: options.limits ?? DEFAULT_LIMITS, nowUs: options.nowUs })
  }

  /**
   * Commits one batch; its totals add up to `collected.records`. Records that would make an identity beyond the cluster's limit are rejected
   * here, because only the store knows how many there are. Throws what `storeBatch` throws; then nothing is stored.
   */
  store(collected: CollectedRecords, target: WriteTarget): Promise<StoredBatch> {
    const mine = this.turn.then(() => this.storeNow(collected, target))
    this.turn = mine.catch(() => undefined)
    return mine
  }

  /** Counts records of content that was stored before, without storing anything of them again. */
  async storeKnown(records: number, source: string): Promise<TotalRow[]> {
    const totals: TotalRow[] = [{ format: 'unread', outcome: 'duplicate', reason: '', records }]
    if (records === 0) return []
    await withRetry(() => withTransaction(this.database, async (tx) => {
      await insertReceived(tx, this.clusterId, source, { records, newestUs: undefined })
      await insertTotals(tx, this.clusterId, source, totals)
    }), this.retry)
    return totals
  }

  /** Counts a try of dead letters that were refused again. */
  async noteTries(ids: readonly string[]): Promise<void> {
    await withRetry(() => withTransaction(this.database, (tx) => noteTries(tx, this.clusterId, ids)), this.retry)
  }

  private async storeNow(collected: CollectedRecords, target: WriteTarget): Promise<StoredBatch> {
    const range = collected.flowCount === 0 ? undefined : { min: collected.minLastAtUs, max: collected.maxLastAtUs }
    if (range !== undefined) {
      if (this.keepsFlows) await ensureFlowPartitions(this.database, daysOf(collected), this.nowUs(), this.partitionedDays)
      await withRetry(async () => {
        await this.recent.refresh(range)
        await this.limits.loadNodes()
      }, this.retry)
    }
    try {
      return await this.commit(collected, target, range)
    } catch (error) {
      this.recent.reset()
      throw error
    }
  }

  private async commit(collected: CollectedRecords, target: WriteTarget, range: { min: number, max: number } | undefined): Promise<StoredBatch> {
    const { batch, nodes, digests, totals, refused } = await this.judgeWithinLimits(collected, range)
    invariant(sumOf(totals) === collected.records, 'records in and outcomes out differ', { records: collected.records, totals })
    if (refused > 0 && target.letters !== undefined) {
      throw new AppError('conflict', `The cluster has the ${this.limits.options.identities} identities it may have (FLOWFENCE_MAX_IDENTITIES).`, { at: 'too-many-identities' })
    }
    await this.register()
    const { rejections } = await storeBatch(this.database, {
      id: randomUUID(), clusterId: this.clusterId, source: target.source, rows: this.encode(batch),
      coverage: collected.coverage, nodeHours: nodes.list(), rejections: collected.rejections, lettersPerMinute: this.limits.options.lettersPerMinute,
      limits: [{ limit: 'dead-letters', records: collected.lettersDropped + refused }, { limit: 'nodes', records: nodes.unnamed }],
      received: { records: collected.records, newestUs: range?.max }, totals, digests,
      lastAtRangeUs: digests.length === 0 ? undefined : range, positions: target.positions ?? [], content: target.content, letters: target.letters ?? [],
    }, this.retry)
    const notKept = collected.rejections.length - rejections + collected.lettersDropped + refused
    return { totals, deadLetters: { kept: rejections, notKept }, nodesNotKept: nodes.unnamed }
  }

  /**
   * Makes the ends of the judged flows known, before the batch and not within it: they are facts that many batches share, so a transaction that wrote
   * them would make all others wait until it ends. What is known without a flow does no harm.
   */
  private async register(): Promise<void> {
    const identities = this.newIdentities()
    const networks = this.ends.networks().filter((network) => !this.storedNetworks.has(network))
    const ends = this.keepsFlows ? this.ends.unstored() : []
    await withRetry(async () => {
      await insertIdentities(this.database, this.clusterId, identities)
      await insertPodNetworks(this.database, this.clusterId, networks)
      await insertFlowEnds(this.database, this.clusterId, ends)
    }, this.retry)
    this.limits.stored(identities.length)
    if (this.storedIdentities.size + identities.length > MAX_STORED_MARKS) this.storedIdentities.clear()
    for (const identity of identities) this.storedIdentities.add(identity.index)
    for (const network of networks) this.storedNetworks.add(network)
    this.ends.markStored()
  }

  /** Judges all flows; and once more without those of refused identities where there are any, which is rare. */
  private async judgeWithinLimits(collected: CollectedRecords, range: { min: number, max: number } | undefined): Promise<Judged> {
    const judged = this.judge(collected, NOBODY)
    const refused = await withRetry(() => this.limits.refusedIdentities(this.newIdentities()), this.retry)
    if (refused.size === 0 || range === undefined) return judged
    this.recent.reset()
    await withRetry(() => this.recent.refresh(range), this.retry)
    return this.judge(collected, refused)
  }

  /** Splits flows into new ones and duplicates; aggregates and encodes the new ones. */
  private judge(collected: CollectedRecords, refusedEnds: ReadonlySet<Identity>): Judged {
    const { flowCount, problems } = collected
    const batch = new EdgeBatch()
    const nodes = new NodeHours(this.limits.knowsNode)
    const digests = Buffer.allocUnsafe(flowCount * 8)
    const counts = new OutcomeCounts()
    const view = new FlowView()
    let [stored, refused] = [0, 0]
    this.flowRows.reset()
    this.ends.start()
    for (const rows of collected.flows) {
      for (let i = 0; i < rows.length; i++) {
        rows.show(i, view)
        if (refusedEnds.size > 0 && (refusedEnds.has(view.initiator) || refusedEnds.has(view.responder))) {
          counts.add(view.format, 'rejected', 'too-many-identities')
          refused++
          continue
        }
        const isNew = this.recent.add(view.digestHi, view.digestLo)
        counts.add(view.format, isNew ? 'stored' : 'duplicate', '')
        if (!isNew) continue
        batch.add(view)
        nodes.add(view)
        this.addRow(view)
        digests.writeUInt32BE(view.digestHi, stored * 8)
        digests.writeUInt32BE(view.digestLo, stored * 8 + 4)
        stored++
      }
    }
    return { batch, nodes, refused, digests: digests.subarray(0, stored * 8), totals: [...counts.list(), ...problems.list()] }
  }

  private addRow(flow: FlowView): void {
    const day = Math.floor(flow.lastAtUs / US_PER_DAY)
    const initiator = this.ends.use(flow.initiatorEnd, day)
    const responder = this.ends.use(flow.responderEnd, day)
    if (this.keepsFlows) encodeFlow(this.flowRows, this.clusterId, flow, initiator, responder)
  }

  private encode(batch: EdgeBatch): BatchRows {
    this.windowRows.reset()
    this.peerRows.reset()
    return {
      flows: this.flowRows,
      edgeWindows: this.windowRows,
      windowStarts: encodeEdgeWindows(this.windowRows, this.clusterId, batch.windows()),
      externalPeers: this.peerRows,
      dayStarts: encodeExternalPeers(this.peerRows, this.clusterId, batch.externalPeers()),
      overflows: batch.externalOverflows(),
    }
  }

  private newIdentities(): Identity[] {
    return this.ends.identities().filter((identity) => !this.storedIdentities.has(identity.index))
  }
}

/** UTC days of the flows' last instants. */
function daysOf({ flows, minLastAtUs, maxLastAtUs }: CollectedRecords): Set<number> {
  const first = Math.floor(minLastAtUs / US_PER_DAY)
  const days = new Set([first, Math.floor(maxLastAtUs / US_PER_DAY)])
  if (days.size === 1) return days
  for (const rows of flows) for (let i = 0; i < rows.length; i++) days.add(Math.floor(rows.lastAtUs(i) / US_PER_DAY))
  return days
}

function sumOf(totals: readonly TotalRow[]): number {
  return totals.reduce((sum, total) => sum + total.records, 0)
}
