/** What `/readyz` says of the database: in time, whatever state it is in. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ReadinessCheck } from '../deliver/api/context.ts'
import type { Database } from '../store/db/database.ts'
import { pendingMigrations } from '../store/db/migrate.ts'

/** Probes come every few seconds and wait about as long. */
const READINESS_MS = 3_000
const DATABASE_AWAY: readonly ReadinessCheck[] = [
  { name: 'database', isReady: false, text: 'does not answer' },
  { name: 'migrations', isReady: false, text: 'not known: the database does not answer' },
]

/** Answers in time even where the database does not answer at all; probes meanwhile share one question, so that they cannot use up the connections. */
export function readinessOf(database: Database): () => Promise<readonly ReadinessCheck[]> {
  let asking: Promise<readonly ReadinessCheck[]> | undefined
  return () => {
    asking ??= askReadiness(database).finally(() => { asking = undefined })
    return Promise.race([asking, sleep(READINESS_MS, DATABASE_AWAY, { ref: false })])
  }
}

async function askReadiness(database: Database): Promise<readonly ReadinessCheck[]> {
  try {
    const pending = await pendingMigrations(database)
    return [
      { name: 'database', isReady: true, text: 'answers' },
      { name: 'migrations', isReady: pending.length === 0, text: pending.length === 0 ? 'up to date' : `${pending.length} missing: run "flowfence migrate"` },
    ]
  } catch {
    return DATABASE_AWAY
  }
}
