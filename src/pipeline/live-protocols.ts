/**
 * What the live streams differ in, beyond their addresses: how a request from a time on is written, what a message says about time and node, and what
 * to ask beside the stream to know whether silence is silence.
 */
import { US_PER_SECOND } from '../core/base/time.ts'
import type { FlowFilter } from '../decode/protobuf/flow-filters.ts'
import {
  encodeFlowListRequest, encodeFlowStreamRequest, encodeGetFlowsRequest, hasListedFlows, readGoldmaneHead, readHubbleHead, readServerStatus,
} from '../decode/protobuf/stream-messages.ts'
import type { FlowHead } from '../decode/protobuf/stream-messages.ts'

/** What the other side says about itself. */
export interface StreamHealth {
  /** Flows that it saw so far: a number that rises; `undefined` when it did not say. */
  readonly seenFlows: number | undefined
  /** It has flows that the stream should have brought. */
  readonly hasUnsent: boolean
  /** Nodes of which nothing can come now; one nameless entry where it tells only their number. */
  readonly missingNodes: readonly string[]
}

export interface LiveProtocol {
  /** First part of the names of positions. */
  readonly name: 'hubble-relay' | 'goldmane'
  /** For people. */
  readonly what: string
  /** How far back a new stream begins: as far as the other side remembers. */
  readonly lookBackUs: number
  /**
   * How much before the position a stream resumes, for flows that came late. More: more that is sent twice (and dropped by digest); less: more that
   * is missed of nodes whose flows come late or whose clocks are behind.
   */
  readonly overlapUs: number
  /** Silence means nothing where only some flows were asked for. */
  readonly isFiltered: boolean
  request(sinceUs: number): Buffer
  head(bytes: Buffer): FlowHead
  /** `newestUs`: of the newest flow that came; `undefined` before the first. */
  question(newestUs: number | undefined, nowUs: number): Buffer | undefined
  health(answer: Buffer): StreamHealth
}

const HEALTHY: StreamHealth = { seenFlows: undefined, hasUnsent: false, missingNodes: [] }
/** Names kept of the nodes that a relay cannot reach. */
const MAX_MISSING = 1_000

export function hubbleProtocol({ allow = [], deny = [] }: { readonly allow?: readonly FlowFilter[]; readonly deny?: readonly FlowFilter[] } = {}): LiveProtocol {
  return {
    name: 'hubble-relay', what: 'Hubble Relay', lookBackUs: 86_400 * US_PER_SECOND, overlapUs: 60 * US_PER_SECOND, isFiltered: allow.length + deny.length > 0,
    request: (sinceUs) => encodeGetFlowsRequest({ sinceUs, allow, deny }),
    head: readHubbleHead,
    // ServerStatusRequest has no fields.
    question: () => Buffer.alloc(0),
    health: (answer) => {
      const status = readServerStatus(answer)
      if (status === undefined) return HEALTHY
      const names = status.unavailableNames.slice(0, MAX_MISSING).map((name) => name.slice(name.indexOf('/') + 1))
      const isNameless = names.length === 0 && (status.unavailableNodes > 0 || status.connectedNodes === 0)
      return { seenFlows: status.seenFlows, hasUnsent: false, missingNodes: isNameless ? [''] : names }
    },
  }
}

/** Goldmane sends a window when it can no longer change, at most this much after its beginning. */
const SENT_AFTER_US = 90 * US_PER_SECOND
const WINDOW_US = 15 * US_PER_SECOND

export function goldmaneProtocol(): LiveProtocol {
  return {
    // Its memory holds an hour. Windows that were sent are complete, so one window more than the last is overlap enough.
    name: 'goldmane', what: 'Goldmane', lookBackUs: 3_600 * US_PER_SECOND, overlapUs: 2 * WINDOW_US, isFiltered: false,
    request: encodeFlowStreamRequest,
    head: readGoldmaneHead,
    question: (newestUs, nowUs) => {
      const sinceUs = newestUs === undefined ? nowUs - 3_600 * US_PER_SECOND : newestUs + WINDOW_US
      const untilUs = nowUs - SENT_AFTER_US
      return sinceUs < untilUs ? encodeFlowListRequest(sinceUs, untilUs) : undefined
    },
    health: (answer) => ({ ...HEALTHY, hasUnsent: hasListedFlows(answer) }),
  }
}
