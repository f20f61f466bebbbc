import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { openDatabase } from '../../../src/store/db/database.ts'
import { createTestDatabase } from '../../support/database.ts'
import { hubbleLines } from '../../support/hubble-lines.ts'
import { createRandom } from '../../support/random.ts'
import { call, callRaw, startTestService } from '../../support/start-service.ts'
import type { TestService } from '../../support/start-service.ts'

const KEY = 'hunter2hunter2hunter2'
const PATHS = ['/', '/api/v1/edges', '/metrics', '/nothing']

describe('without a key, on loopback', () => {
  let service: TestService

  beforeAll(async () => {
    service = await startTestService()
  })

  afterAll(() => service.stop())

  const ask = (host: string, more: readonly string[] = [], path = '/livez') => callRaw(service.port, [`GET ${path} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...more])

  test('the Host header must name this machine and the port (DNS rebinding)', async () => {
    for (const name of ['127.0.0.1', 'localhost', 'LOCALHOST', '[::1]']) expect((await ask(`${name}:${service.port}`)).status).toBe(200)
    for (const host of ['evil.example', `evil.example:${service.port}`, '127.0.0.1', '127.0.0.1:1', `127.0.0.1.evil.example:${service.port}`, `localhost:${service.port}@evil`]) {
      const { status, text } = await ask(host)
      expect({ host, status }).toEqual({ host, status: 403 })
      expect(text).toContain('application/problem+json')
    }
  })

  test('requests of web pages from elsewhere are refused; of its own page not', async () => {
    const host = `127.0.0.1:${service.port}`
    expect((await ask(host, [`Origin: http://${host}`])).status).toBe(200)
    for (const origin of ['https://evil.example', 'null', `https://${host}`, 'http://127.0.0.1:1']) expect({ origin, status: (await ask(host, [`Origin: ${origin}`])).status }).toEqual({ origin, status: 403 })
  })

  test('a refused push stores nothing', async () => {
    const body = '{"hello":"world"}\n'
    const { status } = await callRaw(service.port, [
      'POST /api/v1/ingest/flows HTTP/1.1', 'Host: evil.example', 'Content-Type: application/x-ndjson', `Content-Length: ${body.length}`, 'Connection: close', '', body,
    ])
    expect(status).toBe(403)
    expect((await service.database.query('select 1 from ingest_totals')).rowCount).toBe(0)
  })

  test('readiness tells whether the database answers and the schema is current', async () => {
    expect(await call(`${service.url}/readyz`)).toMatchObject({ status: 200, json: { status: 'ok', checks: { database: { status: 'ok' }, migrations: { status: 'ok' } } } })
    await service.database.query("update schema_migrations set name = 'x' || name where id = (select max(id) from schema_migrations)")
    expect(await call(`${service.url}/readyz`)).toMatchObject({
      status: 503, json: { status: 'not ready', checks: { database: { status: 'ok' }, migrations: { status: 'failed', text: '1 missing: run "flowfence migrate"' } } },
    })
    await service.database.query("update schema_migrations set name = substr(name, 2) where name like 'x%'")
  })
})

