import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { alternativeNames } from '../../../src/deliver/api/client-certificate.ts'
import { createAuthority } from '../../support/certificates.ts'
import type { Certificate, CertificateAuthority } from '../../support/certificates.ts'
import { httpsClient } from '../../support/https-client.ts'
import type { HttpsAnswer } from '../../support/https-client.ts'
import { call, startTestService } from '../../support/start-service.ts'
import type { TestService } from '../../support/start-service.ts'

const KEY = 'hunter2hunter2hunter2'
const FLOWS = '/api/v1/ingest/flows'
let folder: string
let authority: CertificateAuthority
let service: TestService

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flowfence-tls-'))
  authority = await createAuthority()
  await writeServer(await authority.server())
  await writeFile(join(folder, 'ca.crt'), authority.ca)
  service = await startTestService({
    FLOWFENCE_API_KEY: KEY, FLOWFENCE_TLS_CERT_FILE: join(folder, 'tls.crt'), FLOWFENCE_TLS_KEY_FILE: join(folder, 'tls.key'), FLOWFENCE_TLS_PORT: '0',
    FLOWFENCE_TLS_CLIENT_CA_FILE: join(folder, 'ca.crt'), FLOWFENCE_INGEST_CLIENTS: 'goldmane=calico,brief=calico', FLOWFENCE_INGEST_KEYS: 'edge=hunter3hunter3hunter3',
  })
})

afterAll(async () => {
  await service.stop()
  await rm(folder, { recursive: true })
})

async function writeServer({ cert, key }: Certificate): Promise<void> {
  await writeFile(join(folder, 'tls.crt'), cert)
  await writeFile(join(folder, 'tls.key'), key)
}

/** What the emitter posts: flows joined by newlines without one at the end, enums as numbers, zeros left out. */
function emitted(ports: readonly number[], nowS = Math.floor(Date.now() / 1000)): string {
  return ports.map((port) => JSON.stringify({
    Key: {
      source_name: 'web-7d4b9c6f58-*', source_namespace: 'shop', source_type: 1, dest_name: 'db-*', dest_namespace: 'shop', dest_type: 1, dest_port: port, proto: 'tcp', reporter: 1, action: 1,
      policies: { enforced_policies: [{ kind: 6, namespace: 'shop', name: 'web', tier: 'default', action: 1, rule_index: 1 }] },
    },
    start_time: nowS - 300, end_time: nowS - 285, source_labels: ['app=web'], dest_labels: ['app=db'], packets_in: 10, packets_out: 8, bytes_in: 600, bytes_out: 500, num_connections_started: 3,
  })).join('\n')
}

/** As the emitter sends it: no key, no compression. */
async function emit(client: Certificate | undefined, body: string, headers: Record<string, string> = {}): Promise<HttpsAnswer> {
  const connection = httpsClient(service.tlsPort, { ca: authority.ca, ...client })
  try {
    return await connection.send('POST', FLOWS, { headers: { 'content-type': 'application/x-ndjson', ...headers }, body })
  } finally {
    connection.close()
  }
}

async function flowsOf(cluster: string): Promise<number> {
  const { rows } = await service.database.query<{ n: string }>('select coalesce(sum(t.records), 0) as n from ingest_totals t join clusters c on c.id = t.cluster_id where c.name = $1 and outcome = \'stored\'', [cluster])
  return Number(rows[0]?.n)
}

async function refusals(reason: string): Promise<number> {
  const { text } = await call(`${service.url}/metrics`, { headers: { 'x-api-key': KEY } })
  return Number(new RegExp(`flowfence_http_refused_total\\{reason="${reason}"\\} (\\d+)`).exec(text)?.[1] ?? 0)
}

