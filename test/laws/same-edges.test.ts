import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { parseTimeUs } from '../../src/core/base/time.ts'
import type { AddressHolder, ClusterHistory, HistoryPod } from '../../src/core/cluster/cluster-history.ts'
import type { EndView } from '../../src/core/flow/edge-view.ts'
import type { Party } from '../../src/core/flow/orient.ts'
import type { TrafficEdge } from '../../src/core/flow/traffic.ts'
import type { PlannedPod } from '../../src/core/simulate/plan-cluster.ts'
import { simulate, type Simulation, type SimulatedFormat } from '../../src/core/simulate/simulate.ts'
import type { Topology } from '../../src/core/simulate/topology.ts'
import type { TruthEdge } from '../../src/core/simulate/truth.ts'
import { parseYaml } from '../../src/manifests/parse-documents.ts'
import { viewTraffic } from '../../src/pipeline/observed-traffic.ts'
import { observeLines, topologyOf } from '../support/observe.ts'
import { rounds } from '../support/random.ts'
import { randomTopology } from '../support/random-topology.ts'

const startUs = parseTimeUs('2026-01-01T00:00:00Z') ?? 0

/** How a format tells the true edges: the whole documented difference between the formats. Ends are texts. */
interface Telling {
  readonly format: SimulatedFormat
  /** Whether cluster state is given. */
  readonly isState: boolean
  /** A workload as the format names it. */
  readonly workload: (kind: string, namespace: string, name: string) => string
  /** An outside address, or an address of a node in a log that cannot tell nodes from the outside. */
  readonly address: (ip: string) => string
  /** What the format calls the pod's own node, another node, and the API server. */
  readonly classes: Readonly<Record<'host' | 'node' | 'kube-apiserver', string>>
  /** True edges whose direction the format cannot prove. */
  readonly isUnproven: (edge: TruthEdge) => boolean
  /** What it shows beside the true edges: never a rule. */
  readonly isBeside: (text: string) => boolean
}

const exact = (kind: string, namespace: string, name: string): string => `${kind}/${namespace}/${name}`
const nothing = (): boolean => false
const isNodeAddress = (ip: string): boolean => ip.startsWith('172.18.')
const nodeOrOutside = (ip: string): string => (isNodeAddress(ip) ? 'node address' : ip)
/** Both ports may be the client's (UDP has no handshake). */
const isHighUdp = (edge: TruthEdge): boolean => edge.protocol === 'UDP' && (edge.port ?? 0) >= 32_768

const HUBBLE: Telling = {
  format: 'hubble', isState: false, workload: exact, address: (ip) => ip, classes: { host: 'host', node: 'node', 'kube-apiserver': 'kube-apiserver' }, isUnproven: nothing,
  // Late packets from the address of a pod that has gone (T15); answers that were translated on the way (T3).
  isBeside: (text) => text.includes('10.244.') || text.includes('fd00:') || text.includes('unknown') || text.endsWith('/0'),
}

const TELLINGS: readonly Telling[] = [
  HUBBLE,
  {
    // Names of aggregates tell no kind, and a node without host endpoint is a private network; the API server is known by its Service.
    ...HUBBLE, format: 'calico-enterprise', workload: (_, namespace, name) => `${namespace}/${name}`, address: nodeOrOutside,
    classes: { host: 'node address', node: 'node address', 'kube-apiserver': 'kube-apiserver' }, isBeside: nothing,
  },
  {
    // The same, and no addresses at all.
    ...HUBBLE, format: 'goldmane', workload: (_, namespace, name) => `${namespace}/${name}`, address: () => 'outside',
    classes: { host: 'outside', node: 'outside', 'kube-apiserver': 'kube-apiserver' }, isBeside: nothing,
  },
  {
    // After translation the API server is its node. Before, a Service is an address without pod port (T8).
    ...HUBBLE, format: 'netobserv', classes: { host: 'host', node: 'node', 'kube-apiserver': 'node' }, isUnproven: isHighUdp,
    isBeside: (text) => / -> (?:unknown|kube-apiserver) \w+\/0$/.test(text),
  },
  {
    // State knows what is behind a Service; the API server's own has no pods.
    ...HUBBLE, format: 'netobserv', isState: true, classes: { host: 'host', node: 'node', 'kube-apiserver': 'node' }, isUnproven: isHighUdp,
    isBeside: (text) => text.endsWith(' -> kube-apiserver TCP/0'),
  },
  {
    // Records name no controllers: a pod's name alone does not tell a DaemonSet from others.
    ...HUBBLE, format: 'antrea', workload: (_, namespace, name) => `${namespace}/${name}`, address: nodeOrOutside,
    classes: { host: 'node address', node: 'node address', 'kube-apiserver': 'kube-apiserver' }, isBeside: nothing,
  },
  // State knows controllers, and nodes by address, but not which of them is the pod's own.
  { ...HUBBLE, format: 'antrea', isState: true, classes: { host: 'node', node: 'node', 'kube-apiserver': 'kube-apiserver' }, isBeside: nothing },
]

