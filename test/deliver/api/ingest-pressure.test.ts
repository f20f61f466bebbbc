import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { BodySpool, SMALL_BODY_BYTES } from '../../../src/deliver/api/body-spool.ts'
import type { SpooledBody } from '../../../src/deliver/api/body-spool.ts'
import { IngestQueue } from '../../../src/deliver/api/ingest-queue.ts'
import { withTransaction } from '../../../src/store/db/database.ts'
import { hubbleLines } from '../../support/hubble-lines.ts'
import { createRandom } from '../../support/random.ts'
import { call, startTestService } from '../../support/start-service.ts'
import type { Answer, TestService } from '../../support/start-service.ts'

const lines = hubbleLines(createRandom(31), 60)
const FLOWS = '/api/v1/ingest/flows?backfill=true'

function push(service: TestService, body: string, path = FLOWS, type = 'application/x-ndjson'): Promise<Answer> {
  return call(`${service.url}${path}`, { method: 'POST', headers: { 'content-type': type }, body })
}

async function until(isDone: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !await isDone(); tries++) {
    if (tries > 1_000) throw new Error('did not happen')
    await new Promise((done) => setTimeout(done, 20))
  }
}

async function metric(service: TestService, name: string): Promise<number> {
  const { text } = await call(`${service.url}/metrics`)
  return Number(text.split('\n').find((line) => line.startsWith(`${name} `))?.slice(name.length + 1) ?? NaN)
}

async function storedFlows(service: TestService): Promise<number> {
  const { rows } = await service.database.query<{ n: number }>('select coalesce(sum(records), 0)::integer as n from ingest_totals where outcome = \'stored\'')
  return rows[0]?.n ?? 0
}

/** Holds what every stored body needs until `task` is done: the store is slow then. */
async function whileStoreWaits<T>(service: TestService, task: () => Promise<T>): Promise<T> {
  return withTransaction(service.database, async (tx) => {
    await tx.query('lock table ingest_totals in access exclusive mode')
    return task()
  })
}

