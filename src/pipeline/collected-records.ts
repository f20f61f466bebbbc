import type { FlowRows } from '../core/flow/flow-block.ts'
import type { CoverageEvent } from '../core/flow/flow-record.ts'
import type { RejectionRow } from '../store/write/insert-ingest-records.ts'
import { addInputErrors, OutcomeCounts } from './ingest-report.ts'
import type { InputError } from './ingest-report.ts'
import { MAX_REJECTION_ROWS } from './record-collector.ts'
import type { CollectedBlock } from './record-collector.ts'

/** The records of one batch before it is stored, from any number of blocks. */
export class CollectedRecords {
  readonly flows: FlowRows[] = []
  readonly problems = new OutcomeCounts()
  readonly rejections: RejectionRow[] = []
  readonly coverage: CoverageEvent[] = []
  readonly inputErrors: InputError[] = []
  /** Rejected records of which no dead letter is kept. */
  lettersDropped = 0
  /** Records received. */
  records = 0
  /** How many of them are flows. */
  flowCount = 0
  /** Where the source resumes after the newest block, when any record was added. */
  nextByte: number | undefined
  /** Last instants of the flows. */
  minLastAtUs = Infinity
  maxLastAtUs = -Infinity
  /** See FlowBlock. */
  windowRows = 0

  /** Adds a block and its flows as they were read. */
  add(block: CollectedBlock, rows: FlowRows): void {
    const { flows } = block
    if (rows.length > 0) this.flows.push(rows)
    this.records += block.records
    this.flowCount += flows.flows
    this.nextByte = block.nextByte ?? this.nextByte
    this.minLastAtUs = Math.min(this.minLastAtUs, flows.minLastAtUs)
    this.maxLastAtUs = Math.max(this.maxLastAtUs, flows.maxLastAtUs)
    this.windowRows += flows.windowRows
    for (const row of block.problems) this.problems.addRow(row)
    const room = Math.max(0, MAX_REJECTION_ROWS - this.rejections.length)
    this.rejections.push(...block.rejections.slice(0, room))
    this.lettersDropped += block.lettersDropped + Math.max(0, block.rejections.length - room)
    this.coverage.push(...block.coverage)
    addInputErrors(this, block.inputErrors)
  }
}
