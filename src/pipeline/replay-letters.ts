/**
 *  complete dead letters, oldest first ─► decode ─► normalize ─┬► nothing refused: stored, and the letters removed, in ONE transaction
 *                                                              └► refused again: kept, one try more
 *
 * In: what earlier runs refused, of which the whole text was kept. Out: a report whose source is `dead-letters`, with
 * received = stored + duplicate + rejected + ignored. A letter is accepted or refused as a whole. Letters that are refused again are
 * counted in the report only: in the store they are counted already, under the source they came from.
 *
 * Invariants: a crash anywhere loses no letter and stores none twice; run again, it finds only what is still refused.
 */
import type { Retention } from '../core/aggregate/retention.ts'
import { AppError } from '../core/base/app-error.ts'
import type { Rejection } from '../core/flow/flow-record.ts'
import { FlowBlockReader } from '../core/flow/flow-block.ts'
import type { Normalizer } from '../core/normalize/normalizer.ts'
import { createDecoder } from '../decode/decode-chunk.ts'
import { withRetry } from '../store/db/database.ts'
import type { Database, RetryOptions } from '../store/db/database.ts'
import { countDeadLetters, selectReadableLetters } from '../store/read/select-dead-letters.ts'
import type { DeadLetter, DeadLetterFilter } from '../store/read/select-dead-letters.ts'
import type { BatchWriter } from './batch-writer.ts'
import { CollectedRecords } from './collected-records.ts'
import { RecordCollector, timeBounds } from './record-collector.ts'
import type { CollectedBlock, TimeBounds } from './record-collector.ts'
import { addInputError, addStored, addTotals, emptyReport } from './ingest-report.ts'
import type { IngestReport } from './ingest-report.ts'

/** Name in totals. */
const LETTERS_SOURCE = 'dead-letters'
/** Letters per transaction: 2 MB of text at most. */
const BATCH_LETTERS = 500

export interface ReplayContext {
  readonly database: Database
  readonly clusterId: number
  readonly writer: BatchWriter
  readonly normalizer: Normalizer
  readonly nowUs: () => number
  readonly retry: RetryOptions
  readonly retention?: Retention | undefined
}

export interface ReplayOptions extends DeadLetterFilter {
  /** Takes letters that were refused for their age, whatever it is. */
  readonly isBackfill?: boolean
  readonly signal?: AbortSignal | undefined
}

export interface ReplayReport extends IngestReport {
  /** Letters of which the text is not whole: they cannot be read again. */
  readonly incomplete: number
}

export async function replayLetters(context: ReplayContext, options: ReplayOptions): Promise<ReplayReport> {
  const { database, clusterId, retry } = context
  const filter: DeadLetterFilter = { source: options.source, format: options.format, reason: options.reason }
  const before = await withRetry(() => countDeadLetters(database, clusterId, filter), retry)
  const report: ReplayReport = { ...emptyReport(), incomplete: before.kept - before.complete }
  let after = '0'
  for (;;) {
    if (options.signal?.aborted === true) throw new AppError('unavailable', 'Stopped; run the same command again to go on from there.', { retryable: true })
    const page = await withRetry(() => selectReadableLetters(database, { clusterId, ...filter, after, upTo: before.newestId, limit: BATCH_LETTERS }), retry)
    const last = page.at(-1)
    if (last === undefined) return report
    await replayPage(page, context, options, report)
    after = last.id
  }
}

interface Refused {
  readonly letter: DeadLetter
  readonly rejection: Pick<Rejection, 'format' | 'code' | 'detail'>
}

/** Stores what is accepted of a page; where the store refuses it, letter by letter. */
async function replayPage(page: readonly DeadLetter[], context: ReplayContext, options: ReplayOptions, report: ReplayReport): Promise<void> {
  try {
    await storeLetters(page, context, options, report)
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'conflict') throw error
    // One of them was settled by somebody else meanwhile, or needs more room than the cluster has.
    for (const letter of page) await replayOne(letter, context, options, report)
  }
}

async function replayOne(letter: DeadLetter, context: ReplayContext, options: ReplayOptions, report: ReplayReport): Promise<void> {
  try {
    await storeLetters([letter], context, options, report)
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'conflict') throw error
    // Settled by another process: no longer ours to count. Refused by the store: still there.
    if (error.at === TOO_MANY) await refuse([{ letter, rejection: { format: 'unknown', code: 'too-many-identities', detail: error.message } }], context, report)
  }
}

const TOO_MANY = 'too-many-identities'

async function storeLetters(letters: readonly DeadLetter[], context: ReplayContext, options: ReplayOptions, report: ReplayReport): Promise<void> {
  const bounds = options.isBackfill === true ? undefined : timeBounds(context.nowUs(), context.retention)
  const accepted = new CollectedRecords()
  const collector = new RecordCollector(context.normalizer)
  const reader = new FlowBlockReader()
  const settled: string[] = []
  const refused: Refused[] = []
  for (const letter of letters) {
    const read = readLetter(letter, collector, bounds)
    // Also of a refused letter: later blocks build upon the ends that came with it.
    const rows = reader.read(read.block.flows)
    if (read.rejection !== undefined) {
      refused.push({ letter, rejection: read.rejection })
    } else {
      accepted.add(read.block, rows)
      settled.push(letter.id)
    }
  }
  if (settled.length > 0) {
    addStored(report, await context.writer.store(accepted, { source: LETTERS_SOURCE, letters: settled }), accepted)
  }
  await refuse(refused, context, report)
}

async function refuse(refused: readonly Refused[], context: ReplayContext, report: ReplayReport): Promise<void> {
  if (refused.length === 0) return
  await context.writer.noteTries(refused.map(({ letter }) => letter.id))
  addTotals(report, refused.map(({ rejection }) => ({ format: rejection.format, outcome: 'rejected', reason: rejection.code, records: 1 })))
  for (const { letter, rejection } of refused) addInputError(report, { file: letter.source, line: letter.line, message: `${rejection.code}: ${rejection.detail}` })
}

/** The records of a letter, or the first refusal. Ages are judged only where the age was what was wrong. */
function readLetter(letter: DeadLetter, collector: RecordCollector, bounds: TimeBounds | undefined): { block: CollectedBlock; rejection?: Refused['rejection'] } {
  const isAged = letter.reason === 'too-late' || letter.reason === 'in-future'
  const options = { file: letter.source, bounds: isAged ? bounds : undefined }
  const decoder = createDecoder()
  for (const item of [...decoder.push(Buffer.from(`${letter.sample}\n`)), ...decoder.end()]) collector.add(item, options)
  const block = collector.take()
  const first = block.rejections[0]
  if (first !== undefined) return { block, rejection: { format: first.format as Rejection['format'], code: first.reason as Rejection['code'], detail: first.detail } }
  return { block }
}
