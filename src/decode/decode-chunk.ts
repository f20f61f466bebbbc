/**
 * Bytes of one input in, raw records out. Understood: one JSON object per line; arrays of objects on one or many lines, read element by
 * element; objects printed over several lines; text lines, handed on as they are. Shippers' envelopes are taken off (unwrap/unwrap.ts).
 * Everything else becomes a Rejection with its line, and reading goes on at the next line.
 *
 * Invariants: the items depend on the bytes only, never on how they were cut into chunks; every line or element that is not blank gives at least
 * one item; nothing throws on input. Memory: one line or element (at most `maxLineBytes`) beside the caller's chunk. Cost: O(bytes); a clean
 * NDJSON line costs one search, one slice and one JSON.parse.
 */
import { isAscii } from 'node:buffer'
import type { Outcome } from '../core/flow/flow-record.ts'
import { isObject } from '../core/normalize/problems.ts'
import { ByteStash } from './byte-stash.ts'
import { ItemList, KEPT_BYTES, type DecodedItem, type ItemPlace } from './item-list.ts'
import { isMeantAsJson, mayBeJson, parseJson, toText } from './json-text.ts'
import { ValueScanner } from './scan-value.ts'

export interface DecoderOptions {
  /** Longer lines and array elements are rejected unread. Larger: more memory per input; smaller: records with many labels are lost. Default 1 MiB. */
  readonly maxLineBytes?: number
  /** Absolute offset of the first byte pushed (resuming); a leading `,` or `]` then continues the array it was in. Default 0. */
  readonly startOffset?: number
  readonly startLine?: number
  /**
   * Nothing comes after the bytes pushed (a request's body, a decompressed file). Else a text line without newline is 'truncated': it may have been
   * cut in the middle of a value, and the rest may still arrive. Default false.
   */
  readonly isFinished?: boolean
  /** Tried first on every line that is ASCII. */
  readonly fastPath?: FastPath
}

/** Reads a record from the bytes of its line without parsing all of it; `undefined` where it cannot tell: then the line is parsed. */
export interface FastPath {
  /** The line is `chunk[start, end)`, without its newline. */
  read(chunk: Buffer, start: number, end: number): Outcome | undefined
}

/** Push decoder of one input; see the head of this file. */
export interface Decoder {
  /** Items completed by this chunk, in order. The chunk may be reused afterwards. */
  push(chunk: Buffer): DecodedItem[]
  /** Items left at the end of the input. */
  end(): DecodedItem[]
}

export function createDecoder(options: DecoderOptions = {}): Decoder {
  return new ChunkDecoder(options)
}

const DEFAULT_MAX_LINE_BYTES = 1_048_576
const NEWLINE = 10
const COMMA = 44
const OPEN_BRACKET = 91
const CLOSE_BRACKET = 93
const OPEN_BRACE = 123

/** line: at or in a line. skip-line: in an overlong line. array: between elements. element: in an array element. object: in a multi-line object. */
type Mode = 'line' | 'skip-line' | 'array' | 'element' | 'object'

class ChunkDecoder implements Decoder {
  readonly #maxBytes: number
  readonly #isFinished: boolean
  readonly #fastPath: FastPath | undefined
  readonly #stash = new ByteStash()
  readonly #scanner = new ValueScanner()
  readonly #items: ItemList
  #mode: Mode = 'line'
  /** Absolute offset of the current chunk's first byte. */
  #base: number
  #line: number
  /** Where the item being read starts. */
  #itemStart: number
  #itemLine: number
  /** Bytes of the value being read beyond `maxLineBytes`; its head is in the stash. */
  #excess = 0
  /** What the current line starts with: 0 nothing but blanks so far, 1 a `[`, 2 something that makes it a plain line. */
  #probe: 0 | 1 | 2 = 0
  /** The rest of this line follows a closed array or object: nothing there is no blank line. */
  #isTail = false
  #isResumed: boolean
  #asciiChecked: Buffer | undefined
  #isAscii = false
  /** Lines that start before this offset were scanned once already and are taken as plain lines: keeps recovery linear. */
  #plainBefore = 0

  constructor(options: DecoderOptions) {
    this.#maxBytes = options.maxLineBytes ?? DEFAULT_MAX_LINE_BYTES
    this.#items = new ItemList(this.#maxBytes)
    this.#isFinished = options.isFinished ?? false
    this.#fastPath = options.fastPath
    this.#base = this.#itemStart = options.startOffset ?? 0
    this.#line = this.#itemLine = options.startLine ?? 1
    this.#isResumed = this.#base > 0
  }