describe('Calico\'s Goldmane emitter: a client certificate and no key', () => {
  test('its batch is answered exactly 200 and belongs to the cluster of its certificate; the same batch again changes nothing', async () => {
    const client = await authority.client('goldmane')
    const body = emitted([5432, 6379])
    const first = await emit(client, body)
    expect(first.status).toBe(200)
    expect(JSON.parse(first.text)).toMatchObject({ received: 2, stored: 2 })
    const again = await emit(client, body)
    expect(again.status).toBe(200)
    expect(JSON.parse(again.text)).toMatchObject({ received: 2, stored: 0, duplicate: 2 })
    expect(await flowsOf('calico')).toBe(2)
    expect(await flowsOf('test')).toBe(0)
    expect(service.log()).toContain('"principal":"certificate of goldmane","cluster":"calico"')
    expect((await call(`${service.url}/metrics`, { headers: { 'x-api-key': KEY } })).text).toContain('flowfence_ingest_bodies_total{principal="client-certificate",outcome="ingested"} 2')
  })

  test('its certificate pushes flows and nothing else', async () => {
    const connection = httpsClient(service.tlsPort, { ca: authority.ca, ...await authority.client('goldmane') })
    const answer = await connection.send('GET', '/api/v1/edges')
    connection.close()
    expect(answer.status).toBe(403)
    expect(answer.text).toContain('This credential (certificate of goldmane) may push flows and nothing else.')
  })

  test.each([
    ['of an unknown authority', async () => (await createAuthority()).client('goldmane'), 401, 'The client certificate was not issued by an authority in FLOWFENCE_TLS_CLIENT_CA_FILE.', 'client-certificate'],
    ['that has expired', () => authority.client('goldmane', { notBefore: new Date(Date.now() - 7_200_000), notAfter: new Date(Date.now() - 3_600_000) }), 401, 'The client certificate has expired; let the client renew it.', 'client-certificate'],
    ['that is not valid yet', () => authority.client('goldmane', { notBefore: new Date(Date.now() + 3_600_000) }), 401, 'The client certificate is not valid yet; check the clocks.', 'client-certificate'],
    ['of a server', () => authority.server({ commonName: 'goldmane' }), 401, 'The client certificate may not be used by clients (extended key usage).', 'client-certificate'],
    ['of nobody who is mapped', () => authority.client('Goldmane'), 403, 'No cluster belongs to the client certificate of "Goldmane". Add NAME=CLUSTER to FLOWFENCE_INGEST_CLIENTS.', 'client-not-mapped'],
  ])('a certificate %s is refused with the reason, counted, and stores nothing', async (...[, make, status, detail, reason]) => {
    const before = await refusals(reason)
    const stored = await flowsOf('calico')
    const answer = await emit(await make(), emitted([8080]))
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.text)).toMatchObject({ detail })
    expect(await refusals(reason)).toBe(before + 1)
    expect(await flowsOf('calico')).toBe(stored)
  })

  test('without certificate and key the answer names both; a key needs no certificate, and decides where there are both', async () => {
    const none = await emit(undefined, emitted([8081]))
    expect(none.status).toBe(401)
    expect(JSON.parse(none.text)).toMatchObject({ detail: 'Present the key of this service: "Authorization: Bearer KEY" or "X-API-Key: KEY". To push flows, a client certificate on the TLS listener will do.' })
    expect((await emit(undefined, emitted([8081]), { 'x-api-key': 'hunter3hunter3hunter3' })).status).toBe(200)
    const stranger = await (await createAuthority()).client('goldmane')
    expect((await emit(stranger, emitted([8082]), { authorization: 'Bearer hunter3hunter3hunter3' })).status).toBe(200)
    expect(await flowsOf('edge')).toBe(2)
    expect((await emit(await authority.client('goldmane'), emitted([8083]), { 'x-api-key': 'wrong-wrong-wrong' })).status).toBe(401)
  })

  test('a certificate that ends while its connection is open is refused from then on', async () => {
    const notAfter = new Date(Math.ceil(Date.now() / 1000) * 1000 + 3_000)
    const connection = httpsClient(service.tlsPort, { ca: authority.ca, ...await authority.client('brief', { notAfter }) })
    const send = (port: number): Promise<HttpsAnswer> => connection.send('POST', FLOWS, { headers: { 'content-type': 'application/x-ndjson' }, body: emitted([port]) })
    const first = await send(9000)
    expect(first.status).toBe(200)
    await new Promise((done) => setTimeout(done, notAfter.getTime() - Date.now() + 1_100))
    const second = await send(9001)
    connection.close()
    expect(second.status).toBe(401)
    expect(second.server.localPort).toBe(first.server.localPort)
  })
})

describe('the server\'s certificate', () => {
  const fingerprintOf = (certificate: Certificate): string => new X509Certificate(certificate.cert).fingerprint256

  async function served(): Promise<string> {
    const connection = httpsClient(service.tlsPort, { ca: authority.ca })
    const { server } = await connection.send('GET', '/livez')
    connection.close()
    return server.fingerprint
  }

  async function until(isDone: () => Promise<boolean>): Promise<void> {
    for (let tries = 0; !await isDone(); tries++) {
      if (tries > 200) throw new Error('did not happen')
      await new Promise((done) => setTimeout(done, 100))
    }
  }

  test('is read again when its files change: new connections get the new one, open ones go on', async () => {
    const open = httpsClient(service.tlsPort, { ca: authority.ca })
    const before = await open.send('GET', '/livez')
    const renewed = await authority.server()
    await writeServer(renewed)
    await until(async () => {
      // Kept alive over the change: the connection is never idle for long.
      expect((await open.send('GET', '/livez')).server.localPort).toBe(before.server.localPort)
      return await served() === fingerprintOf(renewed)
    })
    const after = await open.send('GET', '/livez')
    open.close()
    expect(after.server).toEqual(before.server)
    expect(before.server.fingerprint).not.toBe(fingerprintOf(renewed))
    expect((await call(`${service.url}/metrics`, { headers: { 'x-api-key': KEY } })).text).toContain(`flowfence_tls_certificate_not_after_seconds ${Date.parse(new X509Certificate(renewed.cert).validTo) / 1000}`)
  })

  test('files that do not fit together are not taken, and the log says so once', async () => {
    const used = await served()
    const [one, other] = [await authority.server(), await authority.server()]
    await writeServer({ cert: one.cert, key: other.key })
    const problem = 'cannot be used; the last good ones stay in use'
    await until(() => Promise.resolve(service.log().includes(problem)))
    expect(await served()).toBe(used)
    await writeServer(other)
    await until(async () => await served() === fingerprintOf(other))
    expect(service.log().split(problem)).toHaveLength(2)
  })
})

