import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { FlowView } from '../../src/core/flow/flow-block.ts'
import { DecodePool, localLane } from '../../src/pipeline/decode-pool.ts'
import type { DecodeLane, ReadBlock } from '../../src/pipeline/decode-pool.ts'
import { packValues } from '../../src/pipeline/decode-work.ts'
import type { LaneOptions } from '../../src/pipeline/decode-work.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { saveClusterState } from '../../src/pipeline/cluster-state.ts'
import type { TimeBounds } from '../../src/pipeline/record-collector.ts'
import type { Database } from '../../src/store/db/database.ts'
import { ensureCluster } from '../../src/store/write/ensure-cluster.ts'
import { createTestDatabase } from '../support/database.ts'
import { plainFlow } from '../support/any-flows.ts'
import { baseLines } from '../support/fuzz/base-lines.ts'
import { mutateLine } from '../support/fuzz/mutate.ts'
import { hubbleLines, messyLines } from '../support/hubble-lines.ts'
import { START_US } from '../support/flow-records.ts'
import { antreaFlow, flow, goldmaneFlow, record } from '../support/protobuf-messages.ts'
import { createRandom, rounds } from '../support/random.ts'
import type { Random } from '../support/random.ts'

const OPTIONS: LaneOptions = { cluster: 'test', podCidrs: ['10.244.0.0/16'], ownWorkloads: [], isBound: false, clusterAliases: [] }
/** Between the times of the lines, so that some flows are too old and some from the future. */
const BOUNDS: TimeBounds = { oldestUs: Date.UTC(2026, 0, 1, 0, 30) * 1000, newestUs: Date.UTC(2026, 0, 3) * 1000, latenessDays: 8 }
const GROUPS = baseLines()
const MESSAGES = [flow, goldmaneFlow, record(6), record(17), antreaFlow]

const pool = new DecodePool(2)
afterAll(() => pool.close())

function anyLines(random: Random, amount: number): Buffer[] {
  return Array.from({ length: amount }, () => {
    const line = random.pick(random.pick(GROUPS))
    if (random.chance(0.6)) return Buffer.from(`${line}\n`)
    return Buffer.concat([mutateLine(random, line, random.pick(random.pick(GROUPS))), Buffer.from('\n')])
  })
}

/** Pieces of any size, each in memory of its own. */
function pieces(random: Random, bytes: Buffer): Uint8Array<ArrayBuffer>[] {
  const all: Uint8Array<ArrayBuffer>[] = []
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + 1 + random.int(random.chance(0.3) ? 100 : 40_000))
    all.push(new Uint8Array(bytes.subarray(at, end)))
    at = end
  }
  return all
}

/** Everything that blocks say, as plain data. */
function saidBy(blocks: readonly ReadBlock[]): unknown[] {
  const view = new FlowView()
  return blocks.map(({ block: { flows, ...rest }, rows }) => ({
    ...rest, count: flows.flows, min: flows.minLastAtUs, max: flows.maxLastAtUs, windowRows: flows.windowRows, isReset: flows.isReset,
    flows: Array.from({ length: rows.length }, (_, i) => {
      rows.show(i, view)
      return plainFlow(view)
    }),
  }))
}

interface Input {
  readonly stream: number
  readonly pieces: readonly Uint8Array<ArrayBuffer>[]
  readonly bounds: TimeBounds | undefined
  readonly isFinished: boolean
}

/** Reads streams side by side: in an order that the random numbers choose. Answers per stream. */
async function readStreams(lane: DecodeLane, inputs: readonly Input[], random: Random): Promise<unknown[]> {
  const answers = new Map<number, Promise<readonly ReadBlock[]>[]>(inputs.map(({ stream }) => [stream, []]))
  const ask = (stream: number, request: Parameters<DecodeLane['request']>[0]): void => { answers.get(stream)?.push(lane.request(request)) }
  const open = inputs.map((input) => ({ ...input, rest: [...input.pieces] }))
  for (const { stream, bounds, isFinished } of open) ask(stream, { kind: 'open-stream', stream, start: { file: `file-${stream}`, startByte: 100 * stream, isFinished, bounds, maxRecords: 50 } })
  while (open.length > 0) {
    const at = random.int(open.length)
    const { stream, rest } = open[at] as (typeof open)[number]
    // Copies: what is sent to a thread is given away.
    if (rest.length > 0) ask(stream, { kind: 'push', stream, chunks: rest.splice(0, 1 + random.int(3)).map((piece) => new Uint8Array(piece)) })
    else {
      ask(stream, { kind: 'end-stream', stream })
      open.splice(at, 1)
    }
  }
  return Promise.all([...answers.values()].map(async (list) => saidBy((await Promise.all(list)).flat())))
}

