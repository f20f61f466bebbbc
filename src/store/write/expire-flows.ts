/**
 * Expiry of raw flows. A day's partition is dropped whole once no cluster needs it; rows of other times (flows_default), and of clusters that are further
 * than those that still need the partition, are deleted in slices.
 */
import { parseTimeUs, US_PER_DAY } from '../../core/base/time.ts'
import { withRetry, withTransaction } from '../db/database.ts'
import type { Database, Queryable } from '../db/database.ts'
import { timeParameter } from '../db/time-columns.ts'

/** Which raw flows of a cluster are kept. */
export interface RawNeed {
  readonly clusterId: number
  /** Whole day. */
  readonly sinceUs: number
  /** Its newest flow: it has none in days after that. */
  readonly newestUs: number
}

export interface FlowExpiryOptions {
  /** What the clusters need, as of now: asked again before a partition is dropped, when nothing can be added to it any more. */
  readonly needs: (on: Queryable) => Promise<readonly RawNeed[]>
  /** Whole day: partitions that nobody needs are kept from here on, because they may be there for what comes. */
  readonly emptyBeforeUs: number
  /** What this process has deleted already and need not look for again. */
  readonly done: Set<string>
  readonly signal?: AbortSignal | undefined
}

/** Rows per statement. More: fewer statements; fewer: each is shorter, and less is repeated when it fails. */
const SLICE_ROWS = 20_000
/** Batches wait behind a drop that waits for them, so it gives up soon and is tried again a minute later. */
const LOCK_PATIENCE = '2s'
const LOCK_NOT_AVAILABLE = '55P03'

interface Partition {
  readonly name: string
  /** `undefined`: the default partition. */
  readonly dayUs: number | undefined
}

/** Returns the partitions dropped and rows deleted. */
export async function expireFlows(database: Database, options: FlowExpiryOptions): Promise<{ partitions: number; rows: number }> {
  const needs = await options.needs(database)
  let [partitions, rows] = [0, 0]
  for (const partition of await selectPartitions(database)) {
    if (options.signal?.aborted === true) break
    if (isDroppable(partition, needs, options.emptyBeforeUs)) {
      const outcome = await withRetry(() => drop(database, partition, options))
      if (outcome === 'busy') break
      if (outcome === 'dropped') partitions++
      continue
    }
    for (const need of needs) rows += await deleteRows(database, partition, need, options)
  }
  return { partitions, rows }
}

async function selectPartitions(on: Queryable): Promise<Partition[]> {
  const { rows } = await on.query<{ name: string }>(
    `select relname as name from pg_inherits join pg_class on pg_class.oid = inhrelid
     where inhparent = 'flows'::regclass and relname ~ '^flows_(\\d{8}|default)$' order by 1`,
  )
  return rows.map(({ name }) => {
    const [, year, month, day] = /^flows_(\d{4})(\d{2})(\d{2})$/.exec(name) ?? []
    return { name, dayUs: year === undefined ? undefined : parseTimeUs(`${year}-${month}-${day}T00:00:00Z`) }
  })
}

function isDroppable({ dayUs }: Partition, needs: readonly RawNeed[], emptyBeforeUs: number): boolean {
  if (dayUs === undefined) return false
  const endUs = dayUs + US_PER_DAY
  return endUs <= emptyBeforeUs && !needs.some((need) => endUs > need.sinceUs && dayUs <= need.newestUs)
}

/** `busy`: batches kept it waiting for too long. `needed`: it is, by now. */
async function drop(database: Database, partition: Partition, options: FlowExpiryOptions): Promise<'dropped' | 'needed' | 'busy'> {
  try {
    return await dropNow(database, partition, options) ? 'dropped' : 'needed'
  } catch (error) {
    if ((error as { code?: unknown }).code === LOCK_NOT_AVAILABLE) return 'busy'
    throw error
  }
}

async function dropNow(database: Database, partition: Partition, { needs, emptyBeforeUs }: FlowExpiryOptions): Promise<boolean> {
  return withTransaction(database, async (tx) => {
    await tx.query(`set local lock_timeout = '${LOCK_PATIENCE}'`)
    // The parent first, as batches do: the other way round two of them could wait for each other.
    await tx.query('lock table only flows in access exclusive mode')
    const { rows } = await tx.query(`select 1 from pg_inherits join pg_class on pg_class.oid = inhrelid where inhparent = 'flows'::regclass and relname = $1`, [partition.name])
    if (rows.length === 0 || !isDroppable(partition, await needs(tx), emptyBeforeUs)) return false
    await tx.query(`drop table ${partition.name}`)
    return true
  })
}

async function deleteRows(database: Database, { name, dayUs }: Partition, need: RawNeed, { done, signal }: FlowExpiryOptions): Promise<number> {
  const isOwnDay = dayUs !== undefined
  if (isOwnDay && (dayUs >= need.sinceUs || done.has(`${name} ${need.clusterId}`))) return 0
  let deleted = 0
  while (signal?.aborted !== true) {
    const { rowCount } = await withRetry(() => database.query(
      `delete from only ${name}
       where cluster_id = $1 and ctid = any (array(select ctid from only ${name} where cluster_id = $1 and last_at < ${timeParameter('$2')} limit ${SLICE_ROWS}))`,
      [need.clusterId, need.sinceUs],
    ))
    deleted += rowCount
    if (rowCount > 0) continue
    // Only days that are past: the default partition may get old rows at any time.
    if (isOwnDay) done.add(`${name} ${need.clusterId}`)
    break
  }
  return deleted
}

/**
 * Forgets ends of raw flows that no kept flow has. A writer that still takes such an end for stored can only bring flows of the same days, which have
 * expired as well.
 */
export async function deleteExpiredEnds(database: Database, { clusterId, sinceUs }: RawNeed): Promise<void> {
  await withRetry(() => database.query(
    `delete from flow_ends where cluster_id = $1 and last_day < (${timeParameter('$2')} at time zone 'UTC')::date`, [clusterId, sinceUs],
  ))
}