function truthEnd(end: EndView, telling: Telling): string {
  if (end.workload !== undefined) return telling.workload(end.workload.kind, end.namespace ?? '', end.workload.name)
  if (end.kind === 'host' || end.kind === 'node' || end.kind === 'kube-apiserver') return telling.classes[end.kind]
  return telling.address((end.cidr ?? '').replace(/\/\d+$/, ''))
}

function observedEnds(party: Party, edge: TrafficEdge, telling: Telling): string[] {
  const { workload, identity } = party
  if (workload !== undefined) return [telling.workload(workload.ref?.kind ?? '', workload.namespace, workload.ref?.name ?? '')]
  if (identity.kind !== 'external') return [identity.kind]
  const ips = new Set(edge.externals.map((e) => e.ip))
  return ips.size === 0 ? [telling.address('')] : [...ips].map(telling.address)
}

function observedTexts(edge: TrafficEdge, telling: Telling): string[] {
  const tos = observedEnds(edge.to, edge, telling)
  return observedEnds(edge.from, edge, telling).flatMap((from) => tos.map((to) => `${from} -> ${to} ${edge.protocol}/${edge.port}`))
}

/** On the API server's node its own pods see the API server as their host. */
const asNode = (text: string): string => text.replace(' -> host TCP/6443', ' -> node TCP/6443')

/** Cluster state of every moment of the simulation, from its plan. */
function historyOf(simulation: Simulation, topology: Topology): ClusterHistory {
  const objects = simulation.clusterObjects() as { kind: string; metadata: { name: string; namespace: string }; spec: { clusterIP?: string }; status: { addresses: { address: string }[] } }[]
  const nodes = new Map(objects.flatMap((o) => (o.kind === 'Node' ? [[o.status.addresses[0]?.address, o.metadata.name] as const] : [])))
  const services = new Map(objects.flatMap((o) => (o.kind === 'Service' && o.spec.clusterIP !== 'None' ? [[o.spec.clusterIP, o.metadata] as const] : [])))
  const known = new Map<PlannedPod, HistoryPod>(simulation.pods.map((p) => [p, podOf(p, topology)]))
  const livingAt = (atUs: number): PlannedPod[] => simulation.pods.filter((p) => p.fromUs <= atUs && atUs < p.untilUs)
  return {
    podNamed: (namespace, name, atUs) => {
      const pod = livingAt(atUs).find((p) => p.name === name && p.workload.namespace === namespace)
      return pod === undefined ? undefined : known.get(pod)
    },
    holderOf: (ip, atUs): AddressHolder => {
      const node = nodes.get(ip)
      if (node !== undefined) return { kind: 'node', node }
      const service = services.get(ip)
      if (service !== undefined) return { kind: 'service', namespace: service.namespace, name: service.name }
      const pod = livingAt(atUs).find((p) => p.ip === ip || p.ip6 === ip)
      return pod === undefined ? { kind: 'nobody' } : { kind: 'pod', pod: known.get(pod) as HistoryPod }
    },
    backendsOf: (ip, port, protocol, atUs) => {
      const at = services.get(ip)
      const service = topology.services.find((s) => s.name === at?.name && s.namespace === at.namespace)
      const listed = service?.ports.find((p) => p.port === port && p.protocol === protocol)
      if (service === undefined || listed === undefined) return undefined
      const pods = livingAt(atUs).filter((p) => p.workload.namespace === service.namespace && Object.entries(service.selector).every(([k, v]) => p.labels[k] === v))
      const { targetPort } = listed
      const numbers = new Set(pods.map((p) => (typeof targetPort === 'number' ? targetPort : p.workload.containers.flatMap((c) => c.ports).find((c) => c.name === targetPort)?.port)))
      const [only] = numbers
      return numbers.size === 1 && only !== undefined ? { pods: pods.map((p) => known.get(p) as HistoryPod), port: only } : undefined
    },
  }
}

