import { presenceWindows } from '../core/aggregate/edge-batch.ts'
import { US_PER_DAY } from '../core/base/time.ts'
import type { CoverageEvent, FlowRecord, Rejection } from '../core/flow/flow-record.ts'
import type { Normalizer } from '../core/normalize/normalizer.ts'
import type { DecodedItem } from '../decode/item-list.ts'
import type { RejectionRow } from '../store/write/insert-ingest-records.ts'
import { letterOf } from './dead-letters.ts'
import type { ReadBytes } from './dead-letters.ts'
import { addInputError, OutcomeCounts } from './ingest-report.ts'
import type { InputError } from './ingest-report.ts'

/** Dead letters kept of one batch. More: more that can be read again; fewer: less memory for a source of nothing but garbage. */
const MAX_REJECTION_ROWS = 1_000

/** Flows outside these bounds are refused; `undefined` bounds take any time (files have no clock). */
export interface TimeBounds {
  readonly oldestUs: number
  readonly newestUs: number
}

/** HTTP push and streams: lateness up to 8 days, and clocks up to an hour ahead. */
export function timeBounds(nowUs: number): TimeBounds {
  return { oldestUs: nowUs - 8 * US_PER_DAY, newestUs: nowUs + US_PER_DAY / 24 }
}

export interface CollectOptions {
  readonly normalizer: Normalizer
  /** Shown in input errors. */
  readonly file: string
  readonly bounds: TimeBounds | undefined
  /** The input's bytes, for dead letters of flows that lie outside of the bounds. */
  readonly readBytes?: ReadBytes
}

/** The records of one batch before it is stored: flows, and counts of everything else. */
export class CollectedRecords {
  readonly flows: FlowRecord[] = []
  readonly problems = new OutcomeCounts()
  readonly rejections: RejectionRow[] = []
  readonly coverage: CoverageEvent[] = []
  readonly inputErrors: InputError[] = []
  /** Rejected records of which no dead letter is kept. */
  lettersDropped = 0
  /** Records received. */
  records = 0
  /** Where the source resumes after this batch, when any record was added. */
  nextByte: number | undefined
  /** Last instants of the flows. */
  minLastAtUs = Infinity
  maxLastAtUs = -Infinity
  /** Edge-window rows that the flows make at most: the measure that bounds a batch's memory, about 500 bytes each. */
  windowRows = 0
  private readonly options: CollectOptions

  constructor(options: CollectOptions) {
    this.options = options
  }

  /** `offset`: where the message that holds the item lies in its stream; for dead letters, instead of the byte in the message. */
  add(item: DecodedItem, offset?: number): void {
    this.records++
    this.nextByte = item.byteOffset
    const outcome = item.problem ?? item.outcome ?? this.options.normalizer.normalize(item.value)
    if (outcome.kind === 'flow') {
      const refusal = this.refusal(outcome)
      if (refusal === undefined) this.addFlow(outcome)
      else this.reject(refusal, item, offset)
    } else if (outcome.kind === 'rejected') {
      this.reject(outcome, item, offset)
    } else {
      this.problems.addProblem(outcome)
      if (outcome.coverage !== null) this.coverage.push(outcome.coverage)
    }
  }

  /** Takes over what another collector of the same input holds. */
  merge(other: CollectedRecords): void {
    this.records += other.records
    for (const flow of other.flows) this.addFlow(flow)
    for (const row of other.problems.list()) this.problems.addRow(row)
    this.rejections.push(...other.rejections)
    this.coverage.push(...other.coverage)
    for (const error of other.inputErrors) addInputError(this, error)
    this.lettersDropped += other.lettersDropped
  }

  /** Takes the signs of incomplete observation that the normalizer met in flow records since the last time. Call it after the last record. */
  finish(): void {
    this.coverage.push(...this.options.normalizer.takeCoverage())
  }

  private addFlow(flow: FlowRecord): void {
    this.flows.push(flow)
    this.windowRows += presenceWindows(flow)
    if (flow.lastAtUs < this.minLastAtUs) this.minLastAtUs = flow.lastAtUs
    if (flow.lastAtUs > this.maxLastAtUs) this.maxLastAtUs = flow.lastAtUs
  }

  private refusal(flow: FlowRecord): Rejection | undefined {
    const { bounds } = this.options
    if (bounds === undefined || (flow.lastAtUs >= bounds.oldestUs && flow.lastAtUs <= bounds.newestUs)) return undefined
    const isLate = flow.lastAtUs < bounds.oldestUs
    const when = new Date(flow.lastAtUs / 1000).toISOString()
    const detail = isLate ? `${when} is more than 8 days ago; ask for backfill to store it` : `${when} is more than 1 hour ahead of the service's clock`
    return { kind: 'rejected', format: flow.format, code: isLate ? 'too-late' : 'in-future', detail }
  }

  private reject(rejection: Rejection, item: DecodedItem, offset: number | undefined): void {
    this.problems.addProblem(rejection)
    addInputError(this, { file: this.options.file, line: item.line, message: `${rejection.code}: ${rejection.detail}` })
    if (this.rejections.length >= MAX_REJECTION_ROWS) {
      this.lettersDropped++
      return
    }
    const letter = letterOf(rejection, item, this.options.readBytes)
    this.rejections.push(offset === undefined ? letter : { ...letter, byte: offset })
  }
}
