/**
 * NetObserv's enriched flows of the connections, as flowlogs-pipeline writes them to Kafka.
 *
 * In: the connections of each tick. Out: JSON lines in order of time, keys sorted. Invariants: one record per direction, reporting node and five seconds
 * (the agent's cacheActiveTimeout); flags or-ed over them, so only the first pair of a connection shows a handshake; a Service that was dialled is
 * seen before translation at the client's node; no labels, no sampling. Cost: memory for the connections still open.
 */
import { US_PER_MS, US_PER_SECOND } from '../base/time.ts'
import type { Connection, ConnectionStream } from './connection-stream.ts'
import { TICK_US } from './connection-stream.ts'
import type { Endpoint, EndpointTable } from './endpoints.ts'
import { EventQueue } from './event-queue.ts'
import type { ClusterPlan, PlannedNode, SimulationRange } from './plan-cluster.ts'
import { createRandom, macOf } from './random.ts'

/** Flows are sent after this long. */
const ACTIVE_TIMEOUT_US = 5 * US_PER_SECOND
const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const
const [SYN, PSH, ACK, SYN_ACK, FIN_ACK] = [2, 8, 16, 256, 512]
/** Of the API server, as cluster-objects.ts lists it. */
const API_SERVICE = { namespace: 'default', name: 'kubernetes', ip: '10.96.0.1', port: 443 }

type Fields = Readonly<Record<string, unknown>>

/** One end of the packets of a record. */
interface PacketEnd {
  readonly ip: string
  readonly port: number
  readonly names: (prefix: string) => Fields
}

/** The packets of one direction in one span. */
interface Packets {
  readonly connection: Connection
  readonly fromUs: number
  readonly untilUs: number
  readonly isReply: boolean
  /** Before translation: the Service stands for the server. */
  readonly isAtService: boolean
  readonly reporter: number
  /** 0 ingress, 1 egress, 2 inner. */
  readonly direction: 0 | 1 | 2
}

interface DialledService {
  readonly namespace: string
  readonly name: string
  readonly ip: string
  readonly port: number
}

export class NetObservWriter {
  readonly #cluster: ClusterPlan
  readonly #range: SimulationRange
  readonly #stream: ConnectionStream
  readonly #clusterName: string
  readonly #random
  readonly #queue: EventQueue<Packets>

  constructor(world: { cluster: ClusterPlan; endpoints: EndpointTable }, options: { range: SimulationRange; stream: ConnectionStream; clusterName: string }) {
    this.#cluster = world.cluster
    this.#range = options.range
    this.#stream = options.stream
    this.#clusterName = options.clusterName
    this.#random = createRandom(options.range.seed, 'netobserv')
    this.#queue = new EventQueue(options.range.startUs, TICK_US)
  }

