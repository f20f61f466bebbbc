import { isWanted, ORIENTATION_BITS } from './edge.ts'
import type { TrafficEdge } from './traffic.ts'

/** Translated replies are known by `is_reply` or by their SYN+ACK; verdict events and conntrack rows speak of the connection itself. */
const NOT_A_REPLY = ORIENTATION_BITS['verdict-event'] | ORIENTATION_BITS.conntrack

/**
 * Finds edges without a port that only echo another: replies whose port was lost in translation (T3), beside an edge of the same
 * parties and protocol that names the port and was seen to work; for outside ends, with all of the echo's addresses.
 * Whatever else lacks its port stays, because it may be traffic that no other edge speaks of.
 */
export function findEchoes(edges: readonly TrafficEdge[]): ReadonlySet<TrafficEdge> {
  const candidates = edges.filter((e) => e.port === 0 && e.orientation !== 'unoriented' && (e.evidence & NOT_A_REPLY) === 0 && !e.manyExternals)
  if (candidates.length === 0) return new Set()
  const conversations = new Set(candidates.map(conversationKey))
  const named = new Map<string, ReadonlySet<string>[]>()
  for (const edge of edges) {
    const key = conversationKey(edge)
    if (!conversations.has(key) || edge.port === 0 || edge.orientation === 'unoriented' || !edge.sightings.some(isWanted)) continue
    const addresses = new Set(edge.externals.map((e) => e.ip))
    const known = named.get(key)
    if (known === undefined) named.set(key, [addresses])
    else known.push(addresses)
  }
  return new Set(candidates.filter((edge) => (named.get(conversationKey(edge)) ?? []).some((addresses) => edge.externals.every((e) => addresses.has(e.ip)))))
}

function conversationKey(e: TrafficEdge): string {
  return `${e.from.key}\u0001${e.to.key}\u0001${e.protocol}`
}
