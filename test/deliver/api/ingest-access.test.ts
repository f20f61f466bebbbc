import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { hubbleLines } from '../../support/hubble-lines.ts'
import { createRandom } from '../../support/random.ts'
import { call, startTestService } from '../../support/start-service.ts'
import type { Answer, TestService } from '../../support/start-service.ts'

const KEY = 'hunter2hunter2hunter2'
const PROD = 'hunter3hunter3hunter3'
const PROD_NEXT = 'hunter4hunter4hunter4'
const LAB = 'hunter5hunter5hunter5'
const lines = hubbleLines(createRandom(11), 40)
let service: TestService

beforeAll(async () => {
  service = await startTestService({ FLOWFENCE_API_KEY: KEY, FLOWFENCE_INGEST_KEYS: `prod=${PROD},lab=${LAB},prod=${PROD_NEXT}` })
})

afterAll(() => service.stop())

function push(key: string, body: string): Promise<Answer> {
  return call(`${service.url}/api/v1/ingest/flows?backfill=true`, { method: 'POST', headers: { 'content-type': 'application/x-ndjson', 'x-api-key': key }, body })
}

async function storedByCluster(of = service): Promise<Record<string, number>> {
  const { rows } = await of.database.query<{ name: string; n: number }>(
    'select c.name, sum(t.records)::integer as n from ingest_totals t join clusters c on c.id = t.cluster_id where t.outcome = \'stored\' group by c.name',
  )
  return Object.fromEntries(rows.map(({ name, n }) => [name, n]))
}

describe('ingest keys', () => {
  test('every key pushes into its cluster, the full key into the service\'s own', async () => {
    expect((await push(PROD, lines.slice(0, 3).join(''))).json).toMatchObject({ stored: 3 })
    expect((await push(LAB, lines.slice(0, 2).join(''))).json).toMatchObject({ stored: 2 })
    expect((await push(KEY, lines[0] ?? '')).json).toMatchObject({ stored: 1 })
    expect(await storedByCluster()).toEqual({ prod: 3, lab: 2, test: 1 })
  })

  test('a second key of a cluster is the same cluster: what the first one stored is known', async () => {
    expect((await push(PROD_NEXT, lines.slice(0, 4).join(''))).json).toMatchObject({ stored: 1, duplicate: 3 })
  })

  test('first bodies of a new cluster at the same time make one cluster', async () => {
    const fresh = await startTestService({ FLOWFENCE_API_KEY: KEY, FLOWFENCE_INGEST_KEYS: `new=${PROD}` })
    const answers = await Promise.all(lines.map((body) => call(`${fresh.url}/api/v1/ingest/flows?backfill=true`, { method: 'POST', headers: { 'content-type': 'application/x-ndjson', 'x-api-key': PROD }, body })))
    expect(answers.map((a) => a.json.stored)).toEqual(lines.map(() => 1))
    expect((await fresh.database.query('select name from clusters order by name')).rows).toEqual([{ name: 'new' }, { name: 'test' }])
    await fresh.stop()
  })

  test.each(['/', '/api/v1/edges', '/api/v1/namespaces', '/metrics', '/api/v1/dead-letters', '/api/v1/ingest/status', '/nothing'])('may not read %s', async (path) => {
    const answer = await call(`${service.url}${path}`, { headers: { authorization: `Bearer ${PROD}` } })
    expect(answer).toMatchObject({ status: 403, json: { detail: 'This credential (ingest-key of prod) may push flows and nothing else. Present FLOWFENCE_API_KEY for anything else.' } })
  })

  test('may not replace the cluster state', async () => {
    const answer = await call(`${service.url}/api/v1/state`, { method: 'PUT', headers: { 'x-api-key': LAB, 'content-type': 'application/json' }, body: '{}' })
    expect(answer.status).toBe(403)
  })

  test('both paths of ingest and the open ones answer them', async () => {
    const otlp = await call(`${service.url}/v1/logs`, { method: 'POST', headers: { 'x-api-key': PROD, 'content-type': 'application/json' }, body: '{"resourceLogs":[]}' })
    expect(otlp).toMatchObject({ status: 200, json: {} })
    expect((await call(`${service.url}/readyz`, { headers: { 'x-api-key': PROD } })).status).toBe(200)
  })

  test('a wrong key is refused, on the path of OTLP in its own words', async () => {
    expect(await push('hunter6hunter6hunter6', lines[0] ?? '')).toMatchObject({ status: 401, json: { detail: 'The presented key is not a key of this service.' } })
    const otlp = await call(`${service.url}/v1/logs`, { method: 'POST', headers: { 'x-api-key': 'hunter6hunter6hunter6', 'content-type': 'application/json' }, body: '{}' })
    expect(otlp).toMatchObject({ status: 401, json: { code: 16, message: 'The presented key is not a key of this service.' } })
  })

  test('keys are in no log line and no metric; kinds of credentials are', async () => {
    const { text } = await call(`${service.url}/metrics`, { headers: { 'x-api-key': KEY } })
    for (const secret of [KEY, PROD, PROD_NEXT, LAB, 'hunter6']) {
      expect(service.log()).not.toContain(secret)
      expect(text).not.toContain(secret)
    }
    expect(service.log()).toContain('"principal":"ingest-key of prod","cluster":"prod"')
    expect(text).toMatch(/flowfence_ingest_bodies_total\{principal="ingest-key",outcome="ingested"\} \d/)
    expect(text).toMatch(/flowfence_http_refused_total\{reason="scope"\} \d/)
    expect(text).not.toContain('prod')
  })
})

test('without a full key, on loopback: an ingest key pushes into its cluster, no key into the service\'s own, a wrong one nowhere', async () => {
  const open = await startTestService({ FLOWFENCE_INGEST_KEYS: `prod=${PROD}` })
  const send = (headers: Record<string, string>): Promise<Answer> =>
    call(`${open.url}/api/v1/ingest/flows?backfill=true`, { method: 'POST', headers: { 'content-type': 'application/x-ndjson', ...headers }, body: lines[0] ?? '' })
  expect((await send({ 'x-api-key': PROD })).json).toMatchObject({ stored: 1 })
  expect((await send({})).json).toMatchObject({ stored: 1 })
  expect((await send({ 'x-api-key': KEY })).status).toBe(401)
  expect(await storedByCluster(open)).toEqual({ prod: 1, test: 1 })
  await open.stop()
})