describe('a lane on a thread and one in place give the same', () => {
  test('streams of all formats, damaged lines and times out of bounds, several streams at once', async () => {
    const lane = pool.openLane(OPTIONS)
    const local = localLane(OPTIONS)
    for (let seed = 1; seed <= rounds({ small: 1, full: 200 }); seed++) {
      const random = createRandom(seed)
      const inputs = Array.from({ length: 1 + random.int(3) }, (_, i): Input => {
        const bytes = Buffer.concat([...hubbleLines(random, 20).map((line) => Buffer.from(line)), ...anyLines(random, 60)])
        return { stream: 10 * seed + i, pieces: pieces(random, bytes), bounds: random.chance(0.7) ? BOUNDS : undefined, isFinished: random.chance(0.5) }
      })
      const [here, there] = [await readStreams(local, inputs, createRandom(seed)), await readStreams(lane, inputs, createRandom(seed))]
      expect(JSON.stringify(there) === JSON.stringify(here) || there).toEqual(JSON.stringify(there) === JSON.stringify(here) || here)
      expect(JSON.stringify(here)).toContain('"flows":[{')
    }
    lane.close()
  })

  test('messages: lines, arrays, protobuf, tombstones and bodies', async () => {
    const lane = pool.openLane(OPTIONS)
    const local = localLane(OPTIONS)
    for (let seed = 1; seed <= rounds({ small: 1, full: 200 }); seed++) {
      const random = createRandom(1000 + seed)
      const values = Array.from({ length: 60 }, (_, offset) => ({
        offset: 7 * offset,
        bytes: random.pick([
          () => Buffer.concat(anyLines(random, 1 + random.int(3))), () => random.pick(MESSAGES), () => null, () => Buffer.from(hubbleLines(random, 1)[0] as string),
          () => Buffer.from(`[${hubbleLines(random, 2).map((line) => line.trimEnd()).join(',')}]`), () => mutateLine(random, 'x', 'y'),
        ])(),
      }))
      const of = { source: 'topic/0', bounds: random.chance(0.5) ? BOUNDS : undefined, isBody: random.chance(0.2) }
      const here = saidBy(await local.request({ kind: 'values', values: packValues(values, of) }))
      expect(saidBy(await lane.request({ kind: 'values', values: packValues(values, of) }))).toEqual(here)
    }
    lane.close()
  })
})

async function storedRows(database: Database): Promise<unknown> {
  const all = async (sql: string): Promise<unknown[]> => (await database.query(sql)).rows
  return {
    flows: await all('select * from flow_records order by flow_records::text'),
    windows: await all('select * from edge_windows order by edge_windows::text'),
    peers: await all('select * from external_peers order by external_peers::text'),
    letters: await all('select source, format, reason, detail, sample, line, byte, is_complete from rejections order by 1, 2, 3, 4, 5, 6, 7'),
    totals: await all('select source, format, outcome, reason, sum(records) as n from ingest_totals group by 1, 2, 3, 4 order by 1, 2, 3, 4'),
    // How often a sign is noted depends on the blocks in which it was met.
    coverage: await all('select distinct type, node, lost, detail from coverage_events order by 1, 2, 3, 4'),
    nodes: await all('select format, node, hour_start, sum(flows) as n, bit_or(windows) as w from node_hours group by 1, 2, 3 order by 1, 2, 3'),
  }
}

