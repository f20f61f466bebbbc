import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { hubbleLines } from '../../support/hubble-lines.ts'
import { createRandom } from '../../support/random.ts'
import { call, startTestService } from '../../support/start-service.ts'
import type { TestService } from '../../support/start-service.ts'

let service: TestService
const get = (path: string) => call(`${service.url}${path}`)
const POLICY = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'deny', namespace: 'shop' }, spec: { podSelector: {}, policyTypes: ['Ingress'] } }

beforeAll(async () => {
  service = await startTestService()
})

afterAll(() => service.stop())

describe('before anything was stored', () => {
  test.each(['/api/v1/namespaces', '/api/v1/workloads', '/api/v1/edges', '/api/v1/recommendations/saved'])('GET %s is an empty page', async (path) => {
    expect(await get(path)).toMatchObject({ status: 200, json: { cluster: 'test', items: [] } })
  })

  test('a recommendation has no policies', async () => {
    expect((await get('/api/v1/recommendations')).json).toMatchObject({ schema: 'flowfence.recommendation/v1', policies: [], window: { since: null, until: null } })
  })
})

describe('observed traffic', () => {
  beforeAll(async () => {
    await call(`${service.url}/api/v1/ingest/flows?backfill=true`, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body: hubbleLines(createRandom(3), 300).join('') })
  })

  test('namespaces count their workloads and edges', async () => {
    const { json } = await get('/api/v1/namespaces')
    expect(json.items).toMatchObject([{ name: 'kube-system', workloads: 1 }, { name: 'shop', workloads: 5 }])
  })

  test('workloads, narrowed to a namespace', async () => {
    const { json } = await get('/api/v1/workloads?namespace=kube-system')
    expect(json.items).toMatchObject([{ namespace: 'kube-system', workload: { kind: 'Deployment', name: 'dns' }, labelSets: [{ app: 'dns' }] }])
  })

  test('pages of edges join to the whole list, without gap or repetition', async () => {
    const whole = (await get('/api/v1/edges?limit=1000')).json.items as unknown[]
    expect(whole.length).toBeGreaterThan(60)
    const joined: unknown[] = []
    let cursor = ''
    for (let pages = 0; pages < 100; pages++) {
      const { json } = await get(`/api/v1/edges?limit=17${cursor === '' ? '' : `&cursor=${cursor}`}`)
      joined.push(...json.items as unknown[])
      if (json.nextCursor === undefined) break
      cursor = json.nextCursor as string
    }
    expect(joined).toEqual(whole)
  })

  test('edges, narrowed to a range and a namespace', async () => {
    const early = (await get('/api/v1/edges?limit=1000&until=2026-01-01T00:10:00Z')).json.items as { firstSeen: string }[]
    expect(early.length).toBeGreaterThan(0)
    expect(early.every((e) => e.firstSeen < '2026-01-01T00:10:00Z')).toBe(true)
    const dns = (await get('/api/v1/edges?limit=1000&namespace=kube-system')).json.items as { from: { namespace?: string }; to: { namespace?: string } }[]
    expect(dns.every((e) => e.from.namespace === 'kube-system' || e.to.namespace === 'kube-system')).toBe(true)
  })

  test('a recommendation is computed, sound and tight, and the same bytes each time', async () => {
    const first = await get('/api/v1/recommendations?namespace=shop')
    expect(first.json).toMatchObject({ certificate: { sound: true, tight: true } })
    expect((first.json.policies as unknown[]).length).toBeGreaterThan(0)
    expect((await get('/api/v1/recommendations?namespace=shop')).text).toBe(first.text)
  })

  test('check takes policies as objects, as YAML text and as a YAML body, with the same result', async () => {
    const send = (body: string, type: string, query = '') => call(`${service.url}/api/v1/check${query}`, { method: 'POST', headers: { 'content-type': type }, body })
    const yaml = JSON.stringify(POLICY)
    const objects = await send(JSON.stringify({ policies: [POLICY], namespace: 'shop' }), 'application/json')
    expect(objects.json).toMatchObject({ schema: 'flowfence.check/v1', inputErrors: [] })
    expect((objects.json.totals as { denied: number }).denied).toBeGreaterThan(0)
    expect((await send(JSON.stringify({ policies: yaml, namespace: 'shop' }), 'application/json')).text).toBe(objects.text)
    expect((await send(`# a comment\n${yaml}`, 'application/yaml', '?namespace=shop')).text).toBe(objects.text)
  })

  test('check lists unusable policies among good ones, and refuses when none is usable', async () => {
    const send = (policies: unknown) => call(`${service.url}/api/v1/check`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ policies }) })
    const bad = { ...POLICY, metadata: { name: 'bad', namespace: 'shop' }, spec: { podSelector: {}, ingress: [{ ports: [{ port: 99999 }] }] } }
    expect((await send([POLICY, bad])).json.inputErrors).toMatchObject([{ file: 'body', message: expect.stringContaining('spec.ingress[0].ports[0].port') }])
    expect(await send([bad])).toMatchObject({ status: 422, json: { code: 'input-unusable' } })
  })

  test('saved recommendations are listed newest first and given byte for byte', async () => {
    const { rows } = await service.database.query<{ id: number }>('select id from clusters')
    for (const i of [1, 2, 3]) {
      await service.database.query('insert into recommendations (cluster_id, created_at, schema, content_digest, document) values ($1, $2, $3, $4, $5)',
        [rows[0]?.id, `2026-01-0${i}T00:00:00Z`, 'flowfence.recommendation/v1', `digest${i}`, `{"n":  ${i}}`])
    }
    const first = await get('/api/v1/recommendations/saved?limit=2')
    expect(first.json.items).toMatchObject([{ contentDigest: 'digest3', createdAt: '2026-01-03T00:00:00Z' }, { contentDigest: 'digest2' }])
    const second = await get(`/api/v1/recommendations/saved?limit=2&cursor=${String(first.json.nextCursor)}`)
    expect(second.json).toMatchObject({ items: [{ contentDigest: 'digest1' }] })
    expect(second.json.nextCursor).toBeUndefined()
    const saved = await get((first.json.items as { href: string }[])[0]?.href ?? '')
    expect({ text: saved.text, etag: saved.headers.get('etag') }).toEqual({ text: '{"n":  3}', etag: '"digest3"' })
  })
})

