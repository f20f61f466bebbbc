import { compareText } from '../base/order.ts'
import { EXTERNAL_PEER_LIMIT } from '../flow/edge.ts'
import type { ExternalPeer, Sighting } from '../flow/edge.ts'
import type { EdgeEnds } from './edge-keys.ts'

/** Says that an edge had more than EXTERNAL_PEER_LIMIT outside addresses on one UTC day. */
export interface ExternalOverflow extends EdgeEnds {
  readonly dayStartUs: number
}

/**
 * A well-mixed 53-bit hash of an address text: exact as a number and as a PostgreSQL bigint. Ties are broken by the text,
 * so the order is total. Two multiplicative lanes (the constants of MurmurHash3's finaliser and of golden-ratio hashing).
 */
export function addressHash(ip: string): number {
  let a = 0x2545f491
  let b = 0x9e3779b9
  for (let i = 0; i < ip.length; i++) {
    const c = ip.charCodeAt(i)
    a = Math.imul(a ^ c, 0x85ebca6b)
    b = Math.imul(b ^ c, 0xc2b2ae35)
    a ^= a >>> 15
    b ^= b >>> 13
  }
  a = mix(a ^ (b << 7))
  b = mix(b ^ a)
  return (a >>> 0) * 2_097_152 + (b >>> 11)
}

function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return x ^ (x >>> 16)
}

interface Kept {
  readonly ip: string
  readonly hash: number
  /** One per (side, verdict): five at the very most in practice, so a list beats a map. */
  readonly peers: ExternalPeer[]
}

/**
 * The outside addresses of one edge on one UTC day: exact up to EXTERNAL_PEER_LIMIT distinct addresses, beyond that the
 * ones with the smallest hashes. Which are kept depends on the set of addresses and never on their order, and the counts
 * of those kept are complete: an address in the final sample was under the threshold at all times.
 */
export class BottomAddresses {
  private readonly ends: EdgeEnds
  private readonly dayStartUs: number
  private readonly kept = new Map<string, Kept>()
  /** Set once addresses were dropped: the largest kept (hash, address); anything above is dropped unseen. */
  private threshold: Kept | null = null

  constructor(ends: EdgeEnds, dayStartUs: number) {
    this.ends = ends
    this.dayStartUs = dayStartUs
  }

  /** Adds one sighting of an address; times must lie within the day, or before it for a long-lived connection. */
  add(ip: string, seen: Sighting): void {
    let entry = this.kept.get(ip)
    if (entry === undefined) {
      entry = { ip, hash: addressHash(ip), peers: [] }
      if (this.threshold !== null && compareKept(entry, this.threshold) > 0) return
      this.kept.set(ip, entry)
      // Twice the limit before a cut makes the sort's cost O(log n) per address.
      if (this.kept.size >= EXTERNAL_PEER_LIMIT * 2) this.cut()
    }
    this.merge(entry, seen)
  }

  /** Appends the kept rows. */
  appendTo(all: ExternalPeer[]): void {
    if (this.kept.size > EXTERNAL_PEER_LIMIT) this.cut()
    for (const entry of this.kept.values()) for (const peer of entry.peers) all.push(peer)
  }

  /** A mark when there were more addresses than are kept, else null. */
  overflow(): ExternalOverflow | null {
    if (this.kept.size > EXTERNAL_PEER_LIMIT) this.cut()
    return this.threshold === null ? null : { ...this.ends, dayStartUs: this.dayStartUs }
  }

  private merge(entry: Kept, seen: Sighting): void {
    for (const peer of entry.peers) {
      if (peer.side !== seen.side || peer.verdict !== seen.verdict) continue
      peer.flows += seen.flows
      if (seen.firstAtUs < peer.firstAtUs) peer.firstAtUs = seen.firstAtUs
      if (seen.lastAtUs > peer.lastAtUs) peer.lastAtUs = seen.lastAtUs
      return
    }
    entry.peers.push({ ...this.ends, ...seen, dayStartUs: this.dayStartUs, ip: entry.ip })
  }

  private cut(): void {
    const sorted = [...this.kept.values()].sort(compareKept)
    for (const entry of sorted.slice(EXTERNAL_PEER_LIMIT)) this.kept.delete(entry.ip)
    this.threshold = sorted[EXTERNAL_PEER_LIMIT - 1] ?? null
  }
}

function compareKept(a: Kept, b: Kept): number {
  return a.hash - b.hash || compareText(a.ip, b.ip)
}
