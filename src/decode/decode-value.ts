/**
 * One value as Kafka or an HTTP body brings it: JSON, NDJSON, an array or text lines, read like a finished input; or one protobuf message, known by
 * its wire signature. Never throws on input; at least one item per value.
 */
import { isAscii, isUtf8 } from 'node:buffer'
import type { Outcome, RejectionCode } from '../core/flow/flow-record.ts'
import { createDecoder } from './decode-chunk.ts'
import type { FastPath } from './decode-chunk.ts'
import { ItemList, type DecodedItem, type ItemPlace } from './item-list.ts'
import { readMessage } from './protobuf/read-message.ts'

export interface ValueOptions {
  /** Larger protobuf values are rejected unread. Larger: more memory per value, about ten times its size. Default 16 MiB. */
  readonly maxBytes?: number
  /** As for a decoder: one line, also within an envelope. Default 1 MiB. */
  readonly maxLineBytes?: number
  /** As for a decoder. */
  readonly fastPath?: FastPath
  /** What the sender said it is; without it protobuf and text are told apart by their bytes. */
  readonly kind?: 'protobuf'
}

const DEFAULT_MAX_BYTES = 16 << 20
const DEFAULT_MAX_LINE_BYTES = 1 << 20
const NEWLINE = 10
/** Below, no line of a known log begins; protobuf messages do. */
const FIRST_PRINTABLE = 32
const OPEN_BRACKET = 91
const OPEN_BRACE = 123
/** A byte that text lines do not have and practically every protobuf message does. */
// eslint-disable-next-line no-control-regex -- control characters are what is searched for.
const BINARY = /[\0-\x08\x0e-\x1a\x1c-\x1f]/

/** The items of one value; an empty value (Kafka's tombstone) is a blank. Offsets count from the value's first byte. */
export function decodeValue(value: Buffer, options: ValueOptions = {}): DecodedItem[] {
  const maxLineBytes = options.maxLineBytes ?? DEFAULT_MAX_LINE_BYTES
  const items = new ItemList(maxLineBytes)
  const place: ItemPlace = { line: 1, start: 0, next: value.length }
  if (value.length === 0) {
    items.addBlank(place)
    return items.take()
  }
  if (options.kind !== 'protobuf' && options.fastPath !== undefined) {
    const outcome = readOneLine(value, options.fastPath, maxLineBytes)
    if (outcome !== undefined) {
      items.addOutcome(1, 0, value.length, outcome)
      return items.take()
    }
  }
  if (options.kind !== 'protobuf' && isText(value)) return decodeText(value, maxLineBytes, options.fastPath)
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES
  if (value.length > maxBytes) {
    items.addRejection(place, 'too-long', { detail: `${value.length} bytes in one protobuf value, over the limit of ${maxBytes}` })
    return items.take()
  }
  const records = readMessage(value)
  if (Array.isArray(records)) {
    items.addRecords(place, records)
  } else if (records === 'not-protobuf' && options.kind !== 'protobuf' && isUtf8(value)) {
    return decodeText(value, maxLineBytes, options.fastPath)
  } else {
    const [code, detail] = REFUSALS[options.kind === 'protobuf' && records === 'not-protobuf' ? 'broken' : records]
    items.addRejection(place, code, { bytes: value, ...(detail !== '' && { detail }) })
  }
  return items.take()
}

/** What most messages are: one line of ASCII, with or without its end. `undefined` for anything else. */
function readOneLine(value: Buffer, fastPath: FastPath, maxLineBytes: number): Outcome | undefined {
  if (value.length > maxLineBytes || !isAscii(value)) return undefined
  return new LineValues(value, fastPath).read(0, value.length)
}

/** Reads messages that lie one after the other in bytes that are all ASCII, without an object for each. */
export class LineValues {
  readonly #bytes: Buffer
  readonly #fastPath: FastPath
  /** The first line feed that was not passed; one search finds it for all messages before it. */
  #newline = -1

  constructor(bytes: Buffer, fastPath: FastPath) {
    this.#bytes = bytes
    this.#fastPath = fastPath
  }

  /** The outcome of the message [start, end), not empty and behind those asked for before; `undefined` when it is more than a line, or must be parsed. */
  read(start: number, end: number): Outcome | undefined {
    if (this.#newline < start) {
      const found = this.#bytes.indexOf(NEWLINE, start)
      this.#newline = found < 0 ? Infinity : found
    }
    const lineEnd = this.#newline < end ? this.#newline : end
    if (lineEnd < end - 1 || (this.#bytes[start] as number) < FIRST_PRINTABLE) return undefined
    return this.#fastPath.read(this.#bytes, start, lineEnd)
  }
}

/** Longer messages are read with all checks of their length. */
export const MAX_LINE_VALUE_BYTES = DEFAULT_MAX_LINE_BYTES

const REFUSALS: Readonly<Record<'ambiguous' | 'foreign' | 'broken' | 'not-protobuf', readonly [RejectionCode, string]>> = {
  ambiguous: ['malformed-protobuf', 'the bytes fit several kinds of flow records'],
  foreign: ['malformed-protobuf', 'the bytes fit none of the known kinds of flow records'],
  broken: ['malformed-protobuf', 'the bytes are no protobuf message'],
  'not-protobuf': ['not-text', ''],
}

function decodeText(value: Buffer, maxLineBytes: number, fastPath: FastPath | undefined): DecodedItem[] {
  const decoder = createDecoder({ maxLineBytes, isFinished: true, ...(fastPath !== undefined && { fastPath }) })
  const items = [...decoder.push(value), ...decoder.end()]
  if (items.length > 0) return items
  // Blank lines without a newline, or an empty array.
  const blank = new ItemList(maxLineBytes)
  blank.addBlank({ line: 1, start: 0, next: value.length })
  return blank.take()
}

/** `{` and `[` begin no message that is read; a first line feed does, so that UTF-8 must prove the rest. */
function isText(value: Buffer): boolean {
  const first = value[0]
  if (first === OPEN_BRACE || first === OPEN_BRACKET) return true
  return isUtf8(value) && !BINARY.test(value.toString('latin1'))
}
