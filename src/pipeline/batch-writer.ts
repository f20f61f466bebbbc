import { randomUUID } from 'node:crypto'
import { EdgeBatch } from '../core/aggregate/edge-batch.ts'
import { NodeHours } from '../core/aggregate/node-hours.ts'
import { PodNetworks } from '../core/aggregate/pod-networks.ts'
import { AppError } from '../core/base/app-error.ts'
import { invariant } from '../core/base/invariant.ts'
import type { EdgeWindow } from '../core/flow/edge.ts'
import type { Identity } from '../core/flow/identity.ts'
import { CopyBuffer } from '../store/db/copy.ts'
import { withRetry, withTransaction } from '../store/db/database.ts'
import type { Database, RetryOptions } from '../store/db/database.ts'
import type { ContentRow, PositionStep } from '../store/write/advance-position.ts'
import { encodeEdgeWindows } from '../store/write/append-edge-windows.ts'
import { encodeExternalPeers } from '../store/write/append-external-peers.ts'
import { ensureFlowPartitions } from '../store/write/ensure-flow-partitions.ts'
import { encodeFlow } from '../store/write/insert-flows.ts'
import { insertReceived, insertTotals } from '../store/write/insert-ingest-records.ts'
import type { TotalRow } from '../store/write/insert-ingest-records.ts'
import { storeBatch } from '../store/write/store-batch.ts'
import type { BatchRows } from '../store/write/store-batch.ts'
import { noteTries } from '../store/write/settle-letters.ts'
import { ClusterLimits, DEFAULT_LIMITS } from './cluster-limits.ts'
import type { LimitOptions } from './cluster-limits.ts'
import type { CollectedRecords } from './collected-records.ts'
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
}

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
  private readonly flowRows = new CopyBuffer(1 << 22)
  private readonly windowRows = new CopyBuffer()
  private readonly peerRows = new CopyBuffer()
  private turn: Promise<unknown> = Promise.resolve()

  constructor(database: Database, clusterId: number, options: WriterOptions) {
    this.database = database
    this.clusterId = clusterId
    this.nowUs = options.nowUs
    this.retry = options.retry
    this.recent = new RecentDigests(database, clusterId)
    this.limits = new ClusterLimits(database, clusterId, { limits: options.limits ?? DEFAULT_LIMITS, nowUs: options.nowUs })
  }

  /**
   * Commits one batch; its totals add up to `collected.records`. Records that would make an identity beyond the cluster's limit are rejected
   * here, because only the store knows how many there are. Throws what `storeBatch` throws; then nothing is stored.
   */
  store(collected: CollectedRecords, target: WriteTarget): Promise<StoredBatch> {
    collected.finish()
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
    const range = collected.flows.length === 0 ? undefined : { min: collected.minLastAtUs, max: collected.maxLastAtUs }
    if (range !== undefined) {
      await ensureFlowPartitions(this.database, range, this.nowUs(), this.partitionedDays)
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
    const { batch, windows, networks, nodes, digests, totals, refused } = await this.judgeWithinLimits(collected, range)
    invariant(sumOf(totals) === collected.records, 'records in and outcomes out differ', { records: collected.records, totals })
    if (refused > 0 && target.letters !== undefined) {
      throw new AppError('conflict', `The cluster has the ${this.limits.options.identities} identities it may have (FLOWFENCE_MAX_IDENTITIES).`, { at: 'too-many-identities' })
    }
    const identities = this.newIdentities(windows)
    const newNetworks = networks.list().filter((network) => !this.storedNetworks.has(network))
    const { rejections } = await storeBatch(this.database, {
      id: randomUUID(), clusterId: this.clusterId, source: target.source, rows: this.encode(batch, windows), identities, podNetworks: newNetworks,
      coverage: collected.coverage, nodeHours: nodes.list(), rejections: collected.rejections, lettersPerMinute: this.limits.options.lettersPerMinute,
      limits: [{ limit: 'dead-letters', records: collected.lettersDropped + refused }, { limit: 'nodes', records: nodes.unnamed }],
      received: { records: collected.records, newestUs: range?.max }, totals, digests,
      lastAtRangeUs: digests.length === 0 ? undefined : range, positions: target.positions ?? [], content: target.content, letters: target.letters ?? [],
    }, this.retry)
    this.markStored(identities, newNetworks)
    const notKept = collected.rejections.length - rejections + collected.lettersDropped + refused
    return { totals, deadLetters: { kept: rejections, notKept }, nodesNotKept: nodes.unnamed }
  }

  private markStored(identities: readonly Identity[], networks: readonly string[]): void {
    this.limits.stored(identities.length)
    if (this.storedIdentities.size + identities.length > MAX_STORED_MARKS) this.storedIdentities.clear()
    for (const identity of identities) this.storedIdentities.add(identity.index)
    for (const network of networks) this.storedNetworks.add(network)
  }

  /** Judges all flows; and once more without those of refused identities where there are any, which is rare. */
  private async judgeWithinLimits(collected: CollectedRecords, range: { min: number, max: number } | undefined) {
    const judged = this.judge(collected, new Set())
    const windows = judged.batch.windows()
    const refused = await withRetry(() => this.limits.refusedIdentities(this.newIdentities(windows)), this.retry)
    if (refused.size === 0 || range === undefined) return { ...judged, windows }
    this.recent.reset()
    await withRetry(() => this.recent.refresh(range), this.retry)
    const again = this.judge(collected, refused)
    return { ...again, windows: again.batch.windows() }
  }

  /** Splits flows into new ones and duplicates; aggregates and encodes the new ones. */
  private judge(collected: CollectedRecords, refusedEnds: ReadonlySet<Identity>) {
    const { flows, problems } = collected
    const batch = new EdgeBatch()
    const networks = new PodNetworks()
    const nodes = new NodeHours(this.limits.knowsNode)
    const digests = Buffer.allocUnsafe(flows.length * 8)
    const counts = new OutcomeCounts()
    let [stored, refused] = [0, 0]
    this.flowRows.reset()
    for (const flow of flows) {
      if (refusedEnds.size > 0 && (refusedEnds.has(flow.initiator) || refusedEnds.has(flow.responder))) {
        counts.add(flow.format, 'rejected', 'too-many-identities')
        refused++
        continue
      }
      const isNew = this.recent.add(flow.digestHi, flow.digestLo)
      counts.add(flow.format, isNew ? 'stored' : 'duplicate', '')
      if (!isNew) continue
      batch.add(flow)
      networks.add(flow)
      nodes.add(flow)
      encodeFlow(this.flowRows, this.clusterId, flow)
      digests.writeUInt32BE(flow.digestHi, stored * 8)
      digests.writeUInt32BE(flow.digestLo, stored * 8 + 4)
      stored++
    }
    return { batch, networks, nodes, refused, digests: digests.subarray(0, stored * 8), totals: [...counts.list(), ...problems.list()] }
  }

  private encode(batch: EdgeBatch, windows: readonly EdgeWindow[]): BatchRows {
    this.windowRows.reset()
    this.peerRows.reset()
    return {
      flows: this.flowRows,
      edgeWindows: this.windowRows,
      windowStarts: encodeEdgeWindows(this.windowRows, this.clusterId, windows),
      externalPeers: this.peerRows,
      dayStarts: encodeExternalPeers(this.peerRows, this.clusterId, batch.externalPeers()),
      overflows: batch.externalOverflows(),
    }
  }

  private newIdentities(windows: readonly EdgeWindow[]): Identity[] {
    const found = new Map<number, Identity>()
    for (const { from, to } of windows) {
      if (!this.storedIdentities.has(from.index)) found.set(from.index, from)
      if (!this.storedIdentities.has(to.index)) found.set(to.index, to)
    }
    return [...found.values()]
  }
}

function sumOf(totals: readonly TotalRow[]): number {
  return totals.reduce((sum, total) => sum + total.records, 0)
}
