import { beforeAll, expect, test } from '@jest/globals'
import { DEFAULT_LIMITS } from '../../src/pipeline/cluster-limits.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import type { Ingester } from '../../src/pipeline/ingest.ts'
import { readIngestStatus } from '../../src/pipeline/ingest-status.ts'
import type { Database } from '../../src/store/db/database.ts'
import { selectDeadLetters } from '../../src/store/read/select-dead-letters.ts'
import { selectEdges } from '../../src/store/read/select-edges.ts'
import { selectIngestTotals } from '../../src/store/read/select-ingest-totals.ts'
import { createTestDatabase } from '../support/database.ts'
import { START_US } from '../support/flow-records.ts'
import { hubbleLines } from '../support/hubble-lines.ts'
import { createRandom } from '../support/random.ts'

let database: Database
let names = 0
const LINES = hubbleLines(createRandom(3), 12).map((line) => line.trimEnd())

beforeAll(async () => {
  ({ database } = await createTestDatabase())
})

async function make(identities = 1000): Promise<Ingester> {
  return createIngester(database, { cluster: `letters-${names++}`, nowUs: () => START_US, limits: { ...DEFAULT_LIMITS, identities } })
}

/** Letters as an older program left them: the text of records that it did not understand. */
async function leave(ingester: Ingester, samples: readonly string[], reason = 'unknown-format'): Promise<void> {
  for (const [i, sample] of samples.entries()) {
    await database.query(
      `insert into rejections (cluster_id, source, line, byte, format, reason, detail, sample, is_complete) values ($1, 'old.log', $2, 0, 'unknown', $3, 'not known', $4, $5)`,
      [ingester.clusterId, i + 1, reason, sample, !sample.endsWith('…')],
    )
  }
}

async function letters(ingester: Ingester) {
  return (await selectDeadLetters(database, { clusterId: ingester.clusterId, limit: 1000 })).map((l) => ({ line: l.line, tries: l.tries, reason: l.reason })).reverse()
}

async function everything(ingester: Ingester): Promise<unknown> {
  return [await selectEdges(database, ingester), await selectIngestTotals(database, ingester.clusterId), (await letters(ingester)).map((l) => l.line)]
}

test('what is accepted now is stored and its letter removed; what is not stays with one try more; what is cut is told', async () => {
  const ingester = await make()
  await leave(ingester, [LINES[0] ?? '', '{"still":"strange"}', LINES[1] ?? '', `[${LINES[2] ?? ''},${LINES[3] ?? ''}]`, '{"cut":…', `[${LINES[4] ?? ''},{"strange":1}]`])
  const report = await ingester.replayLetters()
  expect(report).toMatchObject({ received: 6, stored: 4, rejected: { 'unknown-format': 2 }, incomplete: 1 })
  expect(report.inputErrors.map((e) => [e.file, e.line])).toEqual([['old.log', 2], ['old.log', 6]])
  expect(await letters(ingester)).toEqual([
    { line: 2, tries: 1, reason: 'unknown-format' }, { line: 5, tries: 0, reason: 'unknown-format' }, { line: 6, tries: 1, reason: 'unknown-format' }])
  const totals = await selectIngestTotals(database, ingester.clusterId)
  expect(totals).toMatchObject([{ source: 'dead-letters', format: 'hubble', outcome: 'stored', records: 4 }])
})

test('a second run changes nothing but the number of tries', async () => {
  const ingester = await make()
  await leave(ingester, [...LINES, '{"still":"strange"}'])
  await ingester.replayLetters()
  const before = await everything(ingester)
  expect(await ingester.replayLetters()).toMatchObject({ received: 1, stored: 0, rejected: { 'unknown-format': 1 } })
  expect(await everything(ingester)).toEqual(before)
  expect(await letters(ingester)).toEqual([{ line: LINES.length + 1, tries: 2, reason: 'unknown-format' }])
})

test('a flow that came another way meanwhile counts as duplicate, and its letter goes', async () => {
  const ingester = await make()
  await ingester.ingestBody(Buffer.from(LINES.join('\n')), { source: 'http', maxBytes: 1e9, isBackfill: true })
  const edges = await selectEdges(database, ingester)
  await leave(ingester, LINES)
  expect(await ingester.replayLetters()).toMatchObject({ received: LINES.length, duplicate: LINES.length })
  expect(await selectEdges(database, ingester)).toEqual(edges)
  expect(await letters(ingester)).toEqual([])
})

test('two processes at once: every letter is stored once', async () => {
  const ingester = await make()
  await leave(ingester, LINES)
  const cluster = (await database.query<{ name: string }>('select name from clusters where id = $1', [ingester.clusterId])).rows[0]?.name ?? ''
  const twin = await createIngester(database, { cluster, nowUs: () => START_US })
  const reports = await Promise.all([ingester.replayLetters(), twin.replayLetters()])
  expect(reports.reduce((sum, r) => sum + r.stored, 0)).toBe(LINES.length)
  expect((await database.query('select 1 from flows where cluster_id = $1', [ingester.clusterId])).rowCount).toBe(LINES.length)
  expect(await letters(ingester)).toEqual([])
})

