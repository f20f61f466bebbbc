import { DEFAULT_RETENTION } from '../core/aggregate/retention.ts'
import { US_PER_DAY } from '../core/base/time.ts'
import { FlowBlockWriter } from '../core/flow/flow-block.ts'
import type { FlowBlock } from '../core/flow/flow-block.ts'
import type { CoverageEvent, FlowRecord, Outcome, Rejection } from '../core/flow/flow-record.ts'
import type { Normalizer } from '../core/normalize/normalizer.ts'
import type { DecodedItem } from '../decode/item-list.ts'
import type { RejectionRow, TotalRow } from '../store/write/insert-ingest-records.ts'
import { letterOf } from './dead-letters.ts'
import type { ReadBytes } from './dead-letters.ts'
import { addInputError, OutcomeCounts } from './ingest-report.ts'
import type { InputError } from './ingest-report.ts'

/** Dead letters kept of one block, and of one batch. More: more that can be read again; fewer: less memory for a source of nothing but garbage. */
export const MAX_REJECTION_ROWS = 1_000

/** Flows outside these bounds are refused; `undefined` bounds take any time (files have no clock). */
export interface TimeBounds {
  readonly oldestUs: number
  /** What oldestUs means to people. */
  readonly latenessDays: number
  readonly newestUs: number
}

/** HTTP push and streams: late by some days (8, unless configured otherwise), and clocks up to an hour ahead. */
export function timeBounds(nowUs: number, { latenessDays } = DEFAULT_RETENTION): TimeBounds {
  return { latenessDays, oldestUs: nowUs - latenessDays * US_PER_DAY, newestUs: nowUs + US_PER_DAY / 24 }
}

/** What decoding and normalizing made of some input: flows, and counts of everything else. Plain data: may be posted to another thread. */
export interface CollectedBlock {
  readonly flows: FlowBlock
  /** Records received: the flows, and all that `problems` counts. */
  readonly records: number
  readonly problems: readonly TotalRow[]
  readonly rejections: readonly RejectionRow[]
  readonly coverage: readonly CoverageEvent[]
  readonly inputErrors: readonly InputError[]
  /** Rejected records of which no dead letter is kept. */
  readonly lettersDropped: number
  /** Where the source resumes after this block; `undefined` without records. */
  readonly nextByte: number | undefined
}

/** How the items of one input are taken. */
export interface CollectOptions {
  /** Shown in input errors. */
  readonly file: string
  readonly bounds: TimeBounds | undefined
  /** The input's bytes, for dead letters of flows that lie outside of the bounds. */
  readonly readBytes?: ReadBytes
}

/** Normalizes decoded items into blocks. One per normalizer: its blocks are read in order by one FlowBlockReader. */
export class RecordCollector {
  readonly #normalizer: Normalizer
  readonly #flows = new FlowBlockWriter()
  #problems = new OutcomeCounts()
  #rejections: RejectionRow[] = []
  #coverage: CoverageEvent[] = []
  #inputErrors: InputError[] = []
  #lettersDropped = 0
  #records = 0
  #nextByte: number | undefined

  constructor(normalizer: Normalizer) {
    this.#normalizer = normalizer
  }

  /** Records since the last `take`. */
  get records(): number {
    return this.#records
  }

  /** See FlowBlock. */
  get windowRows(): number {
    return this.#flows.windowRows
  }

  /** `offset`: where the message that holds the item lies in its stream; for dead letters, instead of the byte in the message. */
  add(item: DecodedItem, options: CollectOptions, offset?: number): void {
    this.#records++
    this.#nextByte = item.byteOffset
    const outcome = item.problem ?? item.outcome ?? this.#normalizer.normalize(item.value)
    if (outcome.kind === 'flow') {
      const refusal = refusalOf(outcome, options.bounds)
      if (refusal === undefined) this.#flows.add(outcome)
      else this.#reject(refusal, item, options, offset)
    } else if (outcome.kind === 'rejected') {
      this.#reject(outcome, item, options, offset)
    } else {
      this.#problems.addProblem(outcome)
      if (outcome.coverage !== null) this.#coverage.push(outcome.coverage)
    }
  }

  /** Adds a record that was read without an item; false, and nothing done, when it needs one: refused for its age, rejected. */
  addOutcome(outcome: Outcome, { bounds }: CollectOptions): boolean {
    if (outcome.kind === 'rejected' || (outcome.kind === 'flow' && refusalOf(outcome, bounds) !== undefined)) return false
    this.#records++
    if (outcome.kind === 'flow') {
      this.#flows.add(outcome)
      return true
    }
    this.#problems.addProblem(outcome)
    if (outcome.coverage !== null) this.#coverage.push(outcome.coverage)
    return true
  }

  /** What was collected since the last time, with the signs of incomplete observation that the normalizer met in flow records. */
  take(): CollectedBlock {
    this.#coverage.push(...this.#normalizer.takeCoverage())
    const block: CollectedBlock = {
      flows: this.#flows.take(), records: this.#records, problems: this.#problems.list(), rejections: this.#rejections, coverage: this.#coverage,
      inputErrors: this.#inputErrors, lettersDropped: this.#lettersDropped, nextByte: this.#nextByte,
    }
    this.#problems = new OutcomeCounts()
    this.#rejections = []
    this.#coverage = []
    this.#inputErrors = []
    this.#lettersDropped = 0
    this.#records = 0
    this.#nextByte = undefined
    return block
  }

  #reject(rejection: Rejection, item: DecodedItem, options: CollectOptions, offset: number | undefined): void {
    this.#problems.addProblem(rejection)
    addInputError({ inputErrors: this.#inputErrors }, { file: options.file, line: item.line, message: `${rejection.code}: ${rejection.detail}` })
    if (this.#rejections.length >= MAX_REJECTION_ROWS) {
      this.#lettersDropped++
      return
    }
    const letter = letterOf(rejection, item, options.readBytes)
    this.#rejections.push(offset === undefined ? letter : { ...letter, byte: offset })
  }
}

function refusalOf(flow: FlowRecord, bounds: TimeBounds | undefined): Rejection | undefined {
  if (bounds === undefined || (flow.lastAtUs >= bounds.oldestUs && flow.lastAtUs <= bounds.newestUs)) return undefined
  const isLate = flow.lastAtUs < bounds.oldestUs
  const when = new Date(flow.lastAtUs / 1000).toISOString()
  const detail = isLate ? `${when} is more than ${bounds.latenessDays} days ago; ask for backfill to store it` : `${when} is more than 1 hour ahead of the service's clock`
  return { kind: 'rejected', format: flow.format, code: isLate ? 'too-late' : 'in-future', detail }
}
