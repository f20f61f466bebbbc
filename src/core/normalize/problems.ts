import type { FlowFormat, Ignored, IgnoreReason, Rejection, RejectionCode } from '../flow/flow-record.ts'

const MAX_DETAIL = 200
/** Longer names, label keys and label values are refused: Kubernetes allows 253, 317 and 63. */
export const MAX_TEXT = 1024
// Control characters and halves of surrogate pairs: a database refuses some, a terminal obeys others.
// eslint-disable-next-line no-control-regex -- they are what is searched for.
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\ud800-\udfff]/gu

/** `text` as at most 200 printable characters. */
export function printable(text: string): string {
  const escaped = text.slice(0, MAX_DETAIL * 2).replace(UNPRINTABLE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return escaped.length > MAX_DETAIL ? `${escaped.slice(0, MAX_DETAIL - 1)}…` : escaped
}

/** A rejection; its detail is made printable. */
export function reject(format: FlowFormat | 'unknown', code: RejectionCode, detail: string): Rejection {
  return { kind: 'rejected', format, code, detail: printable(detail) }
}

/** An ignored record; make it once per reason and format, it is shared. */
export function ignored(format: FlowFormat, reason: IgnoreReason): Ignored {
  return { kind: 'ignored', format, reason, coverage: null }
}

/** A value as it appears in a rejection's detail. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}

/** `field` has a value of the wrong type. */
export function wrongType(format: FlowFormat, field: string, expected: string, value: unknown): Rejection {
  return reject(format, 'wrong-type', `${field}: expected ${expected}, got ${shown(value)}`)
}

/** True when a text may be stored and shown: not too long, no NUL, no half of a surrogate pair. */
export function isStorable(text: string): boolean {
  return text.length <= MAX_TEXT && !/[\u0000\ud800-\udfff]/u.test(text) // eslint-disable-line no-control-regex -- NUL is what is searched for
}

/** A JSON object. */
export type RawObject = Readonly<Record<string, unknown>>

export function isObject(value: unknown): value is RawObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
