import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from '@jest/globals'
import { DEFAULT_LABEL_RULES } from '../../src/core/flow/label-rules.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { versionIdentityMap } from '../../src/pipeline/identity-map.ts'
import { observeStore, readIdentityMap } from '../../src/pipeline/observed-traffic.ts'
import { recommend } from '../../src/pipeline/recommend.ts'
import { createTestDatabase } from '../support/database.ts'
import { START_US } from '../support/flow-records.ts'
import { runCli } from '../support/run-cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'flowfence-identity-map-'))
afterAll(() => { rmSync(folder, { recursive: true, force: true }) })

/** web -> db, a StatefulSet whose pods differ in `shard`. */
const lines = ['0', '1', '2'].map((shard, i) => JSON.stringify({ flow: {
  time: `2026-01-01T00:${i}0:00Z`, uuid: `0000000${i}-0000-4000-8000-000000000000`, verdict: 'FORWARDED', Type: 'L3_L4', node_name: 'n1', is_reply: false, traffic_direction: 'EGRESS', event_type: { type: 4 },
  IP: { source: '10.0.1.1', destination: `10.0.2.${i}`, ipVersion: 'IPv4' }, l4: { TCP: { source_port: 40_000, destination_port: 5432, flags: { SYN: true } } },
  source: { namespace: 'shop', labels: ['k8s:app=web'], pod_name: 'web-7d4b9c6f58-x2k9p', workloads: [{ kind: 'Deployment', name: 'web' }] },
  destination: { namespace: 'shop', labels: ['k8s:app=db', `k8s:shard=${shard}`], pod_name: `db-${i}`, workloads: [{ kind: 'StatefulSet', name: 'db' }] },
} })).map((line) => `${line}\n`)
const reason = { namespace: 'shop', key: 'shard', reason: '3 values within one workload: StatefulSet db' }

test('a reading of the store names the version of the identity map, which a new one gets when its content is new, and never depends on the range', async () => {
  const { database } = await createTestDatabase()
  const path = join(folder, 'stored.ndjson')
  writeFileSync(path, lines.join(''))
  await (await createIngester(database, { cluster: 'default', nowUs: () => START_US })).ingestFiles([path])
  const named = async (labelRules = DEFAULT_LABEL_RULES): Promise<unknown> => recommend(await observeStore(database, { cluster: 'default', labelRules, untilUs: START_US + 1 }), { cluster: 'default' }).identityMap
  expect(await named()).toEqual({ version: null, ignoredLabels: [reason] })
  const saved = await versionIdentityMap(database, readIdentityMap(await observeStore(database, { cluster: 'default' }), 'default'), { cluster: 'default', nowUs: START_US })
  expect(await named()).toEqual({ version: saved, ignoredLabels: [reason] })
  expect(await named({ ...DEFAULT_LABEL_RULES, keep: ['shard'] })).toEqual({ version: null, ignoredLabels: [] })
})

test('--label-rules decides, documents tell the reasons, and a wrong file is named with its field', async () => {
  writeFileSync(join(folder, 'flows.ndjson'), lines.join(''))
  writeFileSync(join(folder, 'rules.yaml'), 'namespaces: {shop: {keep: [shard], ignore: [app]}}')
  writeFileSync(join(folder, 'wrong.yaml'), 'ignore: shard')
  const run = (...args: string[]): ReturnType<typeof runCli> => runCli(['recommend', '--flows', 'flows.ndjson', '-o', 'json', ...args], { cwd: folder })
  const plain = JSON.parse((await run()).stdout) as { identityMap: unknown }
  expect(plain.identityMap).toEqual({ version: null, ignoredLabels: [reason] })
  const kept = JSON.parse((await run('--label-rules', 'rules.yaml')).stdout) as { identityMap: unknown }
  expect(kept.identityMap).toEqual({ version: null, ignoredLabels: [{ namespace: 'shop', key: 'app', reason: 'configured' }] })
  const wrong = await run('--label-rules', 'wrong.yaml')
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('wrong.yaml holds no usable label rules:\n  ignore: Invalid value: "shard": must be a list')])
  const text = await runCli(['recommend', '--flows', 'flows.ndjson', '-o', 'text'], { cwd: folder })
  expect(text.stdout).toContain('Labels that are not identity (1)\n  shop shard: 3 values within one workload: StatefulSet db\n')
}, 60_000)