test('a commit that fails leaves the letters, and the next run stores them', async () => {
  const ingester = await make()
  await leave(ingester, LINES)
  await database.query(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$`)
  await database.query('create trigger refuse before insert on ingest_batches for each row execute function refuse()')
  await expect(ingester.replayLetters()).rejects.toThrow('no')
  expect(await letters(ingester)).toHaveLength(LINES.length)
  await database.query('drop trigger refuse on ingest_batches')
  expect(await ingester.replayLetters()).toMatchObject({ stored: LINES.length })
})

test('by reason; and ages are judged only where the age was wrong', async () => {
  const ingester = await createIngester(database, { cluster: `letters-${names++}`, nowUs: () => START_US + 30 * 86_400_000_000 })
  await leave(ingester, LINES.slice(0, 2))
  await leave(ingester, LINES.slice(2, 5), 'too-late')
  expect(await ingester.replayLetters({ reason: 'unknown-format' })).toMatchObject({ received: 2, stored: 2 })
  expect(await ingester.replayLetters()).toMatchObject({ received: 3, stored: 0, rejected: { 'too-late': 3 } })
  expect(await ingester.replayLetters({ isBackfill: true })).toMatchObject({ received: 3, stored: 3 })
})

test('flows refused for their age are kept with their text, however they were read', async () => {
  const ingester = await createIngester(database, { cluster: `letters-${names++}`, nowUs: () => START_US + 30 * 86_400_000_000 })
  async function* cut(): AsyncGenerator<Buffer> {
    const bytes = Buffer.from(LINES.join('\n'))
    for (let at = 0; at < bytes.length; at += 333) yield await Promise.resolve(bytes.subarray(at, at + 333))
  }
  expect(await ingester.ingestBody(cut(), { source: 'http', maxBytes: 1e9 })).toMatchObject({ rejected: { 'too-late': LINES.length } })
  const kept = (await selectDeadLetters(database, { clusterId: ingester.clusterId, limit: 100 })).reverse()
  expect(kept.map((l) => JSON.parse(l.sample) as unknown)).toEqual(LINES.map((line) => JSON.parse(line) as unknown))
  expect(await ingester.replayLetters({ isBackfill: true })).toMatchObject({ received: LINES.length, stored: LINES.length })
})

test('where the cluster has no room for more identities, the letters of known ones go and the others stay', async () => {
  const ingester = await make(3)
  const line = LINES[0] ?? ''
  await ingester.ingestBody(Buffer.from(line), { source: 'http', maxBytes: 1e9, isBackfill: true })
  await leave(ingester, [line, line.replaceAll('app=', 'app=new-').replace('"uuid":"', '"uuid":"1')])
  expect(await ingester.replayLetters()).toMatchObject({ received: 2, duplicate: 1, rejected: { 'too-many-identities': 1 } })
  expect(await letters(ingester)).toEqual([{ line: 2, tries: 1, reason: 'unknown-format' }])
})

test('what ingest itself refused is read again: lines as lines, objects as objects, hidden and cut ones not', async () => {
  const ingester = await make()
  const long = JSON.stringify({ text: 'x'.repeat(5000) })
  const lines = ['{"x":1}', '{"x":{"__proto__":1}}', 'neither one nor the other', '{"password":"hunter2"}', long, '{"x":1e400}', '{"flow":']
  await ingester.ingestBody(Buffer.from(`${lines.join('\r\n')}\n`), { source: 'http', maxBytes: 1e9 })
  const kept = await selectDeadLetters(database, { clusterId: ingester.clusterId, limit: 100 })
  expect(kept.reverse().map((l) => [l.line, l.byte, l.isComplete, l.sample.length > 60 ? Buffer.byteLength(l.sample) : l.sample])).toEqual([
    [1, 0, true, '{"x":1}'], [2, 9, true, '{"x":{"__proto__":1}}'], [3, 32, true, 'neither one nor the other'], [4, 59, false, '{"password":"[redacted]"}'],
    [5, 83, false, 4096], [6, 5096, false, '{"x":null}'], [7, 5109, true, '{"flow":'],
  ])
  expect(await ingester.replayLetters()).toMatchObject({ received: 4, incomplete: 3 })
})

test('the status holds through all of it', async () => {
  const ingester = await make()
  await leave(ingester, [...LINES, '{"still":"strange"}'])
  await ingester.replayLetters()
  const status = await readIngestStatus(database, { cluster: { id: ingester.clusterId, name: 'x' }, nowUs: START_US, limit: 10 })
  expect(status.conservation.holds).toBe(true)
  expect(status.sources).toMatchObject([{ source: 'dead-letters', received: LINES.length, accounted: LINES.length }])
  expect(status.deadLetters).toEqual({ kept: 1, complete: 1, notKept: 0 })
})