describe('a full line', () => {
  let service: TestService

  beforeAll(async () => {
    service = await startTestService({ FLOWFENCE_INGEST_CONCURRENCY: '1', FLOWFENCE_INGEST_QUEUE: '2' })
  })

  afterAll(() => service.stop())

  test('more bodies are told 429 and when to come again, in OTLP\'s words on its path; those in line are all stored', async () => {
    const { waiting, refused, otlp } = await whileStoreWaits(service, async () => {
      const first = [push(service, lines[0] ?? '')]
      await until(async () => await metric(service, 'flowfence_ingest_queue_bodies{state="running"}') === 1)
      const more = [push(service, lines[1] ?? ''), push(service, lines[2] ?? '')]
      await until(async () => await metric(service, 'flowfence_ingest_queue_bodies{state="waiting"}') === 2)
      return { waiting: [...first, ...more], refused: await push(service, lines[3] ?? ''), otlp: await push(service, '{"resourceLogs":[]}', '/v1/logs', 'application/json') }
    })
    expect(refused).toMatchObject({ status: 429, json: { code: 'busy', detail: expect.stringMatching(/^1 bodies are being stored and 2 wait\. Try again in \d+ s, or raise FLOWFENCE_INGEST_QUEUE\.$/) } })
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    expect(otlp).toMatchObject({ status: 429, json: { code: 8 } })
    expect(Number(otlp.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    expect((await Promise.all(waiting)).map((answer) => [answer.status, answer.json.stored])).toEqual([[200, 1], [200, 1], [200, 1]])
    expect((await push(service, lines[3] ?? '')).json).toMatchObject({ stored: 1 })
    expect(await metric(service, 'flowfence_ingest_bodies_total{principal="local",outcome="busy"}')).toBe(2)
    expect(await metric(service, 'flowfence_ingest_queue_bodies{state="waiting"}')).toBe(0)
    expect(await metric(service, 'flowfence_ingest_spool_bytes{place="memory"}')).toBe(0)
  })

  test('a client that sends a large body in vain still hears why', async () => {
    const refused = await whileStoreWaits(service, async () => {
      const held = [4, 5, 6].map((i) => push(service, lines[i] ?? ''))
      await until(async () => await metric(service, 'flowfence_ingest_queue_bodies{state="waiting"}') === 2)
      const answer = await push(service, 'x'.repeat(4 << 20))
      return { answer, held }
    })
    expect(refused.answer.status).toBe(429)
    expect((await Promise.all(refused.held)).map((a) => a.status)).toEqual([200, 200, 200])
  })
})

describe('slow clients', () => {
  let service: TestService

  beforeAll(async () => {
    service = await startTestService({ FLOWFENCE_INGEST_CONCURRENCY: '1', FLOWFENCE_INGEST_QUEUE: '1', FLOWFENCE_REQUEST_TIMEOUT_MS: '3000' })
  })

  afterAll(() => service.stop())

  /** Sends half of a body and waits; tells all that came back when the connection ends. */
  function startSlow(body: string): { socket: Socket; answer: Promise<string> } {
    const socket = connect(service.port, '127.0.0.1')
    socket.write([`POST ${FLOWS} HTTP/1.1`, `Host: 127.0.0.1:${service.port}`, 'Content-Type: application/x-ndjson', `Content-Length: ${body.length * 2}`, '', body].join('\r\n'))
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('error', () => undefined)
    return { socket, answer: new Promise((done) => socket.on('close', () => done(text))) }
  }

  test('hold no place: others are stored meanwhile; then they are answered 408 and nothing of them is stored', async () => {
    const slow = Array.from({ length: 20 }, (_, i) => startSlow(lines[20 + i] ?? ''))
    await until(async () => await metric(service, 'flowfence_ingest_spool_bytes{place="memory"}') > 10_000)
    expect((await push(service, lines[0] ?? '')).json).toMatchObject({ stored: 1 })
    const answers = await Promise.all(slow.map((each) => each.answer))
    expect(answers.map((text) => text.split('\r\n')[0])).toEqual(slow.map(() => 'HTTP/1.1 408 Request Timeout'))
    await until(async () => await metric(service, 'flowfence_ingest_spool_bytes{place="memory"}') === 0)
    expect(await storedFlows(service)).toBe(1)
    expect(await metric(service, 'flowfence_ingest_bodies_total{principal="local",outcome="left"}')).toBe(20)
  })
})

describe('the space for bodies that wait', () => {
  let folder: string
  let held: { memoryBytes: number; diskBytes: number }
  const make = (diskBytes: number, path = folder): BodySpool => new BodySpool({ folder: path, diskBytes, onChange: (now) => { held = now } })

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'flowfence-spool-'))
  })

  afterAll(() => rm(folder, { recursive: true }))

  async function* chunks(sizeBytes: number, fill = 1): AsyncGenerator<Buffer> {
    for (let left = sizeBytes; left > 0; left -= 65_536) yield await Promise.resolve(Buffer.alloc(Math.min(left, 65_536), fill))
  }

  async function read(body: SpooledBody, from: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    for await (const piece of body.chunks(from)) pieces.push(Buffer.from(piece))
    return Buffer.concat(pieces)
  }

  test.each([0, 1, SMALL_BODY_BYTES, SMALL_BODY_BYTES + 1, 5_000_001])('a body of %i bytes is read as it came, from any place, and gives everything back', async (sizeBytes) => {
    const bytes = Buffer.from(Array.from({ length: sizeBytes }, (_, i) => (i * 7 + (i >> 8)) & 255))
    const body = await make(1 << 30).receive((async function* () {
      for (let at = 0; at < sizeBytes; at += 100_000) yield await Promise.resolve(bytes.subarray(at, at + 100_000))
    })())
    expect([body.sizeBytes, body.isSmall]).toEqual([sizeBytes, sizeBytes <= SMALL_BODY_BYTES])
    for (const from of [0, 1, 99_999, 100_000, 1_234_567, sizeBytes]) expect((await read(body, Math.min(from, sizeBytes))).equals(bytes.subarray(Math.min(from, sizeBytes)))).toBe(true)
    expect(body.read(10, 20).equals(bytes.subarray(10, 20))).toBe(true)
    expect(await readdir(folder)).toEqual([])
    await body.release()
    expect(held).toEqual({ memoryBytes: 0, diskBytes: 0 })
  })

  test('is shared: a body that finds it full is told busy, one that no space would hold too-large; both give back what they took', async () => {
    const spool = make(4 << 20)
    const first = await spool.receive(chunks(3 << 20))
    expect(held).toEqual({ memoryBytes: 0, diskBytes: 3 << 20 })
    await expect(spool.receive(chunks(2 << 20))).rejects.toMatchObject({ code: 'busy', retryable: true })
    await expect(spool.receive(chunks(5 << 20))).rejects.toMatchObject({ code: 'busy' })
    expect(held).toEqual({ memoryBytes: 0, diskBytes: 3 << 20 })
    await first.release()
    await expect(spool.receive(chunks(5 << 20))).rejects.toMatchObject({ code: 'too-large', message: expect.stringContaining('FLOWFENCE_SPOOL_LIMIT') })
    expect(held).toEqual({ memoryBytes: 0, diskBytes: 0 })
  })

  test('small bodies go to files when memory is full', async () => {
    const spool = make(1 << 30)
    const bodies = await Promise.all(Array.from({ length: 70 }, (_, i) => spool.receive(chunks(SMALL_BODY_BYTES, i))))
    expect(held.memoryBytes).toBeLessThanOrEqual(64 << 20)
    expect(held.memoryBytes + held.diskBytes).toBe(70 << 20)
    for (const [i, body] of bodies.entries()) expect((await read(body, SMALL_BODY_BYTES - 1))[0]).toBe(i)
    for (const body of bodies) await body.release()
    expect(held).toEqual({ memoryBytes: 0, diskBytes: 0 })
  })

  test('a folder that cannot be written to says so; small bodies need none', async () => {
    const spool = make(1 << 30, join(folder, 'missing'))
    await expect(spool.receive(chunks(2 << 20))).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining('FLOWFENCE_SPOOL_DIR') })
    const small = await spool.receive(chunks(1000))
    await small.release()
    expect(held).toEqual({ memoryBytes: 0, diskBytes: 0 })
  })
})

