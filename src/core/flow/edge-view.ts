import { formatTimeUs } from '../base/time.ts'
import { compareText } from '../base/order.ts'
import { UNVERIFIED_PRIVATE } from './end.ts'
import type { EndKind, LabelQuality, WorkloadRef } from './end.ts'
import type { ObservedEdge } from './edge.ts'
import { ORIENTATION_BITS } from './edge.ts'
import type { ObservedVerdict, Orientation, Protocol, Side } from './flow-record.ts'
import type { Identity } from './identity.ts'

/** One end as every output shows it (CONTRACTS "End"). */
export interface EndView {
  readonly kind: EndKind
  readonly cluster: string
  readonly namespace?: string
  readonly workload?: WorkloadRef
  readonly labels?: Readonly<Record<string, string>>
  readonly cidr?: string
  readonly name?: string
}

/** How the edge's direction is known: a record proved it, or other records did (`seen-forward`, `listener`, `port-range`). */
export type OrientationView = Orientation | 'seen-forward' | 'listener' | 'port-range'

/** One edge as every output shows it (CONTRACTS "Edge"). Times RFC 3339, port = pod port or null. */
export interface EdgeView {
  readonly from: EndView
  readonly to: EndView
  readonly protocol: Protocol
  readonly port: number | null
  readonly flows: number
  readonly firstSeen: string
  readonly lastSeen: string
  readonly observedVerdict: ObservedVerdict
  readonly sides: readonly Side[]
  readonly orientation: OrientationView
  readonly labelQuality: LabelQuality
}

export function endView(identity: Identity, address?: string): EndView {
  return {
    kind: identity.kind,
    cluster: identity.cluster,
    ...(identity.namespace === '' ? {} : { namespace: identity.namespace }),
    ...(identity.workload === null ? {} : { workload: identity.workload }),
    ...(identity.kind === 'pod' ? { labels: identity.labels } : {}),
    ...(address === undefined || address === '' ? {} : { cidr: address.includes('/') ? address : `${address}/${address.includes(':') ? 128 : 32}` }),
    // UNVERIFIED_PRIVATE is no name: it only says how well the log knows the address.
    ...(identity.name === '' || (identity.kind === 'external' && identity.name === UNVERIFIED_PRIVATE) ? {} : { name: identity.name }),
  }
}

/** Best first. */
export const QUALITY_ORDER: readonly LabelQuality[] = ['full', 'identity-subset', 'intersection', 'none']

/** The poorer of two qualities. */
export function poorerQuality(a: LabelQuality, b: LabelQuality): LabelQuality {
  return QUALITY_ORDER.indexOf(a) >= QUALITY_ORDER.indexOf(b) ? a : b
}

/** Quality of an edge: the poorer of its pods' label qualities; `none` when neither end is a pod. */
export function edgeQuality(from: Identity, to: Identity): LabelQuality {
  if (from.kind === 'pod' && to.kind === 'pod') return poorerQuality(from.labelQuality, to.labelQuality)
  return from.kind === 'pod' ? from.labelQuality : to.kind === 'pod' ? to.labelQuality : 'none'
}

/** The strongest evidence in a bit set. */
export function strongestOrientation(bits: number): Orientation {
  for (const name of ['verdict-event', 'tcp-flags', 'is-reply', 'conntrack'] as const) if ((bits & ORIENTATION_BITS[name]) !== 0) return name
  return 'unoriented'
}

const VERDICT_ORDER: readonly ObservedVerdict[] = ['denied', 'audit', 'allowed', 'error', 'unknown']
const SIDE_ORDER: readonly Side[] = ['client', 'server', 'unknown']

/** What the sightings say together: any policy denial first, then audit, allowed, error. */
export function combinedVerdict(verdicts: Iterable<ObservedVerdict>): ObservedVerdict {
  const seen = new Set(verdicts)
  return VERDICT_ORDER.find((v) => seen.has(v)) ?? 'unknown'
}

/**
 * The flows of an edge: the larger of what the two sides counted, because both saw the same connections; sightings of
 * an unknown side count only where neither side reported.
 */
export function edgeFlows(sightings: readonly { side: Side; flows: number }[]): number {
  const bySide = { client: 0, server: 0, unknown: 0 }
  for (const s of sightings) bySide[s.side] += s.flows
  return Math.max(bySide.client, bySide.server) || bySide.unknown
}

export interface EdgeViewOptions {
  readonly orientation?: OrientationView
  /** Show this outside address and only its sightings. */
  readonly address?: string
}

/** An observed edge as outputs show it; with `address`, narrowed to that outside address. */
export function edgeView(edge: ObservedEdge, options: EdgeViewOptions = {}): EdgeView {
  const { address } = options
  const sightings = address === undefined ? edge.sightings : edge.externals.filter((e) => e.ip === address)
  const firstAtUs = sightings.reduce((t, s) => Math.min(t, s.firstAtUs), Infinity)
  const lastAtUs = sightings.reduce((t, s) => Math.max(t, s.lastAtUs), -Infinity)
  const sides = [...new Set(sightings.map((s) => s.side))].sort((a, b) => SIDE_ORDER.indexOf(a) - SIDE_ORDER.indexOf(b))
  return {
    from: endView(edge.from, edge.from.kind === 'external' ? address : undefined),
    to: endView(edge.to, edge.to.kind === 'external' ? address : undefined),
    protocol: edge.protocol,
    port: edge.port === 0 ? null : edge.port,
    flows: edgeFlows(sightings),
    firstSeen: formatTimeUs(firstAtUs),
    lastSeen: formatTimeUs(lastAtUs),
    observedVerdict: combinedVerdict(sightings.map((s) => s.verdict)),
    sides,
    orientation: options.orientation ?? strongestOrientation(edge.evidence),
    labelQuality: edgeQuality(edge.from, edge.to),
  }
}

/** Orders edges the way every output lists them. */
export function edgeOrderKey(e: EdgeView): string {
  const end = (x: EndView): string => `${x.namespace ?? ''}\u0000${x.workload?.name ?? ''}\u0000${x.workload?.kind ?? ''}\u0000${x.kind}\u0000${x.cidr ?? ''}\u0000${x.name ?? ''}\u0000${JSON.stringify(x.labels ?? {})}`
  return `${end(e.from)}\u0001${end(e.to)}\u0001${e.protocol}\u0001${String(e.port ?? 0).padStart(5, '0')}\u0001${e.observedVerdict}\u0001${e.firstSeen}`
}

export function sortEdgeViews<T>(items: readonly T[], edgeOf: (item: T) => EdgeView): T[] {
  return items.map((item) => [edgeOrderKey(edgeOf(item)), item] as const).sort((a, b) => compareText(a[0], b[0])).map(([, item]) => item)
}
