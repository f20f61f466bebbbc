/**
 * Takes a database through everything that flowfence does with one: ingest in all its ways, housekeeping until everything has expired, cluster state,
 * dead letters, and all that can be read. What comes out is not looked at.
 */
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DEFAULT_LIMITS } from '../../src/pipeline/cluster-limits.ts'
import { applyStateChanges, loadSnapshotAt, saveClusterState, summarizeState } from '../../src/pipeline/cluster-state.ts'
import { followFiles } from '../../src/pipeline/follow-files.ts'
import { versionIdentityMap } from '../../src/pipeline/identity-map.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import type { Ingester } from '../../src/pipeline/ingest.ts'
import { observeStore, readIdentityMap } from '../../src/pipeline/observed-traffic.ts'
import { reaggregate } from '../../src/pipeline/reaggregate.ts'
import { createHousekeeper } from '../../src/pipeline/retain.ts'
import { withTransaction } from '../../src/store/db/database.ts'
import type { Database } from '../../src/store/db/database.ts'
import { selectIngestTotals } from '../../src/store/read/select-ingest-totals.ts'
import { markExternalOverflows } from '../../src/store/write/append-external-peers.ts'
import { forwardLetters } from '../../src/store/write/forward-letters.ts'
import { saveRecommendation } from '../../src/store/write/save-recommendation.ts'
import { clusterBase, podObject, timeUs } from './cluster-objects.ts'
import { externalIdentity, podIdentity, START_US } from './flow-records.ts'
import { hubbleLines, messyLines } from './hubble-lines.ts'
import { createRandom } from './random.ts'
import { call, startTestService } from './start-service.ts'

const DAY_US = 86_400_000_000
const CLUSTER = 'test'
const nowUs = (): number => START_US + 3_600_000_000

/** `folder`: an empty one, for logs. */
export async function runWholeProduct(database: Database, folder: string): Promise<void> {
  const ingester = await createIngester(database, { cluster: CLUSTER, nowUs })
  await ingestFiles(database, ingester, folder)
  await ingestMessages(ingester)
  await meetLimits(database)
  await refuse(database, ingester)
  await loseAnAnswer(database, ingester)
  await keepState(database, ingester.clusterId)
  const observed = await observeStore(database, { cluster: CLUSTER })
  await versionIdentityMap(database, readIdentityMap(observed, CLUSTER), { cluster: CLUSTER, nowUs: nowUs() })
  await saveRecommendation(database, { clusterId: ingester.clusterId, createdAtUs: START_US, schema: 'flowfence.recommendation/v1', document: '{}' })
  await reaggregate(database, { cluster: CLUSTER, nowUs })
  await growOld(database)
  await serve(database)
}

async function ingestFiles(database: Database, ingester: Ingester, folder: string): Promise<void> {
  const lines = hubbleLines(createRandom(1), 100)
  const log = join(folder, 'flows.log')
  writeFileSync(log, lines.slice(0, 2).join(''))
  await ingester.ingestFiles([log])
  appendFileSync(log, lines.slice(2, 50).join(''))
  await ingester.ingestFiles([log])
  const ending = new AbortController()
  const run = followFiles(database, ingester, { patterns: [log], nowUs, signal: ending.signal, onNotice: () => undefined, quietMs: 50, searchMs: 50, copyMs: 50 })
  appendFileSync(log, lines.slice(50).join(''))
  while (run.state()[0]?.behindBytes !== 0) await new Promise((resolve) => { setTimeout(resolve, 20) })
  ending.abort()
  await run.ended
}

/** As from Kafka: two batches of one partition, the position moved with each. */
async function ingestMessages(ingester: Ingester): Promise<void> {
  const lines = messyLines(createRandom(2), 200)
  const source = 'kafka:flows/0'
  let from: { next: number; fingerprint: string } | undefined
  for (const at of [0, 100]) {
    const step = { next: at + 100, fingerprint: `${at}` }
    await ingester.ingestValues({ source: 'kafka:flows', values: messages(lines.slice(at, at + 100)), positions: [{ source, from, ...step, records: at + 100 }] })
    from = step
  }
}

function messages(lines: readonly string[]): { bytes: Buffer; offset: number }[] {
  return lines.map((line, i) => ({ bytes: Buffer.from(line), offset: i }))
}

