/**
 * Strict check of protobuf bytes against a schema, before anything is decoded from them: every known field has its wire type, every length lies
 * within its message, every text is UTF-8. protobufjs itself takes much that is none of it. Unknown fields may be there (newer producers), groups
 * may not. O(bytes); recursion is bounded.
 */
import { isUtf8 } from 'node:buffer'
import protobuf from 'protobufjs'

/** Messages within messages. Real ones need ten; protobufjs itself stops at 100. */
const MAX_DEPTH = 64
/** Messages in one value: each costs a hundred bytes of memory when decoded, and as little as two on the wire. */
const MAX_MESSAGES = 1_000_000
const VARINT = 0
const FIXED64 = 1
const LENGTH = 2
const FIXED32 = 5
const WIRE_TYPES: Readonly<Record<string, number>> = {
  bool: VARINT, int32: VARINT, uint32: VARINT, int64: VARINT, uint64: VARINT, fixed32: FIXED32, fixed64: FIXED64, double: FIXED64, string: LENGTH, bytes: LENGTH,
}

interface FieldRule {
  readonly wireType: number
  readonly isText: boolean
  /** Repeated numbers may be packed. */
  readonly mayBePacked: boolean
  readonly message: protobuf.Type | undefined
}

const rules = new WeakMap<protobuf.Type, Map<number, FieldRule>>()

/** True when `bytes` are one whole message of `type`; at least one field of it must be known. */
export function isWellFormed(bytes: Uint8Array, type: protobuf.Type): boolean {
  const walk = new Walk(bytes)
  return walk.message(0, bytes.length, type, 0) && walk.known > 0
}

/** True when `bytes` could be some protobuf message: its first level is well formed. */
export function isWireFormat(bytes: Uint8Array): boolean {
  return bytes.length > 0 && new Walk(bytes).message(0, bytes.length, undefined, 0)
}

class Walk {
  /** Fields of the first level that the schema knows. */
  known = 0
  readonly #bytes: Uint8Array
  #at = 0
  #messages = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  message(start: number, end: number, type: protobuf.Type | undefined, depth: number): boolean {
    if (depth > MAX_DEPTH || ++this.#messages > MAX_MESSAGES) return false
    const fields = type === undefined ? undefined : rulesOf(type)
    this.#at = start
    while (this.#at < end) {
      const tag = this.#varint(end)
      const number = Math.floor(tag / 8)
      const wireType = tag % 8
      if (!(number >= 1 && number < 536_870_912)) return false
      const rule = fields?.get(number)
      if (rule !== undefined && depth === 0) this.known++
      if (!this.#field(end, wireType, rule, depth)) return false
    }
    return this.#at === end
  }

  #field(end: number, wireType: number, rule: FieldRule | undefined, depth: number): boolean {
    if (rule !== undefined && wireType !== rule.wireType && !(rule.mayBePacked && wireType === LENGTH)) return false
    if (wireType === VARINT) return this.#varint(end) >= 0
    if (wireType === FIXED64 || wireType === FIXED32) {
      this.#at += wireType === FIXED64 ? 8 : 4
      return this.#at <= end
    }
    if (wireType !== LENGTH) return false
    const length = this.#varint(end)
    const start = this.#at
    if (!(length >= 0 && length <= end - start)) return false
    if (rule?.message !== undefined && !this.message(start, start + length, rule.message, depth + 1)) return false
    if (rule?.isText === true && !isUtf8(this.#bytes.subarray(start, start + length))) return false
    this.#at = start + length
    return true
  }

  /** The number at the current place (inexact beyond 2^53), or -1 when it does not end in time. */
  #varint(end: number): number {
    let value = 0
    let factor = 1
    for (let count = 0; count < 10 && this.#at < end; count++) {
      const byte = this.#bytes[this.#at++] as number
      value += (byte & 127) * factor
      if (byte < 128) return value
      factor *= 128
    }
    return -1
  }
}

function rulesOf(type: protobuf.Type): Map<number, FieldRule> {
  const known = rules.get(type)
  if (known !== undefined) return known
  const made = new Map<number, FieldRule>()
  for (const field of type.fieldsArray) {
    const message = field.resolvedType instanceof protobuf.Type ? field.resolvedType : undefined
    const wireType = message === undefined ? (WIRE_TYPES[field.type] ?? VARINT) : LENGTH
    made.set(field.id, { wireType, isText: field.type === 'string', mayBePacked: field.repeated && wireType !== LENGTH, message })
  }
  rules.set(type, made)
  return made
}
