import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { openDatabase } from '../../../src/store/db/database.ts'
import { createEmptyDatabase } from '../../support/database.ts'
import { hubbleLines } from '../../support/hubble-lines.ts'
import { createRandom } from '../../support/random.ts'
import { makeFolder, runCli } from '../../support/run-cli.ts'
import type { CliResult } from '../../support/run-cli.ts'

let cwd = ''
let remove = (): Promise<void> => Promise.resolve()
let connectionString = ''
const lines = hubbleLines(createRandom(11), 3)
const LOST = '{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"3"},"node_name":"node-1","time":"2026-01-01T00:00:00Z"}\n'

beforeAll(async () => {
  const folder = await makeFolder()
  cwd = folder.path
  remove = folder.remove
  ;({ connectionString } = await createEmptyDatabase())
})
afterAll(() => remove())

const run = (...args: string[]): Promise<CliResult> => runCli(args, { cwd, env: { DATABASE_URL: connectionString, FLOWFENCE_CLUSTER: 'prod' } })

test('dead letters are listed, read again, and told when they stay', async () => {
  await writeFile(join(cwd, 'flows.ndjson'), `${lines[0]}${LOST}{"strange":1}\n{"password":"hunter2"}\n`)
  const first = await run('ingest', 'flows.ndjson')
  expect(first.stdout).toContain('\n  note: 3 lost events (PERF_EVENT_RING_BUFFER) on 1 node: flows are missing\n')
  const list = await run('ingest', '--dead-letters', '--list')
  expect(list).toMatchObject({ code: 0, stderr: '' })
  expect(list.stdout).toMatch(/^2 dead letters, 1 of them complete: those can be read again\n/)
  expect(list.stdout).toContain('{"password":"[redacted]"}')
  expect(list.stdout).not.toContain('hunter2')
  // As a program left it that did not know the format yet.
  const database = openDatabase({ connectionString, maxConnections: 1 })
  await database.query(`update rejections set sample = $1 where sample = '{"strange":1}'`, [(lines[1] ?? '').trimEnd()])
  await database.close()
  const replayed = await run('ingest', '--dead-letters')
  expect(replayed).toMatchObject({ code: 0, stderr: '' })
  expect(replayed.stdout).toMatch(/^1 record read again: 1 stored, 0 duplicate, 0 ignored, 0 still refused; 1 dead letter cannot be read again, because not all of the text was kept\n/)
  expect(JSON.parse((await run('ingest', '--dead-letters', '-o', 'json')).stdout)).toMatchObject({ received: 0, incomplete: 1 })
  expect(JSON.parse((await run('ingest', '--dead-letters', '--list', '--reason', 'unknown-format', '-o', 'json')).stdout)).toMatchObject({
    kept: 1, complete: 0, items: [{ source: 'flows.ndjson', line: 4, reason: 'unknown-format', isComplete: false, tries: 0 }],
  })
})

test.each([
  [['ingest'], 'Name at least one flow log, or - for standard input; or set FLOWFENCE_KAFKA_TOPICS, FLOWFENCE_HUBBLE_RELAY or FLOWFENCE_GOLDMANE to read streams.'],
  [['ingest', '--cluster-state', 'state.yaml', 'flows.ndjson'], 'Name it before --cluster-state, which takes every path behind it.'],
  [['ingest', '--dead-letters', 'flows.ndjson'], '--dead-letters reads what the database holds; leave out the files.'],
  [['ingest', '--reason', 'bad-port', 'flows.ndjson'], '--list and --reason belong to --dead-letters.'],
])('%j is bad usage, found before the database is opened', async (args, message) => {
  expect(await runCli(args, { cwd, env: { DATABASE_URL: 'postgres://x:y@127.0.0.1:1/x' } })).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(message) })
})
