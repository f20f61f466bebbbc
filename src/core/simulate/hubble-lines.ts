/**
 * Hubble exporter lines (shape B) of the connections.
 *
 * In: the connections of each minute. Out: JSON lines in order of time (a repeated line comes later with its old time).
 * Invariants: what a Cilium cluster with monitor-aggregation medium, tunnelling and socket load balancing logs: both
 * nodes report, replies are marked, late packets of pods that have gone come from an unnamed pod address.
 * Cost: about twelve lines a connection; memory for the connections still open.
 */
import { US_PER_SECOND } from '../base/time.ts'
import type { Connection, ConnectionStream, EdgePlan } from './connection-stream.ts'
import { MINUTE_US } from './connection-stream.ts'
import { dnsAnswer, dnsQuestion, dnsNamesOf } from './dns-names.ts'
import type { Endpoint, EndpointTable } from './endpoints.ts'
import { EventQueue } from './event-queue.ts'
import type { HubbleEnds } from './hubble-ends.ts'
import { createHubbleEnds } from './hubble-ends.ts'
import { REPEAT_US, scriptOf } from './hubble-steps.ts'
import type { HubbleStep } from './hubble-steps.ts'
import type { ClusterPlan, SimulationRange } from './plan-cluster.ts'
import { createRandom, generatedUuid, hashText, macOf } from './random.ts'
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
/** Late packets after each pod's departure, at most. */
const STRAYS_PER_DEPARTURE = 3

export class HubbleWriter {
  readonly #world: World
  readonly #range: SimulationRange
  readonly #stream: ConnectionStream
  readonly #texts: HubbleEnds
  readonly #nodeNames: readonly string[]
  readonly #macs: readonly string[]
  readonly #dnsNames: ReadonlyMap<string, readonly string[]>
  readonly #serviceIps: ReadonlyMap<string, string>
  readonly #random
  readonly #queue: EventQueue<HubbleEvent>
  readonly #lost: number[]
  #secondStart = -1
  #secondText = ''

  constructor(world: World, options: { range: SimulationRange; stream: ConnectionStream; clusterName: string }) {
    this.#world = world
    this.#range = options.range
    this.#stream = options.stream
    this.#texts = createHubbleEnds(world, options.clusterName)
    this.#nodeNames = world.cluster.nodes.map((n) => JSON.stringify(`${options.clusterName}/${n.name}`))
    this.#macs = world.endpoints.all.map((e) => macOf(e.ip))
    this.#dnsNames = dnsNamesOf(world.topology)
    this.#serviceIps = new Map(world.cluster.services.map((s) => [`${s.service.name}.${s.service.namespace}`, s.clusterIp]))
    this.#random = createRandom(options.range.seed, 'hubble')
    this.#queue = new EventQueue(options.range.startUs, MINUTE_US)
    this.#lost = world.cluster.nodes.map(() => 0)
  }