describe('what is stored does not depend on where it was decoded', () => {
  let folder = ''
  beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'flowfence-decode-')) })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test('a large file', async () => {
    const random = createRandom(5)
    const body = Buffer.concat([...anyLines(random, 300), ...messyLines(random, 3_000).map((line) => Buffer.from(line))])
    // Beyond the size below which files are read in place; the padding is one line that is too long, and refused.
    const file = join(folder, 'flows.ndjson')
    await writeFile(file, Buffer.concat([body, Buffer.alloc(17 << 20, 'x'), Buffer.from('\n'), ...hubbleLines(createRandom(6), 200).map((line) => Buffer.from(line))]))
    const reports = []
    const rows = []
    for (const decodePool of [undefined, pool]) {
      const { database } = await createTestDatabase()
      const ingester = await createIngester(database, { cluster: 'test', nowUs: () => START_US, decodePool, batchRecords: 1_000 })
      reports.push(await ingester.ingestFiles([file]))
      rows.push(await storedRows(database))
    }
    expect({ ...reports[1], coverage: [] }).toEqual({ ...reports[0], coverage: [] })
    expect(rows[1]).toEqual(rows[0])
    expect(reports[0]?.stored).toBeGreaterThan(2_000)
  })

  test('messages; the dead letters of flows that are too old keep their text', async () => {
    const random = createRandom(8)
    const values = [...hubbleLines(random, 100).map((line) => Buffer.from(line)), ...anyLines(random, 100), ...MESSAGES].map((bytes, offset) => ({ bytes, offset }))
    const reports = []
    const rows = []
    for (const decodePool of [undefined, pool]) {
      const { database } = await createTestDatabase()
      // Eight days and one hour after the first line: the first half of the lines is too late.
      const ingester = await createIngester(database, { cluster: 'test', nowUs: () => START_US + (8 * 24 + 1) * 3_600_000_000, decodePool })
      reports.push(await ingester.ingestValues({ source: 'topic/0', values }))
      rows.push(await storedRows(database))
      const { rows: [late] } = await database.query<{ n: number; texts: number }>(
        `select count(*)::integer as n, count(*) filter (where sample like '{"flow":%')::integer as texts from rejections where reason = 'too-late' and format = 'hubble'`)
      expect(late?.texts).toBeGreaterThan(40)
    }
    expect(reports[1]).toEqual(reports[0])
    expect(rows[1]).toEqual(rows[0])
  })

  test('cluster state reaches the thread before the records that come after it', async () => {
    const { database } = await createTestDatabase()
    const clusterId = await ensureCluster(database, 'test')
    const atUs = START_US
    let clockUs = atUs
    const ingester = await createIngester(database, { cluster: 'test', nowUs: () => clockUs, decodePool: pool })
    const line = (second: number): Buffer => Buffer.from(JSON.stringify({
      time: new Date(atUs / 1000 + 1000 * second).toISOString(), uuid: `u-${second}`, verdict: 'FORWARDED', Type: 'L3_L4', node_name: 'node-1', traffic_direction: 'EGRESS', is_reply: false,
      IP: { source: '10.244.1.7', destination: '10.244.2.9', ipVersion: 'IPv4' }, l4: { TCP: { source_port: 40_000, destination_port: 80, flags: { SYN: true } } },
      source: { identity: 7, namespace: 'shop', labels: ['k8s:app=web'], pod_name: 'web-0' }, destination: { identity: 2, labels: ['reserved:world'] },
    }))
    const responder = async (second: number): Promise<string | undefined> => {
      await ingester.ingestValues({ source: 'topic/0', values: [{ bytes: line(second), offset: second }] })
      const { rows } = await database.query<{ key: string }>(
        'select i.key from flow_records f join identities i on i.id = f.responder_id where f.last_at = to_timestamp($1)', [atUs / 1_000_000 + second])
      return rows[0]?.key
    }
    expect(await responder(1)).not.toContain('"shop"')
    const pods = [['web-0', '10.244.1.7'], ['db-0', '10.244.2.9']].map(([name, podIP]) => ({
      apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'shop', name, uid: `uid-${name}`, labels: { app: name }, creationTimestamp: '2025-12-01T00:00:00Z' },
      spec: { nodeName: 'node-1', containers: [] }, status: { phase: 'Running', podIP, podIPs: [{ ip: podIP }], startTime: '2025-12-01T00:00:00Z' },
    }))
    const others = [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', uid: 'ns' } }, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1', uid: 'node' }, status: { addresses: [] } },
      { apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'shop', name: 'db', uid: 'svc' }, spec: { clusterIP: '10.96.0.1', ports: [] } }]
    const state = { objects: [...pods, ...others], source: 'test' }
    await saveClusterState(database, clusterId, { ...state, atUs: atUs + 2_000_000 })
    clockUs += 20_000_000
    expect(await responder(2)).toContain('"app":"db-0"')
    // Confirmed for a while longer, without any change.
    expect(await responder(30)).not.toContain('"shop"')
    await saveClusterState(database, clusterId, { ...state, atUs: atUs + 60_000_000 })
    clockUs += 20_000_000
    expect(await responder(40)).toContain('"app":"db-0"')
  })
})

