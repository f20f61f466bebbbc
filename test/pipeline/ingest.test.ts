import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { ObservedEdge } from '../../src/core/flow/edge.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import type { Ingester } from '../../src/pipeline/ingest.ts'
import type { FormatCounts, IngestReport } from '../../src/pipeline/ingest-report.ts'
import { observeFiles } from '../../src/pipeline/observe-files.ts'
import type { Database } from '../../src/store/db/database.ts'
import { selectEdges } from '../../src/store/read/select-edges.ts'
import { selectDeadLetters } from '../../src/store/read/select-dead-letters.ts'
import { selectIngestTotals } from '../../src/store/read/select-ingest-totals.ts'
import { createTestDatabase } from '../support/database.ts'
import { START_US } from '../support/flow-records.ts'
import { hubbleLines, messyLines } from '../support/hubble-lines.ts'
import { createRandom, rounds } from '../support/random.ts'

let database: Database
let names = 0
const folder = mkdtempSync(join(tmpdir(), 'flowfence-ingest-'))

beforeAll(async () => {
  ({ database } = await createTestDatabase())
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function newFile(content: string | Buffer): string {
  const path = join(folder, `input-${names++}`)
  writeFileSync(path, content)
  return path
}

async function newIngester(nowUs = START_US, batchRecords = 100): Promise<Ingester> {
  return createIngester(database, { cluster: `cluster-${names++}`, nowUs: () => nowUs, batchRecords })
}

/** Everything about the edges of a cluster but its name. */
async function edgesOf(ingester: Ingester): Promise<unknown> {
  return plain(await selectEdges(database, { clusterId: ingester.clusterId }))
}

function plain(edges: readonly ObservedEdge[]): unknown {
  const key = (identity: { key: string, cluster: string }): string => identity.key.replace(JSON.stringify(identity.cluster), '""')
  return edges.map((edge) => ({ ...edge, from: key(edge.from), to: key(edge.to) }))
}

async function count(ingester: Ingester, table: string): Promise<number> {
  const { rows } = await database.query<{ n: string }>(`select count(*) as n from ${table} where cluster_id = $1`, [ingester.clusterId])
  return Number(rows[0]?.n)
}

function conserved(report: IngestReport): boolean {
  return [report, ...Object.values(report.byFormat)].every((c) => c.received === c.stored + c.duplicate + sum(c.rejected) + sum(c.ignored))
}

const sum = (counts: FormatCounts['rejected']): number => Object.values(counts).reduce((a, b) => a + b, 0)

describe('laws', () => {
  test('received = stored + duplicate + rejected + ignored, in the report and in the stored totals', async () => {
    for (let round = 0; round < rounds({ small: 3, full: 40 }); round++) {
      const seed = 0xc0 + round
      const random = createRandom(seed)
      const lines = messyLines(random, 50 + random.int(500))
      const repeated = [...lines, ...lines.filter(() => random.chance(0.1))]
      const ingester = await newIngester(START_US, 1 + random.int(120))
      const report = await ingester.ingestFiles([newFile(repeated.join(''))])
      expect({ seed, isConserved: conserved(report), rows: await count(ingester, 'flows') }).toEqual({ seed, isConserved: true, rows: report.stored })
      const totals = await selectIngestTotals(database, ingester.clusterId)
      expect({ seed, received: totals.reduce((a, t) => a + t.records, 0) }).toEqual({ seed, received: report.received })
    }
  })

  test('shuffled, split over files and bodies, re-batched, compressed and replayed input gives the edges of the plain file', async () => {
    for (let round = 0; round < rounds({ small: 2, full: 20 }); round++) {
      const seed = 0x0d + round
      const random = createRandom(seed)
      const lines = hubbleLines(random, 600)
      const expected = { seed, edges: plain((await observeFiles([newFile(lines.join(''))], { cluster: 'x' })).edges) }
      const shuffled = random.shuffle(lines)
      const ingester = await newIngester(START_US, 1 + random.int(300))
      const cut = random.int(500)
      const paths = [newFile(shuffled.slice(0, cut).join('')), newFile(gzipSync(shuffled.slice(cut).join('')))]
      await ingester.ingestFiles(paths)
      expect({ seed, edges: await edgesOf(ingester) }).toEqual(expected)
      await ingester.ingestFiles([...paths, newFile(random.shuffle(lines).join(''))])
      await ingester.ingestBody(Buffer.from(lines.slice(100, 400).join('')), { source: 'http', maxBytes: 1e9, isBackfill: true })
      expect({ seed, edges: await edgesOf(ingester) }).toEqual(expected)
    }
  })
})

test('files observed without a database give the same edges, report and pod networks', async () => {
  const path = newFile(messyLines(createRandom(3), 400).join(''))
  const observed = await observeFiles([path, path], { cluster: 'x' })
  const ingester = await newIngester()
  const report = await ingester.ingestFiles([path])
  expect(plain(observed.edges)).toEqual(await edgesOf(ingester))
  expect({ stored: observed.report.stored, received: observed.report.received }).toEqual({ stored: report.stored, received: 2 * report.received })
  expect(observed.podNetworks).toEqual(['10.244.1.0/24', '10.244.2.0/24'])
  expect(conserved(observed.report)).toBe(true)
  expect(observed.sinceUs).toBeGreaterThanOrEqual(START_US)
})

describe('the same input again', () => {
  test('a plain file: every record is a duplicate and nothing changes', async () => {
    const path = newFile(messyLines(createRandom(4), 300).join(''))
    const ingester = await newIngester()
    const first = await ingester.ingestFiles([path])
    const edges = await edgesOf(ingester)
    const again = await ingester.ingestFiles([path])
    expect(again).toMatchObject({ received: first.received, duplicate: first.received, stored: 0, rejected: {}, bytes: 0, known: [{ source: path, records: first.received }] })
    expect(await edgesOf(ingester)).toEqual(edges)
    expect(await count(ingester, 'rejections')).toBe(sum(first.rejected))
  })

  test('a file under another name is recognised, and a log that grew is read from where it ended', async () => {
    const lines = hubbleLines(createRandom(5), 300)
    const path = newFile(lines.slice(0, 100).join(''))
    const ingester = await newIngester()
    await ingester.ingestFiles([path])
    expect(await ingester.ingestFiles([newFile(lines.slice(0, 100).join(''))])).toMatchObject({ received: 100, duplicate: 100, bytes: 0 })
    appendFileSync(path, lines.slice(100).join(''))
    expect(await ingester.ingestFiles([path])).toMatchObject({ received: 300, duplicate: 100, stored: 200 })
    expect(await count(ingester, 'flows')).toBe(300)
  })

  test('another log that only begins with the same line loses nothing', async () => {
    const lines = hubbleLines(createRandom(6), 300)
    const ingester = await newIngester()
    await ingester.ingestFiles([newFile(lines.slice(0, 150).join(''))])
    const other = newFile([lines[0], ...lines.slice(150)].join(''))
    expect(await ingester.ingestFiles([other])).toMatchObject({ received: 151, stored: 150, duplicate: 1 })
    expect(await ingester.ingestFiles([other])).toMatchObject({ received: 151, duplicate: 151, bytes: 0 })
    expect(await count(ingester, 'flows')).toBe(300)
  })

  test('a file that was written anew under its name is read from the start', async () => {
    const lines = hubbleLines(createRandom(7), 300)
    const ingester = await newIngester()
    const path = newFile(lines.slice(0, 100).join(''))
    for (const rest of [lines.slice(1, 100), lines.slice(100, 200), lines.slice(200)]) {
      writeFileSync(path, [lines[0], ...rest].join(''))
      await ingester.ingestFiles([path])
    }
    expect(await count(ingester, 'flows')).toBe(300)
  })

  test('a line that is cut off is counted once while the file stays as it is, and read when its rest arrives', async () => {
    const lines = hubbleLines(createRandom(8), 20)
    const last = lines[19] ?? ''
    const path = newFile(lines.slice(0, 19).join('') + last.slice(0, 50))
    const ingester = await newIngester()
    expect(await ingester.ingestFiles([path])).toMatchObject({ received: 20, stored: 19, rejected: { truncated: 1 } })
    expect(await ingester.ingestFiles([path])).toMatchObject({ received: 20, duplicate: 20, rejected: {} })
    appendFileSync(path, last.slice(50))
    expect(await ingester.ingestFiles([path])).toMatchObject({ stored: 1, rejected: {} })
    expect(await count(ingester, 'flows')).toBe(20)
  })

  test('a compressed file and a body are known by their content, also each other', async () => {
    const content = messyLines(createRandom(9), 200).join('')
    const ingester = await newIngester()
    const body = { source: 'http', maxBytes: 1e9, isBackfill: true }
    const first = await ingester.ingestBody(Buffer.from(content), body)
    expect(conserved(first)).toBe(true)
    const edges = await edgesOf(ingester)
    for (const again of [await ingester.ingestBody(Buffer.from(content), body), await ingester.ingestFiles([newFile(gzipSync(content))])]) {
      expect(again).toMatchObject({ received: first.received, duplicate: first.received, stored: 0 })
    }
    expect(await edgesOf(ingester)).toEqual(edges)
  })

  test('one body sent many times at once is stored once', async () => {
    const content = hubbleLines(createRandom(10), 50).join('')
    const [a, b] = [await newIngester(), await newIngester()]
    const twin = await createIngester(database, { cluster: (await clusterName(a)), nowUs: () => START_US })
    const reports = await Promise.all([a, twin, a, twin].map((each) => each.ingestBody(Buffer.from(content), { source: 'http', maxBytes: 1e9, isBackfill: true })))
    expect(reports.reduce((n, r) => n + r.stored, 0)).toBe(50)
    expect(reports.every(conserved)).toBe(true)
    expect(await count(a, 'flows')).toBe(50)
    expect(await count(b, 'flows')).toBe(0)
  })
})

async function clusterName(ingester: Ingester): Promise<string> {
  const { rows } = await database.query<{ name: string }>('select name from clusters where id = $1', [ingester.clusterId])
  return rows[0]?.name ?? ''
}

describe('bodies', () => {
  test('flows older than 8 days are too late and flows an hour ahead are in the future, unless backfill is asked', async () => {
    const lines = hubbleLines(createRandom(11), 4)
    const day = 86_400_000_000
    const late = await (await newIngester(START_US + 9 * day)).ingestBody(Buffer.from(lines.join('')), { source: 'http', maxBytes: 1e9 })
    expect(late).toMatchObject({ received: 4, stored: 0, rejected: { 'too-late': 4 } })
    expect(late.inputErrors[0]).toEqual({ file: 'http', line: 1, message: 'too-late: 2026-01-01T00:00:00.000Z is more than 8 days ago; ask for backfill to store it' })
    const early = await newIngester(START_US - 2 * 3_600_000_000)
    expect(await early.ingestBody(Buffer.from(lines.join('')), { source: 'http', maxBytes: 1e9 })).toMatchObject({ rejected: { 'in-future': 4 } })
    const clock = await newIngester(START_US + 3_600_000_000)
    expect(await clock.ingestBody(Buffer.from(lines.join('')), { source: 'http', maxBytes: 1e9 })).toMatchObject({ stored: 4 })
    const backfill = await newIngester(START_US + 9 * day)
    expect(await backfill.ingestBody(Buffer.from(lines.join('')), { source: 'http', maxBytes: 1e9, isBackfill: true })).toMatchObject({ stored: 4 })
  })

  test('a body over the limit is refused and stores nothing', async () => {
    const ingester = await newIngester()
    async function* body() {
      for (const line of hubbleLines(createRandom(12), 100)) yield await Promise.resolve(Buffer.from(line))
    }
    await expect(ingester.ingestBody(body(), { source: 'http', maxBytes: 10_000 })).rejects.toMatchObject({ code: 'too-large' })
    expect(await count(ingester, 'flows')).toBe(0)
  })
})

describe('bad input', () => {
  test('what is good goes through; the rest is listed with its line, counted by reason and kept as dead letters without credentials', async () => {
    const lines = hubbleLines(createRandom(13), 3)
    const path = newFile([lines[0], 'oops password=hunter2\n', lines[1], lines[0]?.replace(/"time":"[^"]*"/g, '"time":"yesterday"'), '{"x":1}\n', lines[2]].join(''))
    const ingester = await newIngester()
    const report = await ingester.ingestFiles([join(folder, 'missing'), path])
    expect(report).toMatchObject({ received: 6, stored: 3 })
    expect(sum(report.rejected)).toBe(3)
    expect(report.inputErrors.map((e) => [e.file === path, e.line])).toEqual([[false, undefined], [true, 2], [true, 4], [true, 5]])
    expect(report.inputErrors[0]?.message).toBe(`${join(folder, 'missing')} does not exist; check the path.`)
    const letters = await selectDeadLetters(database, { clusterId: ingester.clusterId, limit: 100 })
    expect(letters).toHaveLength(3)
    expect(letters.at(-1)).toMatchObject({ reason: 'malformed-json', format: 'unknown', source: path })
    expect(JSON.stringify(letters)).not.toContain('hunter2')
  })

  test('an empty file stores nothing and is no error', async () => {
    const ingester = await newIngester()
    expect(await ingester.ingestFiles([newFile('')])).toMatchObject({ received: 0, inputErrors: [] })
  })

  test('signs of lost events are kept once', async () => {
    const lost = '{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"3"},"node_name":"node-1","time":"2026-01-01T00:00:00Z"}\n'
    const ingester = await newIngester()
    await ingester.ingestBody(Buffer.from(lost), { source: 'http', maxBytes: 1e9, isBackfill: true })
    await ingester.ingestBody(Buffer.from(`${lost}\n`), { source: 'http', maxBytes: 1e9, isBackfill: true })
    const { rows } = await database.query('select type, at, node, lost::integer as lost from coverage_events where cluster_id = $1', [ingester.clusterId])
    expect(rows).toEqual([{ type: 'lost-events', at: new Date(START_US / 1000), node: 'node-1', lost: 3 }])
  })
})

test('the report tells signs of incomplete observation, from the database and from files alike', async () => {
  const lost = (node: string, n: number): string => `{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"${n}"},"node_name":"${node}","time":"2026-01-01T00:00:0${n}Z"}\n`
  const path = newFile(`${lost('a', 1)}${lost('b', 2)}${lost('a', 3)}${hubbleLines(createRandom(16), 5).join('')}`)
  const expected = [{ type: 'lost-events', detail: 'PERF_EVENT_RING_BUFFER', nodes: ['a', 'b'], events: 3, lost: 6 }]
  expect((await (await newIngester()).ingestFiles([path])).coverage).toEqual(expected)
  expect((await observeFiles([path], { cluster: 'x' })).report.coverage).toEqual(expected)
})

test('two processes that ingest one log at once: one is fenced, and no flow is lost or counted twice', async () => {
  const path = newFile(hubbleLines(createRandom(14), 2_000).join(''))
  const a = await newIngester()
  const twin = await createIngester(database, { cluster: await clusterName(a), nowUs: () => START_US, batchRecords: 70 })
  const results = await Promise.allSettled([a.ingestFiles([path]), twin.ingestFiles([path])])
  for (const result of results) {
    if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'conflict', message: `Another process ingests ${path} at the same time. Let one of them finish; nothing is lost.` })
  }
  expect(results.some((result) => result.status === 'fulfilled')).toBe(true)
  expect(await count(a, 'flows')).toBe(2_000)
  expect(await edgesOf(a)).toEqual(plain((await observeFiles([path], { cluster: 'x' })).edges))
})

test('stopping between batches keeps what was stored, and the next run goes on from there', async () => {
  const path = newFile(hubbleLines(createRandom(15), 3_000).join(''))
  const ingester = await newIngester()
  const stop = new AbortController()
  await expect(ingester.ingestFiles([path], { signal: stop.signal, onProgress: () => stop.abort() })).rejects.toMatchObject({ code: 'unavailable', retryable: true })
  const stored = await count(ingester, 'flows')
  expect(stored).toBeGreaterThan(0)
  expect(await ingester.ingestFiles([path])).toMatchObject({ received: 3_000, duplicate: stored, stored: 3_000 - stored })
})

describe('hostile input', () => {
  const day = (port: number, fields: object = {}): string => JSON.stringify({
    start_time: START_US / 1e6, end_time: START_US / 1e6 + 86_400, source_type: 'wep', source_namespace: 'a', source_name_aggr: 'a-*', dest_type: 'wep', dest_namespace: 'b',
    dest_name_aggr: 'b-*', dest_port: port, proto: 'tcp', action: 'allow', reporter: 'dst', ...fields,
  })

  test('a record that cannot be read costs only itself, however it is built', async () => {
    const nested = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    const bad = [`{"a":${nested}}`, `{"flow":${nested}}`, '{"l4":{"TCP":{"destination_port":1}},"verdict":"FORWARDED","source":{"labels":[{"toString":1}]}}',
      day(1, { source_labels: { labels: ['DEEP'] } }).replace('"DEEP"', nested), day(2, { source_labels: { labels: [{ toString: 1, valueOf: 1 }] } })]
    const ingester = await newIngester()
    const report = await ingester.ingestFiles([newFile([...bad, day(3), ''].join('\n'))])
    expect(report).toMatchObject({ received: 6, stored: 1 })
    expect(await selectDeadLetters(database, { clusterId: ingester.clusterId, limit: 100 })).toHaveLength(sum(report.rejected))
    expect(await ingester.ingestBody(Buffer.from([...bad, day(4)].join('\n')), { source: 'http', maxBytes: 1 << 24, isBackfill: true })).toMatchObject({ received: 6, stored: 1 })
  })

  test('flows that touch very many windows are stored in small batches; a body of them is refused whole', async () => {
    const ingester = await newIngester(START_US, 20_000)
    const lines = Array.from({ length: 4000 }, (_, i) => day(1 + (i % 20), { source_ip: `10.${i >> 8}.0.${i & 255}` })).join('\n')
    await expect(ingester.ingestBody(Buffer.from(lines), { source: 'http', maxBytes: 1 << 24, isBackfill: true })).rejects.toMatchObject({ code: 'too-large' })
    expect(await count(ingester, 'flows')).toBe(0)
    expect(await ingester.ingestFiles([newFile(`${lines}\n`)])).toMatchObject({ stored: 4000 })
    expect(await count(ingester, 'ingest_batches')).toBe(5)
  })
})
