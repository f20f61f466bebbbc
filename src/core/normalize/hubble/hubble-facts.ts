import type { ObservedVerdict, Protocol } from '../../flow/flow-record.ts'
import { NO_ADDRESS, type AddressInfo } from '../address-cache.ts'
import { NO_NODE, type NodeName } from '../node-names.ts'
import type { OrientationFacts } from '../orientation.ts'
import type { LoggedVerdict } from './hubble-enums.ts'
import { EVENT_DROP, EVENT_POLICY_VERDICT } from './hubble-enums.ts'
import { FLAG_ACK, FLAG_SYN, judgeVerdict } from './hubble-fields.ts'

/**
 * What one Hubble flow says, read and checked: all that its record is made from. Filled from a parsed object (hubble.ts) or from the bytes of a
 * line (decode/fast-hubble.ts), and used up before the next flow is read: one instance serves them all.
 * Who fills it sets every field; `flows` is 1 and the bytes of the uuid are none unless set.
 */
export class HubbleFacts implements OrientationFacts {
  /** Microseconds since 1970, and the nanoseconds beyond them. */
  us = 0
  ns = 0
  node: NodeName = NO_NODE
  eventType = 0
  subType = 0
  protocol: Protocol = 'TCP'
  /** 0 = absent. */
  sourcePort = 0
  destinationPort = 0
  /** FLAG_SYN, FLAG_ACK... (hubble-fields.ts). */
  flags = 0
  verdict: ObservedVerdict = 'unknown'
  isVerdictEvent = false
  isDrop = false
  isSyn = false
  isAck = false
  isReply: boolean | undefined = undefined
  direction: 'ingress' | 'egress' | 'unknown' = 'unknown'
  sourceAddress: AddressInfo = NO_ADDRESS
  destinationAddress: AddressInfo = NO_ADDRESS
  /** The endpoint belongs to the reporting node. */
  isSourceLocal = false
  isDestinationLocal = false
  /** Events that the record stands for. */
  flows = 1
  /** Rows of an exporter that aggregates: the time is that of the first event. */
  isAggregated = false
  /** Retina's own metadata (`extensions`): without connection tracking it writes is_reply false into every record. */
  isRetina = false
  /** Retina saw packets before this one that it did not report. */
  isSampled = false
  /** `IP.source_xlated`, where it tells another address than `IP.source`; else ''. */
  sourceXlated = ''
  /** The Service that the end was called by, or ''. */
  sourceService = ''
  destinationService = ''
  /** `trace_observation_point`, by name or by number; 0 = absent. */
  point: string | number = 0
  /** The record's own name, or ''. */
  uuid = ''
  /** The same as the bytes from `uuidStart` to `uuidEnd`, when `uuid` is ''. */
  uuidBytes: Uint8Array = NO_BYTES
  uuidStart = 0
  uuidEnd = 0

  setFlags(flags: number): void {
    this.flags = flags
    this.isSyn = (flags & FLAG_SYN) !== 0
    this.isAck = (flags & FLAG_ACK) !== 0
  }

  /** Reads `eventType`: set it before. `reason` is drop_reason_desc; where it says nothing, the deprecated `drop_reason` may still be filled. */
  setVerdict(logged: Exclude<LoggedVerdict, 'retina-dns'>, reason: unknown, deprecatedReason: unknown): void {
    const { eventType } = this
    const isUnsaid = reason === undefined || reason === null || reason === 'DROP_REASON_UNKNOWN' || reason === 0
    this.verdict = judgeVerdict(logged, isUnsaid && deprecatedReason !== undefined && deprecatedReason !== null ? deprecatedReason : reason, eventType)
    this.isVerdictEvent = eventType === EVENT_POLICY_VERDICT
    this.isDrop = eventType === EVENT_DROP || (eventType === 0 && logged === 'dropped')
  }
}

const NO_BYTES = new Uint8Array(0)
