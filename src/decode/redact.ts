/**
 * Removes what may be a credential or a person's data from input that is kept as evidence (the dead-letter store). It works on text that did
 * not parse, so it goes by patterns and prefers hiding too much. Hostile text must not make it slow: a pattern starts at the word that gives a
 * credential away, never at what may stand before it, and every repetition that may fail has a bound, so that the cost is linear.
 */
const KEYS = 'authorization|cookie|token|passwd|password|passphrase|secret|api[-_]?key|private[-_]?key|access[-_]?key|credential'
const HIDDEN = '[redacted]'
/** What may follow the word in a key, and blanks around a separator. */
const REST_OF_KEY = '[^"\\\\]{0,256}'
const BLANKS = '\\s{0,64}'

const PLAIN_KEY = new RegExp(`((?:${KEYS})${REST_OF_KEY}"${BLANKS}:${BLANKS})(?:"(?:[^"\\\\]|\\\\[\\s\\S])*"?|[{[][\\s\\S]*|[^,}\\]\\s]+)`, 'gi')
/** JSON inside a JSON string: quotes carry backslashes. */
const NESTED_KEY = new RegExp(`((?:${KEYS})${REST_OF_KEY}\\\\{1,16}"${BLANKS}:${BLANKS})(?:\\\\{1,16}"[^"]*"?|[{[][\\s\\S]*|[^,}\\]\\s]+)`, 'gi')
/** Header lists: {"key":"Authorization","value":"…"}. */
const HEADER_PAIR = new RegExp(`((?:${KEYS})${REST_OF_KEY}\\\\{0,16}"${BLANKS},${BLANKS}\\\\{0,16}"value\\\\{0,16}"${BLANKS}:${BLANKS})\\\\{0,16}"(?:[^"\\\\]|\\\\[^"])*(?:\\\\{1,16}"|"|\\\\?$)`, 'gi')
/** key=value and key: value outside JSON. */
const LOOSE_KEY = new RegExp(`((?:${KEYS})[\\w-]{0,256}${BLANKS}[=:]${BLANKS})(?!${BLANKS}\\[redacted\\])[^"\\s,;}&][^",;}&\\r\\n]*`, 'gi')
/** A token that stands by itself. */
const BEARER = /\b(bearer\s{1,16})[\w.~+/=-]{8,}/gi
const URL_USER = /([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/@"\\]+@/gi
const URL_QUERY = /(?<=\/[^\s"?\\]{0,256})\?[^\s"\\]+/g
// eslint-disable-next-line no-control-regex -- control characters are what it removes: a database refuses NUL, a terminal obeys ESC.
const UNPRINTABLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g

/** `text` without secrets and without control characters; see the head of this file. */
export function redactText(text: string): string {
  return text
    .replace(HEADER_PAIR, `$1"${HIDDEN}"`)
    .replace(NESTED_KEY, `$1${HIDDEN}`)
    .replace(PLAIN_KEY, `$1"${HIDDEN}"`)
    .replace(LOOSE_KEY, `$1${HIDDEN}`)
    .replace(BEARER, `$1${HIDDEN}`)
    .replace(URL_USER, `$1${HIDDEN}@`)
    .replace(URL_QUERY, `?${HIDDEN}`)
    .replace(UNPRINTABLE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
