import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { hubbleLines } from '../../support/hubble-lines.ts'
import { createRandom } from '../../support/random.ts'
import { call, callRaw, startTestService } from '../../support/start-service.ts'
import type { Answer, TestService } from '../../support/start-service.ts'
import { message } from '../../support/wire.ts'

const LIMIT = 200_000
let service: TestService
const lines = hubbleLines(createRandom(7), 40)

beforeAll(async () => {
  service = await startTestService({ FLOWFENCE_INGEST_BODY_LIMIT: String(LIMIT), FLOWFENCE_INGEST_CONCURRENCY: '1' })
})

afterAll(() => service.stop())

const PROTOBUF = 'application/x-protobuf, application/vnd.google.protobuf, application/protobuf'
const NDJSON = { 'content-type': 'application/x-ndjson' }

function push(body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = NDJSON, query = '?backfill=true'): Promise<Answer> {
  return call(`${service.url}/api/v1/ingest/flows${query}`, { method: 'POST', headers, body })
}

function zipped(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(gzipSync(text))
}

async function stored(): Promise<number> {
  const { rows } = await service.database.query<{ n: string }>('select count(*) as n from flows')
  return Number(rows[0]?.n)
}

const GZIP = { ...NDJSON, 'content-encoding': 'gzip' }

