import type { CoverageEvent } from '../flow/flow-record.ts'
import type { CoverageNotes } from './coverage-notes.ts'

const US_PER_HOUR = 3_600_000_000
/** Larger than any cluster; hostile input cannot grow it. */
const MAX_NODES = 20_000

/** One kind of coverage note that a format makes again and again; asked for every record, it costs a lookup while a node's hour stays. */
export class HourlyNote {
  readonly #coverage: CoverageNotes
  readonly #type: CoverageEvent['type']
  readonly #detail: string
  /** The hour last noted for each node. */
  readonly #hours = new Map<string, number>()

  constructor(coverage: CoverageNotes, type: CoverageEvent['type'], detail: string) {
    this.#coverage = coverage
    this.#type = type
    this.#detail = detail
  }

  note(atUs: number, node: string): void {
    const hour = Math.floor(atUs / US_PER_HOUR)
    if (this.#hours.get(node) === hour) return
    if (this.#hours.size >= MAX_NODES) this.#hours.clear()
    this.#hours.set(node, hour)
    this.#coverage.note(this.#type, atUs, node, this.#detail)
  }
}
