import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { createGzip } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Database } from '../../../src/store/db/database.ts'
import { createTestDatabase } from '../../support/database.ts'
import { hubbleLines } from '../../support/hubble-lines.ts'
import { createRandom } from '../../support/random.ts'

const CHILD = new URL('../../support/push-child.ts', import.meta.url).pathname
const MIB = 1 << 20
let spool: string

beforeAll(async () => {
  spool = await mkdtemp(join(tmpdir(), 'flowfence-spool-'))
})

afterAll(() => rm(spool, { recursive: true }))

interface Child {
  readonly port: number
  readonly process: ChildProcess
  /** Ends it and tells the most memory it ever had. */
  stop(): Promise<number>
  kill(): Promise<void>
}

async function startChild(connectionString: string): Promise<Child> {
  const child = spawn(process.execPath, [CHILD, connectionString], { stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: process.env.PATH, FLOWFENCE_SPOOL_DIR: spool } })
  let text = ''
  const printed = async (key: string): Promise<number> => {
    for (;;) {
      for (const line of text.split('\n').slice(0, -1)) {
        const value = (JSON.parse(line) as Record<string, number>)[key]
        if (value !== undefined) return value
      }
      await new Promise((done) => setTimeout(done, 20))
    }
  }
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
  const ended = new Promise<void>((done) => child.once('exit', () => done()))
  return {
    port: await printed('port'), process: child,
    stop: async () => {
      child.kill('SIGTERM')
      const bytes = await printed('maxRssBytes')
      await ended
      return bytes
    },
    kill: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** Lines of about 10 KiB that differ from each other, one kilobyte of flow and the rest what a shipper adds. */
function* bigLines(seed: number, lines: number): Generator<string> {
  const [template = ''] = hubbleLines(createRandom(seed), 1)
  const padding = 'x'.repeat(9_300)
  for (let i = 0; i < lines; i++) {
    const uuid = `${seed.toString(16).padStart(8, '0')}-0000-4000-8000-${i.toString(16).padStart(12, '0')}`
    yield template.replace(/"uuid":"[^"]*"/, `"uuid":"${uuid}"`).replace(/}\n$/, `,"added":"${padding}"}\n`)
  }
}

interface PushAnswer {
  readonly status: number
  readonly json: Record<string, unknown>
}

function push(port: number, lines: Iterable<string>, isGzip = false): Promise<PushAnswer> {
  return new Promise((done, failed) => {
    const req = request({
      host: '127.0.0.1', port, method: 'POST', path: '/api/v1/ingest/flows?backfill=true', headers: { 'content-type': 'application/x-ndjson', ...(isGzip && { 'content-encoding': 'gzip' }) },
    }, (res) => {
      let text = ''
      res.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('end', () => done({ status: res.statusCode ?? 0, json: JSON.parse(text) as Record<string, unknown> }))
    })
    req.on('error', failed)
    const body = Readable.from(lines, { objectMode: true, highWaterMark: 16 })
    if (isGzip) body.pipe(createGzip({ level: 1 })).pipe(req)
    else body.pipe(req)
  })
}

async function totals(database: Database): Promise<Record<string, number>> {
  const { rows } = await database.query<{ outcome: string; n: number }>('select outcome, sum(records)::integer as n from ingest_totals group by outcome')
  return Object.fromEntries(rows.map(({ outcome, n }) => [outcome, n]))
}

describe('large bodies', () => {
  test('the same large body again, plain or gzip, changes nothing; its file leaves nothing behind', async () => {
    const { database, connectionString } = await createTestDatabase()
    const child = await startChild(connectionString)
    expect(await push(child.port, bigLines(1, 1_000))).toMatchObject({ status: 200, json: { received: 1_000, stored: 1_000 } })
    expect(await push(child.port, bigLines(1, 1_000), true)).toMatchObject({ status: 200, json: { received: 1_000, stored: 0, duplicate: 1_000 } })
    // The same two at once: one stores, the other finds it stored.
    const twins = await Promise.all([push(child.port, bigLines(2, 1_000)), push(child.port, bigLines(2, 1_000))])
    expect(twins.map((t) => t.status)).toEqual([200, 200])
    expect(await totals(database)).toEqual({ stored: 2_000, duplicate: 2_000 })
    expect(await readdir(spool)).toEqual([])
    await child.stop()
  })

  test('killed while a body arrives: nothing is stored and no file is left', async () => {
    const { database, connectionString } = await createTestDatabase()
    const child = await startChild(connectionString)
    let sent = 0
    function* watched(): Generator<string> {
      for (const line of bigLines(3, 1_000_000)) {
        sent += line.length
        yield line
      }
    }
    const broken = push(child.port, watched()).catch((error: unknown) => error)
    while (sent < 20 * MIB) await new Promise((done) => setTimeout(done, 10))
    await child.kill()
    expect(await broken).toMatchObject({ code: expect.stringMatching(/^(ECONNRESET|EPIPE)$/) })
    expect(await readdir(spool)).toEqual([])
    expect(await totals(database)).toEqual({})
  })

  test('killed while a body is stored: the same body again is stored to its end, each flow once', async () => {
    const { database, connectionString } = await createTestDatabase()
    const lines = 12_000
    let child = await startChild(connectionString)
    const broken = push(child.port, bigLines(4, lines)).catch((error: unknown) => error)
    // The first batch is committed, and more is to come.
    while ((await totals(database)).stored === undefined) await new Promise((done) => setTimeout(done, 5))
    await child.kill()
    await broken
    const before = (await totals(database)).stored ?? 0
    expect(before).toBeGreaterThan(0)
    child = await startChild(connectionString)
    const answer = await push(child.port, bigLines(4, lines))
    expect(answer).toMatchObject({ status: 200, json: { received: lines, stored: lines - before, duplicate: before } })
    expect((await totals(database)).stored).toBe(lines)
    await child.stop()
  })

  test('bodies of 100 MiB, 4 at a time, take about the memory that bodies of 10 MiB take', async () => {
    const most = async (lines: number): Promise<number> => {
      const { connectionString } = await createTestDatabase()
      const child = await startChild(connectionString)
      // Whatever is loaded and grown once is there in both.
      await push(child.port, bigLines(9, 1_500))
      const answers = await Promise.all([5, 6, 7, 8].map((seed) => push(child.port, bigLines(seed, lines))))
      expect(answers.map((a) => [a.status, a.json.stored])).toEqual(answers.map(() => [200, lines]))
      return child.stop()
    }
    const small = await most(1_000)
    const large = await most(10_000)
    expect(large / small).toBeLessThan(1.5)
    expect(large).toBeLessThan(512 * MIB)
  }, 240_000)
})
