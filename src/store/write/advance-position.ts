import { storableText } from '../db/copy.ts'
import type { Transaction } from '../db/database.ts'

/** A step of a source: from the position this process read or wrote last to the next. */
export interface PositionStep {
  readonly source: string
  /** The position expected to be stored; `undefined` when the source must be new. */
  readonly from: { readonly next: number, readonly fingerprint: string } | undefined
  readonly next: number
  readonly fingerprint: string
  /** Records consumed from the source since its beginning. */
  readonly records: number
}

/** Compare-and-set. False when somebody else moved the position: this process is fenced and must not commit. */
export async function advancePosition(tx: Transaction, clusterId: number, step: PositionStep): Promise<boolean> {
  const source = storableText(step.source)
  if (step.from === undefined) {
    const { rowCount } = await tx.query(
      `insert into positions (cluster_id, source, next, fingerprint, records) values ($1, $2, $3, $4, $5) on conflict do nothing`,
      [clusterId, source, step.next, step.fingerprint, step.records],
    )
    return rowCount === 1
  }
  const { rowCount } = await tx.query(
    `update positions set next = $5, fingerprint = $6, records = $7, updated_at = now()
     where cluster_id = $1 and source = $2 and next = $3 and fingerprint = $4`,
    [clusterId, source, step.from.next, step.from.fingerprint, step.next, step.fingerprint, step.records],
  )
  return rowCount === 1
}

/** A content that is stored completely with this transaction; `digest` is SHA-256. */
export interface ContentRow {
  readonly digest: Buffer
  readonly records: number
}

/** False when the content is known already: somebody else stored it first. */
export async function insertContent(tx: Transaction, clusterId: number, source: string, content: ContentRow): Promise<boolean> {
  const { rowCount } = await tx.query(
    `insert into content_digests (cluster_id, digest, source, records) values ($1, $2, $3, $4) on conflict do nothing`,
    [clusterId, content.digest, storableText(source), content.records],
  )
  return rowCount === 1
}
