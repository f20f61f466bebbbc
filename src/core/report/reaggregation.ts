/** What became of one UTC day. */
export interface DayReport {
  /** RFC 3339. */
  readonly day: string
  /** `not-covered`: raw flows do not hold all of it. `expired`: its windows have expired. */
  readonly outcome: 'rebuilt' | 'not-covered' | 'expired'
  /** Raw flows whose last instant lies in the day, and how many of them have another end or port than when they came. */
  readonly flows: number
  readonly revised: number
  /** Of the revised ones: left out, because today they would not be stored (no end is a pod, or both are the collector's own). */
  readonly leftOut: number
  /** For `not-covered`: windows that count more flows than there are raw ones, in the day or the one after. */
  readonly uncovered: { readonly windows: number; readonly first: string; readonly last: string } | null
}

export interface ReaggregateReport {
  readonly cluster: string
  readonly isDryRun: boolean
  readonly days: readonly DayReport[]
  /** Edges before the first rebuilt day: raw identities that are read through the identity map. `null` when there are none. */
  readonly olderEdges: { readonly since: string; readonly until: string } | null
  readonly identityMap: { readonly version: number | null; readonly isNew: boolean }
}
