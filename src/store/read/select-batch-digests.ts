import type { Queryable } from '../db/database.ts'
import { timeParameter } from '../db/time-columns.ts'

/** A closed range of last instants, microseconds. */
export interface LastAtRange {
  readonly min: number
  readonly max: number
}

export interface BatchDigests {
  /** Each entry holds the digests of one batch, 8 bytes each. */
  readonly digests: Buffer[]
  /** Transactions before this one are visible to the query; give it as `since.transaction` next time. */
  readonly transaction: string
}

export interface DigestQuery {
  readonly clusterId: number
  readonly range: LastAtRange
  /** What was loaded before: batches that overlap its range are given only when their transaction may have been invisible then. */
  readonly since: { readonly range: LastAtRange, readonly transaction: string } | undefined
  /** Newest batches are given until this many digests are reached. */
  readonly limit: number
}

/** The digests of committed batches whose flows overlap a range of time. */
export async function selectBatchDigests(database: Queryable, query: DigestQuery): Promise<BatchDigests> {
  const { since, range } = query
  // The horizon first: one committed before the list is read is in the list; one after it is above the horizon.
  const horizon = await database.query<{ xmin: string }>('select pg_snapshot_xmin(pg_current_snapshot())::text as xmin')
  const { rows } = await database.query<{ digests: Buffer }>(
    `select digests from (
       select digests, coalesce(sum(digest_count) over (order by committed_at desc, id rows between unbounded preceding and 1 preceding), 0) as before
       from ingest_batches
       where cluster_id = $1 and last_at >= ${timeParameter('$2')} and first_at <= ${timeParameter('$3')}
         and ($4::text is null or transaction_id >= $4::text::xid8 or last_at < ${timeParameter('$5')} or first_at > ${timeParameter('$6')})
     ) as overlapping where before < $7`,
    [query.clusterId, range.min, range.max, since?.transaction ?? null, since?.range.min ?? null, since?.range.max ?? null, query.limit],
  )
  return { digests: rows.map((row) => row.digests), transaction: horizon.rows[0]?.xmin ?? '0' }
}
