import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from '@jest/globals'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { observeFiles } from '../../src/pipeline/observe-files.ts'
import { openDatabase, withRetry } from '../../src/store/db/database.ts'
import type { Database } from '../../src/store/db/database.ts'
import { startEmbedded } from '../../src/store/db/embedded.ts'
import { migrate } from '../../src/store/db/migrate.ts'
import { selectEdges } from '../../src/store/read/select-edges.ts'
import { selectIngestTotals } from '../../src/store/read/select-ingest-totals.ts'
import { ensureCluster } from '../../src/store/write/ensure-cluster.ts'
import { createTestDatabase } from '../support/database.ts'
import { flowRecord, START_US } from '../support/flow-records.ts'
import { messyLines } from '../support/hubble-lines.ts'
import { createRandom, rounds } from '../support/random.ts'
import { collect, createWriter, outcomes } from '../support/stored-flows.ts'

const folder = mkdtempSync(join(tmpdir(), 'flowfence-faults-'))
// As root, the server runs as another user, who must be able to enter.
chmodSync(folder, 0o711)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function newFile(name: string, content: string): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

/** What the store holds must equal what one pass without a database finds, and every record must be counted once. */
async function expectUndisturbed(database: Database, path: string): Promise<void> {
  const undisturbed = await observeFiles([path], { cluster: 'test' })
  const clusterId = await ensureCluster(database, 'test')
  const plain = (edges: readonly { from: { key: string }, to: { key: string } }[]) => edges.map((edge) => ({ ...edge, from: edge.from.key, to: edge.to.key }))
  expect(plain(await selectEdges(database, { clusterId }))).toEqual(plain(undisturbed.edges))
  const { rows } = await database.query<{ n: string }>('select count(*) as n from flows')
  expect(Number(rows[0]?.n)).toBe(undisturbed.report.stored)
  const totals = (await selectIngestTotals(database)).filter((total) => total.format !== 'unread')
  expect(totals.reduce((n, total) => n + total.records, 0)).toBe(undisturbed.report.received)
}

async function batches(database: Database): Promise<number> {
  const { rows } = await database.query<{ n: string }>('select count(*) as n from ingest_batches')
  return Number(rows[0]?.n)
}

test('killed with SIGKILL again and again, then finished: the edges are those of an undisturbed run', async () => {
  for (let round = 0; round < rounds({ small: 1, full: 6 }); round++) {
    const random = createRandom(0x9 + round)
    const { database, connectionString } = await createTestDatabase()
    const path = newFile(`killed-${round}`, messyLines(random, rounds({ small: 4_000, full: 20_000 })).join(''))
    const child = fileURLToPath(new URL('../support/ingest-child.ts', import.meta.url))
    let kills = 0
    for (let isFinished = false; !isFinished;) {
      const from = await batches(database)
      const target = from + 1 + random.int(25)
      const running = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', child, connectionString, path, '40'], { stdio: ['ignore', 'ignore', 'inherit'] })
      const exit = new Promise<{ code: number | null }>((resolve) => running.once('exit', (code) => resolve({ code })))
      let ended: { code: number | null } | undefined
      void exit.then((e) => { ended = e })
      while (ended === undefined && (kills >= 4 || await batches(database) < target)) await new Promise((resolve) => setTimeout(resolve, 2))
      if (ended === undefined) {
        running.kill('SIGKILL')
        kills++
      }
      const { code } = await exit
      isFinished = code === 0
    }
    expect(kills).toBeGreaterThan(0)
    await expectUndisturbed(database, path)
  }
}, 600_000)

test('the database restarts in the middle: ingest waits and goes on, nothing is lost or counted twice', async () => {
  const server = await startEmbedded({ folder: join(folder, 'server'), isThrowaway: true })
  const database = openDatabase({ connectionString: server.connectionString })
  try {
    await migrate(database)
    const path = newFile('restart', messyLines(createRandom(21), 3_000).join(''))
    const retries: unknown[] = []
    const ingester = await createIngester(database, { cluster: 'test', nowUs: () => START_US, batchRecords: 50, retry: { onRetry: (error) => retries.push(error) } })
    let restarted: Promise<unknown> | undefined
    const restart = async (): Promise<unknown> => {
      await server.stop()
      return startEmbedded({ folder: join(folder, 'server'), isThrowaway: true })
    }
    await ingester.ingestFiles([path], { onProgress: () => { restarted ??= restart() } })
    const second = await restarted as Awaited<ReturnType<typeof startEmbedded>>
    expect(second.port).toBe(server.port)
    expect(retries.length).toBeGreaterThan(0)
    await expectUndisturbed(database, path)
    await database.close()
    await second.stop()
  } finally {
    await database.close().catch(() => undefined)
  }
}, 120_000)

test('connections that are cut while batches are stored are replaced', async () => {
  const { database, connectionString } = await createTestDatabase()
  const admin = openDatabase({ connectionString, maxConnections: 1 })
  const path = newFile('cut', messyLines(createRandom(22), 2_500).join(''))
  const ingester = await createIngester(database, { cluster: 'test', nowUs: () => START_US, batchRecords: 50 })
  let isDone = false
  const cutting = (async () => {
    while (!isDone) {
      await admin.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()')
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
  })()
  await ingester.ingestFiles([path])
  isDone = true
  await cutting
  await admin.close()
  await expectUndisturbed(database, path)
}, 120_000)

test('a connection that is lost when the commit has just happened: the batch is not stored a second time', async () => {
  const { database } = await createTestDatabase()
  const clusterId = await ensureCluster(database, 'test')
  const writer = createWriter(losingAfterCommit(database), clusterId)
  expect(outcomes(await writer.store(collect([flowRecord(), flowRecord()]), { source: 'test' }))).toEqual({ stored: 2 })
  const { rows } = await database.query('select (select count(*)::integer from flows) as flows, (select count(*)::integer from ingest_batches) as batches')
  expect(rows).toEqual([{ flows: 2, batches: 1 }])
})

/** A database whose first commit reaches the server while its answer is lost on the way. */
function losingAfterCommit(database: Database): Database {
  let isLost = false
  const pool = new Proxy(database.pool, {
    get(target, property) {
      if (property !== 'connect') return Reflect.get(target, property) as unknown
      return async () => {
        const client = await target.connect()
        return new Proxy(client, {
          get(inner, name) {
            const value = Reflect.get(inner, name) as unknown
            if (name !== 'query') return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(inner) : value
            return (...args: unknown[]) => {
              const result = (inner.query as (...all: unknown[]) => unknown).apply(inner, args)
              if (args[0] !== 'commit' || isLost) return result
              isLost = true
              return (result as Promise<unknown>).then(() => Promise.reject(new Error('Connection terminated unexpectedly')))
            }
          },
        })
      }
    },
  })
  return { ...database, pool }
}

test('patience ends with the next step', async () => {
  const database = openDatabase({ connectionString: 'postgres://nobody:x@127.0.0.1:1/none' })
  const waits: number[] = []
  await expect(withRetry(() => database.query('select 1'), { giveUpAfterMs: 2_000, onRetry: (_, delayMs) => waits.push(delayMs) })).rejects.toMatchObject({
    code: 'unavailable', retryable: true,
    message: 'The database does not answer: connect ECONNREFUSED 127.0.0.1:1. Check DATABASE_URL and that the server runs, then try again.',
  })
  expect(waits).toEqual([500, 1_000])
  await database.close()
})
