import { AppError } from '../base/app-error.ts'
import { RecentMap } from '../base/recent-map.ts'
import { METADATA, METADATA_ADDRESSES, NODE_LOCAL_DNS } from '../flow/end.ts'
import { addressClass, parseAddress } from '../sets/address.ts'
import { parseCidr } from '../sets/cidr.ts'
import type { Cidr } from '../sets/cidr.ts'
import { hashText, type TextHash } from './digest.ts'

/** An address of a record, classified once. */
export interface AddressInfo {
  readonly kind: 'address'
  /** Canonical text; '' when the record gives no address. */
  readonly text: string
  readonly hash: TextHash
  /** Multicast, broadcast, unspecified, IPv6 link-local (T22): no policy speaks of it. IPv4 link-local is real traffic: metadata, node-local DNS. */
  readonly isUnroutable: boolean
  readonly isPrivate: boolean
  /** May belong to a pod although no pod is named: inside a pod CIDR, loopback, or the address that stands for a pod calling itself. */
  readonly isPodLike: boolean
  /** A well-known address that is what it is wherever it is seen, whatever a log calls it; else ''. */
  readonly role: AddressRole
}

/** `node-local-dns`: the node's own DNS cache. `metadata`: the cloud's instance metadata, from which credentials can be had. */
export type AddressRole = '' | typeof NODE_LOCAL_DNS | typeof METADATA

const ROLES = new Map<string, AddressRole>([['169.254.20.10', NODE_LOCAL_DNS], ...METADATA_ADDRESSES.map((text) => [text, METADATA] as const)])

/** The address of a record that has none. */
export const NO_ADDRESS: AddressInfo = { kind: 'address', text: '', hash: { a: 0, b: 0 }, isUnroutable: false, isPrivate: false, isPodLike: false, role: '' }

/** Addresses of one of the two generations that are kept. Larger: fewer parses with many outside peers; smaller: less memory (about 200 bytes each). */
const MAX_ADDRESSES = 200_000
/** Cilium's default source address of a pod that reaches itself through its own Service (T9). */
const HAIRPIN = '169.254.42.1'

/** Parses and classifies addresses, remembering what it saw. */
export class AddressCache {
  readonly #known = new RecentMap<string, AddressInfo | null>(MAX_ADDRESSES)
  readonly #podCidrs: readonly Cidr[]

  /** Throws AppError `usage` on a malformed CIDR. */
  constructor(podCidrs: readonly string[]) {
    this.#podCidrs = podCidrs.map((text) => {
      const cidr = parseCidr(text)
      if (cidr === undefined) throw new AppError('usage', `Pod CIDR ${JSON.stringify(text)} is not a CIDR; write it like 10.244.0.0/16.`)
      return cidr
    })
  }

  /** The address, or `null` when the text is none. */
  get(text: string): AddressInfo | null {
    const known = this.#known.get(text)
    if (known !== undefined) return known
    const info = this.#classify(text)
    if (text.length <= 64) this.#known.set(text, info)
    return info
  }

  #classify(text: string): AddressInfo | null {
    const address = parseAddress(text)
    if (address === undefined) return null
    const range = addressClass(address)
    const isUnroutable = range === 'multicast' || range === 'broadcast' || range === 'unspecified' || (range === 'link-local' && address.family === 6)
    const isPodLike = range === 'loopback' || address.text === HAIRPIN || this.#podCidrs.some((c) => c.family === address.family && c.start <= address.value && address.value <= c.end)
    const role = ROLES.get(address.text) ?? ''
    return { kind: 'address', text: address.text, hash: hashText(address.text), isUnroutable, isPrivate: range === 'private', isPodLike: isPodLike && role === '', role }
  }
}
