import type { CoverageEvent, Outcome } from '../core/flow/flow-record.ts'
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
  /** Signs of incomplete observation that came with the records; at most MAX_COVERAGE of them. */
  readonly coverage: CoverageSummary[]
  readonly deadLetters: DeadLetterCounts
  /** Flows whose node was not kept, because the cluster has too many nodes' names. */
  nodesNotKept: number
  /** Decompressed bytes read. */
  bytes: number
}

/** Equal signs of incomplete observation, summed. */
export interface CoverageSummary {
  readonly type: CoverageEvent['type']
  readonly detail: string
  /** The first MAX_NODES nodes they came from, in order of appearance. */
  readonly nodes: string[]
  events: number
  /** Events lost, where the sign counts them. */
  lost: number
}

/** Of the rejected records: how many are kept as dead letters, and how many are counted only. */
export interface DeadLetterCounts {
  kept: number
  notKept: number
}

const MAX_COVERAGE = 100
const MAX_NODES = 100
/** Enough to see what is wrong; the counts by code are complete. */
const MAX_INPUT_ERRORS = 100

function emptyCounts(): FormatCounts {
  return { received: 0, stored: 0, duplicate: 0, rejected: {}, ignored: {} }
}

export function emptyReport(): IngestReport {
  return { ...emptyCounts(), byFormat: {}, inputErrors: [], known: [], coverage: [], deadLetters: { kept: 0, notKept: 0 }, nodesNotKept: 0, bytes: 0 }
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

  /** Adds rows that were counted elsewhere. */
  addRow({ format, outcome, reason, records }: TotalRow): void {
    const row = this.byOutcome.get(outcome)?.get(format)?.get(reason)
    if (row === undefined) this.create(format, outcome, reason, records)
    else row.records += records
  }

  list(): TotalRow[] {
    return [...this.byOutcome.values()].flatMap((byFormat) => [...byFormat.values()].flatMap((byReason) => [...byReason.values()]))
  }

  private create(format: string, outcome: TotalRow['outcome'], reason: string, records = 1): void {
    const byFormat = this.byOutcome.get(outcome) ?? new Map<string, Map<string, MutableTotal>>()
    const byReason = byFormat.get(format) ?? new Map<string, MutableTotal>()
    byReason.set(reason, { format, outcome, reason, records })
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

/** Sums signs of incomplete observation by type and detail. */
export function addCoverage(report: Pick<IngestReport, 'coverage'>, events: readonly CoverageEvent[]): void {
  for (const { type, detail, node, lost } of events) {
    let summary = report.coverage.find((c) => c.type === type && c.detail === detail)
    if (summary === undefined) {
      // What has no room is summed up without its detail.
      const shown = report.coverage.length < MAX_COVERAGE ? detail : ''
      summary = report.coverage.find((c) => c.type === type && c.detail === shown)
      if (summary === undefined) report.coverage.push(summary = { type, detail: shown, nodes: [], events: 0, lost: 0 })
    }
    summary.events++
    summary.lost += lost
    if (node !== '' && summary.nodes.length < MAX_NODES && !summary.nodes.includes(node)) summary.nodes.push(node)
  }
}

/** Adds what became of one batch of collected records. */
export function addStored(
  report: IngestReport, stored: { readonly totals: readonly TotalRow[], readonly deadLetters: DeadLetterCounts, readonly nodesNotKept: number },
  collected: { readonly coverage: readonly CoverageEvent[], readonly inputErrors: readonly InputError[] },
): void {
  addTotals(report, stored.totals)
  addCoverage(report, collected.coverage)
  addInputErrors(report, collected.inputErrors)
  report.deadLetters.kept += stored.deadLetters.kept
  report.deadLetters.notKept += stored.deadLetters.notKept
  report.nodesNotKept += stored.nodesNotKept
}

/** Notes a rejection for people, as long as there is room. */
export function addInputError(report: Pick<IngestReport, 'inputErrors'>, error: InputError): void {
  if (report.inputErrors.length < MAX_INPUT_ERRORS) report.inputErrors.push(error)
}

export function addInputErrors(report: Pick<IngestReport, 'inputErrors'>, errors: readonly InputError[]): void {
  for (const error of errors) addInputError(report, error)
}
