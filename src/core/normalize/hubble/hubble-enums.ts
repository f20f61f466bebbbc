import type { ObservedVerdict } from '../../flow/flow-record.ts'

/**
 * Hubble's enumerations, by name and by number: JSON carries names, numbers stand for names newer than the producer's table. Source: the
 * Hubble API of 2026-01 (flow.proto).
 */

/** What a logged verdict means before drop reasons are looked at. `socket`, `retina-dns`: no layer 4 verdict. */
export type LoggedVerdict = ObservedVerdict | 'dropped' | 'retina-dns'

const VERDICTS: readonly (readonly [string, LoggedVerdict])[] = [
  ['VERDICT_UNKNOWN', 'unknown'],
  ['FORWARDED', 'allowed'],
  ['DROPPED', 'dropped'],
  ['ERROR', 'error'],
  ['AUDIT', 'audit'],
  ['REDIRECTED', 'allowed'], // to the proxy: allowed at layer 4
  ['TRACED', 'allowed'],
  ['TRANSLATED', 'allowed'],
]
const RETINA_RETRANSMISSION = 15
const RETINA_DNS = 16

const verdicts = new Map<unknown, LoggedVerdict>([
  ...VERDICTS,
  ...VERDICTS.map(([, meaning], number) => [number, meaning] as const),
  [RETINA_RETRANSMISSION, 'unknown'],
  [RETINA_DNS, 'retina-dns'],
])

/** The meaning of `Flow.verdict`; absent or newer values are `unknown`. */
export function readVerdict(value: unknown): LoggedVerdict {
  return verdicts.get(value) ?? 'unknown'
}

const policyDrops = new Set<unknown>(['POLICY_DENIED', 133, 'POLICY_DENY', 181, 'AUTH_REQUIRED', 189])

/** True for the drop reasons that a policy causes; every other drop says nothing about policies (T6). */
export function isPolicyDrop(reason: unknown): boolean {
  return policyDrops.has(reason)
}

/** `event_type.type` of the agent's monitor events. */
export const EVENT_DROP = 1
export const EVENT_POLICY_VERDICT = 5
export const EVENT_SOCKET = 7
export const EVENT_L7 = 129
export const EVENT_AGENT = 130

/** `Flow.Type`. */
export function readFlowType(value: unknown): 'l3-l4' | 'l7' | 'socket' {
  if (value === 'L7' || value === 2) return 'l7'
  return value === 'SOCK' || value === 3 ? 'socket' : 'l3-l4'
}

/** `Flow.traffic_direction`: the direction of the connection (of the packet for drops and policy verdicts). */
export function readDirection(value: unknown): 'ingress' | 'egress' | 'unknown' {
  if (value === 'EGRESS' || value === 2) return 'egress'
  return value === 'INGRESS' || value === 1 ? 'ingress' : 'unknown'
}
