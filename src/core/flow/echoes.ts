import { ORIENTATION_BITS } from './edge.ts'
import type { Sighting } from './edge.ts'
import type { TrafficEdge } from './traffic.ts'

/** Translated replies are known by `is_reply` or by their SYN+ACK; verdict events and conntrack rows speak of the connection itself. */
const NOT_A_REPLY = ORIENTATION_BITS['verdict-event'] | ORIENTATION_BITS.conntrack

const isWanted = (s: Sighting): boolean => s.verdict === 'allowed' || s.verdict === 'audit'

/**
 * Finds edges without a port that only echo another: replies whose port was lost in translation (T3), beside an edge of the same
 * parties and protocol that names the port and was seen to work; for outside ends, with all of the echo's addresses.
 * Whatever else lacks its port stays, because it may be traffic that no other edge speaks of.
 */
export function findEchoes(edges: readonly TrafficEdge[]): ReadonlySet<TrafficEdge> {
  const named = new Map<string, TrafficEdge[]>()
  for (const edge of edges) {
    if (edge.port === 0 || edge.orientation === 'unoriented' || !edge.sightings.some(isWanted)) continue
    named.set(conversationKey(edge), [...(named.get(conversationKey(edge)) ?? []), edge])
  }
  return new Set(edges.filter((edge) => {
    if (edge.port !== 0 || edge.orientation === 'unoriented' || (edge.evidence & NOT_A_REPLY) !== 0) return false
    return (named.get(conversationKey(edge)) ?? []).some((other) => {
      const addresses = new Set(other.externals.map((e) => e.ip))
      return !edge.manyExternals && edge.externals.every((e) => addresses.has(e.ip))
    })
  }))
}

function conversationKey(e: TrafficEdge): string {
  return `${e.from.key}\u0001${e.to.key}\u0001${e.protocol}`
}
