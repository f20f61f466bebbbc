import { isAscii, isUtf8 } from 'node:buffer'

/** The text of UTF-8 bytes without a byte order mark; `undefined` when they are not UTF-8. */
export function toText(bytes: Buffer): string | undefined {
  if (isAscii(bytes)) return bytes.toString('latin1')
  if (!isUtf8(bytes)) return undefined
  const text = bytes.toString('utf8')
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
}

/** JSON.parse without exceptions; `undefined`, which JSON cannot express, when the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

const QUOTE = 34
const MINUS = 45
const OPEN_BRACKET = 91
const OPEN_BRACE = 123
/** Longer texts that start with a digit are lines of fields, not numbers. */
const MAX_NUMBER = 32

/**
 * False when a text cannot be JSON by what it starts with. An exception of JSON.parse costs more than reading a line of fields, and most lines of
 * fields start with a digit or a letter.
 */
export function mayBeJson(text: string): boolean {
  let at = 0
  while (at < text.length && isBlank(text.charCodeAt(at))) at++
  const first = text.charCodeAt(at)
  if (first === OPEN_BRACE || first === OPEN_BRACKET || first === QUOTE) return true
  if (first === MINUS || (first >= 48 && first <= 57)) return text.length - at <= MAX_NUMBER
  return text.length - at <= 8 && /^(?:true|false|null)\s*$/.test(text.slice(at))
}

/** True for a text that was meant as a JSON object or array, whether it parses or not: a log line in brackets (`[2026-01-02 …] …`) is none. */
export function isMeantAsJson(text: string): boolean {
  return /^\s*(?:\{|\[\s*(?:[[\]{"]|$))/.test(text)
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9 || code === 13 || code === 10 || code === 0xfeff
}
