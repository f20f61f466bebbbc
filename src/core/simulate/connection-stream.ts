/**
 * The true connections of a simulation, five seconds at a time.
 *
 * In: topology, planned cluster, range, rate. Out: connections between concrete endpoints that live at that moment.
 * Invariants: the same input gives the same connections whatever is rendered from them; every edge that is active and
 * has living ends gets at least one; a source port is fresh per connection. Leaves formats to hubble-lines and
 * calico-rows. Cost: O(edges + connections) a tick, nothing kept.
 */
import { US_PER_SECOND } from '../base/time.ts'
import { cronMatches } from './cron.ts'
import type { Endpoint, EndpointTable } from './endpoints.ts'
import type { ClusterPlan, PlannedPod, SimulationRange } from './plan-cluster.ts'
import { createRandom, hashText } from './random.ts'
import type { Random } from './random.ts'
import type { Topology, TopologyEdge, TopologyEnd, TopologyMoment } from './topology.ts'

export const MINUTE_US = 60 * US_PER_SECOND
/** Connections are drawn for this long at once. Longer: more of them in memory; shorter: more evenly spaced calls. */
export const TICK_US = 5 * US_PER_SECOND

export interface Connection {
  readonly edge: EdgePlan
  readonly startUs: number
  /** After the last packet. */
  readonly endUs: number
  readonly client: Endpoint
  readonly server: Endpoint
  readonly clientIp: string
  readonly serverIp: string
  readonly sourcePort: number
}

/** An edge with the times at which it is active. */
export interface EdgePlan {
  readonly index: number
  readonly edge: TopologyEdge
  readonly ratePerMinute: number
  readonly fromUs: number
  readonly untilUs: number
  /** Of a CronJob at either end: connections follow its pods, not the clock. */
  readonly jobEnd: 'from' | 'to' | undefined
  /** Added before rounding down, so that edges of one rate do not all call at the same time. */
  readonly phase: number
  /** Tick of the only connection of an edge too slow to call within the range; -1 when it calls anyway. */
  readonly forcedTick: number
}

/** Default connections a minute by category; others 6. */
const DEFAULT_RATES: Readonly<Record<string, number>> = { 'kubelet-probe': 4, dns: 4, 'prometheus-scrape': 2, 'kube-apiserver': 3 }
const DEFAULT_RATE = 6
const CONDITIONAL_RATE = 1
const FIRST_EPHEMERAL_PORT = 32768
const EPHEMERAL_PORTS = 28232 // ..60999, the Linux default
/** No connection opens in the last two seconds, so that every one is seen completely. */
const QUIET_END_US = 2 * US_PER_SECOND
const PORT_STRIDE = 7919 // prime to EPHEMERAL_PORTS: every port once before any repeats

export class ConnectionStream {
  readonly edges: readonly EdgePlan[]
  readonly #cluster: ClusterPlan
  readonly #endpoints: EndpointTable
  readonly #range: SimulationRange
  readonly #random: Random
  readonly #nextPort: Uint32Array
  readonly #turns: Uint32Array
  /** Long-running pods that go within the range. */
  readonly #mortal: readonly PlannedPod[]

  constructor(world: { topology: Topology; cluster: ClusterPlan; endpoints: EndpointTable }, range: SimulationRange, rate: number) {
    this.#cluster = world.cluster
    this.#endpoints = world.endpoints
    this.#range = range
    this.#random = createRandom(range.seed, 'connections')
    const phases = createRandom(range.seed, 'phases')
    this.edges = world.topology.edges.map((edge, index) => planEdge({ edge, index }, range, { rate, phases }))
    this.#nextPort = Uint32Array.from(world.endpoints.all, (e) => hashText(`${range.seed}/port/${e.index}/${e.ip}`) % EPHEMERAL_PORTS)
    this.#turns = new Uint32Array(world.topology.edges.length)
    this.#mortal = world.cluster.pods.filter((p) => p.workload.kind !== 'CronJob' && Number.isFinite(p.untilUs))
  }

