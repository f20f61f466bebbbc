/** A growing byte buffer for the one line or element that spans chunks; copying keeps chunks free to be reused by their owner. */
export class ByteStash {
  #bytes = Buffer.allocUnsafe(0)
  #length = 0

  get length(): number {
    return this.#length
  }

  append(chunk: Buffer, start: number, end: number): void {
    const needed = this.#length + end - start
    if (needed > this.#bytes.length) {
      // Doubling keeps appending linear even when chunks are single bytes.
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2, 4096))
      this.#bytes.copy(grown, 0, 0, this.#length)
      this.#bytes = grown
    }
    chunk.copy(this.#bytes, this.#length, start, end)
    this.#length = needed
  }

  /** The bytes so far, valid until the next call. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  clear(): void {
    this.#length = 0
  }
}
