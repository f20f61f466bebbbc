import { randomUUID } from 'node:crypto'
import { EdgeBatch } from '../core/aggregate/edge-batch.ts'
import { PodNetworks } from '../core/aggregate/pod-networks.ts'
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
import { insertTotals } from '../store/write/insert-ingest-records.ts'
import type { TotalRow } from '../store/write/insert-ingest-records.ts'
import { storeBatch } from '../store/write/store-batch.ts'
import type { BatchRows } from '../store/write/store-batch.ts'
import type { CollectedRecords } from './collected-records.ts'
import { OutcomeCounts } from './ingest-report.ts'
import { RecentDigests } from './recent-digests.ts'

export interface WriteTarget {
  readonly source: string
  readonly position?: PositionStep | undefined
  readonly content?: ContentRow | undefined
}

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
  /** By Identity.index: stored by this process, or seen stored. */
  private readonly storedIdentities = new Set<number>()
  private readonly storedNetworks = new Set<string>()
  private readonly partitionedDays = new Set<number>()
  private readonly flowRows = new CopyBuffer(1 << 22)
  private readonly windowRows = new CopyBuffer()
  private readonly peerRows = new CopyBuffer()
  private turn: Promise<unknown> = Promise.resolve()

  constructor(database: Database, clusterId: number, options: { nowUs: () => number, retry: RetryOptions }) {
    this.database = database
    this.clusterId = clusterId
    this.nowUs = options.nowUs
    this.retry = options.retry
    this.recent = new RecentDigests(database, clusterId)
  }

  /** Commits one batch and returns its totals, which add up to `collected.records`. Throws what `storeBatch` throws; then nothing is stored. */
  store(collected: CollectedRecords, target: WriteTarget): Promise<TotalRow[]> {
    const mine = this.turn.then(() => this.storeNow(collected, target))
    this.turn = mine.catch(() => undefined)
    return mine
  }

  /** Counts records of content that was stored before, without storing anything of them again. */
  async storeKnown(records: number, source: string): Promise<TotalRow[]> {
    const totals: TotalRow[] = [{ format: 'unread', outcome: 'duplicate', reason: '', records }]
    if (records === 0) return []
    await withRetry(() => withTransaction(this.database, (tx) => insertTotals(tx, this.clusterId, source, totals)), this.retry)
    return totals
  }

  private async storeNow(collected: CollectedRecords, target: WriteTarget): Promise<TotalRow[]> {
    const lastAtRangeUs = collected.flows.length === 0 ? undefined : { min: collected.minLastAtUs, max: collected.maxLastAtUs }
    if (lastAtRangeUs !== undefined) {
      await ensureFlowPartitions(this.database, lastAtRangeUs, this.nowUs(), this.partitionedDays)
      await withRetry(() => this.recent.refresh(lastAtRangeUs), this.retry)
    }
    try {
      return await this.commit(collected, target, lastAtRangeUs)
    } catch (error) {
      this.recent.reset()
      throw error
    }
  }

  private async commit(collected: CollectedRecords, target: WriteTarget, lastAtRangeUs: { min: number, max: number } | undefined): Promise<TotalRow[]> {
    const { batch, networks, digests, totals } = this.judge(collected)
    const windows = batch.windows()
    const identities = this.newIdentities(windows)
    const newNetworks = networks.list().filter((network) => !this.storedNetworks.has(network))
    await storeBatch(this.database, {
      id: randomUUID(), clusterId: this.clusterId, source: target.source, rows: this.encode(batch, windows), identities, podNetworks: newNetworks,
      coverage: collected.coverage, rejections: collected.rejections, totals, digests,
      lastAtRangeUs: digests.length === 0 ? undefined : lastAtRangeUs, position: target.position, content: target.content,
    }, this.retry)
    for (const identity of identities) this.storedIdentities.add(identity.index)
    for (const network of newNetworks) this.storedNetworks.add(network)
    return totals
  }

  /** Splits flows into new ones and duplicates; aggregates and encodes the new ones. */
  private judge(collected: CollectedRecords) {
    const { flows, problems } = collected
    const batch = new EdgeBatch()
    const networks = new PodNetworks()
    const digests = Buffer.allocUnsafe(flows.length * 8)
    const counts = new OutcomeCounts()
    let stored = 0
    this.flowRows.reset()
    for (const flow of flows) {
      const isNew = this.recent.add(flow.digestHi, flow.digestLo)
      counts.add(flow.format, isNew ? 'stored' : 'duplicate', '')
      if (!isNew) continue
      batch.add(flow)
      networks.add(flow)
      encodeFlow(this.flowRows, this.clusterId, flow)
      digests.writeUInt32BE(flow.digestHi, stored * 8)
      digests.writeUInt32BE(flow.digestLo, stored * 8 + 4)
      stored++
    }
    return { batch, networks, digests: digests.subarray(0, stored * 8), totals: [...counts.list(), ...problems.list()] }
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
