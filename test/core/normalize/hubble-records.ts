import { createNormalizer, type Normalizer, type NormalizerOptions } from '../../../src/core/normalize/normalizer.ts'
import type { FlowRecord, Outcome } from '../../../src/core/flow/flow-record.ts'

/** Notation for Hubble records in tests: small builders of the exporter's shape. */
export type Json = Record<string, unknown>

export const TIME = '2026-01-02T03:04:05.123456789Z'

/** A pod end: `pod('shop/web-7d4b9c6f58-x2k9p', 'app=web')`. */
export function pod(path: string, ...labels: string[]): Json {
  const [namespace, name] = path.split('/')
  return { ID: 7, identity: 4711, namespace, labels: [...labels.map((l) => `k8s:${l}`), `k8s:io.kubernetes.pod.namespace=${namespace}`], pod_name: name }
}

export function reserved(...names: string[]): Json {
  return { identity: 2, labels: names.map((n) => `reserved:${n}`) }
}

export const WEB = pod('shop/web-7d4b9c6f58-x2k9p', 'app=web')
export const DB = pod('shop/db-0', 'app=db')
export const WORLD = reserved('world')

/** A forwarded TCP trace event from web:40000 to db:5432, changed by `changes`. */
export function flow(changes: Json = {}): Json {
  return {
    time: TIME,
    verdict: 'FORWARDED',
    IP: { source: '10.0.1.10', destination: '10.0.2.20', ipVersion: 'IPv4' },
    l4: tcp(40_000, 5432, 'ACK'),
    source: WEB,
    destination: DB,
    Type: 'L3_L4',
    node_name: 'node-1',
    is_reply: false,
    event_type: { type: 4 },
    traffic_direction: 'EGRESS',
    trace_observation_point: 'TO_STACK',
    ...changes,
  }
}

export function tcp(source: number, destination: number, ...flags: string[]): Json {
  return { TCP: { source_port: source, destination_port: destination, flags: Object.fromEntries(flags.map((f) => [f, true])) } }
}

export function udp(source: number, destination: number): Json {
  return { UDP: { source_port: source, destination_port: destination } }
}

/** What makes `flow()` a reply: ends, addresses and ports exchanged. */
export function reply(changes: Json = {}): Json {
  return flow({
    IP: { source: '10.0.2.20', destination: '10.0.1.10' }, l4: tcp(5432, 40_000, 'ACK'), source: DB, destination: WEB, is_reply: true, ...changes,
  })
}

export function wrap(inner: Json): Json {
  return { flow: inner, node_name: inner.node_name, time: inner.time }
}

const normalizers = new Map<string, Normalizer>()

/** One normalizer per options for all tests: what it saw before must never matter. */
export function normalize(raw: unknown, options: Partial<NormalizerOptions> = {}): Outcome {
  const key = JSON.stringify(options)
  const normalizer = normalizers.get(key) ?? createNormalizer({ cluster: 'c1', ...options })
  normalizers.set(key, normalizer)
  return normalizer.normalize(raw)
}

/** The FlowRecord of a record; throws with the outcome when it is none. */
export function flowOf(raw: unknown, options: Partial<NormalizerOptions> = {}): FlowRecord {
  const outcome = normalize(raw, options)
  if (outcome.kind !== 'flow') throw new Error(`no flow: ${JSON.stringify(outcome)}`)
  return outcome
}

/** `ignored enrichment`, `rejected bad-port`, `flow`. */
export function verdictOf(raw: unknown, options: Partial<NormalizerOptions> = {}): string {
  const outcome = normalize(raw, options)
  return outcome.kind === 'flow' ? 'flow' : outcome.kind === 'ignored' ? `ignored ${outcome.reason}` : `rejected ${outcome.code}`
}

/** `shop/web -> shop/db:5432`, with the kinds of ends that are no pods; both ports when unoriented. */
export function edgeOf(raw: unknown, options: Partial<NormalizerOptions> = {}): string {
  const record = flowOf(raw, options)
  const name = (end: FlowRecord['initiator']): string => (end.kind === 'pod' ? `${end.namespace}/${end.labels.app ?? end.workload?.name ?? end.name}` : end.kind)
  const from = record.orientation === 'unoriented' ? `:${record.initiatorPort}` : ''
  return `${name(record.initiator)}${from} -> ${name(record.responder)}:${record.port}`
}
