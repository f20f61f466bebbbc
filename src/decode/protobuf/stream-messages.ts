/**
 * What live streams say and hear beside the flows themselves: requests to Hubble Relay and Goldmane, their answers about themselves, and the few
 * things that a stream must know of each message: when its flow was and which node saw it. Times are microseconds; what cannot be read is `undefined`,
 * never thrown: the full reader of the message decides what is wrong with it.
 */
import { US_PER_SECOND } from '../../core/base/time.ts'
import { isObject, type RawObject } from '../../core/normalize/problems.ts'
import type { FlowFilter } from './flow-filters.ts'
import { messageType, type MessageName } from './schemas.ts'

/** Of one message of a stream. */
export interface FlowHead {
  /** When its flow was; `undefined` for messages that bring no flow. */
  readonly timeUs: number | undefined
  /** Node that saw it; '' where the stream names none. */
  readonly node: string
}

/** How Hubble Relay is, by its own account. */
export interface RelayStatus {
  /** Flows seen by all connected nodes since each of them started. */
  readonly seenFlows: number
  /** `undefined` where a node answers by itself, without a relay. */
  readonly connectedNodes: number | undefined
  readonly unavailableNodes: number
  /** Names of those, as far as the relay tells them. */
  readonly unavailableNames: readonly string[]
}

/** A request for all flows from `sinceUs` on, and then for every new one. The filters of a list are alternatives. */
export function encodeGetFlowsRequest({ sinceUs, allow, deny }: { sinceUs: number; allow: readonly FlowFilter[]; deny: readonly FlowFilter[] }): Buffer {
  const seconds = Math.floor(sinceUs / US_PER_SECOND)
  const since = { seconds, nanos: Math.round(sinceUs - seconds * US_PER_SECOND) * 1000 }
  return encode('getFlowsRequest', { follow: true, since, whitelist: allow, blacklist: deny })
}

/** A request for all windows of 15 seconds that begin at `sinceUs` or later, and then for every new one. Goldmane takes 0 for "now", so it is never sent. */
export function encodeFlowStreamRequest(sinceUs: number): Buffer {
  return encode('flowStreamRequest', { start_time_gte: Math.max(1, Math.floor(sinceUs / US_PER_SECOND)), aggregation_interval: WINDOW_SECONDS })
}

/** A request for one flow at most of windows that begin in a range. */
export function encodeFlowListRequest(sinceUs: number, untilUs: number): Buffer {
  return encode('flowListRequest', {
    start_time_gte: Math.max(1, Math.floor(sinceUs / US_PER_SECOND)), start_time_lt: Math.floor(untilUs / US_PER_SECOND), page_size: 1,
    aggregation_interval: WINDOW_SECONDS,
  })
}

/** Goldmane's shortest window. */
const WINDOW_SECONDS = 15

export function readServerStatus(bytes: Buffer): RelayStatus | undefined {
  const status = decode('serverStatus', bytes)
  if (status === undefined) return undefined
  const names = Array.isArray(status.unavailable_nodes) ? status.unavailable_nodes.filter((name) => typeof name === 'string') : []
  return {
    seenFlows: Number(status.seen_flows ?? 0), connectedNodes: wrapped(status.num_connected_nodes),
    unavailableNodes: Math.max(wrapped(status.num_unavailable_nodes) ?? 0, names.length), unavailableNames: names,
  }
}

/** True when a page of Goldmane's list holds any flow. */
export function hasListedFlows(bytes: Buffer): boolean {
  const page = decode('flowCount', bytes)
  return Array.isArray(page?.flows) && page.flows.length > 0
}

export function readHubbleHead(bytes: Buffer): FlowHead {
  const head = decode('hubbleHead', bytes)
  const flow = isObject(head?.flow) ? head.flow : undefined
  const time = isObject(flow?.time) ? flow.time : undefined
  const timeUs = time === undefined ? undefined : plausible(Number(time.seconds ?? 0) * US_PER_SECOND + Math.floor(Number(time.nanos ?? 0) / 1000))
  const name = [flow?.node_name, head?.node_name].find((one) => typeof one === 'string' && one !== '')
  return { timeUs, node: typeof name === 'string' ? name.slice(name.indexOf('/') + 1) : '' }
}

/** A window counts by its beginning, because streams are asked for by it. */
export function readGoldmaneHead(bytes: Buffer): FlowHead {
  const head = decode('goldmaneHead', bytes)
  return { timeUs: isObject(head?.flow) ? plausible(Number(head.flow.start_time ?? 0) * US_PER_SECOND) : undefined, node: '' }
}

const EARLIEST_US = 946_684_800 * US_PER_SECOND

function plausible(timeUs: number): number | undefined {
  return timeUs >= EARLIEST_US && timeUs <= Number.MAX_SAFE_INTEGER ? timeUs : undefined
}

function wrapped(value: unknown): number | undefined {
  return isObject(value) ? Number(value.value ?? 0) : undefined
}

function encode(name: MessageName, message: Record<string, unknown>): Buffer {
  const type = messageType(name)
  return Buffer.from(type.encode(type.fromObject(message)).finish())
}

function decode(name: MessageName, bytes: Buffer): RawObject | undefined {
  const type = messageType(name)
  try {
    return type.toObject(type.decode(bytes), { longs: Number })
  } catch {
    return undefined
  }
}
