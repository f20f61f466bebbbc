import type { Outcome } from '../core/flow/flow-record.ts'
import type { TotalRow } from '../store/write/insert-ingest-records.ts'

/** A place in the input that could not be used, for people. */
export interface InputError {
  readonly file: string
  readonly line?: number
  readonly message: string
}

export interface FormatCounts {
  received: number
  stored: number
  duplicate: number
  /** By RejectionCode. */
  readonly rejected: Record<string, number>
  /** By IgnoreReason. */
  readonly ignored: Record<string, number>
}

/** Input that was stored completely by an earlier run and was not decoded again. */
export interface KnownInput {
  readonly source: string
  readonly records: number
}

/**
 * What became of the input. Conservation: received = stored + duplicate + every rejected + every ignored, in sum and per
 * format; the unit is one record after unwrapping. What an earlier run stored (the part of a log before its position, or
 * content known by its digest) is not decoded again: its records count as received and duplicate under the format `unread`.
 */
export interface IngestReport extends FormatCounts {
  /** By format; `unknown` for what had none. */
  readonly byFormat: Record<string, FormatCounts>
  /** The first MAX_INPUT_ERRORS rejections, and files that could not be read. */
  readonly inputErrors: InputError[]
  readonly known: KnownInput[]
  /** Decompressed bytes read. */
  bytes: number
}

/** Enough to see what is wrong; the counts by code are complete. */
const MAX_INPUT_ERRORS = 100

function emptyCounts(): FormatCounts {
  return { received: 0, stored: 0, duplicate: 0, rejected: {}, ignored: {} }
}

export function emptyReport(): IngestReport {
  return { ...emptyCounts(), byFormat: {}, inputErrors: [], known: [], bytes: 0 }
}

type MutableTotal = { -readonly [K in keyof TotalRow]: TotalRow[K] }

/** Counts records by format, outcome and reason. Three lookups per record and no concatenated key: it runs for every flow. */
export class OutcomeCounts {
  private readonly byOutcome = new Map<string, Map<string, Map<string, MutableTotal>>>()

  add(format: string, outcome: TotalRow['outcome'], reason: string): void {
    const row = this.byOutcome.get(outcome)?.get(format)?.get(reason)
    if (row === undefined) this.create(format, outcome, reason)
    else row.records++
  }

  /** Adds a rejected or ignored record. */
  addProblem(problem: Exclude<Outcome, { kind: 'flow' }>): void {
    this.add(problem.format, problem.kind, problem.kind === 'rejected' ? problem.code : problem.reason)
  }

  list(): TotalRow[] {
    return [...this.byOutcome.values()].flatMap((byFormat) => [...byFormat.values()].flatMap((byReason) => [...byReason.values()]))
  }

  private create(format: string, outcome: TotalRow['outcome'], reason: string): void {
    const byFormat = this.byOutcome.get(outcome) ?? new Map<string, Map<string, MutableTotal>>()
    const byReason = byFormat.get(format) ?? new Map<string, MutableTotal>()
    byReason.set(reason, { format, outcome, reason, records: 1 })
    byFormat.set(format, byReason)
    this.byOutcome.set(outcome, byFormat)
  }
}

/** Adds rows to a report. */
export function addTotals(report: IngestReport, totals: readonly TotalRow[]): void {
  for (const total of totals) {
    const format = report.byFormat[total.format] ??= emptyCounts()
    for (const counts of [report, format]) {
      counts.received += total.records
      if (total.outcome === 'stored' || total.outcome === 'duplicate') counts[total.outcome] += total.records
      else counts[total.outcome][total.reason] = (counts[total.outcome][total.reason] ?? 0) + total.records
    }
  }
}

/** Notes a rejection for people, as long as there is room. */
export function addInputError(report: Pick<IngestReport, 'inputErrors'>, error: InputError): void {
  if (report.inputErrors.length < MAX_INPUT_ERRORS) report.inputErrors.push(error)
}

export function addInputErrors(report: Pick<IngestReport, 'inputErrors'>, errors: readonly InputError[]): void {
  for (const error of errors) addInputError(report, error)
}
