/**
 * Hubble exporter lines (shape B) of the connections.
 *
 * In: the connections of each tick. Out: JSON lines in order of time (a repeated line comes later with its old time).
 * Invariants: what a Cilium cluster with monitor-aggregation medium, tunnelling and socket load balancing logs: both
 * nodes report, replies are marked, late packets of pods that have gone come from an unnamed pod address.
 * Cost: about twelve lines a connection; memory for the connections still open.
 */
import { US_PER_SECOND } from '../base/time.ts'
import type { Connection, ConnectionStream, EdgePlan } from './connection-stream.ts'
import { MINUTE_US, TICK_US } from './connection-stream.ts'
import { dnsAnswer, dnsQuestion, dnsNamesOf } from './dns-names.ts'
import type { Endpoint, EndpointTable } from './endpoints.ts'
import { EventQueue } from './event-queue.ts'
import { REPEAT_US, scriptOf } from './hubble-steps.ts'
import type { HubbleStep } from './hubble-steps.ts'
import { HubbleText } from './hubble-text.ts'
import type { ClusterPlan, SimulationRange } from './plan-cluster.ts'
import { createRandom, hashText } from './random.ts'
import type { Topology } from './topology.ts'

interface World {
  readonly topology: Topology
  readonly cluster: ClusterPlan
  readonly endpoints: EndpointTable
}

/** A packet that arrives after its sender has gone; the record says neither direction nor reply. */
interface StrayPacket {
  readonly from: Endpoint
  readonly to: Endpoint
  readonly sourcePort: number
  readonly destinationPort: number
  readonly flags: 'RST' | 'FIN'
}

type HubbleEvent = { readonly connection: Connection; readonly step: HubbleStep } | { readonly stray: StrayPacket }

/** One line in this many is logged twice, as where two exporters write the same flows. */
const LINES_PER_DUPLICATE = 400
const DUPLICATE_DELAY_LINES = 40
const TICKS_PER_LOSS_REPORT = MINUTE_US / TICK_US
/** Late packets after each pod's departure, at most. */
const STRAYS_PER_DEPARTURE = 3

export class HubbleWriter {
  readonly #world: World
  readonly #range: SimulationRange
  readonly #stream: ConnectionStream
  readonly #text: HubbleText
  readonly #dnsNames: ReadonlyMap<string, readonly string[]>
  readonly #serviceIps: ReadonlyMap<string, string>
  /** By edge index: the Service's own address. */
  readonly #translated: readonly (string | undefined)[]
  /** By endpoint index: whether its names are visible. */
  readonly #seesNames: readonly boolean[]
  readonly #random
  readonly #queue: EventQueue<HubbleEvent>
  readonly #lost: number[]

