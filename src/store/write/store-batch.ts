/**
 * One batch of ingest, one transaction: raw flows, aggregates, what was refused or ignored, digests, and the source's position
 * or content digest. Either all of it is stored or nothing; running it again after a lost connection finds out which.
 */
import type { ExternalOverflow } from '../../core/aggregate/bottom-addresses.ts'
import type { NodeHour } from '../../core/aggregate/node-hours.ts'
import { AppError } from '../../core/base/app-error.ts'
import { compareText } from '../../core/base/order.ts'
import type { CoverageEvent } from '../../core/flow/flow-record.ts'
import type { CopyBuffer } from '../db/copy.ts'
import { withRetry, withTransaction } from '../db/database.ts'
import type { Database, RetryOptions, Transaction } from '../db/database.ts'
import { advancePosition, insertContent } from './advance-position.ts'
import type { ContentRow, PositionStep } from './advance-position.ts'
import { appendEdgeWindows } from './append-edge-windows.ts'
import { appendExternalPeers, markExternalOverflows } from './append-external-peers.ts'
import { insertFlows } from './insert-flows.ts'
import { appendNodeHours } from './append-node-hours.ts'
import { insertCoverageEvents, insertLimits, insertReceived, insertRejections, insertTotals } from './insert-ingest-records.ts'
import type { LimitRow, ReceivedRow, RejectionRow, TotalRow } from './insert-ingest-records.ts'
import { settleLetters } from './settle-letters.ts'

export interface BatchRows {
  readonly flows: CopyBuffer
  readonly edgeWindows: CopyBuffer
  readonly windowStarts: readonly number[]
  readonly externalPeers: CopyBuffer
  readonly dayStarts: readonly number[]
  readonly overflows: readonly ExternalOverflow[]
}

export interface Batch {
  /** Random UUID: how a retry recognises that its predecessor was committed. */
  readonly id: string
  readonly clusterId: number
  readonly source: string
  readonly rows: BatchRows
  readonly coverage: readonly CoverageEvent[]
  readonly nodeHours: readonly NodeHour[]
  readonly rejections: readonly RejectionRow[]
  /** Dead letters that the cluster may get in a minute; `rejections` beyond are counted only. */
  readonly lettersPerMinute: number
  readonly limits: readonly LimitRow[]
  readonly received: ReceivedRow
  readonly totals: readonly TotalRow[]
  /** 64-bit digests of the stored flows, 8 bytes each. */
  readonly digests: Buffer
  /** First and last of the flows' last instants; `undefined` without flows. */
  readonly lastAtRangeUs: { readonly min: number, readonly max: number } | undefined
  /** Steps of the sources that this batch was read from. */
  readonly positions: readonly PositionStep[]
  readonly content: ContentRow | undefined
  /** Ids of the dead letters that this batch was read from: removed with it. */
  readonly letters: readonly string[]
}

/** What the database decided about a batch. */
export interface StoredRows {
  /** Dead letters that were stored. */
  readonly rejections: number
}

/**
 * Stores a batch, trying again through restarts of the database. AppError `conflict` when another process moved the source's
 * position, stored the same content or settled one of the letters first; `unavailable` when the database stays away; then nothing was stored.
 */
export async function storeBatch(database: Database, batch: Batch, options: RetryOptions = {}): Promise<StoredRows> {
  let attempts = 0
  return withRetry(async () => {
    // Of a batch whose commit got no answer, how many letters were kept is lost; all of them is the best that can be said.
    const lost = { rejections: batch.rejections.length }
    if (attempts++ > 0 && await isCommitted(database, batch)) return lost
    try {
      return await withTransaction(database, (tx) => writeAll(tx, batch))
    } catch (error) {
      // The commit was still under way when it was asked for; what refuses the batch now may be the batch itself.
      if (attempts > 1 && error instanceof AppError && error.code === 'conflict' && await isCommitted(database, batch)) return lost
      throw error
    }
  }, options)
}

async function isCommitted(database: Database, batch: Batch): Promise<boolean> {
  const { rows } = await database.query('select 1 from ingest_batches where cluster_id = $1 and id = $2', [batch.clusterId, batch.id])
  return rows.length > 0
}

async function writeAll(tx: Transaction, batch: Batch): Promise<StoredRows> {
  const { clusterId, source, rows } = batch
  // First what may refuse the batch, then the bulk; rows that other batches may bring too come last, so that they are locked shortly.
  // In one order everywhere, so that processes which believe they own the same sources wait for each other instead of deadlocking.
  for (const step of [...batch.positions].sort((a, b) => compareText(a.source, b.source))) {
    if (await advancePosition(tx, clusterId, step)) continue
    throw new AppError('conflict', `Another process ingests ${source} at the same time. Let one of them finish; nothing is lost.`, { at: step.source })
  }
  if (batch.content !== undefined && !await insertContent(tx, clusterId, source, batch.content)) {
    throw new AppError('conflict', `The content of ${source} was stored by another process meanwhile.`)
  }
  if (!await settleLetters(tx, clusterId, batch.letters)) {
    throw new AppError('conflict', 'Another process tries the same dead letters again at the same time. Let one of them finish; nothing is lost.')
  }
  await insertFlows(tx, rows.flows)
  await appendEdgeWindows(tx, clusterId, rows.edgeWindows, rows.windowStarts)
  await appendExternalPeers(tx, clusterId, rows.externalPeers, rows.dayStarts)
  await insertTotals(tx, clusterId, source, batch.totals)
  await appendNodeHours(tx, clusterId, batch.nodeHours)
  await insertReceived(tx, clusterId, source, batch.received)
  const rejections = await insertRejections(tx, clusterId, source, { rows: batch.rejections, perMinute: batch.lettersPerMinute })
  await insertLimits(tx, clusterId, source, [...batch.limits, { limit: 'dead-letters', records: batch.rejections.length - rejections }])
  await insertBatchRow(tx, batch)
  await insertCoverageEvents(tx, clusterId, batch.coverage)
  await markExternalOverflows(tx, clusterId, rows.overflows)
  return { rejections }
}

async function insertBatchRow(tx: Transaction, batch: Batch): Promise<void> {
  await tx.query(
    `insert into ingest_batches (id, cluster_id, first_at, last_at, digest_count, digests)
     values ($1, $2, to_timestamp($3::bigint / 1000000.0), to_timestamp($4::bigint / 1000000.0), $5, $6)`,
    [batch.id, batch.clusterId, batch.lastAtRangeUs?.min ?? null, batch.lastAtRangeUs?.max ?? null, batch.digests.length / 8, batch.digests],
  )
}