describe('the line', () => {
  /** A task that runs until it is told to end. */
  function task(): { run: () => Promise<void>; end: () => void; hasStarted: () => boolean } {
    let isStarted = false
    let end = (): void => undefined
    const ended = new Promise<void>((done) => { end = done })
    return { run: () => { isStarted = true; return ended }, end: () => end(), hasStarted: () => isStarted }
  }

  test('keeps the order, gives large bodies two places and whole messages one, and lets small ones pass', async () => {
    const queue = new IngestQueue({ places: 4, maxWaiting: 10 })
    const streams = [task(), task(), task()]
    const wholes = [task(), task()]
    const runs = [...streams.map((t) => queue.run('stream', t.run)), ...wholes.map((t) => queue.run('whole', t.run))]
    const small = task()
    runs.push(queue.run('small', small.run))
    await until(() => small.hasStarted())
    expect([...streams, ...wholes, small].map((t) => t.hasStarted())).toEqual([true, true, false, true, false, true])
    streams[0]?.end()
    await until(() => streams[2]?.hasStarted() === true)
    expect(wholes[1]?.hasStarted()).toBe(false)
    for (const each of [...streams, ...wholes, small]) each.end()
    await Promise.all(runs)
  })

  test('tells the longer waits the longer it is, and never too long ones; a task that fails frees its place', async () => {
    const queue = new IngestQueue({ places: 1, maxWaiting: 50 })
    await expect(queue.run('small', () => Promise.reject(new Error('x')))).rejects.toThrow('x')
    const slow = task()
    const runs = [queue.run('small', slow.run)]
    await new Promise((done) => setTimeout(done, 500))
    slow.end()
    await Promise.all(runs)
    const held = task()
    const waits: number[] = []
    const more = Array.from({ length: 51 }, () => {
      waits.push(queue.retryAfterS())
      return queue.run('small', held.run)
    })
    expect(waits).toEqual(waits.toSorted((a, b) => a - b))
    expect(waits.at(-1)).toBeGreaterThan(waits[0] ?? 0)
    expect(() => queue.requireRoom()).toThrow(expect.objectContaining({ code: 'busy', retryAfterS: queue.retryAfterS() }))
    await expect(queue.run('small', held.run)).rejects.toMatchObject({ code: 'busy' })
    held.end()
    await Promise.all(more)
    expect(queue.retryAfterS()).toBe(1)
  })
})
