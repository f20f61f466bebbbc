import type { Queryable } from '../db/database.ts'
import { timeUs } from '../db/time-columns.ts'

/** A refused record as it was kept. */
export interface DeadLetter {
  /** Rises with time inside a cluster. */
  readonly id: string
  readonly source: string
  /** Line, counted from 1, and first byte of the record in its source. */
  readonly line: number
  readonly byte: number
  readonly format: string
  readonly reason: string
  readonly detail: string
  /** The record's text: redacted, at most 4 KiB. */
  readonly sample: string
  /** `sample` is the whole record as it came: it can be read again. */
  readonly isComplete: boolean
  /** How often it was read again and refused again. */
  readonly tries: number
  readonly rejectedAtUs: number
}

export interface DeadLetterFilter {
  readonly source?: string | undefined
  readonly format?: string | undefined
  readonly reason?: string | undefined
}

export interface DeadLetterQuery extends DeadLetterFilter {
  readonly clusterId: number
  readonly limit: number
  /** Newest first, those before this id. */
  readonly before?: string | undefined
}

type Row = Omit<DeadLetter, 'line' | 'byte' | 'rejectedAtUs'> & { readonly line: string, readonly byte: string, readonly rejected_us: string }

const COLUMNS = `id, source, line, byte, format, reason, detail, sample, is_complete as "isComplete", tries, ${timeUs('rejected_at')} as rejected_us`
const MATCHES = 'cluster_id = $1 and ($2::text is null or source = $2) and ($3::text is null or format = $3) and ($4::text is null or reason = $4)'

function valuesOf(clusterId: number, { source, format, reason }: DeadLetterFilter): unknown[] {
  return [clusterId, source ?? null, format ?? null, reason ?? null]
}

/** The dead letters of a cluster, newest first. */
export async function selectDeadLetters(database: Queryable, query: DeadLetterQuery): Promise<DeadLetter[]> {
  const { rows } = await database.query<Row>(
    `select ${COLUMNS} from rejections where ${MATCHES} and ($5::bigint is null or id < $5) order by id desc limit $6`,
    [...valuesOf(query.clusterId, query), query.before ?? null, query.limit],
  )
  return rows.map(letter)
}

/** Complete dead letters, oldest first: those after `after` and up to `upTo`. */
export async function selectReadableLetters(
  database: Queryable, query: DeadLetterFilter & { readonly clusterId: number, readonly after: string, readonly upTo: string, readonly limit: number },
): Promise<DeadLetter[]> {
  const { rows } = await database.query<Row>(
    `select ${COLUMNS} from rejections where ${MATCHES} and is_complete and id > $5 and id <= $6 order by id limit $7`,
    [...valuesOf(query.clusterId, query), query.after, query.upTo, query.limit],
  )
  return rows.map(letter)
}

export interface DeadLetterTotals {
  readonly kept: number
  /** Of those, how many can be read again. */
  readonly complete: number
  /** The newest id; '0' when there is none. */
  readonly newestId: string
}

export async function countDeadLetters(database: Queryable, clusterId: number, filter: DeadLetterFilter = {}): Promise<DeadLetterTotals> {
  const { rows } = await database.query<{ kept: string, complete: string, newest: string | null }>(
    `select count(*) as kept, count(*) filter (where is_complete) as complete, max(id) as newest from rejections where ${MATCHES}`, valuesOf(clusterId, filter),
  )
  const row = rows[0]
  return { kept: Number(row?.kept ?? 0), complete: Number(row?.complete ?? 0), newestId: row?.newest ?? '0' }
}

function letter({ rejected_us: rejectedUs, line, byte, ...row }: Row): DeadLetter {
  return { ...row, line: Number(line), byte: Number(byte), rejectedAtUs: Number(rejectedUs) }
}
