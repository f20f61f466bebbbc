/**
 * Algebra of closed integer intervals, shared by ports (number) and addresses (bigint).
 *
 * In and out: canonical lists: sorted, disjoint, not adjacent, start <= end. Equal sets have equal lists.
 * Leaves to others: the bounds of the universe (PortSet, AddressSet). Cost: linear in the intervals of both operands,
 * `normalizeIntervals` n log n.
 */
export interface Interval<T extends number | bigint> {
  readonly start: T
  readonly end: T
}

/** One step up or down from a value; what distinguishes number from bigint. */
export interface Step<T extends number | bigint> {
  next(value: T): T
  previous(value: T): T
}

export const NUMBER_STEP: Step<number> = { next: (v) => v + 1, previous: (v) => v - 1 }
export const BIGINT_STEP: Step<bigint> = { next: (v) => v + 1n, previous: (v) => v - 1n }

/** Canonical form of any intervals: overlapping and adjacent ones merge, reversed ones (start > end) vanish. */
export function normalizeIntervals<T extends number | bigint>(intervals: readonly Interval<T>[], step: Step<T>): Interval<T>[] {
  const sorted = intervals.filter((i) => i.start <= i.end).sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0))
  const merged: Interval<T>[] = []
  for (const interval of sorted) {
    const last = merged.at(-1)
    if (last !== undefined && interval.start <= step.next(last.end)) {
      if (interval.end > last.end) merged[merged.length - 1] = { start: last.start, end: interval.end }
    } else merged.push({ start: interval.start, end: interval.end })
  }
  return merged
}

/** What both hold. */
export function intersectIntervals<T extends number | bigint>(a: readonly Interval<T>[], b: readonly Interval<T>[]): Interval<T>[] {
  const result: Interval<T>[] = []
  let i = 0
  let j = 0
  for (let x = a[i], y = b[j]; x !== undefined && y !== undefined; x = a[i], y = b[j]) {
    const start = x.start > y.start ? x.start : y.start
    const end = x.end < y.end ? x.end : y.end
    if (start <= end) result.push({ start, end })
    if (x.end < y.end) i++
    else j++
  }
  return result
}

/** What `a` holds and `b` does not. */
export function subtractIntervals<T extends number | bigint>(a: readonly Interval<T>[], b: readonly Interval<T>[], step: Step<T>): Interval<T>[] {
  const result: Interval<T>[] = []
  let j = 0
  for (const interval of a) {
    let start = interval.start
    let isDone = false
    for (let hole = b[j]; hole !== undefined && hole.start <= interval.end; hole = b[j]) {
      if (hole.start > start) result.push({ start, end: step.previous(hole.start) })
      if (hole.end >= interval.end) {
        isDone = true
        break
      }
      if (hole.end >= start) start = step.next(hole.end)
      j++
    }
    if (!isDone && start <= interval.end) result.push({ start, end: interval.end })
  }
  return result
}

/** Binary search in a canonical list. */
export function intervalsHave<T extends number | bigint>(intervals: readonly Interval<T>[], value: T): boolean {
  let low = 0
  let high = intervals.length - 1
  while (low <= high) {
    const middle = (low + high) >> 1
    const interval = intervals[middle] as Interval<T>
    if (value < interval.start) high = middle - 1
    else if (value > interval.end) low = middle + 1
    else return true
  }
  return false
}

export function intervalsEqual<T extends number | bigint>(a: readonly Interval<T>[], b: readonly Interval<T>[]): boolean {
  return a.length === b.length && a.every((x, i) => x.start === b[i]?.start && x.end === b[i]?.end)
}
