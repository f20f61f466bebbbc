import { invariant } from '../../core/base/invariant.ts'
import { formatTimeUs, US_PER_DAY } from '../../core/base/time.ts'
import { withRetry, withTransaction } from '../db/database.ts'
import type { Database } from '../db/database.ts'

/**
 * Days around now that get a partition of their own: back to where files usually begin, and the next day. More: fewer rows in flows_default, which expire
 * slowly, because they must be looked for; fewer: fewer tables.
 */
const DAYS_BACK = 400
const DAYS_AHEAD = 1

/**
 * Makes sure that each of the UTC days (counted from 1970) that is near `nowUs` has its own partition of `flows`; other
 * times stay in flows_default. Rows of such a day that lie in flows_default are moved in the same transaction, so that no
 * reader misses them. `done` holds the days that this process need not look at again.
 */
export async function ensureFlowPartitions(database: Database, days: Iterable<number>, nowUs: number, done: Set<number>): Promise<void> {
  const today = Math.floor(nowUs / US_PER_DAY)
  for (const day of days) {
    if (done.has(day) || day < today - DAYS_BACK || day > today + DAYS_AHEAD) continue
    await withRetry(() => createPartition(database, day * US_PER_DAY))
    done.add(day)
  }
}

async function createPartition(database: Database, dayStartUs: number): Promise<void> {
  const start = formatTimeUs(dayStartUs)
  const end = formatTimeUs(dayStartUs + US_PER_DAY)
  // Utility statements take no parameters: the name and the bounds are made of digits by us.
  const name = `flows_${start.slice(0, 10).replaceAll('-', '')}`
  invariant(/^flows_\d{8}$/.test(name), 'partition name', { name })
  if (await exists(database, name)) return
  await withTransaction(database, async (tx) => {
    await tx.query(`select pg_advisory_xact_lock(hashtext('flow partitions'))`)
    if (await exists(tx, name)) return
    await tx.query(`create table ${name} (like flows including defaults)`)
    await tx.query('lock table flows_default in access exclusive mode')
    await tx.query(
      `with moved as (delete from flows_default where last_at >= $1 and last_at < $2 returning *) insert into ${name} select * from moved`, [start, end],
    )
    await tx.query(`alter table flows attach partition ${name} for values from ('${start}') to ('${end}')`)
  })
}

async function exists(on: Pick<Database, 'query'>, name: string): Promise<boolean> {
  // From the tables themselves: to_regclass answers from a cache that may not know yet what another process just made.
  const { rows } = await on.query(
    `select 1 from pg_inherits join pg_class on pg_class.oid = inhrelid where inhparent = 'flows'::regclass and relname = $1`, [name],
  )
  return rows.length > 0
}
