import type { CoverageEvent } from '../flow/flow-record.ts'
import type { CoverageNotes } from './coverage-notes.ts'

const US_PER_HOUR = 3_600_000_000

/** One kind of coverage note that a format makes again and again; asked for every record, it costs two comparisons while hour and node stay. */
export class HourlyNote {
  readonly #coverage: CoverageNotes
  readonly #type: CoverageEvent['type']
  readonly #detail: string
  #hour = -1
  #node = ''

  constructor(coverage: CoverageNotes, type: CoverageEvent['type'], detail: string) {
    this.#coverage = coverage
    this.#type = type
    this.#detail = detail
  }

  note(atUs: number, node: string): void {
    const hour = Math.floor(atUs / US_PER_HOUR)
    if (hour === this.#hour && node === this.#node) return
    this.#hour = hour
    this.#node = node
    this.#coverage.note(this.#type, atUs, node, this.#detail)
  }
}
