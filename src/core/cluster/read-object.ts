/** Fields of Kubernetes objects that a snapshot and a history read alike. What is malformed is a problem of the reader and left out. */
import type { ObjectReader } from '../base/object-reader.ts'
import { parseAddress } from '../sets/address.ts'
import type { Address } from '../sets/address.ts'
import { parseCidr } from '../sets/cidr.ts'
import type { Cidr } from '../sets/cidr.ts'
import type { OwnerReference } from './owner.ts'

type Plain = Readonly<Record<string, unknown>>

/** Phases in which a pod no longer holds its address, which may already belong to another pod. */
export const TERMINATED_PHASES: ReadonlySet<string> = new Set(['Succeeded', 'Failed'])

/** Internal and external addresses of a node. */
export function readNodeAddresses(status: Plain, reader: ObjectReader): Address[] {
  const addresses: Address[] = []
  for (const [i, item] of reader.list(status.addresses, 'status.addresses').entries()) {
    const address = reader.object(item, `status.addresses[${i}]`)
    const parsed = typeof address.address === 'string' && /IP$/.test(String(address.type)) ? parseAddress(address.address) : undefined
    if (parsed !== undefined) addresses.push(parsed)
  }
  return addresses
}

/** `podCIDRs`, or `podCIDR` where only that is given. */
export function readPodCidrs(spec: Plain, reader: ObjectReader): Cidr[] {
  const given = reader.list(spec.podCIDRs, 'spec.podCIDRs')
  const texts = given.length > 0 ? given : spec.podCIDR === undefined || spec.podCIDR === null || spec.podCIDR === '' ? [] : [spec.podCIDR]
  const podCidrs: Cidr[] = []
  for (const item of texts) {
    const cidr = typeof item === 'string' ? parseCidr(item) : undefined
    if (cidr === undefined) reader.invalid('spec.podCIDRs', item, 'must be a valid CIDR')
    else podCidrs.push(cidr)
  }
  return podCidrs
}

/** Cluster addresses of a service; none for a headless one. */
export function readServiceAddresses(spec: Plain, reader: ObjectReader): Address[] {
  const listed = reader.list(spec.clusterIPs, 'spec.clusterIPs')
  const texts = listed.length > 0 ? listed : [spec.clusterIP]
  return texts.map((text) => (typeof text === 'string' ? parseAddress(text) : undefined)).filter((a) => a !== undefined)
}

/** `podIPs`, or `podIP` where only that is given; in the order of the object, without repeats. */
export function readPodIps(status: Plain, reader: ObjectReader): Address[] {
  const listed = reader.list(status.podIPs, 'status.podIPs').map((item, i) => reader.object(item, `status.podIPs[${i}]`).ip)
  const texts = listed.length > 0 ? listed : [status.podIP]
  const ips = new Map<string, Address>()
  for (const text of texts) {
    if (text === undefined || text === null || text === '') continue
    const address = typeof text === 'string' ? parseAddress(text) : undefined
    if (address === undefined) reader.invalid('status.podIPs', text, 'must be a valid IP address')
    else ips.set(address.text, address)
  }
  return [...ips.values()]
}

/** The controlling owner, or the first one where none is marked as controller. */
export function readOwner(metadata: Plain, reader: ObjectReader): OwnerReference | undefined {
  const owners = reader.list(metadata.ownerReferences, 'metadata.ownerReferences').map((item, i) => reader.object(item, `metadata.ownerReferences[${i}]`))
  const owner = owners.find((o) => o.controller === true) ?? owners[0]
  if (typeof owner?.kind !== 'string' || typeof owner.name !== 'string') return undefined
  return { kind: owner.kind, name: owner.name }
}
