/**
 * The line of received bodies before the store. A bounded number is stored at a time and a bounded number waits; more is refused with `busy`, which
 * becomes 429, and with the seconds after which there may be room. Large bodies have few places of their own, because each takes the memory of two
 * batches or of one decoded message; small ones go past them.
 */
import { AppError } from '../../core/base/app-error.ts'

/** `small`: in memory. `stream`: read batch after batch. `whole`: decoded at once. */
export type BodyWeight = 'small' | 'stream' | 'whole'

export interface QueueOptions {
  /** Bodies stored at a time. */
  readonly places: number
  /** Bodies in line; further ones are refused. */
  readonly maxWaiting: number
  /** Told after every change. */
  readonly onChange?: (line: { readonly running: number; readonly waiting: number }) => void
}

/** Of the places, for each weight. One body is read while the batch of another is stored: more large ones take more memory and are no faster. */
const LARGE_PLACES: Readonly<Record<BodyWeight, number>> = { small: Infinity, stream: 2, whole: 1 }
/** How much the last body counts in the mean time of storing one: 0 never, 1 alone. */
const LAST_WEIGHT = 0.2
const MAX_RETRY_AFTER_S = 120

export class IngestQueue {
  readonly #options: QueueOptions
  readonly #waiting: { readonly weight: BodyWeight; readonly enter: () => void }[] = []
  readonly #running: Record<BodyWeight, number> = { small: 0, stream: 0, whole: 0 }
  #meanSeconds = 0.1

  constructor(options: QueueOptions) {
    this.#options = options
  }

  /** AppError `busy` when the line is full. Call it before a body is read, so that nobody sends one in vain. */
  requireRoom(): void {
    const { places, maxWaiting } = this.#options
    if (this.#waiting.length < maxWaiting) return
    throw new AppError('busy', `${places} bodies are being stored and ${maxWaiting} wait. Try again in ${this.retryAfterS()} s, or raise FLOWFENCE_INGEST_QUEUE.`, { retryable: true, retryAfterS: this.retryAfterS() })
  }

  /** Runs the task when there is a place for it; those of one weight in the order of their calls. AppError `busy` when the line is full. */
  async run<T>(weight: BodyWeight, task: () => Promise<T>): Promise<T> {
    await this.#enter(weight)
    const startedAt = performance.now()
    try {
      return await task()
    } finally {
      this.#meanSeconds += LAST_WEIGHT * ((performance.now() - startedAt) / 1000 - this.#meanSeconds)
      this.#running[weight]--
      this.#admit()
      this.#changed()
    }
  }

  /** Seconds until the line as it is now should be gone; grows with it. */
  retryAfterS(): number {
    const seconds = 1 + (this.#waiting.length * this.#meanSeconds) / this.#options.places
    return Math.min(MAX_RETRY_AFTER_S, Math.ceil(seconds))
  }

  async #enter(weight: BodyWeight): Promise<void> {
    if (this.#hasPlace(weight)) {
      this.#running[weight]++
    } else {
      this.requireRoom()
      // The one that leaves counts it as running.
      const entered = new Promise<void>((enter) => { this.#waiting.push({ weight, enter }) })
      this.#changed()
      await entered
    }
    this.#changed()
  }

  #hasPlace(weight: BodyWeight): boolean {
    return this.#runningNow() < this.#options.places && this.#running[weight] < LARGE_PLACES[weight]
  }

  #runningNow(): number {
    return this.#running.small + this.#running.stream + this.#running.whole
  }

  #admit(): void {
    for (let at = 0; at < this.#waiting.length && this.#runningNow() < this.#options.places;) {
      const next = this.#waiting[at]
      if (next === undefined || !this.#hasPlace(next.weight)) {
        at++
        continue
      }
      this.#waiting.splice(at, 1)
      this.#running[next.weight]++
      next.enter()
    }
  }

  #changed(): void {
    this.#options.onChange?.({ running: this.#runningNow(), waiting: this.#waiting.length })
  }
}
