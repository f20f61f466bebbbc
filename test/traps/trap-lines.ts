/** Lines for the trap tests, each in its format's own shape, and the way of ingest in memory: bytes -> decode -> normalize -> edges -> recommendation. */
import { EdgeBatch } from '../../src/core/aggregate/edge-batch.ts'
import { foldEdges } from '../../src/core/aggregate/fold-edges.ts'
import { PodNetworks } from '../../src/core/aggregate/pod-networks.ts'
import { DigestSet } from '../../src/core/aggregate/digest-set.ts'
import type { ClusterHistory } from '../../src/core/cluster/cluster-history.ts'
import type { EndView } from '../../src/core/flow/edge-view.ts'
import type { CoverageEvent, FlowRecord, Outcome } from '../../src/core/flow/flow-record.ts'
import type { RecommendationDocument } from '../../src/core/generate/recommendation.ts'
import { createNormalizer } from '../../src/core/normalize/normalizer.ts'
import { createDecoder } from '../../src/decode/decode-chunk.ts'
import { viewTraffic } from '../../src/pipeline/observed-traffic.ts'
import type { ObservedTraffic } from '../../src/pipeline/observed-traffic.ts'
import { recommend } from '../../src/pipeline/recommend.ts'

export type Json = Record<string, unknown>

export interface ReadOptions {
  readonly podCidrs?: readonly string[]
  readonly history?: ClusterHistory
  readonly ownWorkloads?: readonly string[]
}

export interface Reading {
  readonly outcomes: readonly Outcome[]
  readonly flows: readonly FlowRecord[]
  /** `flow`, `ignored icmp`, `rejected no-port`, in the order of the lines. */
  readonly kinds: readonly string[]
  readonly coverage: readonly CoverageEvent[]
  readonly observed: ObservedTraffic
  /** `web -> db:5432/TCP is-reply` of every edge as it is read, sorted. */
  readonly edges: readonly string[]
  readonly document: RecommendationDocument
}

/** Reads lines as ingest does; duplicates go by digest. */
export function read(lines: readonly (Json | string)[], options: ReadOptions = {}): Reading {
  const { history, ...rest } = options
  const normalizer = createNormalizer({ cluster: 'default', ...rest, ...(history === undefined ? {} : { history: () => history }) })
  const decoder = createDecoder()
  const bytes = Buffer.from(lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join(''))
  const outcomes = [...decoder.push(bytes), ...decoder.end()].map((item) => item.problem ?? item.outcome ?? normalizer.normalize(item.value))
  const flows = outcomes.filter((o) => o.kind === 'flow')
  const seen = new DigestSet()
  const batch = new EdgeBatch()
  const networks = new PodNetworks()
  for (const flow of flows) {
    if (!seen.add(flow.digestHi, flow.digestLo)) continue
    batch.add(flow)
    networks.add(flow)
  }
  const observed = { edges: foldEdges(batch.windows(), batch.externalPeers()), podNetworks: networks.list(), sinceUs: 0, untilUs: 1 }
  const { traffic } = viewTraffic(observed, 'default')
  return {
    outcomes, flows, observed,
    kinds: outcomes.map((o) => (o.kind === 'flow' ? 'flow' : o.kind === 'ignored' ? `ignored ${o.reason}` : `rejected ${o.code}`)),
    coverage: [...outcomes.flatMap((o) => (o.kind === 'ignored' && o.coverage !== null ? [o.coverage] : [])), ...normalizer.takeCoverage()],
    edges: traffic.map((e) => `${nameOf(e.from.identity)} -> ${nameOf(e.to.identity)}:${e.port}/${e.protocol} ${e.orientation}`).sort(),
    document: recommend(observed, { cluster: 'default' }),
  }
}

function nameOf(end: { kind: string; workload: { name: string } | null; labels: Readonly<Record<string, string>>; name: string }): string {
  return end.kind !== 'pod' ? end.kind : end.workload?.name ?? end.labels.app ?? end.name
}

/** `shop/db from shop/web:5432/TCP`: what each generated rule admits; the policy is named without its workload's kind. */
export function rulesOf(document: RecommendationDocument): string[] {
  const cells = Object.entries(document.evidence).flatMap(([policy, rules]) => Object.entries(rules).flatMap(([rule, edges]) => edges.map((e) => {
    const peer = rule.startsWith('ingress') ? e.from : e.to
    return `${policy.replace(/-deployment$/, '')} ${rule.startsWith('ingress') ? 'from' : 'to'} ${viewName(peer)}:${e.port ?? '?'}/${e.protocol}`
  })))
  return [...new Set(cells)].sort()
}

export function viewName(end: EndView): string {
  return end.cidr ?? (end.kind === 'pod' ? `${end.namespace ?? ''}/${end.workload?.name ?? end.labels?.app ?? end.name ?? '?'}` : end.name ?? end.kind)
}

/** `code from->to:port`. */
export function reviewOf(document: RecommendationDocument): string[] {
  return document.review.flatMap(({ edge, reason }) => (edge === undefined ? [] : [`${reason.code} ${viewName(edge.from)}->${viewName(edge.to)}:${edge.port ?? '?'}`])).sort()
}

