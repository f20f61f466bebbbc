import { createHash } from 'node:crypto'
import { invariant } from '../../core/base/invariant.ts'
import type { FlowEnd } from '../../core/flow/flow-block.ts'
import { parseAddress } from '../../core/sets/address.ts'
import { identityId } from './identity-id.ts'
import type { IdentityId } from './identity-id.ts'

/** An end of raw flows as the store knows it. */
export interface StoredEnd {
  readonly end: FlowEnd
  readonly id: IdentityId
  /** What flows.addresses holds for this end: nothing for a pod. */
  readonly address: Buffer
  /** '' unless the end is a pod. */
  readonly ip: string
}

const NO_ADDRESS = Buffer.alloc(0)
const UNKNOWN_ADDRESS = Buffer.from([0])

/** See migrations/000009: id over identity, address and pod of pods, and node. */
export function storedEnd(end: FlowEnd): StoredEnd {
  const { identity, pod, node } = end
  const isPod = identity.kind === 'pod'
  const ip = isPod ? end.ip : ''
  const hash = createHash('sha256').update(`${identityId(identity).text}\n${ip}\n${pod}\n${node}`).digest()
  return {
    end, ip, address: isPod ? NO_ADDRESS : addressBytes(end.ip),
    id: { hi: hash.readUInt32BE(0), lo: hash.readUInt32BE(4), text: hash.readBigInt64BE(0).toString() },
  }
}

/** A length byte and the address. */
function addressBytes(ip: string): Buffer {
  if (ip === '') return UNKNOWN_ADDRESS
  const address = parseAddress(ip)
  invariant(address !== undefined, 'a flow has an address that is none', { ip })
  const length = address.family === 4 ? 4 : 16
  const bytes = Buffer.alloc(1 + length)
  bytes[0] = length
  for (let i = length, rest = address.value; i > 0; i--, rest >>= 8n) bytes[i] = Number(rest & 255n)
  return bytes
}
