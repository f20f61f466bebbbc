import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { retain } from '../../../src/pipeline/retain.ts'
import { START_US } from '../../support/flow-records.ts'
import { hubbleLines } from '../../support/hubble-lines.ts'
import { createRandom } from '../../support/random.ts'
import { call, startTestService } from '../../support/start-service.ts'
import type { Answer, TestService } from '../../support/start-service.ts'

let service: TestService
const lines = hubbleLines(createRandom(7), 60)
const LOST = '{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"7"},"node_name":"node-1","time":"2026-01-01T00:10:00Z"}\n'
const BAD = ['{"a":1}\n', 'not a record\n', '{"b":2}\n', `${JSON.stringify({ c: 'x'.repeat(9000) })}\n`]

beforeAll(async () => {
  service = await startTestService({ FLOWFENCE_MAX_DEAD_LETTERS_PER_MINUTE: '3' })
  await push([...lines, LOST, '\n', ...BAD].join(''))
  await push(lines.join(''))
})
afterAll(() => service.stop())

function push(body: string): Promise<Answer> {
  return call(`${service.url}/api/v1/ingest/flows?backfill=true`, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body })
}

function get(path: string): Promise<Answer> {
  return call(`${service.url}/api/v1/${path}`)
}

describe('GET /api/v1/ingest/status', () => {
  test('says what became of everything received, by source, format and reason, and that it adds up', async () => {
    const { status, json } = await get('ingest/status')
    expect(status).toBe(200)
    const rejected = { 'unknown-format': 3, 'malformed-json': 1 }
    const ignored = { blank: 1, control: 1 }
    expect(json).toMatchObject({
      schema: 'flowfence.ingest-status/v1', cluster: 'test',
      totals: { received: 126, stored: 60, duplicate: 60, rejected, ignored },
      conservation: { holds: true, statement: 'received = stored + duplicate + rejected + ignored, per source' },
      sources: [{ source: 'http', received: 126, accounted: 126, isIdle: false }],
      bySource: [
        { source: 'http', format: 'hubble', received: 121, stored: 60, duplicate: 60, rejected: {}, ignored: { control: 1 } },
        { source: 'http', format: 'unknown', received: 5, stored: 0, duplicate: 0, rejected, ignored: { blank: 1 } },
      ],
      deadLetters: { kept: 3, complete: 3, notKept: 1 },
    })
    const [source] = json.sources as { newestFlow: string }[]
    expect(source?.newestFlow).toBe((JSON.parse(lines.at(-1) ?? '') as { time: string }).time.replace(/0*\d{3}Z$/, (end) => `${end.slice(0, -4)}Z`).replace(/\.?0*Z$/, 'Z'))
    expect(json.watermark).toBe(source?.newestFlow)
  })

  test('housekeeping changes nothing of it', async () => {
    const before = (await get('ingest/status')).text
    const { rows } = await service.database.query<{ id: number }>('select id from clusters')
    await retain(service.database, rows[0]?.id ?? 0, START_US)
    expect((await get('ingest/status')).text).toBe(before)
    expect((await service.database.query('select 1 from ingest_received')).rowCount).toBe(1)
  })

  test('lists signs of incomplete observation of a range', async () => {
    const lost = { type: 'lost-events', at: '2026-01-01T00:10:00Z', node: 'node-1', lost: 7, detail: 'PERF_EVENT_RING_BUFFER' }
    const shown = async (query: string): Promise<unknown> => (await get(`ingest/status${query}`)).json.coverage
    expect(await shown('')).toMatchObject({ counts: { 'lost-events': 1, gap: 0 }, eventsLost: 7, newest: [lost] })
    expect(await shown('?since=2026-01-01T00:10:00Z&until=2026-01-01T00:10:01Z')).toMatchObject({ window: { since: '2026-01-01T00:10:00Z' }, newest: [lost] })
    expect(await shown('?until=2026-01-01T00:10:00Z')).toMatchObject({ counts: { 'lost-events': 0 }, eventsLost: 0, newest: [] })
    expect(await shown('?limit=0')).toMatchObject({ counts: { 'lost-events': 1 }, newest: [] })
  })

  test('a silence is found when what comes after it is there, and is gone when what was missing arrives late', async () => {
    const at = (hour: number): string => hubbleLines(createRandom(hour), 60).join('').replaceAll('2026-01-01T0', `2026-01-02T${hour === 6 ? '0' : '1'}`).replaceAll('"uuid":"', `"uuid":"${hour}-`)
    await push(at(16))
    const gaps = async (): Promise<unknown[]> => ((await get('ingest/status')).json.coverage as { newest: { type: string }[] }).newest.filter((e) => e.type === 'gap')
    const before = await gaps()
    expect(before).toHaveLength(1)
    expect(before).toMatchObject([{ type: 'gap', detail: 'hubble', node: '', lost: 0 }])
    await push(at(6))
    expect(await gaps()).toHaveLength(2)
  })

  test('refuses what it does not know', async () => {
    expect((await get('ingest/status?cluster=nowhere')).status).toBe(404)
    expect((await get('ingest/status?format=hubble')).status).toBe(400)
    expect((await get('ingest/status?limit=1001')).status).toBe(400)
  })
})

describe('GET /api/v1/dead-letters', () => {
  test('pages through refused records, newest first, with position, reason and text', async () => {
    const first = await get('dead-letters?limit=2')
    expect(first.json).toMatchObject({
      cluster: 'test', items: [
        { source: 'http', line: 65, reason: 'unknown-format', format: 'unknown', sample: '{"b":2}', isComplete: true, tries: 0 },
        { source: 'http', line: 64, reason: 'malformed-json', sample: 'not a record', isComplete: true },
      ],
    })
    const second = await get(`dead-letters?limit=2&cursor=${String(first.json.nextCursor)}`)
    expect(second.json).toMatchObject({ items: [{ line: 63, sample: '{"a":1}' }] })
    expect(second.json.nextCursor).toBeUndefined()
  })

  test('by reason, source and format', async () => {
    const count = async (query: string): Promise<number> => ((await get(`dead-letters?${query}`)).json.items as unknown[]).length
    expect([await count('reason=malformed-json'), await count('reason=bad-port'), await count('source=http'), await count('source=x'), await count('format=unknown'), await count('format=gke')])
      .toEqual([1, 0, 3, 0, 3, 0])
  })

  test('a cursor of another list is refused', async () => {
    const cursor = Buffer.from('k1:shop').toString('base64url')
    expect((await get(`dead-letters?cursor=${cursor}`)).status).toBe(400)
  })
})

test('the metrics tell coverage, dead letters and limits', async () => {
  const { text } = await call(`${service.url}/metrics`)
  expect(text).toContain('flowfence_ingest_coverage_events_total{type="lost-events"} 1')
  expect(text).toContain('flowfence_ingest_events_lost_total 7')
  expect(text).toContain('flowfence_ingest_dead_letters_total{kept="yes"} 3')
  expect(text).toContain('flowfence_ingest_dead_letters_total{kept="no"} 1')
  expect(text).toContain('flowfence_ingest_limited_records_total{limit="dead-letters"} 1')
})