// ---- Hubble

let second = 0

/** A time of its own for every line. */
export function tick(): string {
  second++
  return `2026-01-02T03:${String(Math.floor(second / 60) % 60).padStart(2, '0')}:${String(second % 60).padStart(2, '0')}.123456789Z`
}

export const IP = { web: '10.0.1.10', db: '10.0.2.20', dns: '10.0.3.30', api: '10.0.1.40' }

export function pod(app: 'web' | 'db' | 'dns' | 'api', changes: Json = {}): Json {
  const namespace = app === 'dns' ? 'kube-system' : 'shop'
  return {
    ID: 12, identity: 4000 + app.length, cluster_name: 'default', namespace, labels: [`k8s:app=${app}`, `k8s:io.kubernetes.pod.namespace=${namespace}`],
    pod_name: `${app}-7d4b9c6f58-x2k9p`, workloads: [{ name: app, kind: 'Deployment' }], ...changes,
  }
}

export const WORLD: Json = { identity: 2, labels: ['reserved:world'] }

export function tcp(source: number, destination: number, ...flags: string[]): Json {
  return { TCP: { source_port: source, destination_port: destination, ...(flags.length === 0 ? {} : { flags: Object.fromEntries(flags.map((f) => [f, true])) }) } }
}

export function udp(source: number, destination: number): Json {
  return { UDP: { source_port: source, destination_port: destination } }
}

/** An exporter line: web:40000 -> db:5432, SYN, seen at the client. */
export function hubble(changes: Json = {}): Json {
  const time = tick()
  const flow: Json = {
    time, verdict: 'FORWARDED', IP: { source: IP.web, destination: IP.db, ipVersion: 'IPv4' }, l4: tcp(40_000, 5432, 'SYN'), source: pod('web'), destination: pod('db'),
    Type: 'L3_L4', node_name: 'node-1', is_reply: false, event_type: { type: 4, sub_type: 3 }, traffic_direction: 'EGRESS', trace_observation_point: 'TO_STACK', ...changes,
  }
  return { flow: Object.fromEntries(Object.entries(flow).filter(([, v]) => v !== undefined)), node_name: 'node-1', time }
}

/** What makes `hubble()` the answer: ends, addresses and ports exchanged. */
export function answer(changes: Json = {}): Json {
  return hubble({
    IP: { source: IP.db, destination: IP.web, ipVersion: 'IPv4' }, l4: tcp(5432, 40_000, 'ACK'), source: pod('db'), destination: pod('web'), is_reply: true,
    traffic_direction: 'EGRESS', trace_observation_point: 'TO_ENDPOINT', event_type: { type: 4 }, ...changes,
  })
}

// ---- Calico Enterprise

export function calico(changes: Json = {}): Json {
  return {
    start_time: 1_767_323_045, end_time: 1_767_323_345, source_ip: null, source_name: '-', source_name_aggr: 'web-7d4b9c6f58-*', source_namespace: 'shop', source_port: null,
    source_type: 'wep', source_labels: { labels: ['app=web'] }, dest_ip: null, dest_name: '-', dest_name_aggr: 'db-6c9f8b7d54-*', dest_namespace: 'shop', dest_port: 5432,
    dest_type: 'wep', dest_labels: { labels: ['app=db'] }, proto: 'tcp', action: 'allow', reporter: 'src', num_flows: 3, host: 'node-1',
    policies: { all_policies: ['0|__PROFILE__|__PROFILE__.kns.shop|allow|0'], enforced_policies: ['0|__PROFILE__|__PROFILE__.kns.shop|allow|0'] }, ...changes,
  }
}

// ---- NetObserv

export function netobserv(changes: Json = {}): Json {
  return {
    SrcAddr: IP.web, DstAddr: IP.db, SrcPort: 40_000, DstPort: 5432, Proto: 6, Etype: 2048, Flags: 2, FlowDirection: 1, TimeFlowStartMs: 1_767_323_045_000, TimeFlowEndMs: 1_767_323_046_000,
    TimeReceived: 1_767_323_047, AgentIP: '192.168.1.1', Interfaces: ['eth0'], IfDirections: [1], Packets: 5, Bytes: 400,
    SrcK8S_Name: 'web-7d4b9c6f58-x2k9p', SrcK8S_Type: 'Pod', SrcK8S_Namespace: 'shop', SrcK8S_OwnerName: 'web', SrcK8S_OwnerType: 'Deployment', SrcK8S_HostIP: '192.168.1.1', SrcK8S_HostName: 'node-1',
    DstK8S_Name: 'db-6c9f8b7d54-q4w7z', DstK8S_Type: 'Pod', DstK8S_Namespace: 'shop', DstK8S_OwnerName: 'db', DstK8S_OwnerType: 'Deployment', DstK8S_HostIP: '192.168.1.2', DstK8S_HostName: 'node-2',
    ...changes,
  }
}
