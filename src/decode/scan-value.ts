const QUOTE = 34
const COMMA = 44
const BACKSLASH = 92
const CLOSE_BRACKET = 93
const NEWLINE = 10

/** `more`: the chunk ended inside the value. `broken`: a raw newline inside a string, which JSON forbids: sync is lost. */
export type ScanResult = 'complete' | 'more' | 'broken'

/**
 * Finds where one JSON value ends without parsing it: tracks strings and nesting over any number of chunks. It does not
 * check the grammar; JSON.parse does that on the bytes found. O(bytes), constant memory.
 */
export class ValueScanner {
  #depth = 0
  #isInString = false
  #isEscaped = false
  #isScalar = false
  /** After `scan`: index of the byte after the last one consumed. */
  at = 0
  /** Newlines passed since `start`. */
  newlines = 0

  start(): void {
    this.#depth = 0
    this.#isInString = false
    this.#isEscaped = false
    this.#isScalar = false
    this.newlines = 0
  }

  /** Consumes `chunk` from `from`; call again with the next chunk while it answers `more`. */
  scan(chunk: Buffer, from: number): ScanResult {
    let i = from
    for (; i < chunk.length; i++) {
      const byte = chunk[i] as number
      if (this.#isInString) {
        const result = this.#inString(byte)
        if (result === 'more') continue
        this.at = result === 'broken' ? i : i + 1
        return result
      }
      if (byte === NEWLINE) this.newlines++
      if (byte === QUOTE) {
        this.#isInString = true
      } else if ((byte | 32) === 123) { // [ and {
        this.#depth++
      } else if ((byte | 32) === 125 && this.#depth > 0) { // ] and }
        if (--this.#depth === 0) {
          this.at = i + 1
          return 'complete'
        }
      } else if (this.#depth === 0) {
        if (byte === COMMA || byte === CLOSE_BRACKET || (byte <= 32 && this.#isScalar)) {
          if (byte === NEWLINE) this.newlines--
          this.at = i
          return 'complete'
        }
        this.#isScalar = true
      }
    }
    this.at = i
    return 'more'
  }

  #inString(byte: number): ScanResult {
    if (byte === NEWLINE) return 'broken'
    if (this.#isEscaped) {
      this.#isEscaped = false
    } else if (byte === BACKSLASH) {
      this.#isEscaped = true
    } else if (byte === QUOTE) {
      this.#isInString = false
      if (this.#depth === 0) return 'complete'
    }
    return 'more'
  }
}
