/**
 * A Map that forgets what was not asked for during a whole generation: entries in use stay, whatever else comes. Holds at most two generations.
 * Cost: one lookup, and a second one for what is not in the young generation.
 */
export class RecentMap<K, V> {
  readonly #limit: number
  #young = new Map<K, V>()
  #old = new Map<K, V>()
  #weight = 0

  /** `limit`: entries of one generation, or their weight where `set` is given one. Too small for what is in use: it is made anew again and again. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Entries held; at most two generations. An entry that was asked for again counts once. */
  get size(): number {
    return this.#young.size + this.#old.size
  }

  get(key: K): V | undefined {
    const young = this.#young.get(key)
    if (young !== undefined || this.#old.size === 0) return young
    const old = this.#old.get(key)
    if (old !== undefined) {
      this.#old.delete(key)
      this.set(key, old)
    }
    return old
  }

  /** An entry that takes another one's place keeps that one's weight until the generation ends. */
  set(key: K, value: V, weight = 1): void {
    if (this.#weight + weight > this.#limit && this.#young.size > 0) {
      this.#old = this.#young
      this.#young = new Map()
      this.#weight = 0
    }
    this.#young.set(key, value)
    this.#weight += weight
  }
}
