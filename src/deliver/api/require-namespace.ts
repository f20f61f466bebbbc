import { AppError } from '../../core/base/app-error.ts'
import type { ObservedTraffic } from '../../pipeline/observed-traffic.ts'

/** Refuses a namespace of which nothing was observed (404): a mistyped name must not look like a sound, empty answer. */
export function requireNamespace(observed: ObservedTraffic, namespace: string | undefined): void {
  if (namespace === undefined) return
  const isSeen = observed.edges.some((e) => [e.from, e.to].some((end) => end.kind === 'pod' && end.namespace === namespace))
  if (!isSeen) throw new AppError('not-found', `No flow of namespace "${namespace}" was observed in this range. GET /api/v1/namespaces lists those that were.`, { at: 'namespace' })
}
