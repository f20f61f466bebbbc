/**
 * The first line of a log, which names it whatever the file is called. In: the bytes from the start of a file. Out: the line without its newline,
 * once it is complete; and the name made of it, `file:<16 hex>`.
 */
import { createHash } from 'node:crypto'

/** A first line longer than this names the file by this much of it. */
const MAX_FIRST_LINE = 1_048_576
const NEWLINE = 10

/** `bytes` from the first line on that is not blank. */
export function withoutBlankLines(bytes: Buffer): Buffer {
  let start = 0
  for (let newline = bytes.indexOf(NEWLINE); newline >= 0; newline = bytes.indexOf(NEWLINE, start)) {
    if (bytes.toString('latin1', start, newline).trim() !== '') break
    start = newline + 1
  }
  return bytes.subarray(start)
}

/** The first line once it is complete; cut at MAX_FIRST_LINE. */
export function firstLine(head: Buffer): Buffer | undefined {
  const newline = head.indexOf(NEWLINE)
  if (newline >= 0) return head.subarray(0, newline)
  return head.length > MAX_FIRST_LINE ? head.subarray(0, MAX_FIRST_LINE) : undefined
}

/** False for the start of an array, or of an object over several lines: what follows are no lines of a log. */
export function isRecordLine(line: Buffer): boolean {
  const text = textOf(line)
  return !text.startsWith('[') && text !== '{'
}

/** True for `[` or `{` alone on the first line: one document over several lines. */
export function opensDocument(line: Buffer): boolean {
  return line.length < 16 && ['[', '{'].includes(textOf(line))
}

/** Names a log for ever by its first line. */
export function lineSourceId(line: Buffer): string {
  return `file:${createHash('sha256').update(line).digest('hex').slice(0, 16)}`
}

function textOf(line: Buffer): string {
  return line.toString('utf8').replace(/^\ufeff/, '').trim()
}
