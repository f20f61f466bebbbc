/**
 * How many records a batch should have, learnt from how long storing takes: large enough that the fixed cost of a transaction (a few milliseconds, a
 * flush to disk) is small, small enough that flows are seen soon and little is repeated after a crash.
 */
export class BatchPace {
  readonly #min: number
  readonly #max: number
  readonly #targetMs: number
  #records: number

  /** `records` is where it begins; with `min` equal to `max` it stays there. */
  constructor(options: { readonly records: number; readonly min: number; readonly max: number; readonly targetMs: number }) {
    this.#records = options.records
    this.#min = options.min
    this.#max = options.max
    this.#targetMs = options.targetMs
  }

  /** Records of the next batch. */
  get records(): number {
    return this.#records
  }

  /** Notes how long a batch took. Batches far below the target size say nothing about large ones, except when they were slow. */
  stored(records: number, tookMs: number): void {
    if (records < this.#records / 2 && tookMs < this.#targetMs) return
    const ideal = records * this.#targetMs / Math.max(tookMs, 1)
    // A third of the way: one slow disk flush must not halve the pace.
    const next = this.#records + (ideal - this.#records) / 3
    this.#records = Math.round(Math.min(this.#max, Math.max(this.#min, next)))
  }
}
