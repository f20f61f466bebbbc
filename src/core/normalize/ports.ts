import type { FlowFormat, Protocol, Rejection } from '../flow/flow-record.ts'
import { reject, shown, wrongType } from './problems.ts'

/** A port number; 0 when the value is absent. */
export function readPort(format: FlowFormat, field: string, value: unknown): number | Rejection {
  if (typeof value === 'number') {
    if (Number.isInteger(value) && value >= 0 && value <= 65_535) return value
    return reject(format, 'bad-port', `${field}: ${shown(value)} is not a port (0 to 65535)`)
  }
  if (value === undefined || value === null) return 0
  if (typeof value === 'string' && /^\d{1,5}$/.test(value)) return readPort(format, field, Number(value))
  return wrongType(format, field, 'a port number', value)
}

/** A count: whole, not negative; numbers or their text (64-bit integers are text in protojson). `undefined` when it is none. */
export function readCount(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^\d{1,20}$/.test(value) ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) && number >= 0 ? Math.floor(Math.min(number, Number.MAX_SAFE_INTEGER)) : undefined
}

/** Flows one record may stand for: more than any can mean, and so little that no sum of them leaves 64 bits. */
const MAX_FLOWS = 4_294_967_295

/** A count as the number of flows that a record stands for: at least one. */
export function asFlows(count: number): number {
  return Math.max(1, Math.min(count, MAX_FLOWS))
}

/** Stable numbers of the protocols, for digests. */
export const PROTOCOL_NUMBERS: Readonly<Record<Protocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 }
