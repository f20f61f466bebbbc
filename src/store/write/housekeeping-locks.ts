import type { Transaction } from '../db/database.ts'

/** Advisory lock classes; the second key is made of the cluster and the start, or is the cluster. */
const CLASSES = { 'fold-window': 0x666c_0001, 'fold-day': 0x666c_0002, 'fold-hour': 0x666c_0003, hour: 0x666c_0004, day: 0x666c_0005 } as const
/** 0x666c_0006 is taken by cluster state. */
const HORIZON_CLASS = 0x666c_0007

/** What one worker at a time may rewrite: the rows of one (cluster, start). */
export interface HousekeepingLock {
  readonly name: keyof typeof CLASSES
  readonly startUs: number
  /** With others that ask for it shared. */
  readonly isShared?: boolean
}

/** Takes all of the locks until the transaction ends, or says that another worker holds one of them: then end the transaction. Never waits. */
export async function tryLocks(tx: Transaction, clusterId: number, locks: readonly HousekeepingLock[]): Promise<boolean> {
  for (const { name, startUs, isShared = false } of locks) {
    const { rows } = await tx.query<{ locked: boolean }>(
      `select pg_try_advisory_xact_lock${isShared ? '_shared' : ''}($1, hashtext($2)) as locked`, [CLASSES[name], `${clusterId} ${startUs}`],
    )
    if (rows[0]?.locked !== true) return false
  }
  return true
}

/**
 * Waits for the cluster's horizons: shared to rely on them, exclusively to move them. Take it before all other locks, and no lock after it that waits:
 * then nobody waits for ever.
 */
export async function lockHorizons(tx: Transaction, clusterId: number, mode: 'shared' | 'exclusive'): Promise<void> {
  await tx.query(`select pg_advisory_xact_lock${mode === 'shared' ? '_shared' : ''}($1, $2)`, [HORIZON_CLASS, clusterId])
}
