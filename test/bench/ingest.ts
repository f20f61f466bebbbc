/**
 * Files into Postgres: how fast, beside the physical limits of each stage in the same run; memory and cost per flow over millions of flows; and how
 * long writers of the same hot edges wait for each other.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { FlowBlockReader, FlowView } from '../../src/core/flow/flow-block.ts'
import { DecodeWork } from '../../src/pipeline/decode-work.ts'
import { DecodePool } from '../../src/pipeline/decode-pool.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { copyInto, CopyBuffer } from '../../src/store/db/copy.ts'
import { withTransaction } from '../../src/store/db/database.ts'
import type { Database } from '../../src/store/db/database.ts'
import { storedEnd } from '../../src/store/write/flow-end-id.ts'
import { encodeFlow, insertFlows } from '../../src/store/write/insert-flows.ts'
import { endlessLog } from './endless-log.ts'
import type { Line } from './measure.ts'
import { medianSeconds, secondsOf } from './measure.ts'

export interface IngestBench {
  readonly database: Database
  readonly connectionString: string
  readonly folder: string
  /** Hubble lines of an hour. */
  readonly lines: readonly string[]
  readonly report: (line: Line) => void
}

let clusters = 0

/** Lines enough that starting and ending do not count. */
const LINES = 600_000

/** File to Postgres, as a multiple of JSON.parse of the same lines on one core. */
export async function benchFiles({ database, folder, lines, report }: IngestBench): Promise<void> {
  const path = join(folder, 'long.ndjson')
  const log = endlessLog(lines, 10)
  const rounds = Math.ceil(LINES / log.linesPerRound)
  const parts: Buffer[] = []
  for await (const chunk of log.chunks(rounds)) parts.push(chunk)
  writeFileSync(path, Buffer.concat(parts))
  const count = rounds * log.linesPerRound
  const parse = await parseSeconds(lines) / lines.length
  report({ name: 'JSON.parse of Hubble lines, one core', value: 1 / parse, unit: 'lines/s' })
  const pool = new DecodePool(Math.max(1, availableParallelism() - 1))
  const ingest = async (keepsFlows: boolean): Promise<void> => {
    const ingester = await createIngester(database, { cluster: `bench-${clusters++}`, nowUs: () => Date.now() * 1000, isAnyAge: true, decodePool: pool, keepsFlows })
    const { received, stored } = await ingester.ingestFiles([path])
    // A few are ignored.
    if (received !== count || stored < 0.9 * count) throw new Error(`only ${stored} of ${count} were stored`)
  }
  const raw = await medianSeconds(3, () => ingest(true))
  report({ name: '  file -> Postgres: raw flows and edge windows', value: count / raw, unit: 'lines/s' })
  report({ name: '  ... as a multiple of JSON.parse alone', value: parse * count / raw, unit: 'x JSON.parse', limit: { atLeast: 0.6 } })
  const edges = await medianSeconds(3, () => ingest(false))
  report({ name: '  file -> Postgres: edge windows only', value: count / edges, unit: 'lines/s' })
  report({ name: '  ... as a multiple of JSON.parse alone', value: parse * count / edges, unit: 'x JSON.parse', limit: { atLeast: 1.2 } })
  await pool.close()
  await benchStages({ database, lines, report }, { raw: raw / count, parse })
}

async function parseSeconds(lines: readonly string[]): Promise<number> {
  return medianSeconds(3, () => {
    let kept: unknown
    for (const line of lines) kept = JSON.parse(line)
    return kept
  })
}

/** Each stage alone, microseconds a line, beside the whole. */
async function benchStages({ database, lines, report }: Pick<IngestBench, 'database' | 'lines' | 'report'>, whole: { raw: number; parse: number }): Promise<void> {
  const bytes = Buffer.from(`${lines.join('\n')}\n`, 'latin1')
  const show = (name: string, seconds: number): void => report({ name, value: seconds / lines.length * 1e6, unit: 'us a line' })
  report({ name: '  stages, each alone: the whole, wall clock', value: whole.raw * 1e6, unit: 'us a line' })
  show('    splitting into lines (indexOf), the limit of reading', await medianSeconds(3, () => {
    let found = 0
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) found++
    return found
  }))
  report({ name: '    JSON.parse, what others do', value: whole.parse * 1e6, unit: 'us a line' })
  const lane = { cluster: 'bench', podCidrs: [], ownWorkloads: [], isBound: false, clusterAliases: [] }
  const decode = (): readonly { readonly flows: Parameters<FlowBlockReader['read']>[0] }[] => {
    const work = new DecodeWork(lane)
    work.handle({ kind: 'open-stream', stream: 0, start: { file: 'bench', startByte: 0, isFinished: true, bounds: undefined, maxRecords: 20_000 } })
    const blocks = []
    for (let at = 0; at < bytes.length; at += 65_536) blocks.push(...work.handle({ kind: 'push', stream: 0, chunks: [bytes.subarray(at, at + 65_536)] }))
    return [...blocks, ...work.handle({ kind: 'end-stream', stream: 0 })]
  }
  show('    decode and normalize into blocks (on its own thread)', await medianSeconds(3, decode))
  const rows = encodeAll(decode())
  show('    encode rows for COPY', await medianSeconds(3, () => encodeAll(decode())) - await medianSeconds(3, decode))
  show('    bare COPY of the same rows into flows', await medianSeconds(3, () => withTransaction(database, (tx) => insertFlows(tx, rows))))
}

