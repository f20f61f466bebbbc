import { compareText } from '../base/order.ts'
import type { Orientation, Side } from '../flow/flow-record.ts'
import type { AddressInfo } from './address-cache.ts'
import type { End } from './identity-cache.ts'

/** One end of a packet or connection with its address and port (0 = not known). */
export interface Located {
  readonly end: End
  readonly address: AddressInfo
  readonly port: number
  /** The address is a Service's, not yet translated: its port is no pod's port (T8). */
  readonly isService: boolean
}

/** True when a NetworkPolicy could speak of this end, or may turn out to: a pod, or something that looks like one. */
export function isPoliced(located: Located): boolean {
  const { kind } = located.end.identity
  return kind === 'pod' || (kind === 'unknown' && located.address.text !== '')
}

/** What one record knows about who opened the connection. */
export interface OrientationFacts {
  readonly isVerdictEvent: boolean
  readonly isDrop: boolean
  readonly isSyn: boolean
  readonly isAck: boolean
  /** `undefined`: the record does not tell. */
  readonly isReply: boolean | undefined
}

/** Strongest evidence first (DESIGN.md §2): a policy-verdict event is always in the initiator's direction; then the handshake; then conntrack's is_reply. */
export function findOrientation(facts: OrientationFacts): Orientation {
  if (facts.isVerdictEvent) return 'verdict-event'
  if (facts.isSyn) return 'tcp-flags'
  return facts.isReply === undefined ? 'unoriented' : 'is-reply'
}

/** True when the packet's destination opened the connection. Only for oriented records. */
export function isFromResponder(facts: OrientationFacts, orientation: Orientation): boolean {
  if (orientation === 'tcp-flags') return facts.isAck
  return orientation === 'is-reply' && facts.isReply === true
}

/**
 * The reporting side, seen from the end taken as initiator. Hubble's traffic_direction is the connection's direction, computed from is_reply; for
 * drops and policy verdicts, and where is_reply is unknown, it is the packet's direction (T5).
 */
export function sideOf(facts: OrientationFacts, direction: 'ingress' | 'egress' | 'unknown', isSourceFirst: boolean): Side {
  if (direction === 'unknown') return 'unknown'
  const isInverted = facts.isReply === true && !facts.isDrop && !facts.isVerdictEvent
  const isSourceLocal = (direction === 'egress') !== isInverted
  return isSourceLocal === isSourceFirst ? 'client' : 'server'
}

/** Canonical order of the ends of an unoriented record: by identity, address, port. */
export function isInOrder(a: Located, b: Located): boolean {
  const byIdentity = a.end.identity === b.end.identity ? 0 : compareText(a.end.identity.key, b.end.identity.key)
  if (byIdentity !== 0) return byIdentity < 0
  const byAddress = compareText(a.address.text, b.address.text)
  return byAddress !== 0 ? byAddress < 0 : a.port <= b.port
}
