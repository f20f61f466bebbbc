/**
 * One decoded value, with shippers' envelopes around it, to the records inside. In: a JSON object that is no native record, or a text. Out: at least
 * one record or problem, in order. Order of unwrapping: OTLP; arrays of events; text fields that hold JSON; object fields; text fields that hold a
 * log line; a native record under any other key. A native record is handed on as it is. Page: docs/sources/shippers.md.
 *
 * Invariants: a pure function of the value; never throws on input. Bounded: `MAX_DEPTH` envelopes, `MAX_RECORDS` records; every inner text is
 * a part of the outer one, so the work is at most the value's size times the depth.
 */
import type { Ignored, Outcome, RejectionCode } from '../../core/flow/flow-record.ts'
import { isNative } from '../../core/normalize/detect.ts'
import { FOREIGN_LOG, isForeignObject } from '../../core/normalize/foreign-log.ts'
import { isObject, reject, type RawObject } from '../../core/normalize/problems.ts'
import { isMeantAsJson, mayBeJson, parseJson } from '../json-text.ts'
import { fillFromEnvelope, fillFromOwnKeys, NO_ENVELOPE, readEnvelope, type Envelope } from './envelope.ts'
import { isOtlp, readOtlp } from './otlp.ts'

/** A record, or why there is none; `raw` is then its text. */
export type Unwrapped = { readonly value: RawObject | string } | { readonly problem: Exclude<Outcome, { kind: 'flow' }>; readonly raw: string }

/** Envelopes within envelopes: Pub/Sub, Cloud Logging, a JSON line, an array and one more. More: hostile input costs more. */
const MAX_DEPTH = 5
/** Records of one value: a mebibyte of real ones holds ten thousand. */
const MAX_RECORDS = 100_000
const MAX_KEYS = 64
const BLANK: Ignored = { kind: 'ignored', format: 'unknown', reason: 'blank', coverage: null }

/** Fields that hold the record as text, in the order of preference. */
const TEXT_FIELDS = ['message', 'log', 'body', 'MESSAGE', 'event', 'textPayload', '_raw'] as const
/** Fields that hold the record as an object. */
const OBJECT_FIELDS = ['jsonPayload', '_source', 'result', 'event', 'body', 'message', 'log'] as const
/** `2026-01-02T03:04:05.1Z stdout F `: what container runtimes write before a line; `P` when they cut it and the rest follows. */
const CRI = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) (?:stdout|stderr) ([FP]) /

/** The records in `value`. `maxTextBytes` bounds one inner line. */
export function unwrapValue(value: RawObject | string, maxTextBytes: number): Unwrapped[] {
  const run = new Unwrapping(maxTextBytes)
  if (typeof value === 'string') run.text(value, 0, NO_ENVELOPE)
  else run.object(value, 0, NO_ENVELOPE)
  return run.results()
}

/** True for a text line that must be looked into before it is handed on: a container runtime's prefix, JSON behind it. */
export function hasRuntimePrefix(line: string): boolean {
  return line.charCodeAt(10) === LETTER_T && CRI.test(line)
}

const LETTER_T = 84
/** How text lines of Calico and Antrea begin: two Unix times, or the audit log's date. */
const FLOW_LINE = /^(?:\d{9,11}[, ]\d{9,11}[, ]|\d{4}\/\d\d\/\d\d )/

class Unwrapping {
  readonly #maxTextBytes: number
  readonly #found: Unwrapped[] = []
  #isFull = false

  constructor(maxTextBytes: number) {
    this.#maxTextBytes = maxTextBytes
  }