  *lines(): Generator<string> {
    const repeated: { line: string; afterLine: number }[] = []
    let count = 0
    for (let minute = 0; minute < this.#stream.minutes; minute++) {
      for (const connection of this.#stream.ofMinute(minute)) this.#planConnection(connection)
      this.#planStrays(minute)
      for (const { timeUs, item } of this.#queue.drain(minute)) {
        const line = this.#lineOf(timeUs, item)
        if (line === undefined) continue
        yield line
        count += 1
        if (this.#random.uint32() % LINES_PER_DUPLICATE === 0) repeated.push({ line, afterLine: count + DUPLICATE_DELAY_LINES })
        while (repeated.length > 0 && (repeated[0] as { afterLine: number }).afterLine <= count) yield (repeated.shift() as { line: string }).line
      }
      yield* this.#lostLines(minute)
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
    const { via } = connection.edge.edge
    if (via?.port === undefined || connection.client.pod === undefined || connection.client.pod.index % 5 !== 0) return undefined
    const ip = this.#serviceIps.get(`${via.name}.${via.namespace}`)
    return ip === 'None' ? undefined : ip
  }

  /** Whether the client's DNS goes through the proxy: one workload in three. */
  #hasDns(connection: Connection): boolean {
    const { edge } = connection.edge
    return connection.client.pod !== undefined && isDnsEdge(connection.edge) && edge.protocol === 'UDP' && seesNames(connection.client)
  }

  /** Packets that the peer of a departed pod still gets, while its address rests. */
  #planStrays(minute: number): void {
    const perPod = new Map<number, number>()
    for (const { pod, peer, plan, isClient } of this.#stream.departuresOf(minute)) {
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
    const { client, server } = c
    const { edge } = c.edge
    const clientText = (client.nodeIndex === nodeIndex ? this.#texts.local : this.#texts.remote)[client.index] as string
    const serverText = (server.nodeIndex === nodeIndex ? this.#texts.local : this.#texts.remote)[server.index] as string
    const family = c.serverIp.includes(':') ? 'IPv6' : 'IPv4'
    const translated = step.isTranslated ? this.#translatedVia(c) : undefined
    const serverPort = translated === undefined ? edge.port : edge.via?.port ?? edge.port
    const ips = step.isReply
      ? `"source":"${c.serverIp}",${translated === undefined ? '' : `"source_xlated":"${translated}",`}"destination":"${c.clientIp}"`
      : `"source":"${c.clientIp}","destination":"${c.serverIp}"`
    const ports = step.isReply ? `"source_port":${serverPort},"destination_port":${c.sourcePort}` : `"source_port":${c.sourcePort},"destination_port":${serverPort}`
    const ends = step.isReply ? `"source":${serverText},"destination":${clientText}` : `"source":${clientText},"destination":${serverText}`
    const node = this.#nodeNames[nodeIndex] as string
    const time = this.#timeText(timeUs)
    const isL7 = step.kind !== 'l4'
    const ethernet = isL7 ? '' : `"ethernet":{"source":"${this.#macs[step.isReply ? server.index : client.index]}","destination":"${this.#macs[step.isReply ? client.index : server.index]}"},`
    const body = isL7 ? `"Type":"L7","node_name":${node},${this.#dnsText(c, step)}` : `"Type":"L3_L4","node_name":${node},${this.#nameText(c, step)}${step.tail}`
    return `{"flow":{"time":"${time}","uuid":"${generatedUuid(this.#random)}","verdict":"FORWARDED",${ethernet}"IP":{${ips},"ipVersion":"${family}"},"l4":{"${
      edge.protocol}":{${ports}${step.flags},${ends},${body},"node_name":${node},"time":"${time}"}`
  }

  /** Domain names of an outside end, known where the client's DNS goes through the proxy. */
  #nameText(c: Connection, step: HubbleStep): string {
    if (c.server.fqdn === undefined || !seesNames(c.client)) return ''
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
    const node = this.#nodeNames[to.nodeIndex] as string
    const time = this.#timeText(timeUs)
    const flags = stray.flags === 'RST' ? '"RST":true' : '"FIN":true,"ACK":true'
    return `{"flow":{"time":"${time}","uuid":"${generatedUuid(this.#random)}","verdict":"FORWARDED","ethernet":{"source":"${this.#macs[from.index]}","destination":"${
      this.#macs[to.index]}"},"IP":{"source":"${from.ip}","destination":"${to.ip}","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":${stray.sourcePort},"destination_port":${
      stray.destinationPort},"flags":{${flags}}}},"source":${this.#texts.remote[from.index]},"destination":${this.#texts.local[to.index]},"Type":"L3_L4","node_name":${
      node},"event_type":{"type":4},"traffic_direction":"INGRESS","trace_observation_point":"TO_ENDPOINT","Summary":"TCP Flags: ${
      stray.flags === 'RST' ? 'RST' : 'ACK, FIN'}"},"node_name":${node},"time":"${time}"}`
  }

  /** What each node's ring buffer lost in the minute. */
  *#lostLines(minute: number): Generator<string> {
    const atUs = Math.min(this.#range.startUs + (minute + 1) * MINUTE_US, this.#range.endUs) - 1
    for (const [nodeIndex, lost] of this.#lost.entries()) {
      if (lost === 0) continue
      this.#lost[nodeIndex] = 0
      yield `{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"${lost}","cpu":${nodeIndex % 4}},"node_name":${this.#nodeNames[nodeIndex]},"time":"${this.#timeText(atUs)}"}`
    }
  }

  /** RFC 3339 with nanoseconds; the text of the current second is kept. */
  #timeText(timeUs: number): string {
    const second = Math.floor(timeUs / US_PER_SECOND)
    if (second !== this.#secondStart) {
      this.#secondStart = second
      this.#secondText = new Date(second * 1000).toISOString().slice(0, 19)
    }
    const nanos = (timeUs - second * US_PER_SECOND) * 1000 + 1 + (this.#random.uint32() % 999)
    return `${this.#secondText}.${String(1_000_000_000 + nanos).slice(1)}Z`
  }
}

function isDnsEdge(plan: EdgePlan): boolean {
  return plan.edge.category === 'dns' || plan.edge.port === 53
}

/** Whether names are visible for an endpoint: one workload in three has its DNS proxied. */
function seesNames(client: Endpoint): boolean {
  return client.pod !== undefined && hashText(`dns/${client.pod.workload.key}`) % 3 === 0
}
