import type { Transaction } from '../db/database.ts'

/** Removes dead letters that are accepted now. False when one is gone: another process settled it, and what it held is stored already. */
export async function settleLetters(tx: Transaction, clusterId: number, ids: readonly string[]): Promise<boolean> {
  if (ids.length === 0) return true
  const { rowCount } = await tx.query('delete from rejections where cluster_id = $1 and id = any($2::bigint[])', [clusterId, ids])
  return rowCount === ids.length
}

/** Counts one try more of dead letters that were refused again. */
export async function noteTries(tx: Transaction, clusterId: number, ids: readonly string[]): Promise<void> {
  await tx.query('update rejections set tries = tries + 1 where cluster_id = $1 and id = any($2::bigint[])', [clusterId, ids])
}
