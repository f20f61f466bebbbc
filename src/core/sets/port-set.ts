/**
 * A set of ports as canonical intervals over 1..65535. Immutable; equal sets have equal representation and equal text.
 * Cost of every operation: linear in the number of intervals; `has` is a binary search.
 */
import { invariant } from '../base/invariant.ts'
import { NUMBER_STEP, intersectIntervals, intervalsEqual, intervalsHave, normalizeIntervals, subtractIntervals } from './interval-set.ts'
import type { Interval } from './interval-set.ts'

/** The lowest and the highest port that a policy can name. */
export const MIN_PORT = 1
export const MAX_PORT = 65_535

export class PortSet {
  static readonly empty: PortSet = new PortSet([])
  static readonly all: PortSet = new PortSet([{ start: MIN_PORT, end: MAX_PORT }])

  /** Canonical: sorted, disjoint, not adjacent. */
  readonly intervals: readonly Interval<number>[]

  /** @internal Takes canonical intervals only; outside use `of`, `range`, `from`. */
  private constructor(intervals: readonly Interval<number>[]) {
    this.intervals = intervals
  }

  static of(port: number): PortSet {
    return PortSet.range(port, port)
  }

  /** Ports start..end, both included; 1 <= start <= end <= 65535. */
  static range(start: number, end: number): PortSet {
    invariant(Number.isInteger(start) && Number.isInteger(end) && start >= MIN_PORT && start <= end && end <= MAX_PORT, 'a port range needs 1 <= start <= end <= 65535', { start, end })
    return new PortSet([{ start, end }])
  }

  /** The union of any intervals within 1..65535, in any order. */
  static from(intervals: readonly Interval<number>[]): PortSet {
    for (const { start, end } of intervals) PortSet.range(start, end)
    return PortSet.canonical(normalizeIntervals(intervals, NUMBER_STEP))
  }

  private static canonical(intervals: readonly Interval<number>[]): PortSet {
    return intervals.length === 0 ? PortSet.empty : new PortSet(intervals)
  }

  get isEmpty(): boolean {
    return this.intervals.length === 0
  }

  /** True when the set is 1..65535. */
  get isAll(): boolean {
    return this.intervals[0]?.start === MIN_PORT && this.intervals[0].end === MAX_PORT
  }

  /** Number of ports. */
  get size(): number {
    return this.intervals.reduce((n, i) => n + i.end - i.start + 1, 0)
  }

  has(port: number): boolean {
    return intervalsHave(this.intervals, port)
  }

  union(other: PortSet): PortSet {
    if (this.isEmpty) return other
    if (other.isEmpty) return this
    return PortSet.canonical(normalizeIntervals([...this.intervals, ...other.intervals], NUMBER_STEP))
  }

  intersect(other: PortSet): PortSet {
    return PortSet.canonical(intersectIntervals(this.intervals, other.intervals))
  }

  subtract(other: PortSet): PortSet {
    return PortSet.canonical(subtractIntervals(this.intervals, other.intervals, NUMBER_STEP))
  }

  equals(other: PortSet): boolean {
    return this === other || intervalsEqual(this.intervals, other.intervals)
  }

  /** `80,443-445`; `-` for no port. */
  toString(): string {
    if (this.isEmpty) return '-'
    return this.intervals.map((i) => (i.start === i.end ? String(i.start) : `${i.start}-${i.end}`)).join(',')
  }
}