async function meetLimits(database: Database): Promise<void> {
  const strict = await createIngester(database, { cluster: CLUSTER, nowUs, limits: { ...DEFAULT_LIMITS, identities: 1, lettersPerMinute: 0 } })
  await strict.ingestBody(Buffer.from(`${hubbleLines(createRandom(4), 30).join('')}{"strange":1}\n`), { source: 'http', maxBytes: 1 << 24 })
  const edge = { from: podIdentity('web'), to: externalIdentity(), protocol: 'TCP', port: 443, fromPort: 0 } as const
  await withTransaction(database, (tx) => markExternalOverflows(tx, strict.clusterId, [{ ...edge, dayStartUs: START_US }]))
}

/** A letter that stays one, and one that an older program did not understand. */
async function refuse(database: Database, ingester: Ingester): Promise<void> {
  await ingester.ingestValues({ source: 'kafka:flows', values: messages(['{"strange":1}', '{"strange":2}']) })
  await database.query(`update rejections set sample = $1 where sample = '{"strange":2}'`, [hubbleLines(createRandom(5), 1)[0]?.trim()])
  await ingester.replayLetters()
  await forwardLetters(database, ingester.clusterId, 10, () => Promise.resolve())
}

/** A batch fails once, as when the server restarts, and is tried again. */
async function loseAnAnswer(database: Database, ingester: Ingester): Promise<void> {
  await database.query('create sequence tries')
  await database.query(`create function fail_once() returns trigger language plpgsql as $$ begin
    if nextval('tries') = 1 then raise exception using errcode = '40001'; end if; return new; end $$`)
  await database.query('create trigger fail_once before insert on ingest_batches for each row execute function fail_once()')
  await ingester.ingestValues({ source: 'kafka:flows', values: messages(hubbleLines(createRandom(6), 5)) })
  await database.query('drop trigger fail_once on ingest_batches')
}

async function keepState(database: Database, clusterId: number): Promise<void> {
  // Also older ones than are known: of 90 s, web looked differently, so that its version is cut in two.
  for (const [seconds, app] of [[60, 'a'], [120, 'a'], [30, 'b'], [90, 'b']] as const) {
    await saveClusterState(database, clusterId, { source: 'test', atUs: timeUs(seconds), objects: [...clusterBase(), podObject('web', { ip: '10.244.0.7', labels: { app } })] })
  }
  for (const app of ['a', 'b']) {
    await applyStateChanges(database, clusterId, {
      changes: [{ type: 'set', object: podObject('new', { ip: '10.244.0.99', labels: { app } }), atUs: timeUs(130) }], confirmedUntilUs: timeUs(140), source: 'test',
    })
  }
  await loadSnapshotAt(database, clusterId, timeUs(60))
  await summarizeState(database, clusterId)
}

/** Rolls up, expires everything, and brings late flows for what has expired. */
async function growOld(database: Database): Promise<void> {
  const housekeeper = createHousekeeper(database)
  for (const days of [1, 20, 120, 600]) {
    const startUs = START_US + days * DAY_US
    const clock = startUs + 7_200_000_000
    const ingester = await createIngester(database, { cluster: CLUSTER, nowUs: () => clock })
    for (const [seed, atUs] of [[days, startUs], [days + 1, START_US]] as const) {
      const body = Buffer.from(hubbleLines(createRandom(seed), 20, atUs).join(''))
      await ingester.ingestBody(body, { source: 'http', maxBytes: 1 << 24, isBackfill: true })
      const [failure] = (await housekeeper.run(clock)).failures
      if (failure !== undefined) throw failure.error
    }
  }
}

async function serve(database: Database): Promise<void> {
  const service = await startTestService({}, database)
  try {
    const get = (path: string) => call(`${service.url}${path}`)
    await call(`${service.url}/api/v1/check`, { method: 'POST', body: '{"policies": []}', headers: { 'content-type': 'application/json' } })
    for (const path of ['clusters/test/state', 'namespaces', 'workloads', 'edges?since=2026-01-01T00:10:00Z', 'recommendations', 'ingest/status', 'dead-letters']) await get(`/api/v1/${path}`)
    const { json } = await get('/api/v1/recommendations/saved')
    await get((json.items as { href: string }[])[0]?.href ?? '')
    await get('/readyz')
    await selectIngestTotals(database)
  } finally {
    await service.stop()
  }
}
