/** 64 bits of a text as two unsigned halves from two independent passes. */
export interface TextHash {
  readonly a: number
  readonly b: number
}

/**
 * Incremental 64-bit digest that tells records apart: two murmur3-style passes with different constants. Not
 * cryptographic: it recognises re-delivered records within one cluster's credentials, it does not protect anything.
 * Values are mixed one by one, so it never depends on the order of keys or the whitespace of the input.
 */
export class Digest {
  /** After `finish`: the two unsigned halves. */
  a = 0
  b = 0
  // Apart from the results, which leave the range of signed words: fields that only ever hold such words are kept unboxed.
  #a = 0
  #b = 0

  start(seed: TextHash): void {
    this.#a = seed.a | 0
    this.#b = seed.b | 0
  }

  /** Mixes a whole number of up to 53 bits. */
  number(value: number): void {
    this.#word(value | 0)
    if (value >= 4_294_967_296 || value < 0) this.#word(Math.floor(value / 4_294_967_296) | 0)
  }

  text(value: string): void {
    const length = value.length
    let i = 0
    for (; i + 1 < length; i += 2) this.#word(value.charCodeAt(i) | (value.charCodeAt(i + 1) << 16))
    // The length closes the text, so that neighbours cannot trade characters.
    this.#word(i < length ? value.charCodeAt(i) : -1)
    this.#word(length)
  }

  /** The same as `text` of the ASCII characters from `start` to `end`, without making a text. */
  ascii(bytes: Uint8Array, start: number, end: number): void {
    // With the state in local variables: as fields it would be stored and loaded for every pair.
    let a = this.#a
    let b = this.#b
    let i = start
    for (; i + 1 < end; i += 2) {
      const word = (bytes[i] as number) | ((bytes[i + 1] as number) << 16)
      a = mixA(a, word)
      b = mixB(b, word)
    }
    this.#a = a
    this.#b = b
    this.#word(i < end ? bytes[i] as number : -1)
    this.#word(end - start)
  }

  hash(value: TextHash): void {
    this.#words(value.a, value.b)
  }

  /**
   * The same as `hash` of each pair of words up to `length`. In one loop, because as many calls cost three times that: more than a few of them the
   * compiler no longer puts into the function that makes them.
   */
  pairs(words: Int32Array, length: number): void {
    let a = this.#a
    let b = this.#b
    for (let i = 0; i + 1 < length; i += 2) {
      a = mixA(a, words[i] as number)
      b = mixB(b, words[i + 1] as number)
    }
    this.#a = a
    this.#b = b
  }

  finish(): void {
    this.a = avalanche(this.#a)
    this.b = avalanche(this.#b ^ 0x5bd1e995)
  }

  #word(word: number): void {
    this.#words(word, word)
  }

  #words(forA: number, forB: number): void {
    this.#a = mixA(this.#a, forA)
    this.#b = mixB(this.#b, forB)
  }
}

function mixA(state: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51)
  k = (k << 15) | (k >>> 17)
  const a = state ^ Math.imul(k, 0x1b873593)
  return (Math.imul((a << 13) | (a >>> 19), 5) + 0xe6546b64) | 0
}

function mixB(state: number, word: number): number {
  let k = Math.imul(word, 0x239b961b)
  k = (k << 16) | (k >>> 16)
  const b = state ^ Math.imul(k, 0xab0e9789)
  return (Math.imul((b << 17) | (b >>> 15), 9) + 0x38b34ae5) | 0
}

function avalanche(value: number): number {
  let h = value
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** The digest of one text; keep it beside interned texts. */
export function hashText(text: string): TextHash {
  const digest = new Digest()
  digest.start({ a: 0x9747b28c, b: 0x31415926 })
  digest.text(text)
  digest.finish()
  return { a: digest.a, b: digest.b }
}
