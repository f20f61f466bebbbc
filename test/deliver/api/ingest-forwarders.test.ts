/**
 * Forwarders against the real service, each by the requests that its documentation and source describe: method, headers, body, and which answers it
 * takes as success, retries or drops. The bodies are written here; the lines inside are flows of Cilium.
 */
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { hubbleLines } from '../../support/hubble-lines.ts'
import { createRandom } from '../../support/random.ts'
import { call, startTestService } from '../../support/start-service.ts'
import type { Answer, TestService } from '../../support/start-service.ts'
import { message } from '../../support/wire.ts'
import type { WireField } from '../../support/wire.ts'

const KEY = 'hunter2hunter2hunter2'
const INGEST = 'hunter3hunter3hunter3'
const lines = hubbleLines(createRandom(23), 300).map((line) => line.trimEnd())
let service: TestService
let next = 0

beforeAll(async () => {
  service = await startTestService({ FLOWFENCE_API_KEY: KEY, FLOWFENCE_INGEST_KEYS: `prod=${INGEST}` })
})

afterAll(() => service.stop())

/** Two flows that were not sent before. */
function two(): string[] {
  next += 2
  return lines.slice(next - 2, next)
}

interface Push {
  readonly path?: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Buffer
}

function send({ path = '/api/v1/ingest/flows', headers, body }: Push): Promise<Answer> {
  return call(`${service.url}${path}?backfill=true`, { method: 'POST', headers: { authorization: `Bearer ${INGEST}`, ...headers }, body: typeof body === 'string' ? body : new Uint8Array(body) })
}

/** The same batch twice, as after a lost answer: the first is stored, the second changes nothing. */
async function expectStoredOnce(push: Push, flows = 2): Promise<void> {
  const first = await send(push)
  expect([first.status, first.json]).toMatchObject([200, { received: flows, stored: flows, rejected: {}, ignored: {} }])
  expect((await send(push)).json).toMatchObject({ received: flows, stored: 0, duplicate: flows })
}

describe('fluent-bit, out_http', () => {
  const record = (line: string): object => ({ date: 1_767_225_600.25, log: `${line}\n`, stream: 'stdout', kubernetes: { pod_name: 'cilium-x2x9z', namespace_name: 'kube-system', host: 'node-1' } })
  const parsed = (line: string): object => ({ date: 1_767_225_600.25, ...JSON.parse(line) as object })

  test.each([
    ['Format json', 'application/json', (records: object[]) => JSON.stringify(records)],
    ['Format json_stream', 'application/json', (records: object[]) => records.map((r) => JSON.stringify(r)).join('')],
    ['Format json_lines', 'application/x-ndjson', (records: object[]) => records.map((r) => `${JSON.stringify(r)}\n`).join('')],
    ['Format json_lines before 3.0', 'application/json', (records: object[]) => records.map((r) => `${JSON.stringify(r)}\n`).join('')],
  ])('%s, plain and with Compress gzip, with and without a JSON parser', async (_name, type, write) => {
    const headers = { 'content-type': type, 'user-agent': 'Fluent-Bit' }
    await expectStoredOnce({ headers, body: write(two().map(record)) })
    await expectStoredOnce({ headers, body: write(two().map(parsed)) })
    await expectStoredOnce({ headers: { ...headers, 'content-encoding': 'gzip' }, body: gzipSync(write(two().map(record))) })
  })

  test('its default format is refused with what to set; 415 is no status that it retries', async () => {
    const answer = await send({ headers: { 'content-type': 'application/msgpack' }, body: Buffer.from([0x92]) })
    expect(answer.status).toBe(415)
  })
})

