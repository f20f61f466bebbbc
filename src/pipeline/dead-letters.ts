/**
 * Dead letters: the text of refused records, kept as evidence and to be read again.
 *
 * A letter is complete when its text is the whole record as it came: nothing cut at 4 KiB, nothing hidden as a credential. Only such a one can
 * be read again; of the others the beginning is kept.
 */
import type { Rejection, RejectionCode } from '../core/flow/flow-record.ts'
import type { DecodedItem } from '../decode/item-list.ts'
import { redactText } from '../decode/redact.ts'
import type { RejectionRow } from '../store/write/insert-ingest-records.ts'

/** UTF-8 bytes of a record that are kept. */
const MAX_BYTES = 4096
/** Codes of `decode` for input of which the text is not all there. */
const CUT_CODES: ReadonlySet<RejectionCode> = new Set(['truncated', 'too-long', 'not-text'])

/** Gives the bytes of the input from one offset to another. */
export type ReadBytes = (start: number, end: number) => Buffer

/** `readBytes` is asked for records that were read without being parsed: of those the item holds no text. */
export function letterOf(rejection: Rejection, item: DecodedItem, readBytes?: ReadBytes): RejectionRow {
  const { text, isComplete } = letterText(rejection, item, readBytes)
  return { format: rejection.format, reason: rejection.code, detail: rejection.detail, line: item.line, byte: item.startOffset, sample: text, isComplete }
}

interface LetterText {
  readonly text: string
  readonly isComplete: boolean
}

function letterText(rejection: Rejection, item: DecodedItem, readBytes: ReadBytes | undefined): LetterText {
  if (item.value !== undefined) return valueText(item.value)
  if (item.outcome !== null && readBytes !== undefined) return valueText(readBytes(item.startOffset, item.byteOffset).toString('utf8').trimEnd())
  return rawText(item.raw, rejection.code)
}

/** Text that `decode` kept: redacted, and cut when it has as many bytes as are kept. Escaped control characters are no longer what they were. */
function rawText(raw: string, code: RejectionCode): LetterText {
  const whole = raw.endsWith('\\u000d') ? raw.slice(0, -6) : raw
  const text = cutToBytes(whole, MAX_BYTES)
  const isWhole = text !== '' && text === whole && !CUT_CODES.has(code) && Buffer.byteLength(text) < MAX_BYTES
  return { text, isComplete: isWhole && !text.includes('[redacted]') && !/\\u00[0-9a-f]{2}|\ufffd/.test(text) }
}

/** A text line itself; an object as JSON. JSON.parse takes any depth, JSON.stringify does not: such a record is evidence enough without its text. */
function valueText(value: unknown): LetterText {
  let whole: string
  let isExact = true
  try {
    // 1e400 is read as Infinity, which JSON cannot write.
    whole = typeof value === 'string' ? value : JSON.stringify(value, (_, part: unknown) => {
      if (typeof part === 'number' && !Number.isFinite(part)) isExact = false
      return part
    })
  } catch {
    return { text: '(nested too deeply to be shown)', isComplete: false }
  }
  const kept = cutToBytes(whole, MAX_BYTES)
  const text = cutToBytes(redactText(kept), MAX_BYTES)
  return { text, isComplete: isExact && text === whole }
}

/** The beginning of a text, at most so many bytes of UTF-8, without a broken character at the end. */
function cutToBytes(text: string, bytes: number): string {
  if (text.length * 3 <= bytes) return text
  const buffer = Buffer.from(text.slice(0, bytes), 'utf8')
  if (buffer.length <= bytes) return text.slice(0, bytes)
  let end = bytes
  while (end > 0 && ((buffer[end] as number) & 0xc0) === 0x80) end--
  return buffer.toString('utf8', 0, end)
}
