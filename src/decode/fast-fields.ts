/**
 * The fast path of formats whose records are flat, or nearly: Calico Enterprise, Goldmane, NetObserv, Antrea. In: the bytes of an ASCII line. Out: what the
 * normalizer would make of it, or `undefined`: then the line is parsed.
 *
 * Lines are walked by the plan of their format (field-walk.ts), and the fields handed to the format's own reader. Whatever would be rejected is left
 * to the parser, so that its dead letter shows it. Cost: about half of JSON.parse of the line, and the reader's. Memory: bounded by what is remembered.
 */
import type { Outcome } from '../core/flow/flow-record.ts'
import type { FieldReader } from '../core/normalize/field-plan.ts'
import type { FastPath } from './decode-chunk.ts'
import { OPEN_BRACE, QUOTE } from './fast-hubble-scan.ts'
import { FieldWalk } from './field-walk.ts'

/** Records of another producer may be walked in vain: after so many in a row, only some are tried. */
const MAX_FAILURES = 32
/** Of the lines of a format that are walked in vain, one in so many is tried. */
const TRIED = 64

class Format {
  readonly #reader: FieldReader
  readonly #walk: FieldWalk
  #failures = 0

  constructor(reader: FieldReader) {
    this.#reader = reader
    this.#walk = new FieldWalk(reader.plan)
  }

  read(bytes: Buffer, view: DataView, start: number, end: number): Outcome | undefined {
    if (this.#failures > MAX_FAILURES && this.#failures % TRIED !== 0) {
      this.#failures++
      return undefined
    }
    const outcome = this.#walk.read(bytes, view, start, end) ? this.#reader.readFields(this.#walk.fields) : undefined
    if (outcome === undefined || outcome.kind === 'rejected') {
      this.#failures++
      return undefined
    }
    this.#failures = 0
    return outcome
  }
}

export class FastFields implements FastPath {
  readonly #formats: readonly Format[]
  /** The format of the line before is the format of most. */
  #last: Format | undefined
  #bytes: Buffer = Buffer.alloc(0)
  #view: DataView = new DataView(new ArrayBuffer(0))

  constructor(readers: readonly FieldReader[]) {
    this.#formats = readers.map((reader) => new Format(reader))
    this.#last = this.#formats[0]
  }

  read(chunk: Buffer, start: number, end: number): Outcome | undefined {
    if (end - start < 2 || chunk[start] !== OPEN_BRACE || chunk[start + 1] !== QUOTE) return undefined
    if (chunk !== this.#bytes) {
      this.#bytes = chunk
      this.#view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length)
    }
    const outcome = this.#last?.read(chunk, this.#view, start, end)
    if (outcome !== undefined) return outcome
    for (const format of this.#formats) {
      if (format === this.#last) continue
      const found = format.read(chunk, this.#view, start, end)
      if (found === undefined) continue
      this.#last = format
      return found
    }
    return undefined
  }
}
