/**
 * Records of Antrea's flow aggregator (Aggregate mode) as Theia's ClickHouse returns them: JSON rows.
 *
 * In: the connections of each tick. Out: one row per connection when it ends, and one each EXPORT_US while it lives, all with the same start.
 * Invariants: original direction, destination behind the Service; pod labels as JSON in a text; both nodes' reports joined. Leaves out what Antrea
 * does not export: connections without a pod. Cost: memory for the connections still open.
 */
import { US_PER_SECOND } from '../base/time.ts'
import type { Connection, ConnectionStream } from './connection-stream.ts'
import { TICK_US } from './connection-stream.ts'
import type { Endpoint, EndpointTable } from './endpoints.ts'
import { EventQueue } from './event-queue.ts'
import type { ClusterPlan, SimulationRange } from './plan-cluster.ts'
import { createRandom } from './random.ts'

/** The aggregator's activeFlowRecordTimeout, set to half of its default. */
const EXPORT_US = 30 * US_PER_SECOND
const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const
const REASONS = { active: 2, end: 3 } as const

type Fields = Readonly<Record<string, unknown>>

interface Export {
  readonly connection: Connection
  readonly atUs: number
  readonly reason: keyof typeof REASONS
}

export class AntreaWriter {
  readonly #cluster: ClusterPlan
  readonly #range: SimulationRange
  readonly #stream: ConnectionStream
  readonly #random
  readonly #queue: EventQueue<Export>

  constructor(world: { cluster: ClusterPlan; endpoints: EndpointTable }, options: { range: SimulationRange; stream: ConnectionStream }) {
    this.#cluster = world.cluster
    this.#range = options.range
    this.#stream = options.stream
    this.#random = createRandom(options.range.seed, 'antrea')
    this.#queue = new EventQueue(options.range.startUs, TICK_US)
  }

  *lines(): Generator<string> {
    for (let tick = 0; tick < this.#stream.ticks; tick++) {
      for (const connection of this.#stream.ofTick(tick)) this.#plan(connection)
      for (const { item } of this.#queue.drain(tick)) {
        const { loss } = item.connection.edge.edge
        if (loss === 0 || !this.#random.chance(loss)) yield JSON.stringify(this.#row(item))
      }
    }
  }

  #plan(connection: Connection): void {
    const add = (atUs: number, reason: Export['reason']): void => { this.#queue.add(Math.min(atUs, this.#range.endUs - 1), { connection, atUs, reason }) }
    for (let atUs = connection.startUs + EXPORT_US; atUs < connection.endUs; atUs += EXPORT_US) add(atUs, 'active')
    add(connection.endUs, 'end')
  }

  /** The columns of the table `flows`, counters as text: ClickHouse prints 64-bit integers so. */
  #row({ connection, atUs, reason }: Export): Fields {
    const { client, server, edge: { edge } } = connection
    const packets = (edge.protocol === 'TCP' ? 5 : 1) + this.#random.int(20)
    return {
      flowStartSeconds: clickHouseTime(connection.startUs), flowEndSeconds: clickHouseTime(atUs), flowEndReason: REASONS[reason],
      sourceIP: connection.clientIp, destinationIP: connection.serverIp, sourceTransportPort: connection.sourcePort, destinationTransportPort: edge.port,
      protocolIdentifier: PROTOCOLS[edge.protocol], packetTotalCount: String(packets), octetTotalCount: String(packets * 120), packetDeltaCount: String(packets),
      octetDeltaCount: String(packets * 120), reversePacketTotalCount: String(packets), reverseOctetTotalCount: String(packets * 300), reversePacketDeltaCount: String(packets),
      reverseOctetDeltaCount: String(packets * 300),
      ...this.#podColumns('source', client), ...this.#podColumns('destination', server), ...this.#serviceColumns(connection),
      ingressNetworkPolicyName: '', ingressNetworkPolicyNamespace: '', ingressNetworkPolicyRuleName: '', ingressNetworkPolicyRuleAction: 0, ingressNetworkPolicyType: 0,
      egressNetworkPolicyName: '', egressNetworkPolicyNamespace: '', egressNetworkPolicyRuleName: '', egressNetworkPolicyRuleAction: 0, egressNetworkPolicyType: 0,
      tcpState: edge.protocol !== 'TCP' ? '' : reason === 'end' ? 'TIME_WAIT' : 'ESTABLISHED', flowType: flowTypeOf(client, server),
      sourcePodLabels: labelsText(client), destinationPodLabels: labelsText(server), throughput: String(packets * 8), egressName: '', egressIP: '',
    }
  }

  #podColumns(prefix: 'source' | 'destination', { pod }: Endpoint): Fields {
    const values = pod === undefined ? ['', '', ''] : [pod.name, pod.workload.namespace, this.#cluster.nodes[pod.nodeIndex]?.name ?? '']
    return { [`${prefix}PodName`]: values[0], [`${prefix}PodNamespace`]: values[1], [`${prefix}NodeName`]: values[2] }
  }

  /** The Service is known where the client is a pod: its node translates. */
  #serviceColumns({ edge: { edge }, client }: Connection): Fields {
    const isApiServer = edge.to.type === 'kube-apiserver'
    const via = isApiServer ? { namespace: 'default', name: 'kubernetes', port: 443, portName: 'https' } : edge.via
    const planned = this.#cluster.services.find(({ service }) => service.namespace === via?.namespace && service.name === via.name)
    const ip = isApiServer ? '10.96.0.1' : planned === undefined || planned.clusterIp === 'None' ? '' : planned.clusterIp
    if (client.pod === undefined || via?.port === undefined || ip === '') return { destinationClusterIP: '', destinationServicePort: 0, destinationServicePortName: '' }
    return { destinationClusterIP: ip, destinationServicePort: via.port, destinationServicePortName: `${via.namespace}/${via.name}:${via.portName ?? ''}` }
  }
}

function flowTypeOf(client: Endpoint, server: Endpoint): number {
  if (client.pod === undefined) return 4
  if (server.pod === undefined) return 3
  return client.nodeIndex === server.nodeIndex ? 1 : 2
}

function labelsText({ pod }: Endpoint): string {
  return pod === undefined ? '' : JSON.stringify(pod.labels)
}

/** `2026-01-02 03:04:05`, whole seconds. */
function clickHouseTime(us: number): string {
  return new Date(Math.floor(us / US_PER_SECOND) * 1000).toISOString().slice(0, 19).replace('T', ' ')
}