describe('Vector, http sink', () => {
  const event = (line: string): object => ({ file: '/var/run/cilium/hubble/events.log', host: 'vector-7xk2p', message: line, source_type: 'file', timestamp: '2026-01-01T00:00:00.25Z' })
  const array = (records: object[]): string => `[${records.map((r) => JSON.stringify(r)).join(',')}]`
  const ndjson = (records: object[]): string => records.map((r) => JSON.stringify(r)).join('\n')

  test('codec json: an array; with newline_delimited framing NDJSON; codec text: lines', async () => {
    await expectStoredOnce({ headers: { 'content-type': 'application/json' }, body: array(two().map(event)) })
    await expectStoredOnce({ headers: { 'content-type': 'application/x-ndjson' }, body: ndjson(two().map(event)) })
    await expectStoredOnce({ headers: { 'content-type': 'text/plain' }, body: two().join('\n') })
  })

  test.each([
    ['gzip', gzipSync],
    ['zlib', deflateSync, 'deflate'],
    ['zstd', zstdCompressSync],
  ])('compression %s', async (name, compress, encoding = name) => {
    await expectStoredOnce({ headers: { 'content-type': 'application/x-ndjson', 'content-encoding': encoding }, body: compress(ndjson(two().map(event))) })
  })

  test('compression snappy is refused with what is taken', async () => {
    const answer = await send({ headers: { 'content-type': 'application/x-ndjson', 'content-encoding': 'snappy' }, body: Buffer.from([1]) })
    expect(answer).toMatchObject({ status: 415, json: { detail: 'Content-Encoding "snappy" is not supported; send gzip, deflate or zstd, or none.' } })
  })

  test('its health check is a HEAD that must be answered 200', async () => {
    for (const path of ['/readyz', '/livez']) expect((await fetch(`${service.url}${path}`, { method: 'HEAD', headers: { authorization: `Bearer ${INGEST}` } })).status).toBe(200)
  })

  test.each(['deflate', 'zstd', 'gzip'])('a cut %s body stores nothing', async (encoding) => {
    const whole = { gzip: gzipSync, deflate: deflateSync, zstd: zstdCompressSync }[encoding] ?? gzipSync
    const bytes = whole(ndjson(two().map(event)))
    const answer = await send({ headers: { 'content-type': 'application/x-ndjson', 'content-encoding': encoding }, body: bytes.subarray(0, bytes.length - 20) })
    expect(answer.status).toBe(400)
    expect(answer.json.detail).toMatch(new RegExp(`^The body says Content-Encoding: ${encoding} but is not valid ${encoding} \\(.*\\). Nothing of it was stored.$`))
  })
})

describe('Fluentd, out_http', () => {
  const record = (line: string): object => ({ message: line, '@timestamp': '2026-01-01T00:00:00.250+00:00', host: 'node-1', tag: 'flowlogs' })

  test('NDJSON, an array with json_array, and compress gzip', async () => {
    await expectStoredOnce({ headers: { 'content-type': 'application/x-ndjson' }, body: two().map((l) => `${JSON.stringify(record(l))}\n`).join('') })
    await expectStoredOnce({ headers: { 'content-type': 'application/json' }, body: `[${two().map((l) => JSON.stringify(record(l))).join(',')}]` })
    await expectStoredOnce({ headers: { 'content-type': 'application/x-ndjson', 'content-encoding': 'gzip' }, body: gzipSync(two().map((l) => `${JSON.stringify(record(l))}\n`).join('')) })
  })
})

