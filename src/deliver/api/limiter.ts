import { AppError } from '../../core/base/app-error.ts'

/** Runs at most `limit` tasks at a time; further ones wait in line, and beyond `maxWaiting` are refused with `unavailable`. */
export class Limiter {
  readonly #limit: number
  readonly #maxWaiting: number
  readonly #refusal: string
  readonly #waiting: (() => void)[] = []
  #running = 0

  /** `refusal` tells the client what there is too much of, and the next step. */
  constructor(options: { readonly limit: number; readonly maxWaiting: number; readonly refusal: string }) {
    this.#limit = options.limit
    this.#maxWaiting = options.maxWaiting
    this.#refusal = options.refusal
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    await this.#enter()
    try {
      return await task()
    } finally {
      this.#leave()
    }
  }

  async #enter(): Promise<void> {
    if (this.#running < this.#limit) {
      this.#running++
      return
    }
    if (this.#waiting.length >= this.#maxWaiting) {
      throw new AppError('unavailable', this.#refusal, { retryable: true })
    }
    // The one that leaves hands its place over, so #running stays.
    await new Promise<void>((enter) => this.#waiting.push(enter))
  }

  #leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#running--
    else next()
  }
}