describe('requests that are not valid', () => {
  test.each([
    ['/api/v1/edges?since=yesterday', 400, 'The query parameter "since" is "yesterday", but must be a time such as 2026-01-01T00:00:00Z.'],
    ['/api/v1/edges?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z', 400, '"since" (2026-01-02T00:00:00Z) is not before "until" (2026-01-01T00:00:00Z).'],
    ['/api/v1/edges?limit=0', 400, 'The query parameter "limit" is "0", but must be a whole number from 1 to 1000.'],
    ['/api/v1/edges?cursor=abc', 400, 'The query parameter "cursor" is not one that this service gave out.'],
    ['/api/v1/edges?namespace=a&namespace=b', 400, 'Give the query parameter "namespace" once.'],
    ['/api/v1/recommendations?namespace=typo', 404, 'No flow of namespace "typo" was observed in this range. GET /api/v1/namespaces lists those that were.'],
    ['/api/v1/workloads?namespace=', 400, 'The query parameter "namespace" is empty; leave it out instead.'],
    ['/api/v1/namespaces?namespace=shop', 400, 'There is no query parameter "namespace" here; possible are cluster, cursor, limit, since, until.'],
    ['/api/v1/edges?cluster=other', 404, 'There is no cluster "other"; known: test.'],
    ['/api/v1/recommendations/saved/99', 404, 'There is no saved recommendation "99" of cluster "test".'],
    ['/api/v1/recommendations/saved/x', 404, 'There is no saved recommendation "x" of cluster "test".'],
    ['/nothing', 404, 'There is nothing at /nothing. GET / lists what there is.'],
    ['/api/v1/recommendations/saved/%zz', 400, 'The request path is not valid percent-encoding.'],
  ])('GET %s', async (path, status, detail) => {
    const answer = await get(path)
    expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8')
    expect(answer.json).toMatchObject({ status, detail })
  })

  test.each([
    ['not JSON', '{', 'The body is not valid JSON: '],
    ['not an object', '[]', 'The body must be a JSON object such as {"policies": [...]}.'],
    ['no policies', '{}', 'The field "policies" must be an array of NetworkPolicy objects, or YAML text.'],
    ['an unknown field', '{"policies":[],"polices":1}', 'There is no field "polices"; possible are policies, cluster, since, until, namespace, includeDenied.'],
    ['a bad time', '{"policies":[],"since":"x"}', 'The field "since" is "x", but must be a time such as 2026-01-01T00:00:00Z.'],
    ['a bad flag', '{"policies":[],"includeDenied":1}', 'The field "includeDenied" must be true or false.'],
    ['an empty body', '', 'The body is empty. Send policies as JSON or YAML.'],
  ])('check: %s', async (_name, body, detail) => {
    const answer = await call(`${service.url}/api/v1/check`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    expect(answer).toMatchObject({ status: 400, json: { detail: expect.stringContaining(detail) } })
  })

  test('a method that is not there gets 405 with the ones that are', async () => {
    const answer = await call(`${service.url}/api/v1/edges`, { method: 'DELETE' })
    expect(answer).toMatchObject({ status: 405, json: { code: 'method-not-allowed', detail: '/api/v1/edges takes GET, HEAD, not DELETE.' } })
    expect(answer.headers.get('allow')).toBe('GET, HEAD')
    expect((await call(`${service.url}/api/v1/ingest/flows`)).headers.get('allow')).toBe('POST')
  })
})

test('GET / lists every endpoint as inert HTML', async () => {
  const { status, headers, text } = await get('/')
  expect(status).toBe(200)
  expect(headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'")
  for (const path of ['/api/v1/ingest/flows', '/api/v1/edges', '/readyz', '/metrics']) expect(text).toContain(path)
  expect(text).not.toContain('<script')
})

test('a flood of questions is answered or told to come again, never all computed at once', async () => {
  const answers = await Promise.all(Array.from({ length: 120 }, () => get('/api/v1/edges?limit=1')))
  const refused = answers.filter((a) => a.status === 503)
  expect(answers.filter((a) => a.status === 200).length).toBeGreaterThanOrEqual(66)
  expect(refused.length + answers.filter((a) => a.status === 200).length).toBe(120)
  for (const answer of refused) expect([answer.json.code, answer.headers.get('retry-after')]).toEqual(['unavailable', '5'])
  expect((await get('/api/v1/edges?limit=1')).status).toBe(200)
})
