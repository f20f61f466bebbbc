import { RecentMap } from '../base/recent-map.ts'

/** What was made of a part of a line, beside the part's text. */
interface Entry<V> {
  readonly text: string
  readonly value: V
  next: Entry<V> | undefined
}

/** Entries under one hash; more than two happen to nobody but by intent. */
const MAX_CHAIN = 8
/** Longer parts are not remembered. */
const MAX_LENGTH = 16_384
/** Characters that decide a part's hash at most: names differ at their ends. */
const HASHED = 64

/**
 * Remembers what was made of parts of lines: the columns of one end. A part is found by its names and compared as a whole, which costs
 * half of what a Map of texts takes, as that hashes every character of a text that no one has seen before.
 */
export class LinePartCache<V> {
  readonly #entries: RecentMap<number, Entry<V>>

  /** `maxCharacters` of one of the two generations. Larger: fewer parts are parsed again; smaller: less memory. */
  constructor(maxCharacters: number) {
    this.#entries = new RecentMap(maxCharacters)
  }

  /** `hash`: of a part of this text, see `hashPart`. */
  get(hash: number, text: string): V | undefined {
    let entry = this.#entries.get(hash)
    while (entry !== undefined && entry.text !== text) entry = entry.next
    return entry?.value
  }

  /** `text` must be no slice: that would keep its whole line. */
  set(hash: number, text: string, value: V): void {
    if (text.length > MAX_LENGTH) return
    const first = this.#entries.get(hash)
    let length = 0
    for (let entry = first; entry !== undefined; entry = entry.next) length++
    this.#entries.set(hash, { text, value, next: length < MAX_CHAIN ? first : undefined }, text.length)
  }
}

/** A hash of the characters from `start` to `end`, 64 at most: the names of a part. Not negative, and small enough to be cheap. */
export function hashPart(line: string, start: number, end: number): number {
  let hash = 0
  for (let at = Math.max(start, end - HASHED); at < end; at++) hash = (Math.imul(hash, 31) + line.charCodeAt(at)) | 0
  return (hash ^ (hash >>> 15)) & 0x3fff_ffff
}

/** The text without the line that it is a slice of. */
export function ownText(text: string): string {
  return ` ${text}`.slice(1)
}
