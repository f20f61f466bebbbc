import { availableParallelism } from 'node:os'
import type { Config } from '../config/settings.ts'
import { DecodePool } from '../pipeline/decode-pool.ts'
import type { IngesterOptions } from '../pipeline/ingest.ts'
import { nowUs } from './clock.ts'
import { limitsOf, retentionOf } from './limits.ts'

/** Beyond, storing is what takes the time. */
const MAX_AUTO_THREADS = 4

/** What all ingesters of a process have in common. Threads start when input is large enough for them; `decodePool` is the caller's to close. */
export function ingesterOptions(config: Config): Omit<IngesterOptions, 'cluster'> & { readonly decodePool: DecodePool } {
  // One core is left to storing.
  const threads = config.decodeThreads ?? Math.min(MAX_AUTO_THREADS, Math.max(1, availableParallelism() - 1))
  return {
    podCidrs: config.podCidrs, ownWorkloads: config.ownWorkloads, limits: limitsOf(config), retention: retentionOf(config), nowUs,
    keepsFlows: config.rawFlows === 'on', decodePool: new DecodePool(threads),
  }
}
