import type { Config } from '../config/settings.ts'
import type { LimitOptions } from '../pipeline/cluster-limits.ts'

export function limitsOf(config: Config): LimitOptions {
  return { identities: config.maxIdentities, lettersPerMinute: config.maxDeadLettersPerMinute, nodes: config.maxNodes }
}
