import { sortedBy } from '../base/order.ts'
import { placeOf } from './controllers.ts'
import type { Labels } from './end.ts'
import type { Identity } from './identity.ts'

/**
 * The labels of each namespace, by place: what Cilium's records and cluster state say together, because other formats say nothing of them.
 * A key of which they say different things (it changed) is left out.
 */
export function mergeNamespaceLabels(pods: Iterable<Identity>): Map<string, Labels> {
  const byPlace = new Map<string, Map<string, string | null>>()
  for (const pod of pods) {
    const place = placeOf(pod)
    let merged = byPlace.get(place)
    if (merged === undefined) byPlace.set(place, merged = new Map<string, string | null>())
    for (const key of Object.keys(pod.namespaceLabels)) {
      const value = pod.namespaceLabels[key] as string
      const known = merged.get(key)
      merged.set(key, known === undefined || known === value ? value : null)
    }
  }
  return new Map([...byPlace].map(([place, merged]) => [place, Object.fromEntries(sortedBy([...merged].filter((e): e is [string, string] => e[1] !== null), ([key]) => key))]))
}
