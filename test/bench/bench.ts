/**
 * The promises about speed and memory, as ratios within one run: each limit is a multiple of a reference timed just before.
 * Fixed seed, fixed input. Exits 1 when a limit is passed.
 */
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { once } from 'node:events'
import { join } from 'node:path'
import { simulate } from '../../src/core/simulate/simulate.ts'
import { loadTopology } from '../../src/manifests/load-topology.ts'
import { observeFiles } from '../../src/pipeline/observe-files.ts'
import { recommend } from '../../src/pipeline/recommend.ts'
import { openDatabase } from '../../src/store/db/database.ts'
import { startEmbedded } from '../../src/store/db/embedded.ts'
import { migrate } from '../../src/store/db/migrate.ts'
import { benchFormats } from './formats.ts'
import { benchFiles, benchLocks, benchScale, copyReference, linesOf, peakMemoryMiB } from './ingest.ts'
import type { IngestBench } from './ingest.ts'
import { benchKafka } from './kafka.ts'
import { isWithin, medianSeconds, printLine } from './measure.ts'
import type { Line } from './measure.ts'
import { syntheticEdges } from './synthetic-edges.ts'

const START_US = Date.UTC(2026, 0, 1) * 1000
const REFERENCE_LINES = 200_000
/** Lines that are read again and again. */
const HOT_LINES = 20_000
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

async function parseSeconds(path: string): Promise<number> {
  const texts = linesOf(path)
  return medianSeconds(3, () => {
    let kept: unknown
    for (const text of texts) kept = JSON.parse(text)
    return kept
  })
}

async function benchMemory({ connectionString, folder, report: tell }: IngestBench): Promise<void> {
  const flows = join(folder, 'flows.ndjson')
  const long = join(folder, 'fourfold.ndjson')
  await writeFlows(long, 4 * REFERENCE_LINES)
  const short = peakMemoryMiB(connectionString, flows)
  const fourfold = peakMemoryMiB(connectionString, long)
  tell({ name: 'peak resident memory of ingest, 200,000 lines', value: short, unit: 'MiB' })
  // V8 lets its heap grow before it collects, so the first minutes add some. Memory that grew with the input would be near 4.
  tell({ name: '  ... for 4 times the lines, as a multiple', value: fourfold / short, unit: 'x', limit: { atMost: 1.7 } })
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

/** Parts that need a database, by the name that leaves out the others. */
const PARTS: Readonly<Record<string, (bench: IngestBench) => Promise<void>>> = {
  ingest: async (bench) => {
    await copyReference(bench.database, report)
    await benchFiles(bench)
    await benchMemory(bench)
  },
  scale: benchScale,
  locks: benchLocks,
  kafka: benchKafka,
  recommend: async ({ folder }) => {
    const reference = (): Promise<number> => parseSeconds(join(folder, 'flows.ndjson'))
    await benchRecommend(folder, reference)
    await benchLargeRecommend(reference)
  },
}

async function benchDatabase(parts: readonly string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'flowfence-bench-'))
  const server = await startEmbedded({ folder: `${folder}-pg`, isThrowaway: false })
  const database = openDatabase({ connectionString: server.connectionString, statementTimeoutMs: 600_000 })
  try {
    await migrate(database)
    const flows = join(folder, 'flows.ndjson')
    await writeFlows(flows, REFERENCE_LINES)
    // Less than an hour of them.
    const lines = linesOf(flows).slice(0, HOT_LINES)
    for (const part of parts) await PARTS[part]?.({ database, connectionString: server.connectionString, folder, lines, report })
  } finally {
    await database.close()
    await server.stop()
    for (const path of [folder, `${folder}-pg`]) rmSync(path, { recursive: true, force: true })
  }
}

/** `npm run bench -- formats ingest …` runs only those parts. */
async function main(): Promise<void> {
  const named = process.argv.slice(2)
  const unknown = named.filter((name) => name !== 'formats' && PARTS[name] === undefined)
  if (unknown.length > 0) throw new Error(`There is no part ${unknown.join(', ')}; there are formats, ${Object.keys(PARTS).join(', ')}.`)
  if (named.length === 0 || named.includes('formats')) await benchFormats(report)
  const parts = named.length === 0 ? Object.keys(PARTS) : named.filter((name) => name !== 'formats')
  if (parts.length > 0) await benchDatabase(parts)
  const past = lines.filter((line) => !isWithin(line))
  process.stdout.write(past.length === 0 ? '\nAll limits hold.\n' : `\n${past.length} limits passed: ${past.map((l) => l.name.trim()).join('; ')}\n`)
  process.exitCode = past.length === 0 ? 0 : 1
}

await main()
