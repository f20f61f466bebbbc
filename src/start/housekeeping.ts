/** The service's housekeeping: a round over all clusters of the store every minute, with what came of it in metrics and log. */
import type { Retention } from '../core/aggregate/retention.ts'
import type { Events } from '../observe/events.ts'
import type { Logger } from '../observe/logger.ts'
import { createHousekeeper } from '../pipeline/retain.ts'
import type { Database } from '../store/db/database.ts'
import { nowUs } from './clock.ts'

/** Pause between two rounds. Longer: more partial rows to read; shorter: more work for the database. */
const PAUSE_MS = 60_000
/** How long a stop waits for the unit of work at hand. What is cut off is done by the next round. */
const GRACE_MS = 10_000

export interface HousekeepingParts {
  readonly retention: Retention
  readonly logger: Logger
  readonly events: Events
}

/** The first round begins at once: a service that is restarted often keeps house, too. `stop` ends it between two units of work. */
export function startHousekeeping(database: Database, { retention, logger, events }: HousekeepingParts): { stop(): Promise<void> } {
  const housekeeper = createHousekeeper(database)
  const stopping = new AbortController()
  const { signal } = stopping
  let timer: NodeJS.Timeout | undefined
  const round = async (): Promise<void> => {
    try {
      const report = await housekeeper.run(nowUs(), { retention, signal })
      events.houseKept({ ...report, failures: report.failures.map((failure) => failure.step) })
      if (signal.aborted) return
      for (const { step, error } of report.failures) logger.warn({ step, reason: String(error) }, 'a step of housekeeping failed; it is tried again in a minute')
    } catch (error) {
      logger.warn({ reason: String(error) }, 'housekeeping failed; it is tried again in a minute')
    }
    if (signal.aborted) return
    timer = setTimeout(() => { running = round() }, PAUSE_MS)
    timer.unref()
  }
  let running = round()
  return {
    stop: async () => {
      stopping.abort()
      clearTimeout(timer)
      await Promise.race([running, new Promise((resolve) => { setTimeout(resolve, GRACE_MS).unref() })])
    },
  }
}