  constructor(world: World, options: { range: SimulationRange; stream: ConnectionStream; clusterName: string }) {
    this.#world = world
    this.#range = options.range
    this.#stream = options.stream
    this.#text = new HubbleText(world, { seed: options.range.seed, clusterName: options.clusterName })
    this.#dnsNames = dnsNamesOf(world.topology)
    this.#serviceIps = new Map(world.cluster.services.map((s) => [`${s.service.name}.${s.service.namespace}`, s.clusterIp]))
    this.#translated = world.topology.edges.map(({ via }) => {
      const ip = via?.port === undefined ? undefined : this.#serviceIps.get(`${via.name}.${via.namespace}`)
      return ip === 'None' ? undefined : ip
    })
    this.#seesNames = world.endpoints.all.map(seesNames)
    this.#random = createRandom(options.range.seed, 'hubble')
    this.#queue = new EventQueue(options.range.startUs, TICK_US)
    this.#lost = world.cluster.nodes.map(() => 0)
  }

  *lines(): Generator<string> {
    const repeated: { line: string; afterLine: number }[] = []
    let count = 0
    for (let tick = 0; tick < this.#stream.ticks; tick++) {
      for (const connection of this.#stream.ofTick(tick)) this.#planConnection(connection)
      this.#planStrays(tick)
      for (const { timeUs, item } of this.#queue.drain(tick)) {
        const line = this.#lineOf(timeUs, item)
        if (line === undefined) continue
        yield line
        count += 1
        if (this.#random.uint32() % LINES_PER_DUPLICATE === 0) repeated.push({ line, afterLine: count + DUPLICATE_DELAY_LINES })
        while (repeated.length > 0 && (repeated[0] as { afterLine: number }).afterLine <= count) yield (repeated.shift() as { line: string }).line
      }
      if ((tick + 1) % TICKS_PER_LOSS_REPORT === 0 || tick + 1 === this.#stream.ticks) yield* this.#lostLines(tick)
    }
    for (const { line } of repeated) yield line
  }

  #planConnection(connection: Connection): void {
    const { startUs, endUs } = connection
    const script = scriptOf(connection, { isTranslated: this.#translatedVia(connection) !== undefined, hasDns: this.#hasDns(connection) })
    const jitterUs = connection.sourcePort % 24
    for (const { step, afterUs } of script.open) this.#queue.add(startUs + afterUs + jitterUs, { connection, step })
    for (let atUs = startUs + REPEAT_US; atUs < endUs - US_PER_SECOND / 2; atUs += REPEAT_US) {
      for (const { step, afterUs } of script.repeat) this.#queue.add(atUs + afterUs + jitterUs, { connection, step })
    }
    for (const { step, afterUs } of script.close) this.#queue.add(endUs + afterUs, { connection, step })
  }

  /** Service address of connections from pods on whose node the packet, not the socket, is translated: one pod in five. */
  #translatedVia(connection: Connection): string | undefined {
    const { pod } = connection.client
    return pod === undefined || pod.index % 5 !== 0 ? undefined : this.#translated[connection.edge.index]
  }

  /** Whether the client's DNS goes through the proxy: one workload in three. */
  #hasDns(connection: Connection): boolean {
    return this.#seesNames[connection.client.index] === true && connection.edge.edge.protocol === 'UDP' && isDnsEdge(connection.edge)
  }

  /** Packets that the peer of a departed pod still gets, while its address rests. */
  #planStrays(tick: number): void {
    const perPod = new Map<number, number>()
    for (const { pod, peer, plan, isClient } of this.#stream.departuresOf(tick)) {
      const from = this.#world.endpoints.ghostOf(pod)
      const sent = perPod.get(pod.index) ?? 0
      if (from === undefined || sent >= STRAYS_PER_DEPARTURE) continue
      perPod.set(pod.index, sent + 1)
      const ephemeral = 32768 + this.#random.int(28232)
      const atUs = pod.untilUs + US_PER_SECOND + this.#random.int(5 * US_PER_SECOND)
      const { port } = plan.edge
      const stray: StrayPacket = {
        from, to: peer, flags: this.#random.chance(0.5) ? 'RST' : 'FIN',
        sourcePort: isClient ? ephemeral : port, destinationPort: isClient ? port : ephemeral,
      }
      if (atUs < this.#range.endUs && (peer.pod?.untilUs ?? Infinity) > atUs) this.#queue.add(atUs, { stray })
    }
  }

  #lineOf(timeUs: number, event: HubbleEvent): string | undefined {
    if ('stray' in event) return this.#strayLine(timeUs, event.stray)
    const { connection, step } = event
    const { loss } = connection.edge.edge
    const nodeIndex = step.reporter === 'client' ? connection.client.nodeIndex : connection.server.nodeIndex
    if (loss > 0 && this.#random.chance(loss)) {
      this.#lost[nodeIndex] = (this.#lost[nodeIndex] ?? 0) + 1
      return undefined
    }
    return this.#connectionLine(timeUs, event, nodeIndex)
  }

  #connectionLine(timeUs: number, event: { connection: Connection; step: HubbleStep }, nodeIndex: number): string {
    const { connection: c, step } = event
    const { edge } = c.edge
    const { isReply } = step
    const translated = (step.isTranslated ? this.#translatedVia(c) : undefined) ?? ''
    const serverPort = translated === '' ? edge.port : edge.via?.port ?? edge.port
    const isL7 = step.kind !== 'l4'
    return this.#text.flowLine(timeUs, {
      from: isReply ? c.server : c.client,
      to: isReply ? c.client : c.server,
      fromIp: isReply ? c.serverIp : c.clientIp,
      toIp: isReply ? c.clientIp : c.serverIp,
      fromPort: isReply ? serverPort : c.sourcePort,
      toPort: isReply ? c.sourcePort : serverPort,
      protocol: edge.protocol, nodeIndex, translated, flags: step.flags, isL7,
      tail: isL7 ? this.#dnsText(c, step) : c.server.fqdn === undefined ? step.tail : `${this.#nameText(c, step)}${step.tail}`,
    })
  }

  /** Domain names of an outside end, known where the client's DNS goes through the proxy. */
  #nameText(c: Connection, step: HubbleStep): string {
    if (!this.#seesNames[c.client.index]) return ''
    return `"${step.isReply ? 'source' : 'destination'}_names":[${JSON.stringify(c.server.fqdn)}],`
  }

  #dnsText(c: Connection, step: HubbleStep): string {
    const names = this.#dnsNames.get(c.client.pod?.workload.key ?? '') ?? []
    const name = names[c.sourcePort % Math.max(1, names.length)] ?? 'kubernetes.default.svc.cluster.local.'
    const text = step.kind === 'dns-request' ? dnsQuestion(name) : dnsAnswer(name, this.#serviceIps)
    return `"l7":${text.l7},${step.tail}${text.summary}"}`
  }

  #strayLine(timeUs: number, stray: StrayPacket): string {
    const { from, to } = stray
    const [flags, summary] = stray.flags === 'RST' ? ['"RST":true', 'RST'] : ['"FIN":true,"ACK":true', 'ACK, FIN']
    return this.#text.flowLine(timeUs, {
      from, to, fromIp: from.ip, toIp: to.ip, fromPort: stray.sourcePort, toPort: stray.destinationPort,
      protocol: 'TCP', nodeIndex: to.nodeIndex, translated: '', isL7: false, flags: `,"flags":{${flags}}}}`,
      tail: `"event_type":{"type":4},"traffic_direction":"INGRESS","trace_observation_point":"TO_ENDPOINT","Summary":"TCP Flags: ${summary}"}`,
    })
  }

  /** What each node's ring buffer lost since the last report. */
  *#lostLines(tick: number): Generator<string> {
    const atUs = Math.min(this.#range.startUs + (tick + 1) * TICK_US, this.#range.endUs) - 1
    for (const [nodeIndex, lost] of this.#lost.entries()) {
      if (lost === 0) continue
      this.#lost[nodeIndex] = 0
      yield this.#text.lostLine(atUs, nodeIndex, lost)
    }
  }
}

function isDnsEdge(plan: EdgePlan): boolean {
  return plan.edge.category === 'dns' || plan.edge.port === 53
}

/** Whether names are visible for an endpoint: one workload in three has its DNS proxied. */
function seesNames(client: Endpoint): boolean {
  return client.pod !== undefined && hashText(`dns/${client.pod.workload.key}`) % 3 === 0
}