  push(chunk: Buffer): DecodedItem[] {
    this.#consume(chunk)
    return this.#items.take()
  }

  end(): DecodedItem[] {
    if (this.#mode === 'element' || this.#mode === 'object') this.#endInValue()
    if (this.#mode === 'line' || this.#mode === 'skip-line') {
      this.#endInLine()
    } else if (this.#mode === 'array') {
      const place = { line: this.#line, start: this.#base, next: this.#itemStart }
      this.#items.addRejection(place, 'truncated', { detail: 'the input ends inside an array: no closing ]' })
    }
    return this.#items.take()
  }

  #consume(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#mode === 'line') at = this.#lines(chunk, at)
      else if (this.#mode === 'skip-line') at = this.#skipLine(chunk, at)
      else if (this.#mode === 'array') at = this.#betweenElements(chunk, at)
      else at = this.#inValue(chunk, at)
    }
    this.#base += chunk.length
    this.#asciiChecked = undefined
  }

  #place(next: number): ItemPlace {
    return { line: this.#itemLine, start: this.#itemStart, next }
  }

  // ---- lines

  /** Reads lines until the chunk ends or another mode starts; returns where to go on. */
  #lines(chunk: Buffer, from: number): number {
    const isPlain = this.#isAsciiChunk(chunk)
    let at = from
    while (at < chunk.length && this.#mode === 'line') {
      if (this.#probe === 0 && this.#stash.length === 0 && chunk[at] === OPEN_BRACE) {
        this.#probe = 2
        this.#isResumed = false
      }
      if (this.#probe !== 2) {
        const next = this.#probeLine(chunk, at)
        if (next !== undefined) return next
      }
      const newline = chunk.indexOf(NEWLINE, at)
      const end = newline < 0 ? chunk.length : newline
      if (this.#stash.length + end - at > this.#maxBytes) {
        this.#mode = 'skip-line'
        return at
      }
      if (newline < 0) {
        this.#stash.append(chunk, at, end)
        return end
      }
      if (this.#stash.length > 0) {
        this.#stash.append(chunk, at, end)
        this.#finishStash(this.#base + end + 1)
      } else if (!isPlain || !this.#finishPlainLine(chunk, at, end, this.#base + end + 1)) {
        this.#finishLine(chunk.subarray(at, end), this.#base + end + 1)
      }
      at = end + 1
    }
    return at
  }

  /** Checked once per chunk, since most input is ASCII, and ASCII needs no validation and the cheapest conversion. */
  #isAsciiChunk(chunk: Buffer): boolean {
    if (this.#asciiChecked !== chunk) {
      this.#asciiChecked = chunk
      this.#isAscii = isAscii(chunk)
    }
    return this.#isAscii
  }

  /** Looks at what a line starts with; returns where an array's content begins, or `undefined` to read a plain line. */
  #probeLine(chunk: Buffer, from: number): number | undefined {
    for (let i = from; i < chunk.length; i++) {
      const byte = chunk[i] as number
      // Blanks, and the bytes of a byte order mark.
      if (byte === 32 || byte === 9 || byte === 13 || byte === 0xef || byte === 0xbb || byte === 0xbf) continue
      if (this.#isResumed && (byte === COMMA || byte === CLOSE_BRACKET)) return this.#startArray(i)
      // A line feed may follow the last element: whether an array goes on is told by what comes after it.
      this.#isResumed &&= byte === NEWLINE
      if (this.#probe === 0 && byte === OPEN_BRACKET && this.#itemStart >= this.#plainBefore) {
        this.#probe = 1
        continue
      }
      // A log line may start with `[`, too: only a record, a nested array, the end of the line or of the array may follow.
      const isArray = byte === OPEN_BRACE || byte === OPEN_BRACKET || byte === CLOSE_BRACKET || byte === NEWLINE
      if (this.#probe === 1 && isArray) return this.#startArray(i)
      this.#probe = 2
      return undefined
    }
    return undefined
  }

  #startArray(at: number): number {
    this.#isResumed = false
    this.#stash.clear()
    this.#mode = 'array'
    this.#itemStart = this.#base + at
    return at
  }

  /** A line that began in an earlier chunk. */
  #finishStash(next: number): void {
    const bytes = this.#stash.view()
    if (isAscii(bytes) && this.#finishPlainLine(bytes, 0, bytes.length, next)) this.#stash.clear()
    else this.#finishLine(bytes, next)
  }

