/**
 * A cluster invented around a topology.
 *
 * In: topology, time range, seed. Out: nodes, pods with the time each lives, services with cluster addresses.
 * Invariants: the same input gives the same cluster; at any moment no two living pods share an address; a freed
 * address rests ADDRESS_REST_US before another pod gets it. Cost: O(pods + cron runs).
 */
import { US_PER_SECOND } from '../base/time.ts'
import type { Labels } from '../flow/end.ts'
import { cronMatches } from './cron.ts'
import type { CronSchedule } from './cron.ts'
import { podIdentity } from './pod-names.ts'
import type { PodIdentity } from './pod-names.ts'
import { createRandom } from './random.ts'
import type { Random } from './random.ts'
import type { Topology, TopologyService, TopologyWorkload } from './topology.ts'

export interface SimulationRange {
  readonly startUs: number
  readonly endUs: number
  readonly seed: number
}

export interface PlannedNode {
  readonly index: number
  readonly name: string
  readonly ip: string
  readonly podCidrs: readonly string[]
  readonly isControlPlane: boolean
}

export interface PlannedPod {
  readonly index: number
  readonly workload: TopologyWorkload
  readonly name: string
  readonly labels: Labels
  /** Name of the ReplicaSet or Job between workload and pod. */
  readonly owner: string | undefined
  readonly nodeIndex: number
  readonly ip: string
  /** Only in dual-stack clusters. */
  readonly ip6: string | undefined
  /** The pod lives in [fromUs, untilUs). */
  readonly fromUs: number
  untilUs: number
}

export interface PlannedService {
  readonly service: TopologyService
  /** `None` for headless services. */
  readonly clusterIp: string
}

export interface ClusterPlan {
  readonly nodes: readonly PlannedNode[]
  readonly pods: readonly PlannedPod[]
  /** By workload key, in order of `fromUs`. */
  readonly podsOf: ReadonlyMap<string, readonly PlannedPod[]>
  readonly services: readonly PlannedService[]
  readonly isDualStack: boolean
}

/** A freed address is not given again for this long. Longer: fewer reuses in short runs; shorter: late packets meet the new owner. */
const ADDRESS_REST_US = 30 * US_PER_SECOND
const PODS_PER_NODE = 120
/** Share of the Deployment pods replaced within an hour. */
const CHURN_PER_HOUR = 0.08
const MINUTE_US = 60 * US_PER_SECOND

export function planCluster(topology: Topology, range: SimulationRange): ClusterPlan {
  const isDualStack = topology.edges.some((e) => [e.from, e.to].some((end) => end.type === 'external' && (end.ip ?? end.cidr ?? '').includes(':')))
  const replicas = new Map(topology.workloads.map((w) => [w.key, replicasOf(w, topology)]))
  const wanted = [...replicas.values()].reduce((sum, n) => sum + n, 0)
  const workers = Math.max(2, Math.min(4, Math.ceil(wanted / 30)), Math.ceil(wanted / PODS_PER_NODE))
  const nodes = Array.from({ length: workers + 1 }, (_, index) => planNode(index, isDualStack))
  const placer = new PodPlacer(nodes, createRandom(range.seed, 'pods'), isDualStack)
  for (const workload of topology.workloads) placeInitialPods(placer, workload, replicas.get(workload.key) ?? 0)
  for (const change of plannedChanges(topology, placer.pods, range)) {
    if (change.type === 'replace') replacePod(placer, change.pod, change.atUs)
    else runJob(placer, change.workload, change.atUs)
  }
  const podsOf = new Map<string, PlannedPod[]>(topology.workloads.map((w) => [w.key, []]))
  for (const pod of placer.pods) podsOf.get(pod.workload.key)?.push(pod)
  return { nodes, pods: placer.pods, podsOf, services: planServices(topology), isDualStack }
}

function planNode(index: number, isDualStack: boolean): PlannedNode {
  const high = Math.floor(index / 250)
  return {
    index,
    name: index === 0 ? 'control-plane' : `worker-${index}`,
    ip: `172.18.${high}.${(index % 250) + 2}`,
    podCidrs: [`10.${244 + high}.${index % 250}.0/24`, ...(isDualStack ? [`fd00:10:244:${index.toString(16)}::/64`] : [])],
    isControlPlane: index === 0,
  }
}

