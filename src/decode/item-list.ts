import type { Ignored, Outcome, Rejection, RejectionCode } from '../core/flow/flow-record.ts'
import { isNative } from '../core/normalize/detect.ts'
import { isObject, type RawObject } from '../core/normalize/problems.ts'
import { isMeantAsJson } from './json-text.ts'
import { redactText } from './redact.ts'
import { fillFromOwnKeys } from './unwrap/envelope.ts'
import { hasRuntimePrefix, unwrapValue } from './unwrap/unwrap.ts'

/** One record, or why there is none. Fixed shape: this is the hot path. */
export interface DecodedItem {
  /** Line on which it starts, counted from 1 (from `startLine`). */
  readonly line: number
  /** Byte offset of its first byte: with the source it names the item for ever. */
  readonly startOffset: number
  /**
   * Where reading resumes after this item: the byte after the line (its newline included) or array element. For a last line that is cut off it
   * is the start of that line, so that the rest of it can still arrive; for all but the last of several records in one line or element it is
   * the start of that, too: better seen twice than lost.
   */
  readonly byteOffset: number
  /** The JSON object, or the text of a line that is no JSON; `undefined` when `problem` or `outcome` is set. */
  readonly value: unknown
  /** Set when the fast path read the record from its bytes. */
  readonly outcome: Outcome | null
  readonly problem: Rejection | Ignored | null
  /** Rejected input as redacted text of about 4 KiB at most; else ''. Made when it is read: of masses of bad lines few are kept. */
  readonly raw: string
}

/** Where an item lies: its line, its first byte and the byte to resume at. */
export interface ItemPlace {
  readonly line: number
  readonly start: number
  readonly next: number
}

/** Bytes of a rejected item that are kept as evidence. */
export const KEPT_BYTES = 4096

const BLANK: Ignored = { kind: 'ignored', format: 'unknown', reason: 'blank', coverage: null }
const DETAILS: Partial<Record<RejectionCode, string>> = {
  'malformed-json': 'the line is not JSON',
  truncated: 'the input ends inside this record',
  'not-text': 'the bytes are not UTF-8 text (UTF-16 and compressed input must be converted first)',
  'not-an-object': 'a record must be a JSON object',
}

/** Items in the order of the input, until they are taken. Records in envelopes are unwrapped here, each to an item of its own. */
export class ItemList {
  #items: DecodedItem[] = []
  readonly #maxTextBytes: number

  /** `maxTextBytes` bounds one line inside an envelope. */
  constructor(maxTextBytes: number) {
    this.#maxTextBytes = maxTextBytes
  }

  take(): DecodedItem[] {
    const items = this.#items
    this.#items = []
    return items
  }

  addRecord(line: number, startOffset: number, byteOffset: number, value: RawObject): void {
    if (!isNative(value)) {
      this.#addUnwrapped({ line, start: startOffset, next: byteOffset }, value)
      return
    }
    fillFromOwnKeys(value)
    this.#items.push({ line, startOffset, byteOffset, value, outcome: null, problem: null, raw: '' })
  }

  /** A text line that is no JSON. */
  addLine(place: ItemPlace, text: string): void {
    if (hasRuntimePrefix(text)) this.#addUnwrapped(place, text)
    else this.#items.push({ line: place.line, startOffset: place.start, byteOffset: place.next, value: text, outcome: null, problem: null, raw: '' })
  }

  /** A record that the fast path has read. */
  addOutcome(line: number, startOffset: number, byteOffset: number, outcome: Outcome): void {
    this.#items.push({ line, startOffset, byteOffset, value: undefined, outcome, problem: null, raw: '' })
  }

  addBlank(place: ItemPlace): void {
    this.#items.push({ line: place.line, startOffset: place.start, byteOffset: place.next, value: undefined, outcome: null, problem: BLANK, raw: '' })
  }

  /** A parsed value: records when it is an object, or a text that holds JSON; else a rejection. `bytes` are its source. */
  addValue(place: ItemPlace, value: unknown, bytes: Buffer): void {
    if (isObject(value)) this.addRecord(place.line, place.start, place.next, value)
    else if (typeof value === 'string' && isMeantAsJson(value)) this.#addUnwrapped(place, value)
    else this.addRejection(place, 'not-an-object', { bytes })
  }

  /** The records of one value, which the caller made. */
  addRecords(place: ItemPlace, records: readonly RawObject[]): void {
    records.forEach((record, i) => {
      this.addRecord(place.line, place.start, i === records.length - 1 ? place.next : place.start, record)
    })
  }

  #addUnwrapped(place: ItemPlace, value: RawObject | string): void {
    const records = unwrapValue(value, this.#maxTextBytes)
    records.forEach((found, i) => {
      const at = { line: place.line, startOffset: place.start, byteOffset: i === records.length - 1 ? place.next : place.start, outcome: null }
      if ('value' in found) this.#items.push({ ...at, value: found.value, problem: null, raw: '' })
      else this.#items.push({ ...at, value: undefined, problem: found.problem, get raw() { return redactText(found.raw === '' ? shownAs(value) : found.raw.slice(0, KEPT_BYTES)) } })
    })
  }

  addRejection(place: ItemPlace, code: RejectionCode, why: { bytes?: Buffer; detail?: string }): void {
    const problem: Rejection = { kind: 'rejected', format: 'unknown', code, detail: why.detail ?? DETAILS[code] ?? code }
    const kept = why.bytes?.toString('utf8', 0, Math.min(why.bytes.length, KEPT_BYTES)) ?? ''
    this.#items.push({
      line: place.line, startOffset: place.start, byteOffset: place.next, value: undefined, outcome: null, problem,
      get raw() { return redactText(kept) },
    })
  }
}

/** The beginning of a value as text. JSON.parse takes any depth, JSON.stringify does not. */
function shownAs(value: RawObject | string): string {
  if (typeof value === 'string') return value.slice(0, KEPT_BYTES)
  try {
    return JSON.stringify(value).slice(0, KEPT_BYTES)
  } catch {
    return '(nested too deeply to be shown)'
  }
}