  results(): Unwrapped[] {
    // An envelope around nothing counts like an empty line.
    if (this.#found.length === 0) this.#found.push({ problem: BLANK, raw: '' })
    return this.#found
  }

  object(record: RawObject, depth: number, envelope: Envelope): void {
    if (isNative(record)) {
      // What the shipper put beside the flow itself says more than what is around it.
      fillFromOwnKeys(record)
      fillFromEnvelope(record, envelope)
      this.#add({ value: record })
    } else if (depth >= MAX_DEPTH && isEnvelope(record)) {
      this.#refuse('too-deep', `wrapped in more than ${MAX_DEPTH} envelopes`, '')
    } else if (!this.#open(record, depth + 1, envelope)) {
      this.#add({ value: record })
    }
  }

  /** A text inside an envelope: a JSON value, lines of them, or log lines. */
  text(text: string, depth: number, envelope: Envelope): void {
    const trimmed = text.trim()
    if (trimmed === '') return
    if (trimmed.length <= this.#maxTextBytes && mayBeJson(trimmed)) {
      const value = parseJson(trimmed)
      if (value !== undefined) {
        this.#value(value, depth, envelope, trimmed)
        return
      }
    }
    for (let at = 0; at < trimmed.length && !this.#isFull;) {
      const newline = trimmed.indexOf('\n', at)
      const end = newline < 0 ? trimmed.length : newline
      const line = trimmed.slice(at, end).trim()
      if (line !== '') this.#line(line, depth, envelope)
      at = end + 1
    }
  }

  #line(line: string, depth: number, envelope: Envelope): void {
    if (line.length > this.#maxTextBytes) {
      this.#refuse('too-long', `${line.length} characters in one line of an envelope, over the limit of ${this.#maxTextBytes}`, line)
      return
    }
    const prefix = line.charCodeAt(10) === LETTER_T ? CRI.exec(line) : null
    const rest = prefix === null ? line : line.slice(prefix[0].length)
    const within = prefix === null ? envelope : { time: prefix[1] as string, node: envelope.node }
    const value = mayBeJson(rest) ? parseJson(rest) : undefined
    if (value !== undefined) this.#value(value, depth, within, rest)
    else if (isMeantAsJson(rest)) this.#refuse('malformed-json', 'the text inside the envelope is not JSON; a shipper or container runtime may have cut it', rest)
    else if (prefix?.[2] === 'P') this.#refuse('truncated', 'a container runtime cut this line, and a cut value may look whole', rest)
    else if (rest.includes('\0')) this.#refuse('not-text', 'the text inside the envelope has NUL characters', rest)
    else if (rest.trim() !== '') this.#logLine(rest, within)
  }