function podOf(pod: PlannedPod, topology: Topology): HistoryPod {
  const { kind, namespace, name, hostNetwork } = pod.workload
  return {
    namespace, name: pod.name, labels: pod.labels, namespaceLabels: topology.namespaces.find((n) => n.name === namespace)?.labels ?? null,
    workload: { kind, name }, hostNetwork, nodeName: '', ports: [],
  }
}

interface Compared {
  readonly missing: string[]
  readonly beside: string[]
  readonly count: number
  readonly traffic: readonly TrafficEdge[]
}

/** The edges that a format's log leads to, against the true ones as the format can tell them. */
function compare(topology: Topology, seed: number, telling: Telling): Compared {
  const simulation = simulate(topology, { format: telling.format, minutes: 10, seed, startUs, rate: 0.5 })
  const options = telling.isState ? { history: (() => { const history = historyOf(simulation, topology); return () => history })() } : {}
  const { traffic } = viewTraffic(observeLines(simulation.lines(), Infinity, options), 'default')
  const proven = traffic.filter((e) => e.orientation !== 'unoriented')
  const observed = new Set(proven.flatMap((e) => observedTexts(e, telling)).map(asNode))
  // A port that kernels give to clients, known by connection tracking only, is held back where the two ends also talk the other way: it may be an answer.
  const pairs = new Set(simulation.truth().map((e) => `${truthEnd(e.from, telling)} ${truthEnd(e.to, telling)}`))
  const isHeldBack = (e: TruthEdge): boolean => telling.format !== 'hubble' && (e.port ?? 0) >= 32_768 && pairs.has(`${truthEnd(e.to, telling)} ${truthEnd(e.from, telling)}`)
  const truth = new Set(simulation.truth().filter((e) => !telling.isUnproven(e) && !isHeldBack(e)).map((e) => `${truthEnd(e.from, telling)} -> ${truthEnd(e.to, telling)} ${e.protocol}/${e.port}`).map(asNode))
  const held = new Set(simulation.truth().filter(isHeldBack).map((e) => asNode(`${truthEnd(e.from, telling)} -> ${truthEnd(e.to, telling)} ${e.protocol}/${e.port}`)))
  return {
    missing: [...truth].filter((t) => !observed.has(t)),
    beside: [...observed].filter((t) => !truth.has(t) && !held.has(t) && !telling.isBeside(t)),
    count: truth.size,
    traffic: proven,
  }
}

const named = TELLINGS.map((t) => [`${t.format}${t.isState ? ' with cluster state' : ''}`, t] as const)

describe('the same traffic in every format leads to the same edges', () => {
  const shop = topologyOf(...parseYaml(readFileSync(new URL('../../examples/shop.yaml', import.meta.url), 'utf8')))

  test.each(named)('the shop as %s', (_, telling) => {
    const { missing, beside, count } = compare(shop, 1, telling)
    expect({ missing, beside }).toEqual({ missing: [], beside: [] })
    expect(count).toBeGreaterThan(35)
  })

  test.each(named)('random applications as %s', (name, telling) => {
    for (let seed = 1; seed <= rounds({ small: 2, full: 40 }); seed++) {
      const { missing, beside } = compare(topologyOf(randomTopology(seed).object), seed, telling)
      expect({ name, seed, missing, beside }).toEqual({ name, seed, missing: [], beside: [] })
    }
  })

  test('NetObserv has no labels: names alone without cluster state, all labels of the moment with it', () => {
    const qualities = (isState: boolean): Set<string> => {
      const { traffic } = compare(shop, 1, TELLINGS.find((t) => t.format === 'netobserv' && t.isState === isState) ?? HUBBLE)
      return new Set(traffic.flatMap((e) => [e.from, e.to]).flatMap((p) => p.workload?.identities.map((i) => i.labelQuality) ?? []))
    }
    expect([...qualities(false)]).toEqual(['none'])
    expect([...qualities(true)]).toEqual(['full'])
  })

  test('Antrea carries the labels itself: they are those that Hubble shows, and more', () => {
    const labelsOf = (format: SimulatedFormat): Map<string, Record<string, string>> => {
      const { traffic } = compare(shop, 1, TELLINGS.find((t) => t.format === format) ?? HUBBLE)
      return new Map(traffic.flatMap((e) => [e.from, e.to]).flatMap((p) => (p.workload === undefined ? [] : [[p.workload.display, { ...p.workload.labelSets[0] }]])))
    }
    const [hubble, antrea] = [labelsOf('hubble'), labelsOf('antrea')]
    expect(hubble.size).toBeGreaterThan(10)
    for (const [workload, labels] of hubble) expect([workload, antrea.get(workload)]).toEqual([workload, expect.objectContaining(labels)])
  })
})