async function child(mode: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [fileURLToPath(new URL('../support/decode-child.ts', import.meta.url)), mode], { timeout: 50_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`${error.message}\n${stdout}\n${stderr}`))
    })
  })
}

test.each([['in place', () => localLane(OPTIONS)], ['on a thread', () => pool.openLane(OPTIONS)]] as const)('%s: after a request that failed halfway, a lane gives nothing of it to the next', async (_, open) => {
  const lane = open()
  const line = (seed: number): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(hubbleLines(createRandom(seed), 1)[0] as string))
  // No input can do this: it stands for a bug behind a lane.
  const broken = { byteLength: 0, buffer: { byteLength: 1 } } as unknown as Uint8Array<ArrayBuffer>
  await lane.request({ kind: 'open-stream', stream: 9_001, start: { file: 'x', startByte: 0, isFinished: false, bounds: undefined, maxRecords: 1_000 } })
  const failed = lane.request({ kind: 'push', stream: 9_001, chunks: [line(1), broken] })
  const next = lane.request({ kind: 'push', stream: 9_001, chunks: [line(2)] })
  await expect(failed).rejects.toThrow()
  await expect(next).rejects.toMatchObject({ code: 'unavailable', retryable: true })
  expect(lane.isBroken).toBe(true)
  lane.close()
})

describe('the ends of threads', () => {
  test('a process ends although its threads are idle', async () => {
    expect(await child('idle')).toBe('[[1,1]]\n')
  })

  test('a thread that breaks rejects what waits; its lanes are broken, others and the next one work', async () => {
    expect(await child('break')).toBe('[[1,1]]\n["unavailable",[true,false]]\n["unavailable"]\n[1,false]\n[1,1,false]\n')
  })

  test('a closed pool rejects what waits, and an ingester that meets a broken thread goes on with the next one', async () => {
    const own = new DecodePool(1)
    const { database } = await createTestDatabase()
    const ingester = await createIngester(database, { cluster: 'test', nowUs: () => START_US + 7_200_000_000, decodePool: own })
    const values = hubbleLines(createRandom(2), 10).map((line, offset) => ({ bytes: Buffer.from(line), offset }))
    await ingester.readMessages({ source: 'a', values })
    const lane = own.openLane(OPTIONS)
    const many = packValues(hubbleLines(createRandom(3), 5_000).map((line, offset) => ({ bytes: Buffer.from(line), offset })), { source: 'a', bounds: undefined })
    const waiting = expect(lane.request({ kind: 'values', values: many })).rejects.toMatchObject({ code: 'unavailable', retryable: true })
    await own.close()
    await waiting
    expect((await ingester.ingestValues({ source: 'a', values })).stored).toBe(10)
    await own.close()
  })
})

test('the memory of streams that ended is freed', async () => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const lane = localLane(OPTIONS)
  const mib = (): number => {
    gc()
    return (process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed) / (1 << 20)
  }
  const before = mib()
  for (let stream = 0; stream < 60; stream++) {
    await lane.request({ kind: 'open-stream', stream, start: { file: 'x', startByte: 0, isFinished: false, bounds: undefined, maxRecords: 100 } })
    // An unfinished line, and chunks that are kept for dead letters.
    for (let i = 0; i < 2; i++) await lane.request({ kind: 'push', stream, chunks: [new Uint8Array(400_000).fill(120)] })
    await lane.request({ kind: 'end-stream', stream })
  }
  expect(mib() - before).toBeLessThan(12)
})
