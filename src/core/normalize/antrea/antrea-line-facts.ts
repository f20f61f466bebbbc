/** What an ordinary line of Antrea's flow log says, checked: filled from its text or from its bytes, and decided by AntreaPlainLines. */
import type { Protocol } from '../../flow/flow-record.ts'
import { NO_ADDRESS, type AddressInfo } from '../address-cache.ts'
import { NO_NODE, type NodeName } from '../node-names.ts'
import type { KnownPod } from './antrea-ends.ts'

export type LineAction = 'allow' | 'deny' | 'none'

/** The 17 columns behind the pods. */
export interface LineRest {
  readonly serviceIp: string
  readonly isApiServer: boolean
  readonly ingress: LineAction
  readonly egress: LineAction
}

const NO_REST: LineRest = { serviceIp: '', isApiServer: false, ingress: 'none', egress: 'none' }

/** One instance is reused for every line. */
export class LineFacts {
  /** Times that can be used, in order. */
  firstAtUs = 0
  lastAtUs = 0
  protocol: Protocol = 'TCP'
  from: AddressInfo = NO_ADDRESS
  to: AddressInfo = NO_ADDRESS
  /** As the line writes it: it is compared with the Service's. Only read where the destination names no pod. */
  toText = ''
  sourcePort = 0
  /** At least 1. */
  port = 0
  /** `undefined`: no pod is named. */
  sourcePod: KnownPod | undefined
  destinationPod: KnownPod | undefined
  sourceNode: NodeName = NO_NODE
  destinationNode: NodeName = NO_NODE
  rest: LineRest = NO_REST
}