describe('Logstash, http output', () => {
  const event = (line: string): object => ({ '@timestamp': '2026-01-01T00:00:00.250Z', '@version': '1', message: line, host: { name: 'node-1' }, log: { file: { path: '/var/log/flows.log' } }, event: { original: line } })

  test('format json: one event per request; json_batch: an array; http_compression', async () => {
    await expectStoredOnce({ headers: { 'content-type': 'application/json' }, body: JSON.stringify(event(two()[0] ?? '')) }, 1)
    await expectStoredOnce({ headers: { 'content-type': 'application/json' }, body: JSON.stringify(two().map(event)) })
    await expectStoredOnce({ headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' }, body: gzipSync(JSON.stringify(two().map(event))) })
  })
})

test('curl and scripts that name no content type', async () => {
  await expectStoredOnce({ headers: { 'content-type': '' }, body: Buffer.from(two().join('\n')) })
})

describe('OpenTelemetry Collector, otlphttp exporter: POST /v1/logs', () => {
  const logRecord = (line: string): object => ({ timeUnixNano: '1767225600250000000', body: { stringValue: line }, attributes: [{ key: 'log.file.name', value: { stringValue: 'events.log' } }] })
  const request = (records: object[]): string => JSON.stringify({ resourceLogs: [{ resource: {}, scopeLogs: [{ scope: {}, logRecords: records }] }] })
  const protobuf = (texts: string[]): Buffer => message([1, [[2, texts.map((text): WireField => [2, [[5, [[1, text]]]]])]]])

  function export_(push: Omit<Push, 'path'>): Promise<Answer> {
    return send({ ...push, path: '/v1/logs' })
  }

  async function prodTotals(outcome: string): Promise<number> {
    const { rows } = await service.database.query<{ n: number }>('select coalesce(sum(records), 0)::integer as n from ingest_totals where outcome = $1', [outcome])
    return rows[0]?.n ?? 0
  }

  test.each([['none', (text: string) => Buffer.from(text)], ['gzip', gzipSync], ['zstd', zstdCompressSync], ['deflate', deflateSync]])('encoding json, compression %s: {} and the same again', async (name, compress) => {
    const stored = await prodTotals('stored')
    const push = { headers: { 'content-type': 'application/json', ...(name !== 'none' && { 'content-encoding': name }) }, body: compress(request(two().map(logRecord))) }
    for (let tries = 0; tries < 2; tries++) {
      const answer = await export_(push)
      expect([answer.status, answer.headers.get('content-type'), answer.json]).toEqual([200, 'application/json; charset=utf-8', {}])
    }
    expect(await prodTotals('stored')).toBe(stored + 2)
  })

  test('encoding proto, gzip: an empty ExportLogsServiceResponse', async () => {
    const stored = await prodTotals('stored')
    const answer = await export_({ headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'gzip' }, body: gzipSync(protobuf(two())) })
    expect([answer.status, answer.headers.get('content-type'), answer.text]).toEqual([200, 'application/x-protobuf', ''])
    expect(await prodTotals('stored')).toBe(stored + 2)
  })

  test('rejected records are a partial success, in JSON and in protobuf: the exporter logs it and does not send them again', async () => {
    const bad = '{"flow":{"time":"2026-01-01T00:00:00Z","verdict"'
    const json = await export_({ headers: { 'content-type': 'application/json' }, body: request([...two(), bad].map(logRecord)) })
    expect(json).toMatchObject({ status: 200, json: { partialSuccess: { rejectedLogRecords: '1', errorMessage: expect.stringMatching(/^[a-z-]+: /) } } })
    const proto = await fetch(`${service.url}/v1/logs`, { method: 'POST', headers: { 'x-api-key': INGEST, 'content-type': 'application/x-protobuf' }, body: new Uint8Array(protobuf([`${bad} `])) })
    const bytes = Buffer.from(await proto.arrayBuffer())
    // partial_success { rejected_log_records: 1, error_message: … }
    expect([proto.status, bytes[0], bytes[2], bytes[3], bytes[4]]).toEqual([200, 0x0a, 0x08, 1, 0x12])
    expect(bytes.subarray(6).toString()).toMatch(/^[a-z-]+: /)
  })

  test('a request of many records is larger than one line may be, and is read all the same', async () => {
    const [first = '{}'] = two()
    const texts = Array.from({ length: 3_000 }, (_, i) => first.replace(/"uuid":"[^"]*"/, `"uuid":"${i.toString(16).padStart(8, '0')}-aaaa-4000-8000-000000000000"`))
    const body = request(texts.map(logRecord))
    expect(body.length).toBeGreaterThan(1 << 21)
    expect(await export_({ headers: { 'content-type': 'application/json' }, body })).toMatchObject({ status: 200, json: {} })
    expect((await send({ headers: { 'content-type': 'application/json' }, body })).json).toMatchObject({ received: 3_000, duplicate: 3_000 })
  })

  test('a request over the limit of one value is refused as a google.rpc.Status', async () => {
    const body = `{"resourceLogs":[${' '.repeat(17 << 20)}]}`
    expect(await export_({ headers: { 'content-type': 'application/json' }, body })).toMatchObject({
      status: 413, json: { code: 3, message: 'This OTLP request is larger than 16777216 bytes (decompressed): let the sender make smaller batches.' },
    })
    const proto = await fetch(`${service.url}/v1/logs`, { method: 'POST', headers: { 'x-api-key': INGEST, 'content-type': 'application/x-protobuf', 'content-encoding': 'gzip' }, body: new Uint8Array(gzipSync(Buffer.alloc(17 << 20))) })
    expect([proto.status, proto.headers.get('content-type')]).toEqual([413, 'application/x-protobuf'])
    expect(Buffer.from(await proto.arrayBuffer()).subarray(0, 3)).toEqual(Buffer.from([0x08, 3, 0x12]))
  })

  test('an empty request and one of another type', async () => {
    expect(await export_({ headers: { 'content-type': 'application/x-protobuf' }, body: '' })).toMatchObject({ status: 200, text: '' })
    expect(await export_({ headers: { 'content-type': 'text/plain' }, body: 'x' })).toMatchObject({ status: 415, json: { code: 3 } })
  })
})
