/**
 * IP addresses: strict parsing to one canonical form, and their classes. The only importer of ipaddr.js.
 */
import ipaddr from 'ipaddr.js'

export type AddressFamily = 4 | 6

export interface Address {
  readonly family: AddressFamily
  /** The address as an unsigned number of 32 or 128 bits. */
  readonly value: bigint
  /** Canonical: dotted decimal, or RFC 5952. */
  readonly text: string
}

const MAPPED_PREFIX = 0xffffn

/** The value of dotted decimal text, or -1. Refuses leading zeros: some parsers read them as octal. */
function parseDotted(text: string): number {
  let value = 0
  let octet = -1
  let octets = 0
  for (let i = 0; i <= text.length; i++) {
    const code = i === text.length ? 46 : text.charCodeAt(i)
    if (code === 46) {
      if (octet < 0 || ++octets > 4) return -1
      value = value * 256 + octet
      octet = -1
    } else if (code >= 48 && code <= 57) {
      if (octet === 0) return -1
      octet = (octet < 0 ? 0 : octet * 10) + code - 48
      if (octet > 255) return -1
    } else return -1
  }
  return octets === 4 ? value : -1
}

/** The value of IPv6 text without zone, or `undefined`. */
function parseColons(text: string): bigint | undefined {
  const dotted = text.slice(text.lastIndexOf(':') + 1)
  if (dotted.includes('.') && parseDotted(dotted) < 0) return undefined
  if (text.length > 45 || !/^[0-9a-fA-F:.]+$/.test(text) || !ipaddr.IPv6.isValid(text)) return undefined
  let value = 0n
  for (const part of ipaddr.IPv6.parse(text).parts) value = (value << 16n) | BigInt(part)
  return value
}

/**
 * Parses an IPv4 or IPv6 address. `undefined` when it is none, or has leading zeros in an octet.
 * IPv4-mapped IPv6 (`::ffff:10.0.0.1`) becomes IPv4; a zone (`fe80::1%eth0`) is stripped.
 */
export function parseAddress(text: string): Address | undefined {
  if (!text.includes(':')) {
    const value = parseDotted(text)
    return value < 0 ? undefined : { family: 4, value: BigInt(value), text }
  }
  const zone = text.indexOf('%')
  const value = parseColons(zone < 0 ? text : text.slice(0, zone))
  if (value === undefined) return undefined
  return value >> 32n === MAPPED_PREFIX ? addressOf(4, value & 0xffff_ffffn) : addressOf(6, value)
}

/** The address of a number. */
export function addressOf(family: AddressFamily, value: bigint): Address {
  return { family, value, text: addressText(family, value) }
}

/** Canonical text of a number as an address. */
export function addressText(family: AddressFamily, value: bigint): string {
  if (family === 4) {
    const v = Number(value)
    return `${v >>> 24}.${(v >>> 16) & 255}.${(v >>> 8) & 255}.${v & 255}`
  }
  const parts: number[] = []
  for (let shift = 112n; shift >= 0n; shift -= 16n) parts.push(Number((value >> shift) & 0xffffn))
  return new ipaddr.IPv6(parts).toRFC5952String()
}

export type AddressClass = 'unspecified' | 'multicast' | 'broadcast' | 'link-local' | 'loopback' | 'private' | 'public'

/** `private`: RFC 1918, carrier-grade NAT 100.64.0.0/10, and IPv6 unique local fc00::/7. */
export function addressClass(address: Address): AddressClass {
  return address.family === 4 ? class4(Number(address.value)) : class6(address.value)
}

function class4(value: number): AddressClass {
  const first = value >>> 24
  const second = (value >>> 16) & 255
  if (value === 0) return 'unspecified'
  if (value === 0xffff_ffff) return 'broadcast'
  if (first >= 224 && first <= 239) return 'multicast'
  if (first === 127) return 'loopback'
  if (first === 169 && second === 254) return 'link-local'
  const isPrivate = first === 10 || (first === 172 && second >= 16 && second <= 31) || (first === 192 && second === 168) || (first === 100 && second >= 64 && second <= 127)
  return isPrivate ? 'private' : 'public'
}

function class6(value: bigint): AddressClass {
  if (value === 0n) return 'unspecified'
  if (value === 1n) return 'loopback'
  const top = Number(value >> 112n)
  if (top >= 0xff00) return 'multicast'
  if (top >= 0xfe80 && top <= 0xfebf) return 'link-local'
  return top >= 0xfc00 && top <= 0xfdff ? 'private' : 'public'
}
