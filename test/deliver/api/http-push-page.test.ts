/** The configurations in docs/http-push.md, read as their programs read them and replayed as requests. */
import { readFileSync } from 'node:fs'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { parse } from 'yaml'
import { loadConfig } from '../../../src/config/load-config.ts'
import { hubbleLines } from '../../support/hubble-lines.ts'
import { createRandom } from '../../support/random.ts'
import { call, startTestService } from '../../support/start-service.ts'
import type { Answer, TestService } from '../../support/start-service.ts'

const PAGE = readFileSync(new URL('../../../docs/http-push.md', import.meta.url), 'utf8')
const KEY = 'hunter3hunter3hunter3'
const lines = hubbleLines(createRandom(41), 20).map((line) => line.trimEnd())
let service: TestService

beforeAll(async () => {
  service = await startTestService({ FLOWFENCE_API_KEY: 'hunter2hunter2hunter2', FLOWFENCE_INGEST_KEYS: `prod=${KEY}` })
})

afterAll(() => service.stop())

function snippet(program: string): string {
  const found = new RegExp(`\`\`\`(?:yaml|text)\\n# ${program}\\n([^]*?)\`\`\``).exec(PAGE)?.[1]
  if (found === undefined) throw new Error(`docs/http-push.md has no configuration of ${program}.`)
  return found.replace(/\$\{(?:env:)?FLOWFENCE_INGEST_KEY\}|#\{ENV\['FLOWFENCE_INGEST_KEY'\]\}/g, KEY)
}

function settings(program: string): Record<string, never> {
  return parse(snippet(program)) as Record<string, never>
}

/** What a text configuration says behind a name. */
function said(text: string, name: string): string {
  return new RegExp(`^\\s*${name}(?: =>)? "?([^"\\n]+?)"?$`, 'm').exec(text)?.[1] ?? ''
}

interface Push {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Buffer
}

async function expectTaken({ url, headers, body }: Push): Promise<Answer> {
  const { pathname } = new URL(url)
  const answer = await call(`${service.url}${pathname}?backfill=true`, { method: 'POST', headers, body: typeof body === 'string' ? body : new Uint8Array(body) })
  expect(answer.status).toBe(200)
  return answer
}

describe('docs/http-push.md', () => {
  test('fluent-bit', async () => {
    const [output] = (settings('fluent-bit') as unknown as { pipeline: { outputs: Record<string, string>[] } }).pipeline.outputs
    expect(output).toMatchObject({ name: 'http', format: 'json_lines', compress: 'gzip', retry_limit: 'no_limits' })
    const [name = '', value = ''] = (output?.header ?? '').split(' ')
    const body = gzipSync(lines.slice(0, 2).map((line) => `${JSON.stringify({ date: 1_767_225_600.25, log: line })}\n`).join(''))
    const answer = await expectTaken({ url: `https://x${output?.uri ?? ''}`, headers: { [name]: value, 'content-type': 'application/x-ndjson', 'content-encoding': 'gzip' }, body })
    expect(answer.json).toMatchObject({ stored: 2 })
  })

  test('Vector', async () => {
    const { flowfence: sink } = (settings('vector') as unknown as { sinks: Record<string, { uri: string; compression: string; framing: { method: string }; request: { headers: Record<string, string> }; healthcheck: { uri: string } }> }).sinks
    expect(sink).toMatchObject({ type: 'http', encoding: { codec: 'json' }, framing: { method: 'newline_delimited' }, compression: 'zstd' })
    const body = zstdCompressSync(lines.slice(2, 4).map((line) => JSON.stringify({ message: line, source_type: 'file' })).join('\n'))
    const answer = await expectTaken({ url: sink?.uri ?? '', headers: { ...sink?.request.headers, 'content-type': 'application/x-ndjson', 'content-encoding': 'zstd' }, body })
    expect(answer.json).toMatchObject({ stored: 2 })
    expect((await fetch(`${service.url}${new URL(sink?.healthcheck.uri ?? '').pathname}`, { method: 'HEAD' })).status).toBe(200)
  })

  test('OpenTelemetry Collector', async () => {
    const { otlphttp } = (settings('otel') as unknown as { exporters: Record<string, { endpoint: string; headers: Record<string, string> }> }).exporters
    expect(otlphttp).toMatchObject({ encoding: 'json', compression: 'gzip' })
    const body = gzipSync(JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: lines.slice(4, 6).map((line) => ({ body: { stringValue: line } })) }] }] }))
    const answer = await expectTaken({ url: `${otlphttp?.endpoint ?? ''}/v1/logs`, headers: { ...otlphttp?.headers, 'content-type': 'application/json', 'content-encoding': 'gzip' }, body })
    expect(answer.json).toEqual({})
  })

  test('Fluentd', async () => {
    const text = snippet('fluentd')
    expect(said(text, 'retryable_response_codes').split(',')).toEqual(expect.arrayContaining(['408', '429', '503']))
    const headers = JSON.parse(/^\s*headers (\{.*\})$/m.exec(text)?.[1] ?? '') as Record<string, string>
    const answer = await expectTaken({ url: said(text, 'endpoint'), headers: { ...headers, 'content-type': 'application/x-ndjson' }, body: lines.slice(6, 8).map((line) => `${JSON.stringify({ message: line })}\n`).join('') })
    expect(answer.json).toMatchObject({ stored: 2 })
  })

  test('Logstash', async () => {
    const text = snippet('logstash')
    expect([said(text, 'format'), said(text, 'http_compression')]).toEqual(['json_batch', 'true'])
    const [, name = '', value = ''] = /headers => \{ "([^"]+)" => "([^"]+)" \}/.exec(text) ?? []
    const body = gzipSync(JSON.stringify(lines.slice(8, 10).map((line) => ({ '@version': '1', message: line }))))
    const answer = await expectTaken({ url: said(text, 'url'), headers: { [name]: value, 'content-type': 'application/json', 'content-encoding': 'gzip' }, body })
    expect(answer.json).toMatchObject({ stored: 2 })
  })

  test('Goldmane: the emitter\'s side points at the path, flowfence\'s side is a valid configuration (the exchange itself: ingest-tls.test.ts)', () => {
    const environment = Object.fromEntries((settings('goldmane') as unknown as { name: string; value: string }[]).map(({ name, value }) => [name, value]))
    expect(new URL(environment.PUSH_URL ?? '')).toMatchObject({ protocol: 'https:', pathname: '/api/v1/ingest/flows', hostname: environment.SERVER_NAME })
    const own = /```text\n(FLOWFENCE_TLS_CERT_FILE[^]*?)```/.exec(PAGE)?.[1] ?? ''
    const { config, problems, warnings } = loadConfig(Object.fromEntries(own.trim().split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)])))
    expect([problems, warnings]).toEqual([[], []])
    expect(config?.ingestClients).toEqual([{ identity: 'goldmane', cluster: 'prod' }])
  })

  test('names only settings that exist', () => {
    const names = new Set(PAGE.match(/FLOWFENCE_[A-Z_]+/g))
    names.delete('FLOWFENCE_INGEST_KEY')
    const { warnings } = loadConfig({})
    expect(warnings).toEqual([])
    const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8')
    for (const name of names) expect(readme).toContain(`| \`${name}\` |`)
  })
})
