/**
 * Which node reported when: flows per format, node and hour, with a bit per 5 minutes. What silence means is found in coverage-gaps.ts.
 *
 * Invariants: adding is commutative and associative; rows of one key in any number of parts say the same (sum and bitwise or).
 */
import type { FlowFormat, FlowRecord } from '../flow/flow-record.ts'

export const US_PER_HOUR = 3_600_000_000
const US_PER_WINDOW = US_PER_HOUR / 12

export interface NodeHour {
  readonly format: FlowFormat
  /** '' where the format names none. */
  readonly node: string
  readonly hourStartUs: number
  readonly flows: number
  /** Bit i: a flow in the i-th 5 minutes. */
  readonly windows: number
}

type MutableHour = { -readonly [K in keyof NodeHour]: NodeHour[K] }

/** Rows of one batch at most. More: finer knowledge of hostile input; fewer: less memory. Beyond, a flow counts under node ''. */
const MAX_ROWS = 50_000

/** Groups flows by format, node and hour of their last instant. */
export class NodeHours {
  readonly #byHour = new Map<number, Map<string, MutableHour>>()
  readonly #knows: (node: string) => boolean
  #rows = 0
  #unnamed = 0
  #last: MutableHour | undefined

  /** `knows`: whether a node's name may be kept; the flows of others count under node ''. */
  constructor(knows: (node: string) => boolean = () => true) {
    this.#knows = knows
  }

  /** Flows whose node was not kept. */
  get unnamed(): number {
    return this.#unnamed
  }

  add({ format, node, lastAtUs }: Pick<FlowRecord, 'format' | 'node' | 'lastAtUs'>): void {
    const hour = Math.floor(lastAtUs / US_PER_HOUR)
    const last = this.#last
    const row = last !== undefined && last.node === node && last.format === format && last.hourStartUs === hour * US_PER_HOUR ? last : this.#row(format, node, hour)
    row.flows++
    row.windows |= 1 << Math.floor((lastAtUs - row.hourStartUs) / US_PER_WINDOW)
    if (row.node !== node) this.#unnamed++
    this.#last = row
  }

  list(): NodeHour[] {
    return [...this.#byHour.values()].flatMap((rows) => [...rows.values()])
  }

  #row(format: FlowFormat, node: string, hour: number): MutableHour {
    const rows = this.#byHour.get(hour) ?? new Map<string, MutableHour>()
    this.#byHour.set(hour, rows)
    const known = rows.get(`${format} ${node}`)
    if (known !== undefined) return known
    if (node !== '' && (this.#rows >= MAX_ROWS || !this.#knows(node))) return this.#row(format, '', hour)
    const row = { format, node, hourStartUs: hour * US_PER_HOUR, flows: 0, windows: 0 }
    rows.set(`${format} ${node}`, row)
    this.#rows++
    return row
  }
}
