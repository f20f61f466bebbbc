import type { CoverageEvent } from '../flow/flow-record.ts'

const US_PER_HOUR = 3_600_000_000
/** Notes held at most between two batches; further ones are dropped, a signal that repeats every hour comes again. */
const MAX_NOTES = 10_000

/** Collects signs of incomplete observation that flow records carry (sampling, aggregation), once per hour, node and detail. */
export class CoverageNotes {
  #notes = new Map<string, CoverageEvent>()
  #last: { readonly type: string; readonly hour: number; readonly node: string; readonly detail: string } | undefined

  note(type: CoverageEvent['type'], atUs: number, node: string, detail: string): void {
    const hour = Math.floor(atUs / US_PER_HOUR) * US_PER_HOUR
    // Most records repeat the sign of the one before: then no key is built.
    const last = this.#last
    if (last !== undefined && last.hour === hour && last.type === type && last.node === node && last.detail === detail) return
    this.#last = { type, hour, node, detail }
    const key = `${type}\n${hour}\n${node}\n${detail}`
    if (this.#notes.has(key) || this.#notes.size >= MAX_NOTES) return
    this.#notes.set(key, { type, atUs: hour, node, lost: 0, detail })
  }

  /** The notes since the last call. */
  take(): CoverageEvent[] {
    if (this.#notes.size === 0) return []
    const notes = [...this.#notes.values()]
    this.#notes = new Map()
    this.#last = undefined
    return notes
  }
}
