import { afterEach, describe, expect, test } from '@jest/globals'
import { AppError } from '../../src/core/base/app-error.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import type { Ingester } from '../../src/pipeline/ingest.ts'
import { ingestLive } from '../../src/pipeline/ingest-live.ts'
import type { LiveIngestOptions, LiveStatus } from '../../src/pipeline/ingest-live.ts'
import { goldmaneProtocol, hubbleProtocol } from '../../src/pipeline/live-protocols.ts'
import { createGoldmane } from '../../src/sources/goldmane.ts'
import { createHubbleRelay } from '../../src/sources/hubble-relay.ts'
import type { Database } from '../../src/store/db/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { GoldmaneServer, goldmaneMessage, hubbleMessage, lostMessage, nodeMessage, RelayServer, until } from '../support/grpc-servers.ts'
import type { GrpcServerOptions } from '../support/grpc-servers.ts'
import { createRandom } from '../support/random.ts'

const nowUs = (): number => Date.now() * 1000
const closing: (() => void | Promise<void>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function startRelay(options: GrpcServerOptions = {}): Promise<RelayServer> {
  const relay = await new RelayServer(options).start()
  closing.push(() => relay.kill())
  return relay
}

async function ingesterOf(database: Database): Promise<Ingester> {
  return createIngester(database, { cluster: 'test', nowUs, retry: { giveUpAfterMs: 5_000 } })
}

interface Run {
  readonly statuses: LiveStatus[]
  readonly ended: Promise<void>
  stop(): Promise<void>
}

/** Reads a server of this machine into a database, with short pauses; stopped after the test. */
async function live(database: Database, server: RelayServer | GoldmaneServer, options: Partial<LiveIngestOptions> = {}): Promise<Run> {
  const address = `127.0.0.1:${server.port}`
  const streamOptions = { address, readTls: () => Promise.resolve(undefined), minPauseMs: 5, maxPauseMs: 50, questionEveryMs: 20 }
  const [protocol, stream] = server instanceof RelayServer ? [hubbleProtocol(), createHubbleRelay(streamOptions)] : [goldmaneProtocol(), createGoldmane(streamOptions)]
  const stopping = new AbortController()
  const statuses: LiveStatus[] = []
  const ended = ingestLive({
    database, ingester: await ingesterOf(database), protocol, address, stream, nowUs, flushMs: 20, takeOverMs: 300, onStatus: (status) => statuses.push(status), ...options,
  }, stopping.signal)
  ended.catch(() => undefined)
  const stop = async (): Promise<void> => {
    stopping.abort()
    await ended.catch(() => undefined)
  }
  closing.push(stop)
  return { statuses, ended, stop }
}

/** Records by outcome over all batches. */
async function outcomes(database: Database): Promise<Record<string, number>> {
  const { rows } = await database.query<{ outcome: string, records: string }>('select outcome, sum(records) as records from ingest_totals group by outcome')
  return Object.fromEntries(rows.map((row) => [row.outcome, Number(row.records)]))
}

async function stored(database: Database): Promise<number> {
  return (await outcomes(database)).stored ?? 0
}

async function coverage(database: Database): Promise<{ type: string, node: string, detail: string }[]> {
  const { rows } = await database.query<{ type: string, node: string, detail: string }>('select type, node, detail from coverage_events order by at, type, node')
  return rows
}

async function position(database: Database): Promise<{ source: string, next: number, fingerprint: string, records: number }> {
  const { rows } = await database.query<{ source: string, next: string, fingerprint: string, records: string }>('select source, next, fingerprint, records from positions')
  expect(rows).toHaveLength(1)
  const [row] = rows
  return { source: row?.source ?? '', next: Number(row?.next), fingerprint: row?.fingerprint ?? '', records: Number(row?.records) }
}

/** Every flow that was sent is stored once: rows, totals and received add up. */
async function expectStoredOnce(database: Database, flows: number): Promise<void> {
  const totals = await outcomes(database)
  const { rows } = await database.query<{ flows: string, received: string }>(
    'select (select count(*) from flows) as flows, (select sum(records) from ingest_received) as received')
  expect(totals.stored).toBe(flows)
  expect(Number(rows[0]?.flows)).toBe(flows)
  expect(Object.values(totals).reduce((sum, records) => sum + records, 0)).toBe(Number(rows[0]?.received))
  expect(totals.rejected).toBeUndefined()
}

describe('a live stream into the store', () => {
  test('flows, lost events and node states are stored with the position of the newest flow', async () => {
    const { database } = await createTestDatabase()
    const relay = await startRelay()
    const base = nowUs() - 30e6
    for (let i = 0; i < 50; i++) relay.push(hubbleMessage(i, base + i * 1000), base + i * 1000)
    await live(database, relay)
    await until(() => relay.calls.size === 1)
    relay.tell(lostMessage(17, base))
    relay.tell(nodeMessage(2, 'node-9', base))
    relay.push(hubbleMessage(50, base + 60_000), base + 60_000)
    await until(async () => await stored(database) === 51)
    await expectStoredOnce(database, 51)
    expect(await position(database)).toMatchObject({ source: `hubble-relay:127.0.0.1:${relay.port}`, next: base + 60_000 })
    expect((await coverage(database)).map(({ type, node }) => `${type} ${node}`)).toEqual(expect.arrayContaining(['lost-events node-1', 'node-status node-9']))
    // What a new stream asks for: all that a relay remembers.
    expect(relay.requests).toHaveLength(1)
  })

  test('resumes before its position, and what comes twice is stored once', async () => {
    const { database } = await createTestDatabase()
    const relay = await startRelay()
    const base = nowUs() - 300e6
    for (let i = 0; i < 200; i++) relay.push(hubbleMessage(i, base + i * 1e6), base + i * 1e6)
    const first = await live(database, relay)
    await until(async () => await stored(database) === 200)
    await first.stop()
    for (let i = 200; i < 250; i++) relay.push(hubbleMessage(i, base + i * 1e6), base + i * 1e6)
    // Reported late: older than the newest that is stored.
    relay.rings.get('node-1')?.push({ node: 'node-1', timeUs: base + 180e6, bytes: hubbleMessage(999, base + 180e6) })
    await live(database, relay)
    await until(async () => await stored(database) === 251)
    await expectStoredOnce(database, 251)
    // 60 seconds of overlap.
    expect((await outcomes(database)).duplicate).toBe(61)
    expect(await coverage(database)).not.toContainEqual(expect.objectContaining({ type: 'gap' }))
  })

  test('a relay that dies again and again, and readers that do: all is stored, and once', async () => {
    const { database } = await createTestDatabase()
    const relay = await startRelay()
    const random = createRandom(20261123)
    let run = await live(database, relay, { batchMessages: 40 })
    let at = nowUs() - 200e6
    let flows = 0
    for (let round = 0; round < 12; round++) {
      for (let i = 0; i < 60; i++) {
        at += 1 + random.int(200_000)
        relay.push(hubbleMessage(flows++, at, `node-${i % 3}`), at, `node-${i % 3}`)
        if (i % 20 === 19) await new Promise((done) => setTimeout(done, random.int(15)))
      }
      if (round % 3 === 0) {
        relay.kill()
        await relay.start()
      } else if (round % 3 === 1) {
        // Without its goodbye: what it held is gone.
        const gone = run
        run = await live(database, relay, { batchMessages: 40 })
        await gone.stop()
      }
    }
    await until(async () => await stored(database) >= flows)
    await expectStoredOnce(database, flows)
  })

  test('two processes on one stream: one stores, the other stands by and takes over', async () => {
    const { database } = await createTestDatabase()
    const relay = await startRelay()
    const base = nowUs() - 100e6
    let flows = 0
    const push = (): void => {
      relay.push(hubbleMessage(flows, base + flows * 1000), base + flows * 1000)
      flows++
    }
    push()
    const runs = [await live(database, relay, { takeOverMs: 1_500 }), await live(database, relay, { takeOverMs: 1_500 })]
    const standing = (): Run[] => runs.filter((run) => run.statuses.at(-1)?.state === 'standby')
    await until(async () => {
      push()
      await new Promise((done) => setTimeout(done, 20))
      return standing().length === 1
    })
    const [standby] = standing()
    expect(standby?.statuses.at(-1)?.text).toBe(`Another process stores hubble-relay:127.0.0.1:${relay.port}; standing by.`)
    await until(async () => await stored(database) === flows)
    const owner = (await position(database)).fingerprint.split(':')[0]
    await Promise.all(runs.filter((run) => run !== standby).map((run) => run.stop()))
    for (let i = 0; i < 10; i++) push()
    await until(async () => await stored(database) === flows)
    expect((await position(database)).fingerprint.split(':')[0]).not.toBe(owner)
    await expectStoredOnce(database, flows)
  })

  test('a store that is slow stops the stream, in bounded memory, and nothing is lost', async () => {
    const { database } = await createTestDatabase()
    const relay = await startRelay()
    const base = nowUs() - 100e6
    const padding: [number, string] = [37, 'x'.repeat(20_000)]
    for (let i = 0; i < 1_000; i++) relay.push(hubbleMessage(i, base + i * 1000, 'node-1', [padding]), base + i * 1000)
    const real = await ingesterOf(database)
    let open: () => void = () => undefined
    const gate = new Promise<void>((done) => { open = done })
    const sizes: number[] = []
    const ingester = {
      clusterId: real.clusterId,
      ingestValues: async (batch: Parameters<Ingester['ingestValues']>[0]) => {
        await gate
        sizes.push(batch.values.length)
        return real.ingestValues(batch)
      },
    }
    await live(database, relay, { ingester, batchMessages: 50 })
    closing.push(() => open())
    // A batch in the store, however small, and a full one behind it.
    await until(() => relay.sent > 50)
    await new Promise((done) => setTimeout(done, 300))
    const { sent } = relay
    expect(sent).toBeLessThan(400)
    await new Promise((done) => setTimeout(done, 200))
    expect(relay.sent).toBe(sent)
    open()
    await until(async () => await stored(database) === 1_000)
    await expectStoredOnce(database, 1_000)
    expect(Math.max(...sizes)).toBeLessThan(120)
  })

  test('the store away for a while: it is told, and all is stored when it is back', async () => {
    const { database } = await createTestDatabase()
    const relay = await startRelay()
    const base = nowUs() - 100e6
    for (let i = 0; i < 20; i++) relay.push(hubbleMessage(i, base + i), base + i)
    const real = await ingesterOf(database)
    let failures = 0
    const ingester = {
      clusterId: real.clusterId,
      ingestValues: (batch: Parameters<Ingester['ingestValues']>[0]) => (failures++ < 1
        ? Promise.reject(new AppError('unavailable', 'The database does not answer: connection refused.', { retryable: true }))
        : real.ingestValues(batch)),
    }
    const { statuses } = await live(database, relay, { ingester })
    await until(async () => await stored(database) === 20)
    expect(statuses.map((status) => status.text)).toContain(`hubble-relay:127.0.0.1:${relay.port} waits: The database does not answer: connection refused.`)
    await until(() => statuses.at(-1)?.state === 'connected')
    await expectStoredOnce(database, 20)
  })

  test('a failure of the program ends the run with it', async () => {
    const { database } = await createTestDatabase()
    const relay = await startRelay()
    relay.push(hubbleMessage(1, nowUs()), nowUs())
    const { ended } = await live(database, relay, { ingester: { clusterId: 1, ingestValues: () => Promise.reject(new Error('Bug: broken')) } })
    await expect(ended).rejects.toThrow('Bug: broken')
  })

  test('bytes that are no message are counted and kept as dead letters, and the stream goes on', async () => {
    const { database } = await createTestDatabase()
    const relay = await startRelay()
    await live(database, relay)
    await until(() => relay.calls.size === 1)
    relay.tell(Buffer.from('ffffffff', 'hex'))
    relay.tell(Buffer.alloc(0))
    relay.push(hubbleMessage(1, nowUs()), nowUs())
    await until(async () => await stored(database) === 1)
    expect(await outcomes(database)).toMatchObject({ stored: 1, rejected: 1 })
  })
})

describe('what a stream does not say', () => {
  test('a relay that sees flows and sends none is noted once per stretch, and opened again', async () => {
    const { database } = await createTestDatabase()
    const relay = await startRelay()
    relay.push(hubbleMessage(1, nowUs()), nowUs())
    await live(database, relay, { silenceMs: 100 })
    await until(async () => await stored(database) === 1)
    relay.isMute = true
    const timer = setInterval(() => { relay.status.seen++ }, 5)
    closing.push(() => clearInterval(timer))
    await until(() => relay.requests.length > 3)
    const silences = async (): Promise<{ detail: string }[]> => (await coverage(database)).filter((event) => event.detail.includes('brings nothing'))
    await until(async () => (await silences()).length > 0)
    const gaps = await silences()
    expect(gaps).toHaveLength(1)
    expect(gaps[0]).toMatchObject({ type: 'gap', node: '' })
    expect(gaps[0]?.detail).toMatch(/^hubble-relay:127\.0\.0\.1:\d+: the stream is open and brings nothing, though \d+ flows were seen since$/)
    // Awake again: the next stretch is another one.
    relay.isMute = false
    relay.push(hubbleMessage(2, nowUs()), nowUs())
    await until(async () => await stored(database) === 2)
    relay.isMute = true
    await until(async () => (await silences()).length > 1)
  })

  test('a quiet cluster is no gap', async () => {
    const { database } = await createTestDatabase()
    const relay = await startRelay()
    relay.push(hubbleMessage(1, nowUs()), nowUs())
    await live(database, relay, { silenceMs: 50 })
    await until(async () => await stored(database) === 1)
    await new Promise((done) => setTimeout(done, 400))
    expect(relay.requests).toHaveLength(1)
    expect((await coverage(database)).filter((event) => event.type === 'gap')).toEqual([])
  })

  test('nodes that the relay cannot reach are missing nodes, each once per stretch', async () => {
    const { database } = await createTestDatabase()
    const relay = await startRelay()
    relay.status.unavailable = ['prod/node-7', 'node-8']
    await live(database, relay)
    const missing = async (): Promise<string[]> => (await coverage(database)).filter((event) => event.type === 'missing-node').map((event) => event.node)
    await until(async () => (await missing()).length === 2)
    await new Promise((done) => setTimeout(done, 150))
    expect((await missing()).sort()).toEqual(['node-7', 'node-8'])
    relay.status.unavailable = []
    await new Promise((done) => setTimeout(done, 150))
    relay.status.unavailable = ['node-8']
    await until(async () => (await missing()).length === 3)
  })

  test('away for longer than the nodes remember: a gap of each node that forgot', async () => {
    const { database } = await createTestDatabase()
    const relay = await startRelay({ capacity: 10 })
    const base = nowUs() - 50e6
    for (let i = 0; i < 5; i++) relay.push(hubbleMessage(i, base + i, 'quiet'), base + i, 'quiet')
    for (let i = 5; i < 10; i++) relay.push(hubbleMessage(i, base + i, 'busy'), base + i, 'busy')
    await live(database, relay)
    await until(async () => await stored(database) === 10)
    relay.kill()
    for (let i = 10; i < 40; i++) relay.push(hubbleMessage(i, base + 1e6 + i, 'busy'), base + 1e6 + i, 'busy')
    await relay.start()
    await until(async () => await stored(database) === 20)
    await until(async () => (await coverage(database)).some((event) => event.type === 'gap'))
    const gaps = (await coverage(database)).filter((event) => event.type === 'gap')
    expect(gaps.map((event) => event.node)).toEqual(['busy'])
    expect(gaps[0]?.detail).toContain('what was before is no longer remembered there')
  })

  test('a new process finds the gap by where the one before stopped', async () => {
    const { database } = await createTestDatabase()
    const relay = await startRelay({ capacity: 10 })
    const base = nowUs() - 50e6
    for (let i = 0; i < 10; i++) relay.push(hubbleMessage(i, base + i), base + i)
    const first = await live(database, relay)
    await until(async () => await stored(database) === 10)
    await first.stop()
    for (let i = 10; i < 40; i++) relay.push(hubbleMessage(i, base + 1e6 + i), base + 1e6 + i)
    await live(database, relay)
    await until(async () => (await coverage(database)).some((event) => event.type === 'gap'))
    await until(async () => await stored(database) === 20)
  })
})

describe('Goldmane into the store', () => {
  test('windows are stored once, resumed by their beginning, and silence is found by asking for what is there', async () => {
    const { database } = await createTestDatabase()
    const goldmane = await new GoldmaneServer().start()
    closing.push(() => goldmane.kill())
    const start = Math.floor(Date.now() / 15_000) * 15 - 600
    const push = (number: number, window: number): void => goldmane.push(goldmaneMessage(number, start + window * 15), (start + window * 15) * 1e6)
    for (let i = 0; i < 100; i++) push(i % 5, Math.floor(i / 5))
    const first = await live(database, goldmane)
    await until(async () => await stored(database) === 100)
    await first.stop()
    expect(await position(database)).toMatchObject({ source: `goldmane:127.0.0.1:${goldmane.port}`, next: (start + 19 * 15) * 1e6 })
    push(0, 20)
    await live(database, goldmane, { silenceMs: 100 })
    await until(async () => await stored(database) === 101)
    await expectStoredOnce(database, 101)
    // A live connection comes in each window; two windows before the position came again.
    expect((await outcomes(database)).duplicate).toBe(15)
    expect(goldmane.requests.map((request) => [request.get(1), request.get(3)])).toEqual([[[expect.any(BigInt)], [15n]], [[BigInt(start + 17 * 15)], [15n]]])
    goldmane.isMute = true
    push(1, 21)
    await until(async () => (await coverage(database)).some((event) => event.type === 'gap'))
    goldmane.isMute = false
    await until(async () => await stored(database) === 102)
    const { detail } = (await coverage(database)).find((event) => event.type === 'gap') ?? {}
    expect(detail).toBe(`goldmane:127.0.0.1:${goldmane.port}: the stream is open and brings nothing, though there are flows since`)
  })
})