test('with a certificate the port speaks HTTPS only; a port of its own keeps plain HTTP', async () => {
  const alone = await startTestService({ FLOWFENCE_TLS_CERT_FILE: join(folder, 'tls.crt'), FLOWFENCE_TLS_KEY_FILE: join(folder, 'tls.key') })
  expect(alone.url).toMatch(/^https:/)
  const connection = httpsClient(alone.port, { ca: authority.ca })
  expect((await connection.send('GET', '/livez')).status).toBe(200)
  connection.close()
  await expect(fetch(`http://127.0.0.1:${alone.port}/livez`)).rejects.toThrow()
  await alone.stop()
  expect((await call(`${service.url}/livez`)).status).toBe(200)
})

test.each([
  [{ FLOWFENCE_TLS_CERT_FILE: 'x' }, 'TLS needs both FLOWFENCE_TLS_CERT_FILE and FLOWFENCE_TLS_KEY_FILE; only one of them is set.'],
  [{ FLOWFENCE_TLS_PORT: '0' }, 'FLOWFENCE_TLS_PORT has no effect without TLS: set FLOWFENCE_TLS_CERT_FILE and FLOWFENCE_TLS_KEY_FILE too.'],
  [{ FLOWFENCE_INGEST_CLIENTS: 'a=b' }, 'FLOWFENCE_INGEST_CLIENTS maps client certificates, so FLOWFENCE_TLS_CLIENT_CA_FILE must name the authorities that issue them.'],
  [{ FLOWFENCE_TLS_CLIENT_CA_FILE: 'x' }, 'FLOWFENCE_TLS_CLIENT_CA_FILE has no effect without FLOWFENCE_INGEST_CLIENTS, which says what cluster a client certificate belongs to.'],
  [{ FLOWFENCE_INGEST_CLIENTS: 'a=b', FLOWFENCE_TLS_CLIENT_CA_FILE: 'x' }, 'FLOWFENCE_TLS_CLIENT_CA_FILE has no effect without TLS: set FLOWFENCE_TLS_CERT_FILE and FLOWFENCE_TLS_KEY_FILE too.'],
  [{ FLOWFENCE_TLS_CERT_FILE: '/no/such.crt', FLOWFENCE_TLS_KEY_FILE: '/no/such.key' }, 'FLOWFENCE_TLS_CERT_FILE names /no/such.crt, which cannot be read (ENOENT).'],
  [{ FLOWFENCE_SPOOL_DIR: '/no/such/folder' }, 'Bodies over 1 MiB cannot wait in /no/such/folder (ENOENT). Set FLOWFENCE_SPOOL_DIR to a folder that this user may write to.'],
  [{ FLOWFENCE_INGEST_CLIENTS: 'a=b,a=c' }, 'FLOWFENCE_INGEST_CLIENTS names "a" twice. A certificate\'s identity belongs to one cluster.'],
  [{ FLOWFENCE_INGEST_KEYS: 'a=hunter2hunter2,b=hunter2hunter2' }, 'FLOWFENCE_INGEST_KEYS holds a key twice, or FLOWFENCE_API_KEY: nobody could tell its cluster. Give every cluster its own key (openssl rand -hex 16).'],
])('half or contradictory settings are refused at the start: %j', async (env, message) => {
  await expect(startTestService(env as Record<string, string>, service.database)).rejects.toMatchObject({ code: 'usage', message })
})

test('names of a certificate: DNS names and URIs as written, also those that need quotes', () => {
  expect(alternativeNames('DNS:a.example, URI:spiffe://example.org/ns/x, IP Address:10.0.0.1, DNS:*.b.example')).toEqual(['a.example', 'spiffe://example.org/ns/x', '*.b.example'])
  expect(alternativeNames('URI:"http://a.example/\\u0022, DNS:admin", DNS:c.example')).toEqual(['http://a.example/", DNS:admin', 'c.example'])
  expect(alternativeNames('')).toEqual([])
})
