import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { clusterBase, podObject, timeText } from '../../support/cluster-objects.ts'
import { call, startTestService } from '../../support/start-service.ts'
import type { Answer, TestService } from '../../support/start-service.ts'

let service: TestService
const path = (cluster = 'test', query = ''): string => `${service.url}/api/v1/clusters/${cluster}/state${query}`
const put = (body: string, query = '', type = 'application/json', cluster = 'test'): Promise<Answer> => call(path(cluster, query), { method: 'PUT', headers: { 'content-type': type }, body })
const STATE = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [...clusterBase(), podObject('web', { ip: '10.244.0.7', created: 0, labels: { app: 'web' } })] })

beforeAll(async () => {
  service = await startTestService()
})

afterAll(() => service.stop())

describe('PUT and GET /api/v1/clusters/{cluster}/state', () => {
  test('before anything was stored nothing is known', async () => {
    expect((await call(path())).json).toEqual({ cluster: 'test', confirmedUntil: null, objects: {}, versions: 0, moments: 0, latest: [] })
  })

  test('a List is stored; the same again changes nothing', async () => {
    const query = `?at=${timeText(60)}`
    expect(await put(STATE, query)).toMatchObject({ status: 200, json: { cluster: 'test', at: timeText(60), added: 4, changed: 0, ended: 0, isKnown: false, objects: { Pod: 1 }, problems: [], unread: [] } })
    expect((await put(STATE, query)).json).toMatchObject({ added: 0, isKnown: true })
    expect((await call(path())).json).toEqual({
      cluster: 'test', confirmedUntil: timeText(60), objects: { Namespace: 1, Node: 1, Pod: 1, Service: 1 }, versions: 4, moments: 1,
      latest: [{ source: 'api', from: timeText(60), until: timeText(60), objects: 4, isComplete: true }],
    })
  })

  test('YAML, without a time: now; problems are named per object', async () => {
    const yaml = 'apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, uid: uid-web}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: bad, namespace: shop, labels: {a: 5}}\n'
    const { status, json } = await put(yaml, '', 'application/yaml')
    expect([status, json.problems]).toMatchObject([200, [{ object: 1, name: 'Pod shop/bad', field: 'metadata.labels.a', message: 'Invalid value: 5: must be a string: quote it' }]])
    expect(Date.now() - Date.parse(json.at as string)).toBeLessThan(60_000)
  })

  test('another cluster than the service\'s own is refused', async () => {
    expect(await put(STATE, '', 'application/json', 'other')).toMatchObject({ status: 404, json: { code: 'not-found' } })
    expect((await call(path('other'))).status).toBe(404)
  })

  test('what is unusable says so', async () => {
    expect(await put('{"kind":', '')).toMatchObject({ status: 400 })
    expect(await put('', '')).toMatchObject({ status: 400 })
    expect(await put('a: [', '', 'application/yaml')).toMatchObject({ json: { code: 'input-unusable', detail: expect.stringMatching(/^The body holds no Kubernetes object: line \d+: document 1: not valid YAML: /) } })
    expect(await put('{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"}}')).toMatchObject({ json: { code: 'input-unusable' } })
    expect(await put(STATE, '?at=yesterday')).toMatchObject({ status: 400, json: { detail: expect.stringContaining('"at" is "yesterday"') } })
    expect(await put(STATE, '?at=2099-01-01T00:00:00Z')).toMatchObject({ status: 400, json: { detail: expect.stringContaining('lies in the future') } })
    expect(await put(STATE, '?when=now')).toMatchObject({ status: 400 })
    expect((await put(STATE, '', 'text/csv')).status).toBe(415)
    expect(await put(JSON.stringify(podObject('other', {})), `?at=${timeText(60)}`)).toMatchObject({ status: 409 })
    expect(await call(path(), { method: 'POST' })).toMatchObject({ status: 405 })
  })

  test('a body over the limit is refused whole', async () => {
    const small = await startTestService({ FLOWFENCE_BODY_LIMIT: '2KiB' }, service.database).catch(() => undefined)
    if (small === undefined) throw new Error('the service did not start')
    const answer = await call(`${small.url}/api/v1/clusters/test/state`, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: STATE.repeat(4) })
    await small.stop()
    expect(answer.status).toBe(413)
  })
})
