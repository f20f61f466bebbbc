import { createHash } from 'node:crypto'
import type { Identity } from '../../core/flow/identity.ts'

/** The stored id of an identity: the first 64 bits of SHA-256 over its key, as two halves for COPY and as signed decimal text for parameters. */
export interface IdentityId {
  readonly hi: number
  readonly lo: number
  readonly text: string
}

/** By Identity.index, so that a flow costs an array read and not a hash. Grows with the identities this process interned. */
const known: IdentityId[] = []

export function identityId(identity: Identity): IdentityId {
  const cached = known[identity.index]
  if (cached !== undefined) return cached
  const hash = createHash('sha256').update(identity.key).digest()
  const id = { hi: hash.readUInt32BE(0), lo: hash.readUInt32BE(4), text: hash.readBigInt64BE(0).toString() }
  known[identity.index] = id
  return id
}