  /** Ticks of the range; the last may be cut. */
  get ticks(): number {
    return Math.ceil((this.#range.endUs - this.#range.startUs) / TICK_US)
  }

  /** Connections that open in the tick, and later ones of a job pod or a scheduled minute that starts in it. Call for 0, 1, 2… in turn. */
  ofTick(tick: number): Connection[] {
    const startUs = this.#range.startUs + tick * TICK_US
    const out: Connection[] = []
    for (const plan of this.edges) {
      if (plan.jobEnd !== undefined) this.#openOfJobs(plan, startUs, out)
      else if (plan.edge.schedule !== undefined) this.#openOnSchedule(plan, startUs, out)
      else this.#openOnClock(plan, tick, out)
    }
    return out
  }

  /** The pods that went in this tick, each with a peer it used to talk to. */
  departuresOf(tick: number): { pod: PlannedPod; peer: Endpoint; plan: EdgePlan; isClient: boolean }[] {
    const startUs = this.#range.startUs + tick * TICK_US
    const gone = this.#mortal.filter((p) => p.untilUs >= startUs && p.untilUs < startUs + TICK_US)
    return gone.flatMap((pod) => this.edges.flatMap((plan) => {
      const { from, to } = plan.edge
      const isClient = from.type === 'workload' && from.workload === pod.workload
      const other = isClient ? to : to.type === 'workload' && to.workload === pod.workload ? from : undefined
      if (other?.type !== 'workload' || plan.edge.protocol !== 'TCP') return []
      const peer = this.#living(other, pod.untilUs + 2 * US_PER_SECOND).find((e) => e.kind === 'pod')
      return peer === undefined ? [] : [{ pod, peer, plan, isClient }]
    }))
  }

  #openOnClock(plan: EdgePlan, tick: number, out: Connection[]): void {
    const startUs = this.#range.startUs + tick * TICK_US
    this.#openWithin(plan, { fromUs: startUs, untilUs: startUs + TICK_US, count: countInTick(plan, tick, this.#range) }, out)
  }

  /** All connections of a matching minute, drawn in the tick in which it begins. */
  #openOnSchedule(plan: EdgePlan, tickStartUs: number, out: Connection[]): void {
    const minuteUs = Math.floor((tickStartUs + TICK_US - 1) / MINUTE_US) * MINUTE_US
    const isNewMinute = minuteUs >= tickStartUs || tickStartUs === this.#range.startUs
    if (!isNewMinute || plan.edge.schedule === undefined || !cronMatches(plan.edge.schedule, minuteUs)) return
    this.#openWithin(plan, { fromUs: Math.max(minuteUs, tickStartUs), untilUs: minuteUs + MINUTE_US, count: Math.max(1, Math.round(plan.ratePerMinute)) }, out)
  }

  #openWithin(plan: EdgePlan, span: { fromUs: number; untilUs: number; count: number }, out: Connection[]): void {
    const fromUs = Math.max(span.fromUs, plan.fromUs)
    const untilUs = Math.min(span.untilUs, plan.untilUs, this.#range.endUs - QUIET_END_US)
    if (fromUs >= untilUs) return
    for (let i = 0; i < span.count; i++) this.#open(plan, fromUs + Math.floor(this.#random.next() * (untilUs - fromUs)), out)
  }