  *lines(): Generator<string> {
    for (let tick = 0; tick < this.#stream.ticks; tick++) {
      for (const connection of this.#stream.ofTick(tick)) this.#plan(connection)
      for (const { item } of this.#queue.drain(tick)) {
        const { loss } = item.connection.edge.edge
        if (loss === 0 || !this.#random.chance(loss)) yield this.#line(item)
      }
    }
  }

  #plan(connection: Connection): void {
    const { startUs, endUs, client, server } = connection
    for (let fromUs = startUs; fromUs < endUs; fromUs += ACTIVE_TIMEOUT_US) {
      const span = { connection, fromUs, untilUs: Math.min(fromUs + ACTIVE_TIMEOUT_US, endUs) }
      if (client.nodeIndex === server.nodeIndex) this.#add(span, { reporter: client.nodeIndex, forward: 2, reply: 2, isAtService: false })
      else {
        if (client.nodeIndex >= 0) this.#add(span, { reporter: client.nodeIndex, forward: 1, reply: 0, isAtService: false })
        if (server.nodeIndex >= 0) this.#add(span, { reporter: server.nodeIndex, forward: 0, reply: 1, isAtService: false })
      }
      if (client.pod !== undefined && this.#serviceOf(connection) !== undefined) this.#add(span, { reporter: client.nodeIndex, forward: 1, reply: 0, isAtService: true })
    }
  }

  #add(span: Pick<Packets, 'connection' | 'fromUs' | 'untilUs'>, seen: { reporter: number; forward: 0 | 1 | 2; reply: 0 | 1 | 2; isAtService: boolean }): void {
    const { reporter, isAtService } = seen
    const atUs = Math.min(span.untilUs, this.#range.endUs - 1)
    this.#queue.add(atUs, { ...span, isReply: false, isAtService, reporter, direction: seen.forward })
    this.#queue.add(atUs, { ...span, isReply: true, isAtService, reporter, direction: seen.reply })
  }

  /** The Service that the client dials, where it has an address of its own. */
  #serviceOf({ edge: { edge }, serverIp }: Connection): DialledService | undefined {
    if (serverIp.includes(':')) return undefined
    if (edge.to.type === 'kube-apiserver') return API_SERVICE
    const { via } = edge
    if (via?.port === undefined) return undefined
    const planned = this.#cluster.services.find(({ service }) => service.namespace === via.namespace && service.name === via.name)
    return planned === undefined || planned.clusterIp === 'None' ? undefined : { namespace: via.namespace, name: via.name, ip: planned.clusterIp, port: via.port }
  }

  #line(p: Packets): string {
    const { connection, fromUs, untilUs } = p
    const { protocol } = connection.edge.edge
    const client = { ip: connection.clientIp, port: connection.sourcePort, names: this.#namesOf(connection.client) }
    const server = this.#serverEnd(connection, p.isAtService)
    const [from, to] = p.isReply ? [server, client] : [client, server]
    const packets = (protocol === 'TCP' ? 3 : 1) + this.#random.int(6)
    const node = this.#cluster.nodes[p.reporter] as PlannedNode
    const record: Record<string, unknown> = {
      ...from.names('Src'), ...to.names('Dst'),
      SrcAddr: from.ip, DstAddr: to.ip, SrcPort: from.port, DstPort: to.port, SrcMac: macOf(from.ip).toUpperCase(), DstMac: macOf(to.ip).toUpperCase(),
      Proto: PROTOCOLS[protocol], Etype: from.ip.includes(':') ? 34_525 : 2048, ...(protocol === 'TCP' ? { Flags: flagsOf(p) } : {}), Dscp: 0,
      Bytes: packets * (66 + this.#random.int(900)), Packets: packets,
      TimeFlowStartMs: Math.floor(fromUs / US_PER_MS), TimeFlowEndMs: Math.floor(untilUs / US_PER_MS), TimeReceived: Math.floor(untilUs / US_PER_SECOND) + 1,
      AgentIP: node.ip, FlowDirection: p.direction, Interfaces: p.direction === 2 ? ['eth0'] : ['eth0', 'genev_sys_6081'], IfDirections: p.direction === 2 ? [0] : [0, 1],
      K8S_ClusterName: this.#clusterName, K8S_FlowLayer: 'app', Sampling: 1,
    }
    return JSON.stringify(Object.fromEntries(Object.keys(record).sort().map((key) => [key, record[key]])))
  }

  #serverEnd(connection: Connection, isAtService: boolean): PacketEnd {
    const service = isAtService ? this.#serviceOf(connection) : undefined
    if (service === undefined) return { ip: connection.serverIp, port: connection.edge.edge.port, names: this.#namesOf(connection.server) }
    const { namespace, name, ip, port } = service
    return { ip, port, names: (prefix) => prefixed(prefix, { Name: name, Type: 'Service', Namespace: namespace, OwnerName: name, OwnerType: 'Service' }) }
  }

  #namesOf(end: Endpoint): PacketEnd['names'] {
    const node = this.#cluster.nodes[end.nodeIndex]
    if (node === undefined) return () => ({})
    const host = { HostIP: node.ip, HostName: node.name }
    const { pod } = end
    if (pod === undefined) return (prefix) => prefixed(prefix, { Name: node.name, Type: 'Node', Namespace: '', OwnerName: node.name, OwnerType: 'Node', ...host })
    const { kind, namespace, name } = pod.workload
    // The pipeline's informers stop at the Job of a CronJob.
    const owner = kind === 'CronJob' ? { OwnerName: pod.owner ?? name, OwnerType: 'Job' } : { OwnerName: name, OwnerType: kind }
    return (prefix) => prefixed(prefix, { Name: pod.name, Type: 'Pod', Namespace: namespace, ...owner, ...host })
  }
}

function prefixed(prefix: string, fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [`${prefix}K8S_${key}`, value]))
}

/** What the agent or-s over the span's packets of one direction: the answer to a SYN is SYN_ACK only. */
function flagsOf({ connection, fromUs, untilUs, isReply }: Packets): number {
  const opening = fromUs === connection.startUs ? (isReply ? SYN_ACK : SYN) : 0
  const closing = untilUs === connection.endUs ? FIN_ACK : 0
  return opening | closing | ACK | PSH
}
