/**
 * Access to PostgreSQL: pool, queries, transactions with retry. store/db is the only importer of pg and its friends; the rest
 * of the program sees `Database` and `Queryable`.
 *
 * Invariant: a transaction function may run several times (see retry.ts), so it must not keep effects outside the database.
 */
import pg from 'pg'
import { AppError } from '../../core/base/app-error.ts'
import { retryDelayMs } from './retry.ts'

export interface QueryResult<Row> {
  readonly rows: Row[]
  readonly rowCount: number
}

/** Something that runs SQL: the pool or one transaction. Values are parameters `$1…`; bigint columns come back as text. */
export interface Queryable {
  query<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<QueryResult<Row>>
}

/** An open transaction. `client` is for COPY inside store/db. */
export interface Transaction extends Queryable {
  readonly client: pg.PoolClient
}

export interface Database extends Queryable {
  readonly pool: pg.Pool
  /** Waits for running queries, but not for ever (CLOSE_MS), then closes all connections. */
  close(): Promise<void>
}

export interface DatabaseOptions {
  readonly connectionString: string
  /** Connections at most. More: more consumers at once; fewer: less memory on the server (about 10 MB each). Default 10. */
  readonly maxConnections?: number
  /** Default 60000: longer than any statement of ingest, shorter than a person waits. */
  readonly statementTimeoutMs?: number
  /** Told about connections that break while nobody uses them. */
  readonly onIdleError?: (error: Error) => void
}

/** A server that does not answer would keep a process from ending. Longer: slow queries may still end; shorter: orchestrators kill after 30 s. */
const CLOSE_MS = 5_000
/** A server that is gone without a word is noticed after this and some seconds. */
const KEEP_ALIVE_MS = 10_000

/** Opens a pool. Connects on first use. */
export function openDatabase(options: DatabaseOptions): Database {
  const statementTimeoutMs = options.statementTimeoutMs ?? 60_000
  const pool = new pg.Pool({
    connectionString: options.connectionString,
    max: options.maxConnections ?? 10,
    connectionTimeoutMillis: 10_000,
    statement_timeout: statementTimeoutMs,
    // A process that stops in the middle of a transaction must not hold its locks for ever.
    idle_in_transaction_session_timeout: 2 * statementTimeoutMs,
    application_name: 'flowfence',
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
  })
  const clients = new Set<pg.PoolClient>()
  pool.on('connect', (client) => clients.add(client))
  pool.on('remove', (client) => clients.delete(client))
  pool.on('error', (error) => options.onIdleError?.(error))
  return {
    pool,
    query: (text, values) => run(pool, text, values),
    close: () => {
      // Also connections that were taken leave of in order are open until the server says so.
      setTimeout(() => { for (const client of clients) cut(client) }, CLOSE_MS).unref()
      return pool.end()
    },
  }
}

/** pg offers no way to end a connection without the server's word. */
function cut(client: pg.PoolClient): void {
  (client as pg.PoolClient & { readonly connection: { readonly stream: { destroy(): void } } }).connection.stream.destroy()
}

async function run<Row>(on: pg.Pool | pg.PoolClient, text: string, values: readonly unknown[] = []): Promise<QueryResult<Row>> {
  const result = await on.query(text, [...values])
  return { rows: result.rows as Row[], rowCount: result.rowCount ?? 0 }
}

/** Statements that are prepared at most: those of the program are far fewer. Beyond, a statement is parsed anew each time. */
const MAX_PREPARED = 500
const names = new Map<string, string>()

/** As `run`; a statement with parameters is prepared once per connection, so that batch after batch it is not parsed and planned again. */
async function runPrepared<Row>(on: pg.PoolClient, text: string, values: readonly unknown[] = []): Promise<QueryResult<Row>> {
  let name = names.get(text)
  if (name === undefined && values.length > 0 && names.size < MAX_PREPARED) names.set(text, name = `flowfence_${names.size}`)
  if (name === undefined) return run(on, text, values)
  const result = await on.query({ name, text, values: [...values] })
  return { rows: result.rows as Row[], rowCount: result.rowCount ?? 0 }
}

/** Runs `work` in one transaction: commits when it returns, rolls back when it throws. No retry. */
export async function withTransaction<T>(database: Database, work: (tx: Transaction) => Promise<T>): Promise<T> {
  const client = await database.pool.connect()
  // A connection that breaks while a COPY streams reports here as well as in the query; the query's error is the one we handle.
  const ignore = (): void => undefined
  client.on('error', ignore)
  let broken: unknown
  try {
    await client.query('begin')
    const result = await work({ client, query: (text, values) => runPrepared(client, text, values) })
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback').catch((rollbackError: unknown) => { broken = rollbackError })
    throw error
  } finally {
    client.off('error', ignore)
    client.release(broken !== undefined)
  }
}

/** Runs reads that must agree with each other: all of them see the database as it was at the first. */
export async function withSnapshot<T>(database: Database, work: (tx: Queryable) => Promise<T>): Promise<T> {
  return withTransaction(database, async (tx) => {
    await tx.query('set transaction isolation level repeatable read, read only')
    return work(tx)
  })
}

/** As withSnapshot; in an open transaction, which the caller made a snapshot, in that one. */
export async function inSnapshot<T>(on: Queryable, work: (tx: Queryable) => Promise<T>): Promise<T> {
  return isDatabase(on) ? withSnapshot(on, work) : work(on)
}

function isDatabase(on: Queryable): on is Database {
  return 'pool' in on
}

export interface RetryOptions {
  /** Told before each wait, for logs and metrics. */
  readonly onRetry?: (error: unknown, delayMs: number) => void
  /** Give up when the next wait would end later than this after the first try. Default 120 s: a database restart fits well. */
  readonly giveUpAfterMs?: number
}

/**
 * Calls `attempt` until it succeeds, waiting between failures that heal by themselves (restart, deadlock, full disk; the table
 * is in retry.ts). Other errors pass through at once. At the end of patience: AppError `unavailable`, retryable.
 */
export async function withRetry<T>(attempt: () => Promise<T>, options: RetryOptions = {}): Promise<T> {
  const giveUpAt = performance.now() + (options.giveUpAfterMs ?? 120_000)
  for (let failures = 0; ; failures++) {
    try {
      return await attempt()
    } catch (error) {
      const delayMs = retryDelayMs(error, failures)
      if (delayMs === undefined) throw error
      if (performance.now() + delayMs > giveUpAt) {
        throw new AppError('unavailable', `The database does not answer: ${describe(error)}. Check DATABASE_URL and that the server runs, then try again.`,
          { cause: error, retryable: true })
      }
      options.onRetry?.(error, delayMs)
      await new Promise((resolve) => setTimeout(resolve, delayMs))
    }
  }
}

function describe(error: unknown): string {
  const { message, code } = error as { message?: unknown, code?: unknown }
  return typeof message === 'string' && message !== '' ? message : String(code)
}
