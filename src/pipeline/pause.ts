/** What may end a wait early: anything, a name that came or went, or only the signal. */
export type Wakeful = 'write' | 'name' | 'none'

/** Waits that end with time, with a hint, or with a signal, whichever is first. One wait at a time. */
export class Pause {
  readonly #signal: AbortSignal
  /** The strongest hint since the last wait began. */
  #hint: 'write' | 'name' | undefined
  #wakeful: Wakeful = 'none'
  #wake: (() => void) | undefined

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  /** A hint that came before the wait, since the last one, ends it at once. */
  async wait(ms: number, wakeful: Wakeful): Promise<void> {
    this.#wakeful = wakeful
    if (!this.#signal.aborted && !this.#isWoken()) {
      await new Promise<void>((done) => {
        const end = (): void => {
          clearTimeout(timer)
          this.#signal.removeEventListener('abort', end)
          this.#wake = undefined
          done()
        }
        const timer = setTimeout(end, ms)
        this.#signal.addEventListener('abort', end)
        this.#wake = end
      })
    }
    if (wakeful !== 'none') this.#hint = undefined
  }

  hint(hint: 'write' | 'name'): void {
    if (this.#hint !== 'name') this.#hint = hint
    if (this.#isWoken()) this.#wake?.()
  }

  #isWoken(): boolean {
    return this.#hint !== undefined && this.#wakeful !== 'none' && (this.#wakeful === 'write' || this.#hint === 'name')
  }
}
