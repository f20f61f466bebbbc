import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { appendFileSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { followFiles } from '../../src/pipeline/follow-files.ts'
import type { FollowRun } from '../../src/pipeline/follow-files.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import type { Ingester } from '../../src/pipeline/ingest.ts'
import type { IngestReport } from '../../src/pipeline/ingest-report.ts'
import { observeFiles } from '../../src/pipeline/observe-files.ts'
import type { Database } from '../../src/store/db/database.ts'
import { selectEdges } from '../../src/store/read/select-edges.ts'
import { selectIngestTotals } from '../../src/store/read/select-ingest-totals.ts'
import { createTestDatabase } from '../support/database.ts'
import { START_US } from '../support/flow-records.ts'
import { hubbleLines, messyLines } from '../support/hubble-lines.ts'
import { createRandom, rounds } from '../support/random.ts'

const WRITER = fileURLToPath(new URL('../support/log-writer.ts', import.meta.url))
const CHILD = fileURLToPath(new URL('../support/follow-child.ts', import.meta.url))
const root = mkdtempSync(join(tmpdir(), 'flowfence-following-'))
let database: Database
let names = 0
let folder = ''
let log = ''

beforeAll(async () => { ({ database } = await createTestDatabase()) })
beforeEach(() => {
  folder = join(root, String(names++))
  mkdirSync(folder)
  log = join(folder, 'flows.log')
})
afterEach(async () => { for (const follower of running.splice(0)) await follower.stop().catch(() => undefined) })
afterAll(() => rmSync(root, { recursive: true, force: true }))

interface Follower {
  readonly run: FollowRun
  readonly notices: string[]
  stop(): Promise<IngestReport>
}

const running: Follower[] = []

function newIngester(cluster = `cluster-${names++}`): Promise<Ingester> {
  return createIngester(database, { cluster, nowUs: () => START_US, batchRecords: 100 })
}

function follow(ingester: Ingester, ...patterns: string[]): Follower {
  const controller = new AbortController()
  const notices: string[] = []
  const run = followFiles(database, ingester, { patterns, nowUs: () => START_US, signal: controller.signal, onNotice: (text) => notices.push(text), quietMs: 300, searchMs: 200, copyMs: 300 })
  const follower = {
    run, notices, stop: () => {
      controller.abort()
      return run.ended
    },
  }
  running.push(follower)
  return follower
}

/** Records counted for a cluster, whatever became of them. */
async function received(clusterId: number): Promise<number> {
  return (await selectIngestTotals(database, clusterId)).reduce((n, total) => n + total.records, 0)
}

async function until(isTrue: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const giveUpAt = Date.now() + 45_000
  while (!await isTrue()) {
    if (Date.now() > giveUpAt) throw new Error(`never: ${what}`)
    await sleep(20)
  }
}

function untilReceived(ingester: Ingester, records: number): Promise<void> {
  return until(async () => await received(ingester.clusterId) >= records, `${records} records`)
}

/** The store holds what one pass over all lines without a database finds, and counted each line once. */
async function expectPlain(of: Database, clusterId: number, lines: readonly string[]): Promise<void> {
  const path = join(folder, 'all-lines')
  writeFileSync(path, lines.join(''), 'latin1')
  const expected = await observeFiles([path], { cluster: 'x' })
  const key = (identity: { key: string, cluster: string }): string => identity.key.replace(JSON.stringify(identity.cluster), '""')
  const plain = (edges: readonly { from: { key: string, cluster: string }, to: { key: string, cluster: string } }[]) => edges.map((edge) => ({ ...edge, from: key(edge.from), to: key(edge.to) }))
  const totals = (await selectIngestTotals(of, clusterId)).map((t) => ({ ...t }))
  const sum = (outcome: string): number => totals.filter((t) => t.outcome === outcome).reduce((n, t) => n + t.records, 0)
  const { rows } = await of.query<{ n: string }>('select count(*) as n from flows where cluster_id = $1', [clusterId])
  expect({ received: totals.reduce((n, t) => n + t.records, 0), stored: sum('stored'), duplicate: sum('duplicate'), flows: Number(rows[0]?.n) })
    .toEqual({ received: expected.report.received, stored: expected.report.stored, duplicate: expected.report.duplicate, flows: expected.report.stored })
  expect(plain(await selectEdges(of, { clusterId }))).toEqual(plain(expected.edges))
}

describe('one log', () => {
  test('its lines are stored soon after they are complete; a stop stores what was read and reports it', async () => {
    const lines = hubbleLines(createRandom(1), 60)
    const ingester = await newIngester()
    const follower = follow(ingester, log)
    await until(() => follower.notices.length > 0, 'a notice')
    expect(follower.notices).toEqual([`${log} does not exist yet; waiting for it.`])
    expect(follower.run.state()).toMatchObject([{ path: log }])
    for (let i = 0; i < 60; i += 20) {
      appendFileSync(log, lines.slice(i, i + 20).join('').slice(0, -9), 'latin1')
      await untilReceived(ingester, i + 19)
      appendFileSync(log, lines.slice(i, i + 20).join('').slice(-9), 'latin1')
      await untilReceived(ingester, i + 20)
    }
    await until(() => follower.run.state()[0]?.behindBytes === 0, 'nothing behind')
    expect(await follower.stop()).toMatchObject({ received: 60, stored: 60, rejected: {}, duplicate: 0 })
    await expectPlain(database, ingester.clusterId, lines)
  })

  test('rotated in every way while it is followed and while it is not, and plain ingest knows its files', async () => {
    const lines = messyLines(createRandom(2), 700)
    const part = (n: number): string => lines.slice(n * 100, n * 100 + 100).join('')
    const ingester = await newIngester()
    writeFileSync(log, part(0), 'latin1')
    const first = follow(ingester, log)
    await until(async () => await received(ingester.clusterId) > 0, 'the first lines')
    renameSync(log, `${log}.1`)
    writeFileSync(log, part(1), 'latin1')
    const upTo = async (n: number): Promise<number> => (await observeLines(lines.slice(0, n * 100))).received
    await untilReceived(ingester, await upTo(2))
    copyFileSync(log, `${log}.0`)
    truncateSync(log)
    appendFileSync(log, part(2), 'latin1')
    await untilReceived(ingester, await upTo(3))
    await first.stop()
    // Nobody follows now: the file grows, is rotated and compressed, and its successors are rotated as well.
    appendFileSync(log, part(3), 'latin1')
    writeFileSync(`${log}.20260101.gz`, gzipSync(readFileSync(log)))
    writeFileSync(`${log}-20260102`, part(4), 'latin1')
    writeFileSync(join(folder, 'flows-2026-01-03T00-00-00.000.log.gz'), gzipSync(Buffer.from(part(5), 'latin1')))
    writeFileSync(log, part(6), 'latin1')
    const second = follow(ingester, log)
    await untilReceived(ingester, await upTo(7))
    await second.stop()
    await expectPlain(database, ingester.clusterId, lines)
    expect(await ingester.ingestFiles([log, `${log}.1`, `${log}.0`, `${log}-20260102`])).toMatchObject({ stored: 0, bytes: 0 })
  })

  test('a log that plain ingest stored is followed from there, with the same line at the start of each of its files', async () => {
    const lines = hubbleLines(createRandom(3), 200)
    const ingester = await newIngester()
    const headed = (n: number): string => `time,verdict\n${lines.slice(n * 50, n * 50 + 50).join('')}`
    writeFileSync(log, headed(0))
    await ingester.ingestFiles([log])
    for (let n = 1; n < 4; n++) {
      const follower = follow(ingester, log)
      await sleep(300)
      renameSync(log, `${log}.${n}`)
      writeFileSync(log, headed(n))
      await untilReceived(ingester, (n + 1) * 51)
      await follower.stop()
    }
    // A restart finds nothing new in any of them.
    const last = follow(ingester, log)
    await sleep(1_500)
    expect((await last.stop()).received).toBe(0)
    expect(await received(ingester.clusterId)).toBe(204)
  })

  test('a cut-off last line of a rotated file counts once', async () => {
    const lines = hubbleLines(createRandom(4), 20)
    const ingester = await newIngester()
    writeFileSync(log, `${lines.slice(0, 10).join('')}${lines[10]?.slice(0, 40)}`)
    const follower = follow(ingester, log)
    await untilReceived(ingester, 10)
    renameSync(log, `${log}.1`)
    writeFileSync(log, lines.slice(11).join(''))
    await untilReceived(ingester, 20)
    expect(await follower.stop()).toMatchObject({ received: 20, stored: 19, rejected: { truncated: 1 } })
    const again = follow(ingester, log)
    await sleep(1_500)
    expect(await again.stop()).toMatchObject({ received: 0 })
  })

  test('files that were rotated away while nobody followed are told', async () => {
    const lines = hubbleLines(createRandom(7), 20)
    const ingester = await newIngester()
    writeFileSync(log, lines.slice(0, 10).join(''))
    await ingester.ingestFiles([log])
    rmSync(log)
    writeFileSync(log, lines.slice(10).join(''))
    const follower = follow(ingester, log)
    await untilReceived(ingester, 20)
    await until(() => follower.notices.length > 0, 'a notice')
    await follower.stop()
    expect(follower.notices).toEqual([`${log} was stored before, but none of the files there is one that was: lines written after that and rotated away since are lost.`])
    const again = follow(ingester, log)
    await sleep(500)
    await again.stop()
    expect(again.notices).toEqual([])
  })

  test('two processes at one log go on side by side, and nothing is stored twice', async () => {
    const lines = hubbleLines(createRandom(5), 3_000)
    const cluster = `cluster-${names++}`
    const [a, b] = [await newIngester(cluster), await newIngester(cluster)]
    const followers = [follow(a, log), follow(b, log)]
    for (let i = 0; i < 3_000; i += 300) {
      appendFileSync(log, lines.slice(i, i + 300).join(''))
      await sleep(50)
    }
    await untilReceived(a, 3_000)
    for (const follower of followers) await follower.stop()
    await expectPlain(database, a.clusterId, lines)
  })
})

describe('several logs', () => {
  test('of a folder and a glob are followed at once, new ones as they appear; one that cannot be read stops no other', async () => {
    const lines = hubbleLines(createRandom(6), 400)
    const ingester = await newIngester()
    const [one, two] = [join(folder, 'one'), join(folder, 'two')]
    for (const name of [one, two]) mkdirSync(name)
    writeFileSync(join(one, 'a.log'), lines.slice(0, 100).join(''))
    writeFileSync(join(one, 'broken.log'), gzipSync(lines.join('')).subarray(0, 60))
    writeFileSync(join(one, 'document.log'), `[\n${lines[0]}]\n`)
    const follower = follow(ingester, one, join(two, '*.log'))
    await untilReceived(ingester, 100)
    writeFileSync(join(two, 'b.log'), lines.slice(100, 200).join(''))
    writeFileSync(join(one, 'c.log'), lines.slice(200, 300).join(''))
    await untilReceived(ingester, 300)
    appendFileSync(join(two, 'b.log'), lines.slice(300).join(''))
    await untilReceived(ingester, 400)
    expect(follower.run.state().map((s) => s.path).sort()).toEqual([join(one, 'a.log'), join(one, 'broken.log'), join(one, 'c.log'), join(one, 'document.log'), join(two, 'b.log')])
    await until(() => follower.notices.length === 2, 'two notices')
    await follower.stop()
    expect(follower.notices.sort()).toEqual([expect.stringContaining('broken.log is broken gzip'), expect.stringContaining('document.log is a JSON document over several lines')])
    await expectPlain(database, ingester.clusterId, lines)
  })
})

test('killed with SIGKILL again and again while a log is written and rotated: each line is stored once', async () => {
  for (let round = 0; round < rounds({ small: 1, full: 6 }); round++) {
    const { database: own, connectionString } = await createTestDatabase()
    const random = createRandom(0x1f0 + round)
    const lines = messyLines(random, rounds({ small: 3_000, full: 12_000 }))
    const path = join(root, `killed-${round}`)
    mkdirSync(path)
    log = join(path, 'flows.log')
    const all = join(path, 'all')
    writeFileSync(all, lines.join(''), 'latin1')
    const expected = (await observeFiles([all], { cluster: 'x' })).report.received
    const total = async (): Promise<number> => (await selectIngestTotals(own)).reduce((n, t) => n + t.records, 0)
    const writer = start(WRITER, [all, log, String(round), '400'])
    let isWritten = false
    writer.once('exit', () => { isWritten = true })
    let kills = 0
    while (kills < rounds({ small: 3, full: 10 }) || !isWritten) {
      const from = await total()
      const follower = start(CHILD, [connectionString, '40', log])
      const target = from + random.int(300)
      await until(async () => follower.exitCode !== null || (await total()) > target || (await total()) >= expected, 'some records')
      await sleep(random.int(100))
      await end(follower, 'SIGKILL')
      kills++
    }
    const last = start(CHILD, [connectionString, '40', log])
    await until(async () => (await total()) >= expected, `${expected} records`)
    expect(await end(last, 'SIGTERM')).toBe(0)
    folder = path
    await expectPlain(own, (await createIngester(own, { cluster: 'test', nowUs: () => START_US })).clusterId, lines)
  }
}, 900_000)

function start(script: string, args: readonly string[]): ChildProcess {
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, ...args], { stdio: ['ignore', 'ignore', 'inherit'] })
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const exit = new Promise<number | null>((done) => child.once('exit', (code) => done(code)))
  if (child.exitCode !== null) return child.exitCode
  child.kill(signal)
  return exit
}

async function observeLines(lines: readonly string[]): Promise<IngestReport> {
  const path = join(root, `lines-${names++}`)
  writeFileSync(path, lines.join(''), 'latin1')
  return (await observeFiles([path], { cluster: 'x' })).report
}
