import { withTransaction } from '../db/database.ts'
import type { Database } from '../db/database.ts'

/** A dead letter of a Kafka topic on its way to the dead-letter topic. */
export interface ForwardedLetter {
  /** Of the letter: unique in the store. */
  readonly id: string
  readonly cluster: string
  /** `kafka:<topic>/<partition>`. */
  readonly source: string
  /** Offset of the message in its partition. */
  readonly offset: string
  readonly format: string
  readonly reason: string
  readonly detail: string
  /** At most 4 KiB, redacted. */
  readonly sample: string
  readonly isComplete: boolean
  readonly rejectedAtMs: number
}

/**
 * Hands the oldest letters of a cluster that were not forwarded to `send`, and notes that they were when it resolves; when it rejects, they stay. Processes at once
 * take different ones. After a crash between the two, letters are sent again. Returns how many there were.
 */
export async function forwardLetters(database: Database, clusterId: number, limit: number, send: (letters: readonly ForwardedLetter[]) => Promise<void>): Promise<number> {
  return withTransaction(database, async (tx) => {
    const { rows } = await tx.query<Omit<ForwardedLetter, 'rejectedAtMs' | 'isComplete'> & { is_complete: boolean; rejected_ms: number }>(
      `select letters.id, clusters.name as cluster, source, byte as offset, format, reason, detail, sample, is_complete,
         (extract(epoch from rejected_at) * 1000)::float8 as rejected_ms
       from rejections letters join clusters on clusters.id = letters.cluster_id
       where cluster_id = $1 and not is_forwarded and source like 'kafka:%' order by letters.id limit $2 for update of letters skip locked`, [clusterId, limit],
    )
    if (rows.length === 0) return 0
    await send(rows.map(({ is_complete: isComplete, rejected_ms: rejectedMs, ...rest }) => ({ ...rest, isComplete, rejectedAtMs: Math.round(rejectedMs) })))
    await tx.query('update rejections set is_forwarded = true where cluster_id = $1 and id = any ($2::bigint[])', [clusterId, rows.map((row) => row.id)])
    return rows.length
  })
}