  #openOfJobs(plan: EdgePlan, startUs: number, out: Connection[]): void {
    const end = plan.jobEnd === 'from' ? plan.edge.from : plan.edge.to
    if (end.type !== 'workload') return
    for (const pod of this.#cluster.podsOf.get(end.workload.key) ?? []) {
      if (pod.fromUs < startUs || pod.fromUs >= startUs + TICK_US) continue
      const span = { fromUs: pod.fromUs + US_PER_SECOND, untilUs: pod.untilUs - 3 * US_PER_SECOND }
      this.#openWithin(plan, { ...span, count: Math.max(1, Math.round(plan.ratePerMinute)) }, out)
    }
  }

  #open(plan: EdgePlan, startUs: number, out: Connection[]): void {
    const { edge } = plan
    const turn = this.#turns[plan.index] as number
    this.#turns[plan.index] = turn + 1
    const server = pickAt(this.#living(edge.to, startUs), turn)
    if (server === undefined) return
    const client = edge.from.type === 'kubelet' ? this.#endpoints.nodes[server.nodeIndex] : this.#clientOf(edge.from, server, startUs)
    if (client === undefined || client === server || (client.pod === undefined && server.pod === undefined)) return
    const isIpv6 = client.ip.includes(':') || server.ip.includes(':')
    const clientIp = isIpv6 ? client.ip6 ?? client.ip : client.ip
    const serverIp = isIpv6 ? server.ip6 ?? server.ip : server.ip
    const limitUs = Math.min(this.#range.endUs, client.pod?.untilUs ?? Infinity, server.pod?.untilUs ?? Infinity) - US_PER_SECOND / 5
    const endUs = Math.min(startUs + this.#durationUs(edge), limitUs)
    out.push({ edge: plan, startUs, endUs, client, server, clientIp, serverIp, sourcePort: this.#freshPort(client) })
  }

  #clientOf(end: TopologyEnd, server: Endpoint, atUs: number): Endpoint | undefined {
    const candidates = this.#living(end, atUs).filter((e) => e !== server)
    return candidates.length === 0 ? undefined : this.#random.pick(candidates)
  }

  /** The endpoints an end stands for at a moment. */
  #living(end: TopologyEnd, atUs: number): readonly Endpoint[] {
    if (end.type === 'external') return this.#endpoints.externals(end)
    if (end.type === 'kube-apiserver') return [this.#endpoints.apiServer]
    if (end.type !== 'workload') return this.#endpoints.nodes
    const living: Endpoint[] = []
    for (const pod of this.#cluster.podsOf.get(end.workload.key) ?? []) {
      if (pod.fromUs + US_PER_SECOND / 2 <= atUs && atUs < pod.untilUs - US_PER_SECOND) living.push(this.#endpoints.ofPod(pod))
    }
    return living
  }

  #freshPort(client: Endpoint): number {
    const at = this.#nextPort[client.index] as number
    this.#nextPort[client.index] = (at + PORT_STRIDE) % EPHEMERAL_PORTS
    return FIRST_EPHEMERAL_PORT + at
  }

  /** Most connections are short; one in twenty of the application's lasts long enough for five-second repeats. */
  #durationUs(edge: TopologyEdge): number {
    const draw = this.#random.next()
    const spread = this.#random.next()
    if (edge.protocol !== 'TCP') return 400 + Math.floor(spread * 20_000)
    if (edge.category === '' && draw < 0.05) return Math.floor((6 + 50 * spread) * US_PER_SECOND)
    if (draw < 0.2) return Math.floor((0.4 + 3.6 * spread) * US_PER_SECOND)
    return 5_000 + Math.floor(spread * 400_000)
  }
}

function pickAt(endpoints: readonly Endpoint[], turn: number): Endpoint | undefined {
  return endpoints.length === 0 ? undefined : endpoints[turn % endpoints.length]
}

function momentUs(moment: TopologyMoment, range: SimulationRange): number {
  return 'atUs' in moment ? moment.atUs : range.startUs + moment.afterUs
}

function planEdge(item: { edge: TopologyEdge; index: number }, range: SimulationRange, drawn: { rate: number; phases: Random }): EdgePlan {
  const { edge, index } = item
  const fromUs = Math.max(range.startUs, edge.startsAt === undefined ? -Infinity : momentUs(edge.startsAt, range))
  const untilUs = Math.min(range.endUs, edge.endsAt === undefined ? Infinity : momentUs(edge.endsAt, range))
  const usual = edge.isConditional ? CONDITIONAL_RATE : DEFAULT_RATES[edge.category] ?? DEFAULT_RATE
  const ratePerMinute = (edge.ratePerMinute ?? usual) * drawn.rate
  const phase = drawn.phases.next()
  const ticks = Math.ceil((Math.min(untilUs, range.endUs - QUIET_END_US) - range.startUs) / TICK_US)
  const first = firstTick(fromUs, range)
  const callsAnyway = Math.floor(phase + ratePerTick(ratePerMinute) * (ticks - first)) >= 1
  const chosen = drawn.phases.next()
  const forcedTick = callsAnyway || ratePerMinute === 0 || ticks <= first ? -1 : first + Math.floor(chosen * (ticks - first))
  return { index, edge, ratePerMinute, fromUs, untilUs, jobEnd: jobEnd(edge), phase, forcedTick }
}

function firstTick(fromUs: number, range: SimulationRange): number {
  return Math.floor((fromUs - range.startUs) / TICK_US)
}

function ratePerTick(ratePerMinute: number): number {
  return (ratePerMinute * TICK_US) / MINUTE_US
}

function jobEnd(edge: TopologyEdge): 'from' | 'to' | undefined {
  if (edge.from.type === 'workload' && edge.from.workload.kind === 'CronJob') return 'from'
  return edge.to.type === 'workload' && edge.to.workload.kind === 'CronJob' ? 'to' : undefined
}

/** How many connections open in a tick: the running total, rounded down, so that slow edges call now and then. */
function countInTick(plan: EdgePlan, tick: number, range: SimulationRange): number {
  if (plan.forcedTick >= 0) return plan.forcedTick === tick ? 1 : 0
  const at = tick - firstTick(plan.fromUs, range)
  const rate = ratePerTick(plan.ratePerMinute)
  return Math.max(0, Math.floor(plan.phase + rate * (at + 1)) - Math.floor(plan.phase + rate * at))
}
