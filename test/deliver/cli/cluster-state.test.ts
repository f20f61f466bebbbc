/** `--cluster-state`: flows that name nobody get their workloads from the state that a person vouches for, and the database keeps it. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { clusterBase, podObject, timeText } from '../../support/cluster-objects.ts'
import { createEmptyDatabase } from '../../support/database.ts'
import { makeFolder, runCli } from '../../support/run-cli.ts'

let cwd = ''
let remove = (): Promise<void> => Promise.resolve()
let env: Record<string, string> = {}
const run = (args: readonly string[]) => runCli(args, { cwd, env })

function bareFlow(at: number): string {
  return `${JSON.stringify({
    flow: {
      time: timeText(at), uuid: `u${at}`, verdict: 'FORWARDED', IP: { source: '10.244.0.5', destination: '10.244.0.7', ipVersion: 'IPv4' }, l4: { TCP: { source_port: 40_000 + at, destination_port: 5432, flags: { SYN: true } } },
      source: { identity: 40_001 }, destination: { identity: 40_002 }, Type: 'L3_L4', node_name: 'node-1', event_type: { type: 4 }, traffic_direction: 'EGRESS', is_reply: false,
    },
  })}\n`
}

beforeAll(async () => {
  const folder = await makeFolder()
  cwd = folder.path
  remove = folder.remove
  env = { DATABASE_URL: (await createEmptyDatabase()).connectionString }
  const pod = (name: string, ip: string) => podObject(name, { ip, created: 0, labels: { app: name }, owner: { kind: 'StatefulSet', name }, ports: [{ containerPort: 5432 }] })
  await writeFile(join(cwd, 'state.json'), JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [...clusterBase(), pod('client', '10.244.0.5'), pod('db', '10.244.0.7')] }))
  await writeFile(join(cwd, 'flows.ndjson'), [60, 120, 180].map(bareFlow).join(''))
})

afterAll(() => remove())

test('recommend --flows names the workloads of --cluster-state, and without it holds the flows back', async () => {
  const named = JSON.parse((await run(['recommend', '--flows', 'flows.ndjson', '--cluster-state', 'state.json', '-o', 'json'])).stdout) as { policies: { metadata: { name: string } }[] }
  expect(named.policies.length).toBeGreaterThan(0)
  const bare = JSON.parse((await run(['recommend', '--flows', 'flows.ndjson', '-o', 'json'])).stdout) as { policies: unknown[] }
  expect(bare.policies).toEqual([])
})

test('ingest --cluster-state stores the state first and resolves by it; recommend then reads both from the database', async () => {
  const { code, stderr } = await run(['ingest', 'flows.ndjson', '--cluster-state', 'state.json', '--state-at', timeText(600)])
  expect([code, stderr]).toEqual([0, `Cluster state of ${timeText(600)}: 5 objects, 5 added, 0 changed, 0 ended.\n`])
  const document = JSON.parse((await run(['recommend', '-o', 'json'])).stdout) as { policies: unknown[] }
  expect(document.policies.length).toBeGreaterThan(0)
})

test('a state of the future is nobody\'s knowledge', async () => {
  const late = await run(['ingest', 'flows.ndjson', '--cluster-state', 'state.json', '--state-at', '2099-01-01T00:00:00Z'])
  expect(late).toMatchObject({ code: 2, stderr: expect.stringContaining('lies in the future') })
})

test('--state-at alone is a mistake', async () => {
  expect(await run(['ingest', 'flows.ndjson', '--state-at', '1h'])).toMatchObject({ code: 2, stderr: expect.stringContaining('--state-at belongs to --cluster-state.') })
})
