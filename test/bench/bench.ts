/**
 * The promises about speed and memory, as ratios within one run: each limit is a multiple of a reference timed just before.
 * Fixed seed, fixed input. Exits 1 when a limit is passed.
 */
import { execFileSync } from 'node:child_process'
import { createReadStream, createWriteStream, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { simulate } from '../../src/core/simulate/simulate.ts'
import { loadTopology } from '../../src/manifests/load-topology.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { observeFiles } from '../../src/pipeline/observe-files.ts'
import { recommend } from '../../src/pipeline/recommend.ts'
import { copyInto, CopyBuffer } from '../../src/store/db/copy.ts'
import { openDatabase, withTransaction } from '../../src/store/db/database.ts'
import type { Database } from '../../src/store/db/database.ts'
import { startEmbedded } from '../../src/store/db/embedded.ts'
import { migrate } from '../../src/store/db/migrate.ts'
import { benchFormats } from './formats.ts'
import { isWithin, medianSeconds, printLine, secondsOf } from './measure.ts'
import type { Line } from './measure.ts'
import { syntheticEdges } from './synthetic-edges.ts'

const START_US = Date.UTC(2026, 0, 1) * 1000
const REFERENCE_LINES = 200_000
const lines: Line[] = []

function report(line: Line): void {
  lines.push(line)
  printLine(line)
}

const example = (name: string): string => new URL(`../../examples/${name}`, import.meta.url).pathname

/** The first `count` lines of a simulated log, in a file. */
async function writeFlows(path: string, count: number): Promise<void> {
  const simulation = simulate(await loadTopology(example('shop.yaml')), { format: 'hubble', minutes: 24 * 60, seed: 1, startUs: START_US })
  const out = createWriteStream(path)
  let written = 0
  for (const line of simulation.lines()) {
    if (written++ === count) break
    if (!out.write(`${line}\n`)) await once(out, 'drain')
  }
  out.end()
  await once(out, 'finish')
}

async function readLines(path: string): Promise<string[]> {
  const texts: string[] = []
  for await (const line of createInterface({ input: createReadStream(path) })) texts.push(line)
  return texts
}

async function parseSeconds(path: string): Promise<number> {
  const texts = await readLines(path)
  return medianSeconds(3, () => {
    let kept: unknown
    for (const text of texts) kept = JSON.parse(text)
    return kept
  })
}

async function copyReference(database: Database): Promise<void> {
  await database.query('create unlogged table bench_copy (a integer not null, b integer not null, c text not null)')
  const seconds = await secondsOf(() => withTransaction(database, async (tx) => {
    for (let batch = 0; batch < 10; batch++) {
      const content = new CopyBuffer()
      for (let i = 0; i < 100_000; i++) {
        content.row(3)
        content.int32(i)
        content.int32(batch)
        content.text('a fixed row of the reference')
      }
      await copyInto(tx, 'bench_copy (a, b, c)', content)
    }
  }))
  report({ name: 'COPY of 1,000,000 fixed rows', value: 1_000_000 / seconds, unit: 'rows/s' })
}

let child = 0

/** The peak resident memory of a fresh process that ingests the file. */
function peakMemoryMiB(connectionString: string, file: string): number {
  const script = new URL('./ingest-child.ts', import.meta.url).pathname
  return Number(execFileSync(process.execPath, [script, connectionString, `memory-${child++}`, file], { encoding: 'utf8' }))
}

async function benchIngest(database: Database, connectionString: string, folder: string): Promise<void> {
  const flows = join(folder, 'flows.ndjson')
  await writeFlows(flows, REFERENCE_LINES)
  const parse = await parseSeconds(flows)
  report({ name: 'JSON.parse of 200,000 Hubble lines', value: REFERENCE_LINES / parse, unit: 'lines/s' })
  let cluster = 0
  const ingest = async (path: string): Promise<void> => {
    const ingester = await createIngester(database, { cluster: `bench-${cluster++}`, nowUs: () => Date.now() * 1000 })
    const { stored } = await ingester.ingestFiles([path])
    if (stored === 0) throw new Error('nothing was stored')
  }
  const seconds = await medianSeconds(3, () => ingest(flows))
  report({ name: '  file -> Postgres: raw flows and edge windows', value: REFERENCE_LINES / seconds, unit: 'lines/s' })
  report({ name: '  ... as a share of JSON.parse alone', value: parse / seconds, unit: 'x JSON.parse', limit: { atLeast: 0.3 } })
  const long = join(folder, 'long.ndjson')
  await writeFlows(long, 4 * REFERENCE_LINES)
  const short = peakMemoryMiB(connectionString, flows)
  const fourfold = peakMemoryMiB(connectionString, long)
  report({ name: '  peak resident memory, 200,000 lines', value: short, unit: 'MiB' })
  // V8 lets its heap grow before it collects, so the first minutes add some: 400,000 lines 206 MiB, 800,000 279, 1,200,000 289 (2026-11).
  // Memory that grew with the input would be near 4.
  report({ name: '  ... for 4 times the lines, as a multiple', value: fourfold / short, unit: 'x', limit: { atMost: 1.7 } })
}

async function benchRecommend(folder: string, parseReference: () => Promise<number>): Promise<void> {
  const flows = join(folder, 'large.ndjson')
  const simulation = simulate(await loadTopology(example('large-200.yaml')), { format: 'hubble', minutes: 10, seed: 1, startUs: START_US, rate: 0.2 })
  const out = createWriteStream(flows)
  for (const line of simulation.lines()) if (!out.write(`${line}\n`)) await once(out, 'drain')
  out.end()
  await once(out, 'finish')
  const observed = await observeFiles([flows], { cluster: 'default' })
  let policies = 0
  const seconds = await medianSeconds(3, () => {
    const document = recommend(observed, { cluster: 'default' })
    policies = document.policies.length
    if (!document.certificate.sound || !document.certificate.tight) throw new Error('not verified')
  })
  const reference = await parseReference()
  report({ name: `recommend on 200 workloads, ${observed.edges.length} edges -> ${policies} policies, verified`, value: seconds, unit: 's', limit: { atMost: 2 } })
  report({ name: '  ... as a multiple of JSON.parse of 200,000 lines', value: seconds / reference, unit: 'x' })
}

async function benchLargeRecommend(parseReference: () => Promise<number>): Promise<void> {
  const edges = syntheticEdges(1_000)
  const observed = { edges, podNetworks: [], sinceUs: null, untilUs: null }
  const seconds = await medianSeconds(3, () => {
    const { certificate } = recommend(observed, { cluster: 'default' })
    if (!certificate.sound || !certificate.tight || certificate.rules.count === 0) throw new Error('not verified')
  })
  report({ name: `recommend on 1,000 workloads, ${edges.length} edges, verified`, value: seconds / await parseReference(), unit: 'x JSON.parse', limit: { atMost: 2 } })
}

async function benchDatabase(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'flowfence-bench-'))
  const server = await startEmbedded({ folder: `${folder}-pg`, isThrowaway: true })
  const database = openDatabase({ connectionString: server.connectionString })
  try {
    await migrate(database)
    await copyReference(database)
    await benchIngest(database, server.connectionString, folder)
    await benchRecommend(folder, () => parseSeconds(join(folder, 'flows.ndjson')))
    await benchLargeRecommend(() => parseSeconds(join(folder, 'flows.ndjson')))
  } finally {
    await database.close()
    await server.stop()
    for (const path of [folder, `${folder}-pg`]) rmSync(path, { recursive: true, force: true })
  }
}

/** `npm run bench formats` leaves out what needs a database. */
async function main(): Promise<void> {
  await benchFormats(report)
  if (process.argv[2] !== 'formats') await benchDatabase()
  const past = lines.filter((line) => !isWithin(line))
  process.stdout.write(past.length === 0 ? '\nAll limits hold.\n' : `\n${past.length} limits passed: ${past.map((l) => l.name.trim()).join('; ')}\n`)
  process.exitCode = past.length === 0 ? 0 : 1
}

await main()
