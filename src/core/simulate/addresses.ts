import { hashText } from './random.ts'

/** Value of a dotted IPv4 text, or `undefined`. */
export function ipv4Value(text: string): number | undefined {
  const m = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (m === null) return undefined
  const parts = m.slice(1).map(Number)
  return parts.every((p) => p <= 255) ? parts.reduce((sum, p) => sum * 256 + p, 0) : undefined
}

function ipv4Text(value: number): string {
  return `${Math.floor(value / 16_777_216) % 256}.${(value >>> 16) % 256}.${(value >>> 8) % 256}.${value % 256}`
}

/** True for text that is an IPv4 or (in full or shortened form) an IPv6 address. */
export function isAddressText(text: string): boolean {
  if (ipv4Value(text) !== undefined) return true
  if (!/^[0-9a-f:]+$/i.test(text) || text.split('::').length > 2) return false
  const groups = text.split(':').filter((g) => g !== '')
  return groups.every((g) => g.length <= 4) && (text.includes('::') ? groups.length < 8 : groups.length === 8)
}

/** Documentation ranges (RFC 5737), so that invented addresses never name a real host. */
const DOCUMENTATION = ['192.0.2', '198.51.100', '203.0.113'] as const

/** Gives outside ends their addresses: stable per name, and no two names share one while the ranges last (762 addresses). */
export class ExternalAddresses {
  readonly #taken = new Set<string>()
  readonly #byName = new Map<string, string>()

  /** Addresses that the topology names itself are never invented again. */
  reserve(ip: string): void {
    this.#taken.add(ip)
  }

  forName(name: string): string {
    const known = this.#byName.get(name)
    if (known !== undefined) return known
    const start = hashText(`external/${name}`) % 762
    for (let i = 0; i < 762; i++) {
      const n = (start + i) % 762
      const ip = `${DOCUMENTATION[Math.floor(n / 254)]}.${(n % 254) + 1}`
      if (this.#taken.has(ip)) continue
      return this.#keep(name, ip)
    }
    return this.#keep(name, `${DOCUMENTATION[start % 3]}.${(start % 254) + 1}`)
  }

  /** A few stable addresses inside a CIDR; the whole IPv4 space gives documentation addresses. */
  inCidr(cidr: string, count: number): string[] {
    const [base = '', prefixText = '0'] = cidr.split('/')
    const prefix = Number(prefixText)
    const value = ipv4Value(base)
    if (value === undefined) return Array.from({ length: prefix === 128 ? 1 : count }, (_, i) => ipv6Inside(base, prefix, i))
    if (prefix === 0) return Array.from({ length: count }, (_, i) => this.forName(`${cidr}#${i}`))
    const size = 2 ** (32 - prefix)
    const start = Math.floor(value / size) * size
    const offset = hashText(`cidr/${cidr}`)
    const picked = Array.from({ length: Math.min(count, size) }, (_, i) => ipv4Text(start + ((offset + i * 7) % size)))
    return [...new Set(picked)]
  }

  #keep(name: string, ip: string): string {
    this.#taken.add(ip)
    this.#byName.set(name, ip)
    return ip
  }
}

/** IPv6 networks end in `::` as people write them; other forms keep their own address. */
function ipv6Inside(base: string, prefix: number, index: number): string {
  if (base === '::') return `2001:db8::${(index + 0x10).toString(16)}`
  return base.endsWith('::') && prefix <= 112 ? `${base}${(index + 0x10).toString(16)}` : base
}