describe('with a key', () => {
  let service: TestService

  beforeAll(async () => {
    service = await startTestService({ FLOWFENCE_API_KEY: KEY })
  })

  afterAll(() => service.stop())

  test('every path but /livez and /readyz needs it', async () => {
    for (const path of PATHS) {
      const answer = await call(`${service.url}${path}`)
      expect({ path, status: answer.status, asks: answer.headers.get('www-authenticate') }).toEqual({ path, status: 401, asks: 'Bearer realm="flowfence"' })
      expect(answer.json.detail).toBe('Present the key of this service: "Authorization: Bearer KEY" or "X-API-Key: KEY".')
    }
    expect((await call(`${service.url}/livez`)).status).toBe(200)
    expect((await call(`${service.url}/readyz`)).status).toBe(200)
  })

  test('either header will do, and other host names may be used', async () => {
    expect((await call(`${service.url}/api/v1/edges`, { headers: { authorization: `Bearer ${KEY}` } })).status).toBe(200)
    expect((await call(`${service.url}/metrics`, { headers: { 'x-api-key': KEY } })).status).toBe(200)
    expect((await callRaw(service.port, ['GET / HTTP/1.1', 'Host: flowfence.example', `X-API-Key: ${KEY}`, 'Connection: close'])).status).toBe(200)
  })

  test.each([
    { authorization: `Bearer ${KEY}x` }, { authorization: `Bearer ${KEY.slice(1)}` }, { authorization: `Basic ${KEY}` }, { authorization: 'Bearer' }, { 'x-api-key': '' }, { 'x-api-key': KEY.toUpperCase() },
  ] as Record<string, string>[])('%j is refused', async (headers) => {
    expect((await call(`${service.url}/api/v1/edges`, { headers })).status).toBe(401)
  })

  test('the key never shows in the log, nor in answers', async () => {
    const { text } = await call(`${service.url}/${KEY}?key=${KEY}`, { headers: { authorization: `Bearer ${KEY}wrong` } })
    const page = await call(`${service.url}/`, { headers: { 'x-api-key': KEY } })
    expect(service.log()).toContain('request answered')
    for (const seen of [service.log(), page.text, text.replace(`/${KEY}`, '')]) expect(seen).not.toContain(KEY)
  })
})

/** Stands between the service and its database and can be cut. */
async function startProxy(connectionString: string): Promise<{ connectionString: string; cut: () => Promise<void>; mend: () => Promise<void> }> {
  const target = new URL(connectionString)
  const sockets = new Set<Socket>()
  const open = (port: number) => new Promise<Server>((done) => {
    const server = createServer((near) => {
      const far = connect(Number(target.port), target.hostname)
      for (const [socket, other] of [[near, far], [far, near]] as const) {
        sockets.add(socket)
        socket.on('error', () => undefined).on('close', () => other.destroy()).pipe(other)
      }
    }).listen(port, '127.0.0.1', () => done(server))
  })
  let server = await open(0)
  const { port } = server.address() as AddressInfo
  const through = new URL(connectionString)
  through.port = String(port)
  return {
    connectionString: through.href,
    cut: () => new Promise((done) => {
      server.close(() => done())
      for (const socket of sockets) socket.destroy()
    }),
    mend: async () => { server = await open(port) },
  }
}

test('a database that goes away: 503 with Retry-After, readiness says so, no secret and no stack in answers or log; it recovers by itself', async () => {
  const { connectionString } = await createTestDatabase()
  const proxy = await startProxy(connectionString)
  const database = openDatabase({ connectionString: proxy.connectionString })
  const service = await startTestService({}, database)
  try {
    expect((await call(`${service.url}/readyz`)).status).toBe(200)
    await proxy.cut()
    const ready = await call(`${service.url}/readyz`)
    expect(ready).toMatchObject({ status: 503, json: { checks: { database: { status: 'failed', text: 'does not answer' } } } })
    expect(ready.headers.get('retry-after')).toBe('5')
    const edges = await call(`${service.url}/api/v1/edges`)
    expect(edges).toMatchObject({ status: 503, json: { code: 'unavailable', detail: 'The database does not answer. Try again later.' } })
    expect((await call(`${service.url}/livez`)).status).toBe(200)
    const push = () => call(`${service.url}/api/v1/ingest/flows?backfill=true`, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body: hubbleLines(createRandom(3), 5).join('') })
    const refused = await push()
    expect(refused).toMatchObject({ status: 503, json: { code: 'unavailable' } })
    expect(refused.headers.get('retry-after')).toBe('5')
    expect((await call(`${service.url}/metrics`)).text).toContain('flowfence_ingest_bodies_total{principal="local",outcome="failed"} 1')
    for (const seen of [edges.text, service.log()]) expect(seen).not.toMatch(/node_modules|postgres:\/\//)
    await proxy.mend()
    expect((await call(`${service.url}/readyz`)).status).toBe(200)
    expect((await call(`${service.url}/api/v1/edges`)).status).toBe(200)
    expect(await push()).toMatchObject({ status: 200, json: { stored: 5 } })
  } finally {
    await service.stop()
    await database.close()
    await proxy.cut()
  }
})
