import { createHash } from 'node:crypto'
import type { Identity } from '../../core/flow/identity.ts'

/** The stored id of an identity: the first 64 bits of SHA-256 over its key, as two halves for COPY and as signed decimal text for parameters. */
export interface IdentityId {
  readonly hi: number
  readonly lo: number
  readonly text: string
}

/** Ids remembered. Larger: fewer hashes (about a microsecond each); smaller: less memory. Past it everything is forgotten. */
const MAX_KNOWN = 250_000

/** By Identity.index, so that a flow costs a look-up and not a hash. */
const known = new Map<number, IdentityId>()

export function identityId(identity: Identity): IdentityId {
  const cached = known.get(identity.index)
  if (cached !== undefined) return cached
  const hash = createHash('sha256').update(identity.key).digest()
  const id = { hi: hash.readUInt32BE(0), lo: hash.readUInt32BE(4), text: hash.readBigInt64BE(0).toString() }
  if (known.size >= MAX_KNOWN) known.clear()
  known.set(identity.index, id)
  return id
}
