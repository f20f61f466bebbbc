import { DigestSet } from '../core/aggregate/digest-set.ts'
import type { Database } from '../store/db/database.ts'
import { selectBatchDigests } from '../store/read/select-batch-digests.ts'
import type { LastAtRange } from '../store/read/select-batch-digests.ts'

/**
 * Digests held in memory at most. More: duplicates are recognised among more flows of the same time; each costs about 16 bytes.
 */
const MAX_DIGESTS = 2_000_000

/**
 * Recognises flows that were stored before, by this process or another, before a restart or after.
 *
 * The horizon: a duplicate has the same last instant as its original, so only batches whose flows overlap the time of the new
 * ones are looked at, newest first until MAX_DIGESTS; and batches are remembered for 14 days after they were stored
 * (delete-expired.ts). Two processes that store the same flow at the very same moment do not see each other: then, as beyond
 * the horizon, only the count of an edge is too high, never its existence or its times.
 */
export class RecentDigests {
  private set = new DigestSet()
  /** All batches that overlap this range and were committed before the transaction are in the set. */
  private loaded: { readonly range: LastAtRange, readonly transaction: string } | undefined
  private readonly database: Database
  private readonly clusterId: number
  private readonly limit: number

  constructor(database: Database, clusterId: number, limit = MAX_DIGESTS) {
    this.database = database
    this.clusterId = clusterId
    this.limit = limit
  }

  /** Loads what other transactions stored in a range of time. Call it before `add` of flows of that time. */
  async refresh(range: LastAtRange): Promise<void> {
    const isApart = this.loaded !== undefined && (range.min > this.loaded.range.max || range.max < this.loaded.range.min)
    if (isApart || this.set.size >= this.limit) this.reset()
    const since = this.loaded
    const { digests, transaction } = await selectBatchDigests(this.database, { clusterId: this.clusterId, range: union(range, since?.range), since, limit: this.limit })
    for (const batch of digests) {
      for (let at = 0; at < batch.length; at += 8) this.set.add(batch.readUInt32BE(at), batch.readUInt32BE(at + 4))
    }
    this.loaded = { range: union(range, since?.range), transaction }
  }

  /** Adds a flow's digest; false when it is known. */
  add(hi: number, lo: number): boolean {
    return this.set.add(hi, lo)
  }

  /** Forgets everything: what was added may not have been stored. The next `refresh` reads it from the database. */
  reset(): void {
    this.set = new DigestSet()
    this.loaded = undefined
  }
}

function union(a: LastAtRange, b: LastAtRange | undefined): LastAtRange {
  return b === undefined ? a : { min: Math.min(a.min, b.min), max: Math.max(a.max, b.max) }
}
