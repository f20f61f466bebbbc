import { PodNetworks } from '../core/aggregate/pod-networks.ts'
import type { FlowEnd } from '../core/flow/flow-block.ts'
import type { Identity } from '../core/flow/identity.ts'
import { storedEnd } from '../store/write/flow-end-id.ts'
import type { StoredEnd } from '../store/write/flow-end-id.ts'
import type { FlowEndRow } from '../store/write/insert-flow-ends.ts'

/** An end that flows have: its keys in the store, and how it is used by the batch at hand. */
export interface BookedEnd extends StoredEnd {
  /** The batch that used it last, and the latest UTC day of its flows. */
  batch: number
  lastDay: number
  /** The latest day up to which the store knows it; -1 before it does. */
  storedDay: number
}

/** Ends remembered. More: fewer hashes and fewer inserts of what is there already; fewer: less memory, about 300 bytes each. */
const MAX_ENDS = 400_000

/** The ends of the flows of one cluster, batch after batch: one look-up per end and flow gives everything that storing needs. */
export class EndBook {
  readonly #ends = new Map<FlowEnd, BookedEnd>()
  #batch = 0
  #used: BookedEnd[] = []

  /** Begins a batch: no end is used yet. */
  start(): void {
    this.#batch++
    this.#used = []
    if (this.#ends.size > MAX_ENDS) this.#ends.clear()
  }

  /** The end, used by a flow of a UTC day (days since 1970) in this batch. Hot. */
  use(end: FlowEnd, day: number): BookedEnd {
    let booked = this.#ends.get(end)
    if (booked === undefined) {
      booked = { ...storedEnd(end), batch: 0, lastDay: day, storedDay: -1 }
      this.#ends.set(end, booked)
    }
    if (booked.batch !== this.#batch) {
      booked.batch = this.#batch
      booked.lastDay = day
      this.#used.push(booked)
    } else if (day > booked.lastDay) {
      booked.lastDay = day
    }
    return booked
  }

  /** Ends of this batch that the store does not know for their day yet. */
  unstored(): FlowEndRow[] {
    // Equal ends of two readers, or of one whose numbers started anew, are two objects and one row.
    const rows = new Map<string, BookedEnd>()
    for (const booked of this.#used) {
      if (booked.lastDay <= booked.storedDay) continue
      const known = rows.get(booked.id.text)
      if (known === undefined || booked.lastDay > known.lastDay) rows.set(booked.id.text, booked)
    }
    return [...rows.values()]
  }

  /** Notes that the store knows the ends of this batch. */
  markStored(): void {
    for (const booked of this.#used) if (booked.lastDay > booked.storedDay) booked.storedDay = booked.lastDay
  }

  /** Distinct identities of the ends of this batch. */
  identities(): Identity[] {
    const found = new Map<number, Identity>()
    for (const { end } of this.#used) found.set(end.identity.index, end.identity)
    return [...found.values()]
  }

  /** The networks in which pods of this batch have their addresses. */
  networks(): string[] {
    const networks = new PodNetworks()
    for (const { end } of this.#used) networks.addEnd(end.identity, end.ip)
    return networks.list()
  }
}