/** Pods of a workload where the topology does not say: workloads that call themselves need a second one. */
function replicasOf(workload: TopologyWorkload, topology: Topology): number {
  if (workload.kind === 'CronJob' || workload.kind === 'DaemonSet') return 0
  if (workload.kind === 'Job' || workload.kind === 'Pod') return workload.replicas === 0 ? 0 : 1
  if (workload.replicas !== undefined) return workload.replicas
  if (workload.kind === 'StrimziPodSet') return 3
  const callsItself = topology.edges.some((e) => e.from.type === 'workload' && e.to.type === 'workload' && e.from.workload === workload && e.to.workload === workload)
  return workload.kind === 'StatefulSet' && !callsItself ? 1 : 2
}

/** Hands out nodes and addresses. */
class PodPlacer {
  readonly pods: PlannedPod[] = []
  readonly random: Random
  readonly #nodes: readonly PlannedNode[]
  readonly #isDualStack: boolean
  readonly #nextHost: number[]
  /** Per node, addresses whose pod has gone, oldest first. */
  readonly #freed: { host: number; atUs: number }[][]
  #turn = 0

  constructor(nodes: readonly PlannedNode[], random: Random, isDualStack: boolean) {
    this.#nodes = nodes
    this.random = random
    this.#isDualStack = isDualStack
    this.#nextHost = nodes.map(() => 12 + random.int(8))
    this.#freed = nodes.map(() => [])
  }

  get nodes(): readonly PlannedNode[] {
    return this.#nodes
  }

  /** Workers in turn; the control plane only takes DaemonSet pods. */
  nextWorker(): number {
    this.#turn += 1
    return 1 + (this.#turn % (this.#nodes.length - 1))
  }

  /** A worker on which an address waits to be given again, else the next in turn. */
  workerForNewPod(atUs: number): number {
    for (let i = 1; i < this.#nodes.length; i++) if (this.#rested(i, atUs)) return i
    return this.nextWorker()
  }

  add(identity: PodIdentity, place: { nodeIndex: number; fromUs: number; untilUs: number }): PlannedPod {
    const { nodeIndex, fromUs } = place
    const node = this.#nodes[nodeIndex] as PlannedNode
    const { workload } = identity
    const host = workload.hostNetwork ? 0 : this.#takeHost(nodeIndex, fromUs)
    const podIp = `${(node.podCidrs[0] as string).replace(/0\/24$/, '')}${host}`
    const pod: PlannedPod = {
      ...identity,
      index: this.pods.length,
      ip: workload.hostNetwork ? node.ip : podIp,
      ip6: this.#isDualStack && !workload.hostNetwork ? `fd00:10:244:${nodeIndex.toString(16)}::${host.toString(16)}` : undefined,
      nodeIndex, fromUs, untilUs: place.untilUs,
    }
    this.pods.push(pod)
    if (Number.isFinite(place.untilUs)) this.#free(pod, place.untilUs)
    return pod
  }

  end(pod: PlannedPod, atUs: number): void {
    pod.untilUs = atUs
    this.#free(pod, atUs)
  }

  #free(pod: PlannedPod, atUs: number): void {
    if (!pod.workload.hostNetwork) this.#freed[pod.nodeIndex]?.push({ host: Number(pod.ip.slice(pod.ip.lastIndexOf('.') + 1)), atUs })
  }

  #rested(nodeIndex: number, atUs: number): boolean {
    return (this.#freed[nodeIndex] ?? []).some((f) => f.atUs + ADDRESS_REST_US <= atUs)
  }

  #takeHost(nodeIndex: number, atUs: number): number {
    const freed = this.#freed[nodeIndex] as { host: number; atUs: number }[]
    const rested = freed.findIndex((f) => f.atUs + ADDRESS_REST_US <= atUs)
    if (rested >= 0) return (freed.splice(rested, 1)[0] as { host: number }).host
    const host = this.#nextHost[nodeIndex] as number
    this.#nextHost[nodeIndex] = host + 1
    return host
  }
}

