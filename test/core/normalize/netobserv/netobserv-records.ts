import { createNormalizer, type Normalizer, type NormalizerOptions } from '../../../../src/core/normalize/normalizer.ts'
import type { FlowRecord, Outcome } from '../../../../src/core/flow/flow-record.ts'

export type Json = Record<string, unknown>

/** `podEnd('Src', 'shop/web-7d4b9c6f58-x2k9p', 'Deployment/web', 'worker-1')`: the names FLP adds. */
export function podEnd(prefix: string, path: string, owner: string, host: string): Json {
  const [namespace = '', name = ''] = path.split('/')
  const [ownerType = '', ownerName = ''] = owner.split('/')
  return named(prefix, { Name: name, Namespace: namespace, Type: 'Pod', OwnerType: ownerType, OwnerName: ownerName, HostName: host, HostIP: hostIp(host) })
}

export function nodeEnd(prefix: string, host: string): Json {
  return named(prefix, { Name: host, Namespace: '', Type: 'Node', OwnerType: 'Node', OwnerName: host, HostName: host, HostIP: hostIp(host) })
}

export function serviceEnd(prefix: string, path: string): Json {
  const [namespace = '', name = ''] = path.split('/')
  return named(prefix, { Name: name, Namespace: namespace, Type: 'Service', OwnerType: 'Service', OwnerName: name, HostName: undefined, HostIP: undefined })
}

/** An end without names. */
export function nobody(prefix: string): Json {
  return named(prefix, { Name: undefined, Namespace: undefined, Type: undefined, OwnerType: undefined, OwnerName: undefined, HostName: undefined, HostIP: undefined })
}

function named(prefix: string, fields: Json): Json {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [`${prefix}K8S_${key}`, value]))
}

/** `worker-1` is 172.18.0.3. */
function hostIp(host: string): string {
  return `172.18.0.${Number(host.slice(-1)) + 2}`
}

/** Packets from web:40000 to db:5432 on other nodes, from the middle of a connection, reported by the client's node; changed by `changes`. */
export function record(changes: Json = {}): Json {
  return Object.fromEntries(Object.entries({
    SrcAddr: '10.244.1.10', DstAddr: '10.244.2.20', SrcPort: 40_000, DstPort: 5432, Proto: 6, Etype: 2048, Flags: 16, Packets: 6, Bytes: 1420,
    TimeFlowStartMs: 1_767_323_044_000, TimeFlowEndMs: 1_767_323_045_123, TimeReceived: 1_767_323_046, AgentIP: '172.18.0.3', FlowDirection: 1,
    Interfaces: ['eth0'], IfDirections: [0], K8S_FlowLayer: 'app', K8S_ClusterName: 'theirs',
    ...podEnd('Src', 'shop/web-7d4b9c6f58-x2k9p', 'Deployment/web', 'worker-1'), ...podEnd('Dst', 'shop/db-0', 'StatefulSet/db', 'worker-2'), ...changes,
  }).filter(([, value]) => value !== undefined))
}

/** The answering packets of `record()`, reported by the client's node. */
export function answer(changes: Json = {}): Json {
  return record({
    SrcAddr: '10.244.2.20', DstAddr: '10.244.1.10', SrcPort: 5432, DstPort: 40_000, FlowDirection: 0,
    ...podEnd('Src', 'shop/db-0', 'StatefulSet/db', 'worker-2'), ...podEnd('Dst', 'shop/web-7d4b9c6f58-x2k9p', 'Deployment/web', 'worker-1'), ...changes,
  })
}

/** As the agent sends it: without FLP's names. */
export function bare(changes: Json = {}): Json {
  return record({ ...nobody('Src'), ...nobody('Dst'), K8S_FlowLayer: undefined, K8S_ClusterName: undefined, FlowDirection: undefined, ...changes })
}

const shared: Normalizer = createNormalizer({ cluster: 'c1' })

/** One normalizer for all records without own options: what it saw before must never matter. */
export function read(raw: unknown, options?: Partial<NormalizerOptions>): Outcome {
  return (options === undefined ? shared : createNormalizer({ cluster: 'c1', ...options })).normalize(raw)
}

export function flowOf(raw: unknown, options?: Partial<NormalizerOptions>): FlowRecord {
  const outcome = read(raw, options)
  if (outcome.kind !== 'flow') throw new Error(`no flow: ${JSON.stringify(outcome)}`)
  return outcome
}

export function verdictOf(raw: unknown): string {
  const outcome = read(raw)
  return outcome.kind === 'flow' ? 'flow' : outcome.kind === 'ignored' ? `ignored ${outcome.reason}` : `rejected ${outcome.code}`
}

/** `shop/web -> shop/db:5432 tcp-flags client`; both ports when unoriented. */
export function edgeOf(raw: unknown, options?: Partial<NormalizerOptions>): string {
  const flow = flowOf(raw, options)
  const name = ({ kind, namespace, workload }: FlowRecord['initiator']): string => (kind === 'pod' ? `${namespace}/${workload?.name ?? '?'}` : kind)
  const from = flow.orientation === 'unoriented' ? `:${flow.initiatorPort}` : ''
  return `${name(flow.initiator)}${from} -> ${name(flow.responder)}:${flow.port} ${flow.orientation} ${flow.side}`
}
