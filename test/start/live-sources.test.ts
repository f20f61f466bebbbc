import { afterEach, describe, expect, test } from '@jest/globals'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../src/config/load-config.ts'
import { createMetrics } from '../../src/observe/events.ts'
import { createLogger } from '../../src/observe/logger.ts'
import { createIngesters } from '../../src/pipeline/ingesters.ts'
import { startLiveSources } from '../../src/start/live-sources.ts'
import type { LiveSources } from '../../src/start/live-sources.ts'
import type { Database } from '../../src/store/db/database.ts'
import { createAuthority } from '../support/certificates.ts'
import { createTestDatabase } from '../support/database.ts'
import { GoldmaneServer, goldmaneMessage, hubbleMessage, readWire, RelayServer, startOtherServer, texts, tlsCredentials, until } from '../support/grpc-servers.ts'

const closing: (() => void | Promise<void>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function start(database: Database, env: Record<string, string>): Promise<{ live: LiveSources; log: () => string; failures: unknown[]; metrics: ReturnType<typeof createMetrics> }> {
  const { config, problems } = loadConfig({ FLOWFENCE_CLUSTER: 'test', ...env })
  if (config === undefined) throw new Error(problems.join('\n'))
  let text = ''
  const failures: unknown[] = []
  const metrics = createMetrics()
  const live = await startLiveSources(database, {
    config, ingesters: createIngesters(database, { nowUs: () => Date.now() * 1000 }), events: metrics.events, onFailed: (error) => failures.push(error),
    logger: createLogger({ level: 'debug', destination: { write: (line) => { text += line } } }),
  })
  closing.push(() => live.stop())
  return { live, log: () => text, failures, metrics }
}

async function storedBy(database: Database): Promise<Record<string, number>> {
  const { rows } = await database.query<{ name: string, records: string }>(
    `select name, sum(records) as records from ingest_totals join clusters on clusters.id = cluster_id where outcome = 'stored' group by name`)
  return Object.fromEntries(rows.map((row) => [row.name, Number(row.records)]))
}

describe('configured live streams', () => {
  test('each goes to the cluster that it is bound to, with certificates from files and filters on the wire', async () => {
    const { database } = await createTestDatabase()
    const folder = await mkdtemp(join(tmpdir(), 'flowfence-live-'))
    closing.push(() => rm(folder, { recursive: true }))
    const authority = await createAuthority()
    const client = await authority.client('flowfence')
    const file = async (name: string, content: string): Promise<string> => {
      await writeFile(join(folder, name), content)
      return join(folder, name)
    }
    const relay = await new RelayServer({ credentials: tlsCredentials(await authority.server({ hosts: [{ type: 'dns', value: 'relay.example' }] }), authority.ca) }).start()
    closing.push(() => relay.kill())
    const goldmane = await new GoldmaneServer().start()
    closing.push(() => goldmane.kill())
    const now = Date.now() * 1000
    for (let i = 0; i < 3; i++) relay.push(hubbleMessage(i, now - i), now - i)
    const window = Math.floor(now / 15e6) * 15 - 60
    goldmane.push(goldmaneMessage(1, window), window * 1e6)
    const { live, log, metrics } = await start(database, {
      FLOWFENCE_HUBBLE_RELAY: `127.0.0.1:${relay.port}=prod-eu`, FLOWFENCE_HUBBLE_RELAY_CA_FILE: await file('ca.pem', authority.ca), FLOWFENCE_HUBBLE_RELAY_SERVER_NAME: 'relay.example',
      FLOWFENCE_HUBBLE_RELAY_CERT_FILE: await file('cert.pem', client.cert), FLOWFENCE_HUBBLE_RELAY_KEY_FILE: await file('key.pem', client.key),
      FLOWFENCE_HUBBLE_NAMESPACES: 'shop', FLOWFENCE_GOLDMANE: `127.0.0.1:${goldmane.port}`, FLOWFENCE_GOLDMANE_TLS: 'off',
    })
    expect(live.names).toEqual([`hubble-relay:127.0.0.1:${relay.port}`, `goldmane:127.0.0.1:${goldmane.port}`])
    await until(async () => Object.keys(await storedBy(database)).length === 2)
    expect(await storedBy(database)).toEqual({ 'prod-eu': 3, test: 1 })
    expect(relay.requests[0]?.get(6)?.map((filter) => [...readWire(filter as Buffer)].map(([field, values]) => [field, texts(values)]))).toEqual([[[2, ['shop/']]], [[4, ['shop/']]]])
    expect(live.checks()).toEqual([
      { name: `hubble-relay:127.0.0.1:${relay.port}`, isReady: true, text: `Hubble Relay at 127.0.0.1:${relay.port} streams.` },
      { name: `goldmane:127.0.0.1:${goldmane.port}`, isReady: true, text: `Goldmane at 127.0.0.1:${goldmane.port} streams.` },
    ])
    expect(await metrics.render()).toContain('flowfence_ingest_streams{source="hubble-relay",state="connected"} 1')
    await live.stop()
    expect(await metrics.render()).toMatch(/flowfence_ingest_records_total\{source="hubble-relay",format="hubble",outcome="stored",reason=""\} 3/)
    expect(log()).not.toContain('PRIVATE KEY')
  })

  test('one that cannot go on says why and leaves the others alone', async () => {
    const { database } = await createTestDatabase()
    const [relay, stranger] = [await new RelayServer().start(), await startOtherServer()]
    closing.push(() => relay.kill(), stranger.stop)
    relay.push(hubbleMessage(1, Date.now() * 1000), Date.now() * 1000)
    const { live, log, failures, metrics } = await start(database, { FLOWFENCE_HUBBLE_RELAY: `127.0.0.1:${stranger.port},127.0.0.1:${relay.port}`, FLOWFENCE_HUBBLE_RELAY_TLS: 'off' })
    await until(async () => failures.length === 1 && (await storedBy(database)).test === 1)
    expect(live.checks().map((check) => check.isReady)).toEqual([false, true])
    expect(live.checks()[0]?.text).toMatch(/^Hubble Relay at 127\.0\.0\.1:\d+ is none: /)
    expect(log().match(/"level":"error"/g)).toHaveLength(1)
    expect((await metrics.render()).split('\n').filter((line) => line.startsWith('flowfence_ingest_streams{')).sort()).toEqual([
      'flowfence_ingest_streams{source="hubble-relay",state="connected"} 1', 'flowfence_ingest_streams{source="hubble-relay",state="disconnected"} 0',
      'flowfence_ingest_streams{source="hubble-relay",state="failed"} 1', 'flowfence_ingest_streams{source="hubble-relay",state="standby"} 0',
    ])
  })

  test('settings that contradict each other, and files that are not there', async () => {
    const { database } = await createTestDatabase()
    const base = { FLOWFENCE_HUBBLE_RELAY: '127.0.0.1:1', FLOWFENCE_GOLDMANE: '127.0.0.1:1' }
    await expect(start(database, { ...base, FLOWFENCE_HUBBLE_RELAY_CERT_FILE: 'cert.pem' })).rejects.toThrow('A client certificate needs both FLOWFENCE_HUBBLE_RELAY_CERT_FILE and FLOWFENCE_HUBBLE_RELAY_KEY_FILE; only one of them is set.')
    await expect(start(database, { ...base, FLOWFENCE_GOLDMANE_TLS: 'off', FLOWFENCE_GOLDMANE_CA_FILE: 'ca.pem' })).rejects.toThrow('FLOWFENCE_GOLDMANE_TLS is off, so FLOWFENCE_GOLDMANE_CA_FILE, _CERT_FILE, _KEY_FILE and _SERVER_NAME have no effect. Unset them, or leave FLOWFENCE_GOLDMANE_TLS on.')
    await expect(start(database, { ...base, FLOWFENCE_HUBBLE_DENYLIST: '{"verdicts":["DROPPED"]}' })).rejects.toThrow('FLOWFENCE_HUBBLE_DENYLIST: "verdicts" is no field of FlowFilter.')
    const { failures } = await start(database, { FLOWFENCE_HUBBLE_RELAY: '127.0.0.1:1', FLOWFENCE_HUBBLE_RELAY_CA_FILE: '/nowhere/ca.pem' })
    await until(() => failures.length === 1)
    expect(String(failures[0])).toBe('AppError: FLOWFENCE_HUBBLE_RELAY_CA_FILE names /nowhere/ca.pem, which cannot be read (ENOENT).')
    expect((await start(database, {})).live.names).toEqual([])
  })
})
