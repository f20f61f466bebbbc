import { compareText } from '../base/order.ts'
import { formatTimeUs } from '../base/time.ts'
import type { EdgeView, EndView } from '../flow/edge-view.ts'
import type { Side } from '../flow/flow-record.ts'
import type { Connection, ConnectionStream } from './connection-stream.ts'
import type { Endpoint } from './endpoints.ts'

/** A true edge, in the form every output shows edges: workload to workload, outside ends one per address. */
export type TruthEdge = EdgeView

interface Tally {
  readonly connection: Connection
  flows: number
  firstUs: number
  lastUs: number
}

/** The true edges behind the connections, sorted; whatever the log loses is still here. */
export function truthOf(stream: ConnectionStream, cluster: string): TruthEdge[] {
  const tallies = new Map<string, Tally>()
  const texts = new Map<Endpoint, string>()
  for (let tick = 0; tick < stream.ticks; tick++) {
    for (const connection of stream.ofTick(tick)) {
      const { edge } = connection.edge
      const key = `${keyOf(connection.client, connection.server, texts)} ${keyOf(connection.server, connection.client, texts)} ${edge.protocol} ${edge.port}`
      const tally = tallies.get(key)
      if (tally === undefined) {
        tallies.set(key, { connection, flows: 1, firstUs: connection.startUs, lastUs: connection.endUs })
        continue
      }
      tally.flows += 1
      tally.firstUs = Math.min(tally.firstUs, connection.startUs)
      tally.lastUs = Math.max(tally.lastUs, connection.endUs)
    }
  }
  const edges = [...tallies].map(([key, tally]) => [key, truthEdge(tally, cluster)] as const)
  return edges.sort((a, b) => compareText(a[0], b[0])).map(([, edge]) => edge)
}

/** What the end is to a policy: a workload, an address, or a class; a node is `host` to the pods on it. */
function keyOf(end: Endpoint, other: Endpoint, texts: Map<Endpoint, string>): string {
  if (end.kind === 'node') return end.nodeIndex === other.nodeIndex ? 'host' : 'node'
  let text = texts.get(end)
  if (text === undefined) {
    text = end.pod !== undefined ? end.pod.workload.key : end.kind === 'external' ? end.ip : end.kind
    texts.set(end, text)
  }
  return text
}

function endView(end: Endpoint, other: Endpoint, cluster: string): EndView {
  if (end.kind === 'node') return { kind: end.nodeIndex === other.nodeIndex ? 'host' : 'node', cluster }
  if (end.kind === 'external') return { kind: 'external', cluster, cidr: `${end.ip}/${end.ip.includes(':') ? 128 : 32}` }
  if (end.pod === undefined) return { kind: 'kube-apiserver', cluster }
  const { kind, name, namespace, podLabels } = end.pod.workload
  return { kind: 'pod', cluster, namespace, workload: { kind, name }, labels: podLabels }
}

function truthEdge(tally: Tally, cluster: string): TruthEdge {
  const { client, server, edge } = tally.connection
  const sides: Side[] = [...(client.pod === undefined ? [] : ['client' as const]), ...(server.pod === undefined ? [] : ['server' as const])]
  return {
    from: endView(client, server, cluster),
    to: endView(server, client, cluster),
    protocol: edge.edge.protocol,
    port: edge.edge.port,
    flows: tally.flows,
    firstSeen: formatTimeUs(tally.firstUs),
    lastSeen: formatTimeUs(tally.lastUs),
    observedVerdict: 'allowed',
    sides,
    orientation: 'verdict-event',
    labelQuality: 'full',
  }
}
