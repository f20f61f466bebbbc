/**
 * JSON objects one directly after the other (`{…}{…}`), as fluent-bit's `json_stream` writes them, get a newline between them; any other body passes
 * unchanged. What it is shows after the first object, so that bodies of lines and arrays are not looked through.
 */
const OPEN_BRACE = 123
const CLOSE_BRACE = 125
const OPEN_BRACKET = 91
const CLOSE_BRACKET = 93
const QUOTE = 34
const BACKSLASH = 92
const SPACE = 32
const NEWLINE = Buffer.from('\n')

export async function* separateValues(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const scan = new BoundaryScan()
  for await (const chunk of chunks) yield* scan.isOver ? [chunk] : scan.cut(chunk)
}

/** Follows strings and nesting over chunks. */
class BoundaryScan {
  /** No further boundary will be looked for. */
  isOver = false
  #depth = 0
  #isInString = false
  #isEscaped = false
  /** A value ended right before. */
  #isAfterValue = false
  #hasBegun = false

  /** The chunk, with newlines between values that touch. */
  cut(chunk: Buffer): Buffer[] {
    const pieces: Buffer[] = []
    let from = 0
    for (let at = 0; at < chunk.length && !this.isOver; at++) {
      if (!this.#isBoundary(chunk[at] ?? 0)) continue
      pieces.push(chunk.subarray(from, at), NEWLINE)
      from = at
    }
    return [...pieces, chunk.subarray(from)]
  }

  /** Takes one byte; true when a further value begins with it where one has just ended. */
  #isBoundary(byte: number): boolean {
    if (this.#isInString) {
      if (this.#isEscaped) this.#isEscaped = false
      else if (byte === BACKSLASH) this.#isEscaped = true
      else if (byte === QUOTE) this.#isInString = false
      return false
    }
    if (this.#depth === 0) return this.#between(byte)
    if (byte === QUOTE) this.#isInString = true
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) this.#depth++
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) this.#isAfterValue = --this.#depth === 0
    return false
  }

  #between(byte: number): boolean {
    if (byte === OPEN_BRACE) {
      const isBoundary = this.#isAfterValue
      this.#isAfterValue = false
      this.#hasBegun = true
      this.#depth = 1
      return isBoundary
    }
    // Before the first object blanks may stand; after one, anything but the next object says that this is no such stream.
    this.isOver = this.#hasBegun || byte > SPACE
    return false
  }
}