  /** The hot path: a whole line of ASCII that is a record or a text line. False, and nothing done, when it is not. */
  #finishPlainLine(chunk: Buffer, at: number, end: number, next: number): boolean {
    const outcome = this.#fastPath?.read(chunk, at, end)
    if (outcome !== undefined) {
      this.#items.addOutcome(this.#itemLine, this.#itemStart, next, outcome)
      this.#startLine(next)
      return true
    }
    // A string of its own for each line: JSON.parse reads a slice of a larger string 1.4 times slower (Node 24, 2026-11).
    const text = chunk.toString('latin1', at, end)
    if (chunk[at] !== OPEN_BRACE && !mayBeJson(text)) {
      const line = text.trim()
      if (line === '' || line.includes('\0')) return false
      this.#items.addLine(this.#place(next), line)
    } else {
      const value = parseJson(text)
      if (!isObject(value)) return false
      this.#items.addRecord(this.#itemLine, this.#itemStart, next, value)
    }
    this.#startLine(next)
    return true
  }

  #finishLine(bytes: Buffer, next: number): void {
    const text = toText(bytes)
    const value = text !== undefined && mayBeJson(text) ? parseJson(text) : undefined
    if (isObject(value)) this.#items.addValue(this.#place(next), value, bytes)
    else this.#finishOddLine({ bytes, text, value }, next)
    if (this.#mode !== 'line') return
    this.#stash.clear()
    this.#startLine(next)
  }

  /** A line that is no record by itself: blank, the start of a multi-line object, a text line, an array of scalars, or wrong. */
  #finishOddLine(line: { bytes: Buffer; text: string | undefined; value: unknown }, next: number): void {
    const trimmed = line.text?.trim()
    if (trimmed === '') {
      if (!this.#isTail) this.#items.addBlank(this.#place(next))
    } else if (trimmed === '{' && this.#itemStart >= this.#plainBefore) {
      this.#startObject(line.bytes)
    } else if (line.value === undefined) {
      if (trimmed === undefined || line.bytes.includes(0)) this.#items.addRejection(this.#place(next), 'not-text', line)
      else if (isMeantAsJson(trimmed)) this.#items.addRejection(this.#place(next), 'malformed-json', line)
      else this.#items.addLine(this.#place(next), trimmed)
    } else {
      const values: unknown[] = Array.isArray(line.value) ? line.value : [line.value]
      // Resuming between two of them reads the line again: better seen twice than lost.
      values.forEach((value, i) => this.#items.addValue(this.#place(i === values.length - 1 ? next : this.#itemStart), value, line.bytes))
    }
  }

  #startLine(offset: number): void {
    this.#line++
    this.#itemLine = this.#line
    this.#itemStart = offset
    this.#probe = 0
    this.#isTail = false
  }

  #skipLine(chunk: Buffer, from: number): number {
    const newline = chunk.indexOf(NEWLINE, from)
    const end = newline < 0 ? chunk.length : newline
    this.#keepHead(chunk, from, end)
    if (newline < 0) return end
    this.#rejectTooLong(this.#base + end + 1)
    this.#mode = 'line'
    this.#startLine(this.#base + end + 1)
    return end + 1
  }

  #endInLine(): void {
    if (this.#mode === 'skip-line') {
      this.#rejectTooLong(this.#base)
      return
    }
    if (this.#stash.length === 0) return
    const bytes = this.#stash.view()
    const text = toText(bytes)
    const isText = text !== undefined && !bytes.includes(0)
    if (isText && (text.trim() === '' || parseJson(text) !== undefined || (this.#isFinished && !isMeantAsJson(text)))) {
      this.#finishLine(bytes, this.#base)
    } else {
      this.#items.addRejection(this.#place(isText ? this.#itemStart : this.#base), isText ? 'truncated' : 'not-text', { bytes })
    }
  }

  // ---- arrays and multi-line objects

  #betweenElements(chunk: Buffer, from: number): number {
    for (let i = from; i < chunk.length; i++) {
      const byte = chunk[i] as number
      if (byte === NEWLINE) this.#line++
      if (byte <= 32 || byte === COMMA) continue
      if (byte === CLOSE_BRACKET) {
        this.#afterValue(this.#base + i + 1)
        return i + 1
      }
      this.#mode = 'element'
      this.#startValue(this.#base + i)
      return i
    }
    return chunk.length
  }

  /** What follows on the line of a closed array or object is read as a line of its own. */
  #afterValue(offset: number): void {
    this.#mode = 'line'
    this.#itemLine = this.#line
    this.#itemStart = offset
    this.#probe = 0
    this.#isTail = true
  }

  #startValue(offset: number): void {
    this.#itemStart = offset
    this.#itemLine = this.#line
    this.#stash.clear()
    this.#scanner.start()
  }

  /** `{` alone on a line: reads on to the closing brace. */
  #startObject(lineBytes: Buffer): void {
    const opening = Buffer.concat([lineBytes, Buffer.from('\n')])
    this.#mode = 'object'
    this.#startValue(this.#itemStart)
    this.#stash.append(opening, 0, opening.length)
    this.#scanner.scan(opening, 0)
  }

  #inValue(chunk: Buffer, from: number): number {
    const result = this.#scanner.scan(chunk, from)
    const end = this.#scanner.at
    if (this.#excess === 0 && this.#stash.length + end - from > this.#maxBytes) {
      const limit = Math.max(from, from + this.#maxBytes - this.#stash.length)
      this.#stash.append(chunk, from, limit)
      if (hasUnindentedValue(this.#stash.view())) {
        this.#recover(this.#base + limit)
        return limit
      }
      this.#excess = end - limit
    } else if (this.#excess > 0) {
      this.#excess += end - from
    } else {
      this.#stash.append(chunk, from, end)
    }
    if (result === 'complete') this.#finishValue(this.#base + end)
    else if (result === 'broken') this.#breakValue(this.#base + end)
    return end
  }

  #finishValue(next: number): void {
    this.#line += this.#scanner.newlines
    if (this.#excess > 0) {
      this.#rejectTooLong(next)
    } else {
      const bytes = this.#stash.view()
      const text = toText(bytes)
      const value = text === undefined ? undefined : parseJson(text)
      if (value === undefined) this.#items.addRejection(this.#place(next), text === undefined ? 'not-text' : 'malformed-json', { bytes })
      else this.#items.addValue(this.#place(next), value, bytes)
    }
    this.#stash.clear()
    if (this.#mode === 'object') {
      this.#afterValue(next)
    } else {
      this.#mode = 'array'
      this.#itemStart = next
    }
  }

  /** A raw newline inside a string, at `newline`: the value cannot be read; the lines after it can. */
  #breakValue(newline: number): void {
    if (this.#excess > 0) {
      this.#line += this.#scanner.newlines
      this.#rejectTooLong(newline)
      this.#afterValue(newline)
    } else {
      this.#recover(newline)
    }
  }

  #endInValue(): void {
    if (this.#excess > 0) this.#rejectTooLong(this.#base)
    else if (this.#stash.view().includes(NEWLINE)) this.#recover(this.#base)
    else this.#items.addRejection(this.#place(this.#itemStart), 'truncated', { bytes: this.#stash.view() })
    if (this.#mode !== 'line') this.#stash.clear()
    this.#mode = 'line'
  }

  /**
   * The value that starts at the item and was read up to the offset `end` cannot end well: its lines, which are held in memory, are read again
   * as plain lines, so that one cut-off line costs no good one.
   */
  #recover(end: number): void {
    const held = Buffer.from(this.#stash.view())
    const base = this.#base
    this.#plainBefore = end
    this.#stash.clear()
    this.#mode = 'line'
    this.#line = this.#itemLine
    this.#probe = 2
    this.#isTail = false
    this.#base = this.#itemStart
    this.#consume(held)
    this.#base = base
  }

  // ---- overlong input

  #keepHead(chunk: Buffer, start: number, end: number): void {
    const kept = Math.max(start, Math.min(end, start + KEPT_BYTES - this.#stash.length))
    this.#stash.append(chunk, start, kept)
    this.#excess += end - kept
  }

  #rejectTooLong(next: number): void {
    const detail = `${this.#stash.length + this.#excess} bytes, over the limit of ${this.#maxBytes}`
    this.#items.addRejection(this.#place(next), 'too-long', { bytes: this.#stash.view(), detail })
    this.#stash.clear()
    this.#excess = 0
  }
}

/** True when a line starts with a record or an array: then the value that seemed to contain it was cut off before. */
function hasUnindentedValue(bytes: Buffer): boolean {
  return bytes.includes('\n{') || bytes.includes('\n[')
}
