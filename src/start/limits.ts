import type { Config } from '../config/settings.ts'
import type { Retention } from '../core/aggregate/retention.ts'
import type { LimitOptions } from '../pipeline/cluster-limits.ts'

export function limitsOf(config: Config): LimitOptions {
  return { identities: config.maxIdentities, lettersPerMinute: config.maxDeadLettersPerMinute, nodes: config.maxNodes }
}

export function retentionOf(config: Config): Retention {
  return {
    rawDays: config.retainRawDays, windowDays: config.retainWindowDays, hourDays: config.retainHourDays, dayDays: config.retainDayDays,
    latenessDays: config.latenessDays,
  }
}
