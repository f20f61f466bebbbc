/** Conservation from end to end: what a file holds, what the report says, what the database holds and what the status endpoint says are one. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from '@jest/globals'
import { DEFAULT_RETENTION } from '../../src/core/aggregate/retention.ts'
import { createNormalizer } from '../../src/core/normalize/normalizer.ts'
import { createDecoder } from '../../src/decode/decode-chunk.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import type { FormatCounts, IngestReport } from '../../src/pipeline/ingest-report.ts'
import { baseLines } from '../support/fuzz/base-lines.ts'
import { mutateLine } from '../support/fuzz/mutate.ts'
import { START_US } from '../support/flow-records.ts'
import { createRandom, rounds } from '../support/random.ts'
import type { Random } from '../support/random.ts'
import { call, startTestService } from '../support/start-service.ts'
import { createTestDatabase } from '../support/database.ts'

const folder = mkdtempSync(join(tmpdir(), 'flowfence-conservation-'))
const groups = baseLines()
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Lines of all formats, whole and damaged, some twice. */
function mixedStream(random: Random, amount: number): Buffer {
  const line = (): string => random.pick(random.pick(groups))
  const lines = Array.from({ length: amount }, () => (random.chance(0.5) ? Buffer.from(line()) : mutateLine(random, line(), line())))
  const repeated = lines.flatMap((bytes) => (random.chance(0.1) ? [bytes, bytes] : [bytes]))
  return Buffer.concat(repeated.flatMap((bytes) => [bytes, Buffer.from('\n')]))
}

/** By format, outcome and reason, counted one record at a time; flows as they come, duplicates and all. */
function expectedCounts(bytes: Buffer): Record<string, number> {
  const normalizer = createNormalizer({ cluster: 'test' })
  const decoder = createDecoder()
  const counts: Record<string, number> = {}
  for (const item of [...decoder.push(bytes), ...decoder.end()]) {
    const outcome = item.problem ?? item.outcome ?? normalizer.normalize(item.value)
    const name = outcome.kind === 'flow' ? `${outcome.format} flow` : `${outcome.format} ${outcome.kind} ${outcome.kind === 'rejected' ? outcome.code : outcome.reason}`
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

function flatten(byFormat: Iterable<readonly [string, FormatCounts]>): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const [format, { stored, duplicate, rejected, ignored }] of byFormat) {
    const rows: [string, number][] = [[`${format} flow`, stored + duplicate]]
    for (const [code, n] of Object.entries(rejected)) rows.push([`${format} rejected ${code}`, n])
    for (const [reason, n] of Object.entries(ignored)) rows.push([`${format} ignored ${reason}`, n])
    for (const [name, n] of rows) if (n > 0) counts[name] = (counts[name] ?? 0) + n
  }
  return counts
}

test('a mixed stream of all formats: decoder, report, database and status endpoint count the same, by format and reason', async () => {
  const { database } = await createTestDatabase()
  const service = await startTestService({}, database)
  // The lines are of many years: raw flows are kept that long, to be counted.
  const ingester = await createIngester(database, { cluster: 'test', nowUs: () => START_US, batchRecords: 700, retention: { ...DEFAULT_RETENTION, rawDays: 36_500 } })
  const sum: Record<string, number> = {}
  const files: IngestReport[] = []
  for (let round = 0; round < rounds({ small: 3, full: 30 }); round++) {
    const seed = 0xc05 + round
    const bytes = mixedStream(createRandom(seed), 1500)
    const path = join(folder, `mixed-${round}.log`)
    writeFileSync(path, bytes)
    const report = await ingester.ingestFiles([path])
    const expected = expectedCounts(bytes)
    expect({ seed, counts: flatten(Object.entries(report.byFormat)) }).toEqual({ seed, counts: expected })
    expect({ seed, received: report.received }).toEqual({ seed, received: Object.values(expected).reduce((a, b) => a + b, 0) })
    for (const [name, n] of Object.entries(expected)) sum[name] = (sum[name] ?? 0) + n
    files.push(report)
  }
  const { json } = await call(`${service.url}/api/v1/ingest/status`)
  const status = json as unknown as { totals: FormatCounts; conservation: { holds: boolean }; bySource: (FormatCounts & { source: string; format: string })[]; deadLetters: { kept: number; notKept: number } }
  expect(status.conservation.holds).toBe(true)
  expect(flatten(status.bySource.map((row) => [row.format, row]))).toEqual(sum)
  const total = (pick: (r: IngestReport) => number): number => files.reduce((a, r) => a + pick(r), 0)
  expect([status.totals.received, status.totals.stored, status.totals.duplicate]).toEqual([total((r) => r.received), total((r) => r.stored), total((r) => r.duplicate)])
  expect((await database.query('select 1 from flows')).rowCount).toBe(status.totals.stored)
  const rejected = Object.values(status.totals.rejected).reduce((a, b) => a + b, 0)
  expect(status.deadLetters.kept + status.deadLetters.notKept).toBe(rejected)
  // Every source for itself, too: a file is a source.
  for (const [i, report] of files.entries()) {
    const own = status.bySource.filter((row) => row.source === join(folder, `mixed-${i}.log`))
    expect(flatten(own.map((row) => [row.format, row]))).toEqual(flatten(Object.entries(report.byFormat)))
  }
  await service.stop()
}, 300_000)
