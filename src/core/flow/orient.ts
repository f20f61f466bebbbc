/**
 * What other records and cluster state say of who opened a connection; applied when edges are read.
 *
 * In: all edges of a range between parties. Two questions: does an oriented edge stand (a late packet of a forgotten connection looks like a new one
 * towards the client's ephemeral port, T4), and which way does an unoriented one go. Evidence, strongest first: the same edge seen forward;
 * a known listener; port ranges. Contradiction and silence leave an edge unoriented. A function of the set of edges. Cost: O(edges).
 */
import { edgeFlows } from './edge-view.ts'
import type { OrientationView } from './edge-view.ts'
import type { Sighting } from './edge.ts'
import { ORIENTATION_BITS } from './edge.ts'
import type { Protocol } from './flow-record.ts'
import type { Identity } from './identity.ts'
import type { Workload } from './workloads.ts'

/** One end of a traffic edge: a workload, or the class identity of everything that is not a pod. */
export interface Party {
  readonly key: string
  /** `undefined` when the end is not a pod. */
  readonly workload: Workload | undefined
  /** A representative identity; for a workload the best described one. */
  readonly identity: Identity
}

/** Ports that cluster state declares: party, protocol, port. */
export type Listeners = (party: Party, protocol: Protocol, port: number) => boolean

/** What is judged: an edge between parties. */
export interface JudgedEdge {
  readonly from: Party
  readonly to: Party
  readonly protocol: Protocol
  readonly port: number
  /** Not 0 only while unoriented. */
  readonly fromPort: number
  readonly evidence: number
  readonly sightings: readonly Sighting[]
}

/** First port of the range Linux takes client ports from (net.ipv4.ip_local_port_range 32768-60999). */
export const EPHEMERAL_PORT_START = 32_768
/** Ports of NodePort Services, on nodes: as a pod's port neither usual nor a client's. */
const NODE_PORT_START = 30_000
/** Connections to one ephemeral port that no stray explains: each stray hits another. More: rare servers on high ports wait for a SYN; fewer: repeated strays pass. */
const REPEATED_FLOWS = 3

/** Proofs by the handshake or by the policy engine itself; `is_reply` and conntrack forget connections, and then guess. */
const STRONG = ORIENTATION_BITS['verdict-event'] | ORIENTATION_BITS['tcp-flags']

function pairKey(from: Party, to: Party, protocol: Protocol): string {
  return `${from.key}\u0001${to.key}\u0001${protocol}`
}

function listenerKey(party: Party, protocol: Protocol, port: number): string {
  return `${party.key}\u0001${protocol}\u0001${port}`
}

/**
 * Takes back what only `is_reply` or conntrack says of an ephemeral port, unless the port is proven to be a server's: by a handshake or verdict seen at the
 * same party, or by cluster state; or, where the opposite direction was never seen, by repetition. A packet that `is_reply` alone speaks for
 * has no repetition over TCP: there every real connection shows its SYN.
 */
export function withdrawUnproven<T extends JudgedEdge>(edges: readonly T[], isDeclared: Listeners): T[] {
  const usual = new Set<string>()
  const strong = new Set<string>()
  const flows = new Map<string, number>()
  for (const e of edges) {
    if (e.port === 0) continue
    if (e.port < EPHEMERAL_PORT_START) {
      usual.add(pairKey(e.from, e.to, e.protocol))
      continue
    }
    const listener = listenerKey(e.to, e.protocol, e.port)
    if ((e.evidence & STRONG) !== 0) strong.add(listener)
    else flows.set(listener, (flows.get(listener) ?? 0) + edgeFlows(e.sightings))
  }
  const isProven = (e: T): boolean => {
    if (e.port < EPHEMERAL_PORT_START || (e.evidence & STRONG) !== 0) return true
    const listener = listenerKey(e.to, e.protocol, e.port)
    if (strong.has(listener) || isDeclared(e.to, e.protocol, e.port)) return true
    const canRepeat = e.protocol !== 'TCP' || (e.evidence & ORIENTATION_BITS.conntrack) !== 0
    return canRepeat && !usual.has(pairKey(e.to, e.from, e.protocol)) && (flows.get(listener) ?? 0) >= REPEATED_FLOWS
  }
  return edges.map((e) => (isProven(e) ? e : { ...e, evidence: 0 }))
}

interface Judgement {
  readonly by: OrientationView
  /** From the edge's `from` to its `to`. */
  readonly isForward: boolean
}

/** Judges unoriented edges by the oriented ones that stand, by declared listeners, and by ports; `undefined`: nobody knows. */
export function createJudge(oriented: readonly JudgedEdge[], open: readonly JudgedEdge[], isDeclared: Listeners): (edge: JudgedEdge) => Judgement | undefined {
  const forward = new Set<string>()
  const listening = new Set<string>()
  for (const e of oriented) {
    if (e.port === 0 || e.evidence === 0) continue
    forward.add(`${pairKey(e.from, e.to, e.protocol)}\u0001${e.port}`)
    if (e.to.workload !== undefined) listening.add(listenerKey(e.to, e.protocol, e.port))
  }
  const recurring = findRecurring(open)
  const seen = (a: Party, b: Party, e: JudgedEdge, port: number): boolean => forward.has(`${pairKey(a, b, e.protocol)}\u0001${port}`)
  const listens = (party: Party, protocol: Protocol, port: number): boolean => listening.has(listenerKey(party, protocol, port)) || isDeclared(party, protocol, port)
  const isServer = (port: number, other: number, key: string, otherKey: string): boolean =>
    port > 0 && port < NODE_PORT_START && other >= EPHEMERAL_PORT_START && (recurring.has(key) || !recurring.has(otherKey))
  return (e) => {
    const [from, to] = [listenerKey(e.from, e.protocol, e.fromPort), listenerKey(e.to, e.protocol, e.port)]
    const tests: readonly (readonly [OrientationView, () => readonly [boolean, boolean]])[] = [
      ['seen-forward', () => [seen(e.from, e.to, e, e.port), seen(e.to, e.from, e, e.fromPort)]],
      ['listener', () => [listens(e.to, e.protocol, e.port), listens(e.from, e.protocol, e.fromPort)]],
      ['port-range', () => [isServer(e.port, e.fromPort, to, from), isServer(e.fromPort, e.port, from, to)]],
    ]
    for (const [by, ask] of tests) {
      const [isForward, isBackward] = ask()
      if (isForward && isBackward) return undefined
      if (isForward || isBackward) return { by, isForward }
    }
    return undefined
  }
}

/** Ends whose port met several ports of others: a client takes another port each time, so such a port is no client's. */
function findRecurring(open: readonly JudgedEdge[]): ReadonlySet<string> {
  const met = new Map<string, number>()
  const recurring = new Set<string>()
  const note = (key: string, other: number): void => {
    const known = met.get(key)
    if (known === undefined) met.set(key, other)
    else if (known !== other) recurring.add(key)
  }
  for (const e of open) {
    note(listenerKey(e.to, e.protocol, e.port), e.fromPort)
    note(listenerKey(e.from, e.protocol, e.fromPort), e.port)
  }
  return recurring
}
