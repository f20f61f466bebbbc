import { invariant } from '../base/invariant.ts'
import { PROTOCOLS } from '../flow/flow-record.ts'
import type { Protocol } from '../flow/flow-record.ts'
import type { Identity } from '../flow/identity.ts'

/** What names an edge inside one cluster. */
export interface EdgeEnds {
  readonly from: Identity
  readonly to: Identity
  readonly protocol: Protocol
  readonly port: number
  readonly fromPort: number
}

/** Identities one process may intern: two indexes fit exactly into one double. */
const MAX_INDEX = 2 ** 26

/** One number for an ordered pair of identities, by their index in this process. */
export function pairKey(from: Identity, to: Identity): number {
  invariant(from.index < MAX_INDEX && to.index < MAX_INDEX, 'more identities than an index can name', { from: from.index, to: to.index })
  return from.index * MAX_INDEX + to.index
}

const PROTOCOL_CODES: Readonly<Record<Protocol, number>> = {
  TCP: PROTOCOLS.indexOf('TCP'), UDP: PROTOCOLS.indexOf('UDP'), SCTP: PROTOCOLS.indexOf('SCTP'),
}

/** One number for protocol and both ports. */
export function edgePortsKey(protocol: Protocol, port: number, fromPort: number): number {
  return (PROTOCOL_CODES[protocol] * 65_536 + port) * 65_536 + fromPort
}
