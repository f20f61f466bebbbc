/**
 * CIDR blocks and sets of addresses.
 *
 * In: texts or blocks. Out: canonical immutable sets per family; equal sets have equal representation; `toCidrs` is the
 * unique minimal exact cover. IPv4 and IPv6 never mix: `0.0.0.0/0` holds no IPv6 address.
 * Cost: set operations linear in the intervals of both operands, `has` a binary search.
 */
import { addressText, parseAddress } from './address.ts'
import type { Address, AddressFamily } from './address.ts'
import { BIGINT_STEP, intersectIntervals, intervalsEqual, intervalsHave, normalizeIntervals, subtractIntervals } from './interval-set.ts'
import type { Interval } from './interval-set.ts'

export interface Cidr {
  readonly family: AddressFamily
  /** First and last address. */
  readonly start: bigint
  readonly end: bigint
  readonly prefix: number
  /** Canonical: host bits masked. */
  readonly text: string
}

function bits(family: AddressFamily): number {
  return family === 4 ? 32 : 128
}

function cidrOf(family: AddressFamily, value: bigint, prefix: number): Cidr {
  const hostBits = BigInt(bits(family) - prefix)
  const start = (value >> hostBits) << hostBits
  return { family, start, end: start + (1n << hostBits) - 1n, prefix, text: `${addressText(family, start)}/${prefix}` }
}

/**
 * Parses `address/prefix` and masks host bits (`10.1.2.3/24` is `10.1.2.0/24`). `undefined` when it is no CIDR.
 * An IPv4-mapped block of /96 and longer is the IPv4 block.
 */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/')
  if (slash < 0) return undefined
  const length = text.slice(slash + 1)
  const address = text.slice(0, slash)
  if (!/^(0|[1-9]\d{0,2})$/.test(length) || address.includes('%')) return undefined
  const parsed = parseAddress(address)
  if (parsed === undefined) return undefined
  const prefix = Number(length)
  if (!address.includes(':')) return prefix > 32 ? undefined : cidrOf(4, parsed.value, prefix)
  if (prefix > 128) return undefined
  if (parsed.family === 6) return cidrOf(6, parsed.value, prefix)
  return prefix >= 96 ? cidrOf(4, parsed.value, prefix - 96) : cidrOf(6, (0xffffn << 32n) | parsed.value, prefix)
}

/** The block of one address: /32 or /128. */
export function addressCidr(address: Address): Cidr {
  return cidrOf(address.family, address.value, bits(address.family))
}

/** True when every address of `inner` is in `outer`; never across families. */
export function cidrContains(outer: Cidr, inner: Cidr): boolean {
  return outer.family === inner.family && outer.start <= inner.start && inner.end <= outer.end
}

type Intervals = readonly Interval<bigint>[]

const FULL: Readonly<Record<AddressFamily, Interval<bigint>>> = {
  4: { start: 0n, end: (1n << 32n) - 1n },
  6: { start: 0n, end: (1n << 128n) - 1n },
}

/** A set of IPv4 and IPv6 addresses. */
export class AddressSet {
  static readonly empty: AddressSet = new AddressSet([], [])
  /** Both families. */
  static readonly all: AddressSet = new AddressSet([FULL[4]], [FULL[6]])

  /** Canonical intervals of IPv4. */
  readonly v4: Intervals
  /** Canonical intervals of IPv6. */
  readonly v6: Intervals

  private constructor(v4: Intervals, v6: Intervals) {
    this.v4 = v4
    this.v6 = v6
  }

  static fromCidr(cidr: Cidr): AddressSet {
    return AddressSet.fromCidrs([cidr])
  }

  static fromCidrs(cidrs: Iterable<Cidr>): AddressSet {
    const v4: Cidr[] = []
    const v6: Cidr[] = []
    for (const cidr of cidrs) (cidr.family === 4 ? v4 : v6).push(cidr)
    return AddressSet.fromIntervals(v4, v6)
  }

  static fromAddresses(addresses: Iterable<Address>): AddressSet {
    return AddressSet.fromCidrs([...addresses].map(addressCidr))
  }

  /** The union of any intervals of values, each family apart, in any order. */
  static fromIntervals(v4: Intervals, v6: Intervals): AddressSet {
    return new AddressSet(normalizeIntervals(v4, BIGINT_STEP), normalizeIntervals(v6, BIGINT_STEP))
  }

  get isEmpty(): boolean {
    return this.v4.length === 0 && this.v6.length === 0
  }

  /** Number of addresses. */
  get size(): bigint {
    return [...this.v4, ...this.v6].reduce((n, i) => n + i.end - i.start + 1n, 0n)
  }

  has(address: Address): boolean {
    return intervalsHave(address.family === 4 ? this.v4 : this.v6, address.value)
  }

  union(other: AddressSet): AddressSet {
    if (this.isEmpty) return other
    if (other.isEmpty) return this
    return new AddressSet(normalizeIntervals([...this.v4, ...other.v4], BIGINT_STEP), normalizeIntervals([...this.v6, ...other.v6], BIGINT_STEP))
  }

  intersect(other: AddressSet): AddressSet {
    return new AddressSet(intersectIntervals(this.v4, other.v4), intersectIntervals(this.v6, other.v6))
  }

  subtract(other: AddressSet): AddressSet {
    return new AddressSet(subtractIntervals(this.v4, other.v4, BIGINT_STEP), subtractIntervals(this.v6, other.v6, BIGINT_STEP))
  }

  equals(other: AddressSet): boolean {
    return this === other || (intervalsEqual(this.v4, other.v4) && intervalsEqual(this.v6, other.v6))
  }

  /** The fewest CIDR blocks that hold exactly this set; IPv4 first, then by address. */
  toCidrs(): Cidr[] {
    return [...this.v4.flatMap((i) => intervalCidrs(4, i)), ...this.v6.flatMap((i) => intervalCidrs(6, i))]
  }

  /** The CIDRs of `toCidrs`, joined by commas; `-` for none. */
  toString(): string {
    return this.isEmpty ? '-' : this.toCidrs().map((c) => c.text).join(',')
  }
}

/** Greedy from the left: the largest block that is aligned at `start` and fits. Minimal because blocks are dyadic. */
function intervalCidrs(family: AddressFamily, interval: Interval<bigint>): Cidr[] {
  const cidrs: Cidr[] = []
  let start = interval.start
  while (start <= interval.end) {
    let prefix = bits(family)
    let size = 1n
    while (prefix > 0 && (start & size) === 0n && start + size * 2n - 1n <= interval.end) {
      size *= 2n
      prefix--
    }
    cidrs.push(cidrOf(family, start, prefix))
    start += size
  }
  return cidrs
}
