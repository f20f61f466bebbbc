import type { FlowRecord } from '../flow/flow-record.ts'
import type { Identity } from '../flow/identity.ts'

/** Addresses remembered so that a repeat costs one lookup. More: fewer repeats after address churn, more memory (about 100 bytes each). */
const MAX_REMEMBERED = 100_000

/**
 * The networks in which pod addresses were seen: /24 for IPv4, /64 for IPv6, as canonical CIDR text. An address of such a
 * network that no record names as a pod is more likely a pod that could not be named than the outside world (T15).
 */
export class PodNetworks {
  private readonly networks = new Set<string>()
  private readonly seen = new Set<string>()

  /** Adds the addresses of those ends of a flow that are pods. */
  add(record: FlowRecord): void {
    this.addEnd(record.initiator, record.initiatorIp)
    this.addEnd(record.responder, record.responderIp)
  }

  /** Sorted by text. */
  list(): string[] {
    return [...this.networks].sort()
  }

  /** Adds an end's address if it is a pod. */
  addEnd(identity: Identity, ip: string): void {
    if (identity.kind !== 'pod' || ip === '' || this.seen.has(ip)) return
    if (this.seen.size >= MAX_REMEMBERED) this.seen.clear()
    this.seen.add(ip)
    this.networks.add(networkOf(ip))
  }
}

/** The /24 or /64 around a canonical address text. */
function networkOf(ip: string): string {
  if (!ip.includes(':')) return `${ip.slice(0, ip.lastIndexOf('.'))}.0/24`
  const [head = '', tail] = ip.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const rest = tail === '' ? [] : tail.split(':')
    while (groups.length + rest.length < 8) groups.push('0')
    groups.push(...rest)
  }
  const network = groups.slice(0, 4)
  while (network.at(-1) === '0') network.pop()
  return `${network.join(':')}::/64`
}
