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

/** Identities one numbering may hold: two numbers fit exactly into one double. */
const MAX_IDENTITIES = 2 ** 26

/**
 * Numbers the identities of one batch or one answer, so that pairs of them are small keys. Its own numbers and not those of the process: a
 * process that reads for years meets any number of identities, a batch does not.
 */
export class IdentityNumbers {
  private readonly numbers = new Map<Identity, number>()

  /** One number for an ordered pair of identities, told apart by reference. */
  pairKey(from: Identity, to: Identity): number {
    return this.numberOf(from) * MAX_IDENTITIES + this.numberOf(to)
  }

  private numberOf(identity: Identity): number {
    let number = this.numbers.get(identity)
    if (number === undefined) {
      number = this.numbers.size
      invariant(number < MAX_IDENTITIES, 'more identities than can be numbered', { number })
      this.numbers.set(identity, number)
    }
    return number
  }
}

const PROTOCOL_CODES: Readonly<Record<Protocol, number>> = {
  TCP: PROTOCOLS.indexOf('TCP'), UDP: PROTOCOLS.indexOf('UDP'), SCTP: PROTOCOLS.indexOf('SCTP'),
}

/** One number for protocol and both ports. */
export function edgePortsKey(protocol: Protocol, port: number, fromPort: number): number {
  return (PROTOCOL_CODES[protocol] * 65_536 + port) * 65_536 + fromPort
}
