/**
 * COPY in PostgreSQL's binary format: rows are written straight into one growing buffer. Against the text format nothing
 * has to be escaped, numbers and times are not printed and parsed, and hostile text cannot end a field.
 */
import { pipeline } from 'node:stream/promises'
import { from as copyFrom } from 'pg-copy-streams'
import type { Transaction } from './database.ts'

const SIGNATURE = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])
/** PostgreSQL counts microseconds from 2000-01-01. */
const EPOCH_US = 946_684_800_000_000
const UNSTORABLE = /\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g
const TWO_32 = 4_294_967_296
/** Pieces in which a buffer is sent: small enough that the server parses while we send, large enough to keep the calls few. */
const PIECE_BYTES = 256 * 1024

/** Builds one COPY's content. Call `row`, then exactly that many fields in column order. Reusable after `reset`. */
export class CopyBuffer {
  private buffer: Buffer
  private at = SIGNATURE.length
  private rowCount = 0

  /** `sizeBytes` is the first allocation; it doubles when full. */
  constructor(sizeBytes = 1 << 20) {
    this.buffer = Buffer.allocUnsafe(Math.max(sizeBytes, 1024))
    SIGNATURE.copy(this.buffer)
  }

  get rows(): number {
    return this.rowCount
  }

  reset(): void {
    this.at = SIGNATURE.length
    this.rowCount = 0
  }

  /** Starts a row. Reserves room for its fixed fields; texts reserve their own. */
  row(columns: number): void {
    this.reserve(2 + columns * 12)
    this.rowCount++
    this.buffer[this.at++] = columns >>> 8
    this.buffer[this.at++] = columns & 255
  }

  /** integer */
  int32(value: number): void {
    this.reserve(8)
    this.word(4)
    this.word(value)
  }

  smallint(value: number): void {
    this.reserve(6)
    this.word(2)
    this.buffer[this.at++] = (value >>> 8) & 255
    this.buffer[this.at++] = value & 255
  }

  boolean(value: boolean): void {
    this.reserve(5)
    this.word(1)
    this.buffer[this.at++] = value ? 1 : 0
  }

  /** bigint from two 32-bit halves. */
  halves(hi: number, lo: number): void {
    this.reserve(12)
    this.word(8)
    this.word(hi)
    this.word(lo)
  }

  /** bigint from a whole number that a double holds exactly. */
  bigint(value: number): void {
    const hi = Math.floor(value / TWO_32)
    this.halves(hi, value - hi * TWO_32)
  }

  /** timestamptz from microseconds since 1970. */
  time(timeUs: number): void {
    this.bigint(timeUs - EPOCH_US)
  }

  /** bytea: two short values, one after the other. */
  bytes(first: Buffer, second: Buffer): void {
    const length = first.length + second.length
    this.reserve(4 + length)
    this.word(length)
    if (length === 0) return
    for (let i = 0; i < first.length; i++) this.buffer[this.at++] = first[i] as number
    for (let i = 0; i < second.length; i++) this.buffer[this.at++] = second[i] as number
  }

  /** text. NUL, which PostgreSQL's text cannot hold, and halves of surrogate pairs become U+FFFD. */
  text(value: string): void {
    const length = value.length
    this.reserve(4 + length * 3)
    const { buffer } = this
    let at = this.at + 4
    // Most texts are short ASCII: a loop beats the call into Buffer.write (about 4x at 12 characters).
    for (let i = 0; i < length; i++) {
      const c = value.charCodeAt(i)
      if (c === 0 || c > 127 || length > 256) {
        this.longText(value)
        return
      }
      buffer[at++] = c
    }
    this.word(length)
    this.at = at
  }

  /** The finished content, valid until `reset`. */
  finish(): Buffer {
    this.reserve(2)
    this.buffer[this.at] = 255
    this.buffer[this.at + 1] = 255
    return this.buffer.subarray(0, this.at + 2)
  }

  private longText(value: string): void {
    const bytes = this.buffer.write(storableText(value), this.at + 4, 'utf8')
    this.word(bytes)
    this.at += bytes
  }

  private word(value: number): void {
    const { buffer } = this
    buffer[this.at] = value >>> 24
    buffer[this.at + 1] = (value >>> 16) & 255
    buffer[this.at + 2] = (value >>> 8) & 255
    buffer[this.at + 3] = value & 255
    this.at += 4
  }

  private reserve(bytes: number): void {
    if (this.at + bytes + 2 <= this.buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.at + bytes + 2))
    this.buffer.copy(larger, 0, 0, this.at)
    this.buffer = larger
  }
}

/** The same text as PostgreSQL can hold it: NUL and lone surrogates become U+FFFD. Use it for every parameter that came from a log. */
export function storableText(value: string): string {
  return value.replace(UNSTORABLE, '\ufffd')
}

/** As storableText, cut to `length` characters: for indexed columns, whose entries PostgreSQL bounds at 2704 bytes. */
export function storableKey(value: string, length = 253): string {
  return storableText(value.slice(0, length))
}

/** Sends a finished buffer as `copy <target> from stdin`; `target` is `table (columns…)`. Nothing is sent for no rows. */
export async function copyInto(tx: Transaction, target: string, content: CopyBuffer): Promise<void> {
  if (content.rows === 0) return
  const stream = tx.client.query(copyFrom(`copy ${target} from stdin with (format binary)`))
  await pipeline(pieces(content.finish()), stream)
}

function* pieces(content: Buffer): Generator<Buffer> {
  for (let at = 0; at < content.length; at += PIECE_BYTES) yield content.subarray(at, at + PIECE_BYTES)
}