  /** A line of another kind than JSON. Where the envelope has the time that the line lacks, both are handed on together. */
  #logLine(line: string, envelope: Envelope): void {
    if (envelope.time !== '') {
      const both = { message: line, timestamp: envelope.time }
      if (isNative(both)) {
        this.#add({ value: both })
        return
      }
    }
    this.#add({ value: line })
  }

  #value(value: unknown, depth: number, envelope: Envelope, source: string): void {
    if (isObject(value)) this.object(value, depth, envelope)
    else if (depth > MAX_DEPTH) this.#refuse('too-deep', `wrapped in more than ${MAX_DEPTH} envelopes`, '')
    else if (Array.isArray(value)) this.#array(value, depth + 1, envelope)
    else if (typeof value === 'string' && isMeantAsJson(value)) this.text(value, depth + 1, envelope)
    else this.#refuse('not-an-object', 'a record must be a JSON object', source)
  }

  #array(values: readonly unknown[], depth: number, envelope: Envelope): void {
    for (const value of values) {
      if (this.#isFull) return
      this.#value(value, depth, envelope, '')
    }
  }

  /** Looks for what `record` wraps; false when it is no envelope. */
  #open(record: RawObject, depth: number, outer: Envelope): boolean {
    if (isOtlp(record)) {
      this.#openOtlp(record, depth, outer)
      return true
    }
    const envelope = readEnvelope(record, outer)
    if (Array.isArray(record.logEvents)) {
      if (record.messageType === 'CONTROL_MESSAGE') this.#add({ problem: FOREIGN_LOG, raw: '' })
      else this.#array(record.logEvents, depth, envelope)
      return true
    }
    const isForeign = isForeignObject(record)
    return this.#openJsonText(record, depth, envelope, isForeign) || this.#openObject(record, depth, envelope) ||
      this.#openLogLine(record, depth, envelope, isForeign) || this.#openNested(record, depth, envelope)
  }

  #openOtlp(record: RawObject, depth: number, outer: Envelope): void {
    readOtlp(record, (found) => {
      if (this.#isFull) return
      const envelope = found.time === '' ? outer : { time: found.time, node: outer.node }
      if (found.problem !== undefined) this.#refuse(found.problem, found.detail, '')
      else if (isObject(found.value)) this.object(found.value, depth, envelope)
      else this.text(found.value, depth, envelope)
    })
  }

  /** Text fields that hold JSON. A program's own log object is opened only where it holds a flow. */
  #openJsonText(record: RawObject, depth: number, envelope: Envelope, isForeign: boolean): boolean {
    for (const field of TEXT_FIELDS) {
      const text = record[field]
      if (typeof text !== 'string' || !holdsJson(text)) continue
      if (isForeign && !holdsFlow(text)) return false
      this.text(text, depth, envelope)
      return true
    }
    return false
  }

  #openObject(record: RawObject, depth: number, envelope: Envelope): boolean {
    // Pub/Sub push: {"message":{"data":"<base64 of a log entry>"},"subscription":"…"}.
    const { message } = record
    if (isObject(message) && typeof message.data === 'string') {
      this.text(Buffer.from(message.data, 'base64').toString('utf8'), depth, envelope)
      return true
    }
    for (const field of OBJECT_FIELDS) {
      const inner = record[field]
      if (!isObject(inner)) continue
      // ECS documents use event, message and log for facts about a text line beside them.
      const isPayload = field === 'jsonPayload' || field === '_source' || field === 'result'
      if (!isPayload && !isNative(inner) && hasLogLine(record)) continue
      this.object(inner, depth, envelope)
      return true
    }
    return false
  }

  #openLogLine(record: RawObject, depth: number, envelope: Envelope, isForeign: boolean): boolean {
    for (const field of TEXT_FIELDS) {
      const text = record[field]
      if (typeof text !== 'string' || text.trim() === '') continue
      if (isForeign && !FLOW_LINE.test(text)) return false
      this.text(text, depth, envelope)
      return true
    }
    return false
  }

  /** A filter may have nested the record under a key of its own. */
  #openNested(record: RawObject, depth: number, envelope: Envelope): boolean {
    let keys = 0
    for (const key in record) {
      if (++keys > MAX_KEYS) return false
      const inner = record[key]
      if (!isObject(inner) || !isNative(inner)) continue
      this.object(inner, depth, envelope)
      return true
    }
    return false
  }

  #add(found: Unwrapped): void {
    if (this.#isFull) return
    if (this.#found.length >= MAX_RECORDS) {
      this.#isFull = true
      this.#found.push({ problem: reject('unknown', 'too-long', `more than ${MAX_RECORDS} records in one value; the rest of it is not read`), raw: '' })
    } else {
      this.#found.push(found)
    }
  }

  #refuse(code: RejectionCode, detail: string, raw: string): void {
    this.#add({ problem: reject('unknown', code, detail), raw })
  }
}

/** True when the object has something to open. */
function isEnvelope(record: RawObject): boolean {
  return isOtlp(record) || Array.isArray(record.logEvents) || hasLogLine(record) || OBJECT_FIELDS.some((field) => isObject(record[field]))
}

function hasLogLine(record: RawObject): boolean {
  return TEXT_FIELDS.some((field) => typeof record[field] === 'string')
}

function holdsJson(text: string): boolean {
  return isMeantAsJson(text) || (text.charCodeAt(0) === QUOTE && isMeantAsJson(text.slice(1))) || (hasRuntimePrefix(text) && isMeantAsJson(text.replace(CRI, '')))
}

const QUOTE = 34

/** True when the JSON in a text is a flow, or an envelope that may hold one. */
function holdsFlow(text: string): boolean {
  const trimmed = text.trim().replace(CRI, '')
  let value = parseJson(trimmed) ?? parseJson(trimmed.slice(0, trimmed.indexOf('\n') + 1))
  if (Array.isArray(value)) value = value[0] as unknown
  return isObject(value) && (isNative(value) || isEnvelope(value))
}