function placeInitialPods(placer: PodPlacer, workload: TopologyWorkload, replicas: number): void {
  const always = { fromUs: -Infinity, untilUs: Infinity }
  if (workload.kind === 'DaemonSet') {
    for (const node of placer.nodes) placer.add(podIdentity(workload, placer.random, { ordinal: node.index }), { nodeIndex: node.index, ...always })
    return
  }
  for (let ordinal = 0; ordinal < replicas; ordinal++) placer.add(podIdentity(workload, placer.random, { ordinal }), { nodeIndex: placer.nextWorker(), ...always })
}

type PlannedChange =
  | { readonly type: 'replace'; readonly atUs: number; readonly pod: PlannedPod }
  | { readonly type: 'run'; readonly atUs: number; readonly workload: TopologyWorkload }

/** Replacements and cron runs in time order. */
function plannedChanges(topology: Topology, pods: readonly PlannedPod[], range: SimulationRange): PlannedChange[] {
  const changes: PlannedChange[] = replacements(pods, range)
  for (const workload of topology.workloads) {
    if (workload.kind !== 'CronJob') continue
    const schedules = schedulesOf(workload, topology)
    for (let t = Math.ceil(range.startUs / MINUTE_US) * MINUTE_US; t < range.endUs; t += MINUTE_US) {
      if (schedules.some((s) => s === undefined ? (t / MINUTE_US) % 10 === 0 : cronMatches(s, t))) changes.push({ type: 'run', atUs: t, workload })
    }
  }
  return changes.map((c, i) => [c, i] as const).sort((a, b) => a[0].atUs - b[0].atUs || a[1] - b[1]).map(([c]) => c)
}

/** The CronJob's own schedule, else those of the edges it opens, else `undefined`: every ten minutes. */
function schedulesOf(workload: TopologyWorkload, topology: Topology): (CronSchedule | undefined)[] {
  if (workload.schedule !== undefined) return [workload.schedule]
  const ofEdges = topology.edges.flatMap((e) => (e.from.type === 'workload' && e.from.workload === workload && e.schedule !== undefined ? [e.schedule] : []))
  return ofEdges.length > 0 ? ofEdges : [undefined]
}

/** Which Deployment pods are replaced when: spread evenly over the middle of the range, none in runs under three minutes. */
function replacements(pods: readonly PlannedPod[], range: SimulationRange): PlannedChange[] {
  const minutes = (range.endUs - range.startUs) / MINUTE_US
  const candidates = pods.filter((p) => p.workload.kind === 'Deployment' && !p.workload.hostNetwork)
  if (minutes < 3) return []
  const random = createRandom(range.seed, 'churn')
  const count = Math.min(candidates.length, Math.max(2, Math.round((candidates.length * CHURN_PER_HOUR * minutes) / 60)))
  const first = range.startUs + (range.endUs - range.startUs) * 0.25
  const step = ((range.endUs - range.startUs) * 0.65) / count
  return Array.from({ length: count }, (_, i) => {
    const [pod] = candidates.splice(random.int(candidates.length), 1) as [PlannedPod]
    return { type: 'replace', atUs: Math.round(first + i * step), pod }
  })
}

/** The new pod is up three seconds before the old one goes, as in a rolling update. */
function replacePod(placer: PodPlacer, old: PlannedPod, atUs: number): void {
  const fromUs = atUs - 3 * US_PER_SECOND
  placer.add(podIdentity(old.workload, placer.random, { ordinal: 0 }), {
    nodeIndex: placer.workerForNewPod(fromUs), fromUs, untilUs: Infinity,
  })
  placer.end(old, atUs)
}

function runJob(placer: PodPlacer, workload: TopologyWorkload, atUs: number): void {
  const fromUs = atUs + US_PER_SECOND + placer.random.int(2 * US_PER_SECOND)
  const untilUs = fromUs + 30 * US_PER_SECOND + placer.random.int(22 * US_PER_SECOND)
  placer.add(podIdentity(workload, placer.random, { ordinal: 0, scheduledUs: atUs }), { nodeIndex: placer.workerForNewPod(fromUs), fromUs, untilUs })
}

function planServices(topology: Topology): PlannedService[] {
  let next = 20
  return topology.services.map((service) => {
    if (service.isHeadless) return { service, clusterIp: 'None' }
    if (service.name === 'kube-dns') return { service, clusterIp: '10.96.0.10' }
    next += 1
    return { service, clusterIp: `10.96.${Math.floor(next / 250)}.${(next % 250) + 1}` }
  })
}