describe('POST /api/v1/ingest/flows', () => {
  test('stores NDJSON once: the same body again, plain or gzip, changes nothing', async () => {
    const body = lines.slice(0, 10).join('')
    const first = await push(body)
    expect(first.status).toBe(200)
    expect(first.json).toMatchObject({ received: 10, stored: 10, duplicate: 0, rejected: {}, ignored: {}, bytes: Buffer.byteLength(body) })
    expect((await push(body)).json).toMatchObject({ received: 10, stored: 0, duplicate: 10 })
    expect((await push(zipped(body), GZIP)).json).toMatchObject({ received: 10, stored: 0, duplicate: 10 })
    expect(await stored()).toBe(10)
  })

  test.each([
    ['a JSON array', (some: string[]) => `[${some.join(',')}]`],
    ['NDJSON', (some: string[]) => some.join('')],
    ['one object over several lines', (some: string[]) => JSON.stringify(JSON.parse(some[0] ?? ''), null, 2)],
  ])('application/json: %s', async (name, write) => {
    const some = { 'a JSON array': lines.slice(10, 13), NDJSON: lines.slice(13, 15) }[name] ?? lines.slice(15, 16)
    expect((await push(write(some), { 'content-type': 'application/json; charset=utf-8' })).json).toMatchObject({ received: some.length, stored: some.length })
  })

  test('application/x-protobuf: the body is one message, here the GetFlowsResponse of the flow that came as JSON before', async () => {
    const json = JSON.parse(lines[39] ?? '') as { flow: { uuid: string; time: string } }
    const flow = message(
      [1, [[1, Date.parse(json.flow.time) / 1000 | 0]]], [2, 1], [5, [[1, '10.244.1.1'], [2, '10.244.2.2']]], [6, [[1, [[1, 40000], [2, 443], [3, [[2, 1]]]]]]],
      [8, [[3, 'shop'], [4, 'k8s:app=web'], [5, 'web-7c9f8d6b5-1x2lq']]], [9, [[3, 'shop'], [4, 'k8s:app=db'], [5, 'db-7c9f8d6b5-1x2lq']]], [34, json.flow.uuid],
    )
    const body = new Uint8Array(message([1, flow], [1000, 'node-1']))
    expect((await push(body, { 'content-type': 'application/x-protobuf' })).json).toMatchObject({ received: 1, stored: 1, rejected: {}, bytes: body.length })
    expect((await push(lines[39] ?? '')).json).toMatchObject({ received: 1, stored: 0, duplicate: 1 })
    const cut = await push(body.slice(0, 50), { 'content-type': 'application/vnd.google.protobuf' })
    expect(cut).toMatchObject({ status: 200, json: { received: 1, stored: 0, rejected: { 'malformed-protobuf': 1 } } })
  })

  test('a partly bad body: everything good is stored, the rest counted by reason with its line', async () => {
    const { status, json } = await push(`${lines[16]}{"flow":\n${lines[17]}{"other":1}\n`)
    expect(status).toBe(200)
    expect(json).toMatchObject({ received: 4, stored: 2, rejected: { 'malformed-json': 1, 'unknown-format': 1 } })
    expect(json.inputErrors).toMatchObject([{ line: 2 }, { line: 4 }])
  })

  test('flows older than 8 days are rejected unless back-filling is asked for', async () => {
    expect((await push(lines[18] ?? '', NDJSON, '')).json).toMatchObject({ received: 1, stored: 0, rejected: { 'too-late': 1 } })
  })

  test('what a record claims about its cluster does not matter: the service is bound to one', async () => {
    await push((lines[19] ?? '').replace('"node_name":"', '"node_name":"elsewhere/'))
    const { rows } = await service.database.query<{ name: string }>('select name from clusters')
    expect(rows).toEqual([{ name: 'test' }])
  })

  test.each([
    ['MessagePack, which fluent-bit sends unless told otherwise', () => push('x', { 'content-type': 'application/msgpack' }), 415, `Content-Type "application/msgpack" is not supported; send one of application/x-ndjson, application/ndjson, application/jsonl, application/json, text/plain, ${PROTOBUF}.`],
    ['an unknown content type', () => push('x', { 'content-type': 'text/csv' }), 415, `Content-Type "text/csv" is not supported; send one of application/x-ndjson, application/ndjson, application/jsonl, application/json, text/plain, ${PROTOBUF}.`],
    ['an unknown encoding', () => push('x', { ...NDJSON, 'content-encoding': 'br' }), 415, 'Content-Encoding "br" is not supported; send gzip, deflate or zstd, or none.'],
    ['an empty body', () => push(''), 400, 'The body is empty. Send flow records, one JSON object per line.'],
    ['text that says gzip', () => push('plain', GZIP), 400, 'The body says Content-Encoding: gzip but is not valid gzip (incorrect header check). Nothing of it was stored.'],
    ['an empty gzip body', () => push('', GZIP), 400, 'The body says Content-Encoding: gzip but is empty.'],
    ['an unknown parameter', () => push('x', NDJSON, '?backfil=true'), 400, 'There is no query parameter "backfil" here; possible are backfill.'],
    ['a bad flag', () => push('x', NDJSON, '?backfill=yes'), 400, 'The query parameter "backfill" is "yes", but must be true or false.'],
  ])('%s is refused as a problem', async (_name, send, status, detail) => {
    const before = await stored()
    const answer = await send()
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8')
    expect(answer.json).toMatchObject({ status, detail, instance: '/api/v1/ingest/flows', type: expect.stringMatching(/^urn:flowfence:problem:/) })
    expect(await stored()).toBe(before)
  })

  test('gzip cut off in the middle stores nothing', async () => {
    const before = await stored()
    const whole = zipped(lines.slice(20, 40).join(''))
    const { status, json } = await push(whole.slice(0, whole.length - 20), GZIP)
    expect(status).toBe(400)
    expect(json.detail).toBe('The body says Content-Encoding: gzip but is not valid gzip (unexpected end of file). Nothing of it was stored.')
    expect(await stored()).toBe(before)
  })

  test('a body over the limit gets 413, whether it says its length, is chunked, or is a gzip bomb; the next request works', async () => {
    const detail = `The body is larger than ${LIMIT} bytes (decompressed). Send it in several requests, or raise FLOWFENCE_INGEST_BODY_LIMIT.`
    const declared = await callRaw(service.port, ['POST /api/v1/ingest/flows HTTP/1.1', `Host: 127.0.0.1:${service.port}`, 'Content-Type: application/x-ndjson', `Content-Length: ${LIMIT + 1}`])
    expect(declared.status).toBe(413)
    expect(declared.text).toContain(detail)
    const piece = ' '.repeat(50_000)
    const chunked = await callRaw(service.port, [
      'POST /api/v1/ingest/flows HTTP/1.1', `Host: 127.0.0.1:${service.port}`, 'Content-Type: application/x-ndjson', 'Transfer-Encoding: chunked', 'Connection: close', '',
      ...Array.from({ length: 5 }, () => [piece.length.toString(16), piece]).flat(), '0',
    ])
    expect(chunked.status).toBe(413)
    // 64 MiB of blanks in 64 KB.
    const bomb = await push(zipped(' '.repeat(64 * 1024 * 1024)), GZIP)
    expect(bomb).toMatchObject({ status: 413, json: { code: 'too-large', detail } })
    expect((await push(lines[0] ?? '')).status).toBe(200)
  })

  test('many bodies at once are all taken, one after the other', async () => {
    const answers = await Promise.all(lines.slice(20, 32).map((line) => push(line)))
    expect(answers.map((a) => a.status)).toEqual(answers.map(() => 200))
    expect((await push(lines.slice(20, 32).join(''))).json).toMatchObject({ received: 12, stored: 0, duplicate: 12 })
  })

  test('metrics count what was received by outcome', async () => {
    const { text } = await call(`${service.url}/metrics`)
    const value = (outcome: string): number => text.split('\n').filter((l) => l.startsWith('flowfence_ingest_records_total{') && l.includes(`outcome="${outcome}"`)).reduce((n, l) => n + Number(l.split(' ').at(-1)), 0)
    const received = text.split('\n').filter((l) => l.startsWith('flowfence_ingest_records_received_total{')).reduce((n, l) => n + Number(l.split(' ').at(-1)), 0)
    expect(value('stored')).toBe(await stored())
    expect(['stored', 'duplicate', 'rejected', 'ignored'].reduce((n, o) => n + value(o), 0)).toBe(received)
  })
})

test('a client that leaves in the middle of its body frees its place, stores nothing and counts as 499', async () => {
  const { connect } = await import('node:net')
  const before = await stored()
  const socket = connect(service.port, '127.0.0.1')
  socket.write(['POST /api/v1/ingest/flows HTTP/1.1', `Host: 127.0.0.1:${service.port}`, 'Content-Type: application/x-ndjson', 'Content-Length: 5000', '', lines[0] ?? ''].join('\r\n'))
  await new Promise((done) => setTimeout(done, 200))
  socket.destroy()
  expect((await push('{}\n')).status).toBe(200)
  expect(await stored()).toBe(before)
  expect((await call(`${service.url}/metrics`)).text).toContain('flowfence_http_requests_total{method="POST",route="/api/v1/ingest/flows",status="499"} 1')
})
