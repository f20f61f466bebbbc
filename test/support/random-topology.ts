import { createRandom } from './random.ts'
import type { Random } from './random.ts'

type Plain = Record<string, unknown>

export interface RandomTopology {
  readonly seed: number
  /** In the form that `simulate` reads. */
  readonly object: Plain
  /** Every port that occurs, for exhaustive comparison. */
  readonly ports: readonly number[]
}

const PORTS = [53, 80, 443, 3000, 5432, 6379, 8080, 8081, 8082, 9090, 40_000]

/** A random application: namespaces, workloads of every kind, label sets that overlap, services, edges of every sort. */
export function randomTopology(seed: number): RandomTopology {
  const random = createRandom(seed)
  const namespaces = Array.from({ length: 1 + random.int(3) }, (_, i) => ({ name: `ns${i}`, labels: { 'kubernetes.io/metadata.name': `ns${i}`, team: `t${random.int(2)}` } }))
  const workloads = Array.from({ length: 3 + random.int(6) }, (_, i) => randomWorkload(random, i, random.pick(namespaces).name))
  const edges = randomEdges(random, workloads)
  return {
    seed,
    ports: PORTS,
    object: {
      namespaces: [...namespaces, { name: 'kube-system', labels: { 'kubernetes.io/metadata.name': 'kube-system' } }],
      workloads, services: workloads.map(serviceOf), edges,
      infrastructureEdges: workloads.filter(() => random.chance(0.6)).flatMap((w) => dnsEdges(random, w)),
      infrastructureWorkloads: [{ kind: 'Deployment', name: 'coredns', namespace: 'kube-system', podLabels: { 'k8s-app': 'kube-dns' }, containers: [{ name: 'dns', ports: [{ name: 'dns', containerPort: 53, protocol: 'UDP' }, { name: 'dns-tcp', containerPort: 53, protocol: 'TCP' }] }] }],
    },
  }
}

interface RandomWorkload extends Plain {
  readonly kind: string
  readonly name: string
  readonly namespace: string
  readonly podLabels: Record<string, string>
}

function randomWorkload(random: Random, index: number, namespace: string): RandomWorkload {
  const kind = random.pick(['Deployment', 'Deployment', 'Deployment', 'StatefulSet', 'DaemonSet'])
  // Labels overlap on purpose: shared app, told apart by instance or component; sometimes a label that is no identity.
  const podLabels: Record<string, string> = { 'app.kubernetes.io/name': `app${random.int(4)}`, 'app.kubernetes.io/instance': `rel${index}` }
  if (random.chance(0.5)) podLabels['app.kubernetes.io/component'] = random.pick(['api', 'db', 'worker'])
  if (random.chance(0.5)) podLabels['helm.sh/chart'] = `chart-${random.int(3)}`
  if (random.chance(0.3)) podLabels.tier = random.pick(['front', 'back'])
  return {
    kind, name: `w${index}`, namespace, podLabels, replicas: 1 + random.int(3), hostNetwork: false,
    containers: [{ name: 'main', ports: PORTS.slice(1, 5).map((p) => ({ name: `p${p}`, containerPort: p, protocol: 'TCP' })) }],
  }
}

function serviceOf(w: RandomWorkload): Plain {
  return {
    name: w.name, namespace: w.namespace, type: 'ClusterIP', labels: {}, selector: w.podLabels,
    ports: PORTS.map((p) => ({ name: `s${p}`, port: p === 80 ? 80 : p + 1, targetPort: p, protocol: 'TCP' })),
  }
}

function randomEdges(random: Random, workloads: readonly RandomWorkload[]): Plain[] {
  const end = (w: RandomWorkload): Plain => ({ kind: w.kind, namespace: w.namespace, name: w.name })
  const inside = Array.from({ length: workloads.length + random.int(12) }, (): Plain => {
    const from = random.pick(workloads)
    const to = random.pick(workloads)
    const port = random.pick(PORTS)
    const protocol = random.chance(0.15) ? 'UDP' : 'TCP'
    const via = random.chance(0.5) && protocol === 'TCP' ? { via: { service: `${to.name}.${to.namespace}`, servicePort: port === 80 ? 80 : port + 1 } } : {}
    return { from: end(from), to: { ...end(to), port, protocol, ...via } }
  })
  const outward = workloads.filter(() => random.chance(0.4)).map((w): Plain => ({
    from: end(w), to: { external: true, ip: `203.0.113.${random.int(250) + 1}`, port: random.pick([443, 8443, 5671]), protocol: 'TCP' },
  }))
  const inward = workloads.filter(() => random.chance(0.2)).map((w): Plain => ({ from: { external: true, ip: `198.51.100.${random.int(250) + 1}` }, to: { ...end(w), port: 8080, protocol: 'TCP' } }))
  return [...inside, ...outward, ...inward].map((e, i) => ({ id: `e${i}`, ...e }))
}

function dnsEdges(random: Random, w: RandomWorkload): Plain[] {
  const protocols = random.chance(0.5) ? ['UDP', 'TCP'] : ['UDP']
  return protocols.map((protocol) => ({
    from: { kind: w.kind, namespace: w.namespace, name: w.name },
    to: { kind: 'Deployment', namespace: 'kube-system', name: 'coredns', port: 53, protocol }, category: 'dns',
  }))
}