function encodeAll(blocks: readonly { readonly flows: Parameters<FlowBlockReader['read']>[0] }[]): CopyBuffer {
  const rows = new CopyBuffer(1 << 24)
  const reader = new FlowBlockReader()
  const view = new FlowView()
  const ends = new Map<object, ReturnType<typeof storedEnd>>()
  const stored = (end: Parameters<typeof storedEnd>[0]): ReturnType<typeof storedEnd> => {
    const known = ends.get(end) ?? storedEnd(end)
    ends.set(end, known)
    return known
  }
  for (const block of blocks) {
    const flows = reader.read(block.flows)
    for (let i = 0; i < flows.length; i++) {
      flows.show(i, view)
      encodeFlow(rows, 1, view, stored(view.initiatorEnd), stored(view.responderEnd))
    }
  }
  return rows
}

interface Step {
  readonly flows: number
  readonly stored: number
  readonly seconds: number
  readonly rssMiB: number
}

const MILLIONS = 20

/** Twenty million flows in one process, with housekeeping as a service does it. */
export async function benchScale({ database, connectionString, folder, lines, report }: IngestBench): Promise<void> {
  const file = join(folder, 'scale.ndjson')
  writeFileSync(file, `${lines.join('\n')}\n`)
  const cluster = `bench-${clusters++}`
  await database.query('truncate flows')
  const child = spawn(process.execPath, [new URL('./scale-child.ts', import.meta.url).pathname, connectionString, cluster, file, String(MILLIONS), 'on'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const steps: Step[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    steps.push(JSON.parse(line) as Step)
    process.stderr.write(`  ${line}\n`)
  }
  if (child.exitCode === null) await once(child, 'exit')
  if (child.exitCode !== 0 || steps.length !== MILLIONS) throw new Error('the run of millions failed')
  const perFlow = steps.map((s) => s.seconds / 1e6)
  const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number
  report({ name: `${MILLIONS} million flows: cost of a flow, the last 5 million to the first 5`, value: median(perFlow.slice(-5)) / median(perFlow.slice(0, 5)), unit: 'x', limit: { atMost: 1.25 } })
  const at = (millions: number): Step => steps[millions - 1] as Step
  report({ name: '  resident memory at 10 million', value: at(10).rssMiB, unit: 'MiB', limit: { atMost: 512 } })
  report({ name: '  ... the highest of 5-20 million to that at 4 million', value: Math.max(...steps.slice(4).map((s) => s.rssMiB)) / at(4).rssMiB, unit: 'x', limit: { atMost: 1.25 } })
  await reportBytes(database, report)
}

async function reportBytes(database: Database, report: IngestBench['report']): Promise<void> {
  const { rows } = await database.query<{ name: string; bytes: string }>(
    `select case when relname ~ '^flows' then 'flows' else relname end as name, sum(pg_total_relation_size(oid)) as bytes
     from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace group by 1`,
  )
  const bytes = (name: string): number => Number(rows.find((row) => row.name === name)?.bytes ?? 0)
  const count = Number((await database.query<{ n: string }>('select count(*) as n from flows')).rows[0]?.n)
  report({ name: `  Postgres bytes per raw flow, with its index and ends (${count} rows)`, value: (bytes('flows') + bytes('flow_ends')) / count, unit: 'bytes', limit: { atMost: 90 } })
  report({ name: '  ... digests by which duplicates are known, 14 days', value: bytes('ingest_batches') / count, unit: 'bytes' })
  report({ name: '  ... edge windows, hours and days', value: (bytes('edge_windows') + bytes('edge_hours') + bytes('edge_days') + bytes('external_peers')) / count, unit: 'bytes' })
}

const WRITERS = 4

/** Four processes write the same edges at once: the share of their transactions' time in which they wait for a lock. */
export async function benchLocks({ database, connectionString, folder, lines, report }: IngestBench): Promise<void> {
  const cluster = `bench-${clusters++}`
  const children = Array.from({ length: WRITERS }, (_, i) => {
    // Their own uuids, the same edges and windows.
    const file = join(folder, `hot-${i}.ndjson`)
    writeFileSync(file, `${lines.map((line) => line.replace(/("uuid":"[0-9a-f]{8}-)..../g, `$1a${i}b${i}`)).join('\n')}\n`)
    return spawn(process.execPath, [new URL('./scale-child.ts', import.meta.url).pathname, connectionString, cluster, file, '1', 'on', String(i)], { stdio: ['ignore', 'ignore', 'inherit'] })
  })
  let running = children.length
  for (const child of children) child.once('exit', () => { running-- })
  let [samples, waiting] = [0, 0]
  while (running > 0) {
    const { rows } = await database.query<{ busy: string; locked: string }>(
      `select count(*) as busy, count(*) filter (where wait_event_type = 'Lock') as locked from pg_stat_activity
       where application_name = 'flowfence' and pid <> pg_backend_pid() and xact_start is not null`,
    )
    samples += Number(rows[0]?.busy)
    waiting += Number(rows[0]?.locked)
    await new Promise((resolve) => { setTimeout(resolve, 5) })
  }
  if (children.some((child) => child.exitCode !== 0)) throw new Error('a writer failed')
  report({ name: `${WRITERS} writers of the same hot edges: time of transactions spent waiting for locks`, value: 100 * waiting / Math.max(1, samples), unit: '%', limit: { atMost: 5 } })
}

/** The peak resident memory of a fresh process that ingests the file. */
export function peakMemoryMiB(connectionString: string, file: string): number {
  const script = new URL('./ingest-child.ts', import.meta.url).pathname
  return Number(execFileSync(process.execPath, [script, connectionString, `memory-${clusters++}`, file], { encoding: 'utf8' }))
}

/** Rows that are always the same: how fast the server takes any. */
export async function copyReference(database: Database, report: IngestBench['report']): Promise<void> {
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

/** The lines of a file. */
export function linesOf(path: string): string[] {
  return readFileSync(path, 'latin1').split('\n').filter((line) => line !== '')
}
