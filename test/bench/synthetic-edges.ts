/** Observed edges of a large cluster that nobody has to simulate: the same ones in every run. */
import type { ObservedEdge } from '../../src/core/flow/edge.ts'
import { classEnd, edge, pod } from '../support/observed-edges.ts'
import { createRandom } from '../support/random.ts'

const PORTS = [80, 443, 5432, 8080, 9090] as const
const CALLS_PER_WORKLOAD = 10
const NAMESPACE_SIZE = 50

/** Every workload calls about ten others anywhere and the DNS server; every fourth also four outside addresses. */
export function syntheticEdges(workloads: number): ObservedEdge[] {
  const random = createRandom(1)
  const dns = pod('kube-system/coredns', { 'k8s-app': 'kube-dns' })
  const outside = classEnd('external')
  const pods = Array.from({ length: workloads }, (_, i) =>
    pod(`team-${Math.floor(i / NAMESPACE_SIZE)}/app-${i}`, { 'app.kubernetes.io/name': `app-${i}`, 'app.kubernetes.io/instance': `release-${i % 7}`, tier: `tier-${i % 3}` }))
  const calls = new Map<string, ObservedEdge>()
  for (const from of pods) {
    for (let i = 0; i < CALLS_PER_WORKLOAD; i++) {
      const to = random.pick(pods)
      const port = random.pick(PORTS)
      if (to !== from) calls.set(`${from.key} ${to.key} ${port}`, edge(from, to, `${port}/TCP`))
    }
  }
  const lookups = pods.map((from) => edge(from, dns, '53/UDP'))
  const leaving = pods.filter((_, i) => i % 4 === 0)
    .map((from, i) => edge(from, outside, '443/TCP', { ips: [1, 2, 3, 4].map((k) => `203.${i % 250}.${k}.${(i * 7 + k) % 250}`) }))
  return [...calls.values(), ...lookups, ...leaving]
}
