import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { createTestDatabase } from '../../support/database.ts'
import { hubbleLines } from '../../support/hubble-lines.ts'
import { createRandom } from '../../support/random.ts'
import { runCli } from '../../support/run-cli.ts'
import type { CliResult } from '../../support/run-cli.ts'

let folder = ''
let env: Record<string, string> = {}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flowfence-reaggregate-'))
  env = { DATABASE_URL: (await createTestDatabase()).connectionString }
  await writeFile(join(folder, 'flows.ndjson'), hubbleLines(createRandom(1), 200).join(''))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const run = (...args: string[]): Promise<CliResult> => runCli(args, { cwd: folder, env })

test('reaggregate tells what it did, in words and as JSON; --dry-run changes nothing', async () => {
  const before = await run('reaggregate')
  expect(before).toMatchObject({ code: 2, stdout: '' })
  expect(before.stderr).toContain('The database holds no flows yet')
  expect((await run('ingest', 'flows.ndjson')).code).toBe(0)
  const dry = await run('reaggregate', '--dry-run')
  expect(dry).toMatchObject({ code: 0, stderr: '' })
  expect(dry.stdout).toBe(`Cluster default: 1 day of 1 can be rebuilt from 200 raw flows; 0 flows would get other ends than when they came.
  2026-01-01  200 flows, 0 with other ends
Identity map: a new version; it is saved when this runs without --dry-run.
`)
  const done = await run('reaggregate', '-o', 'json')
  expect(done).toMatchObject({ code: 0, stderr: '' })
  expect(JSON.parse(done.stdout)).toEqual({
    cluster: 'default', isDryRun: false, olderEdges: null, identityMap: { version: 1, isNew: true },
    days: [{ day: '2026-01-01T00:00:00Z', outcome: 'rebuilt', flows: 200, revised: 0, leftOut: 0, uncovered: null }],
  })
  const none = await run('reaggregate', '--since', '2026-02-01T00:00:00Z')
  expect(none.stdout).toContain('0 days of 0 were rebuilt')
})

test('what cannot be is said in one line', async () => {
  expect(await run('reaggregate', '--since', '2026-01-02T00:00:00Z', '--until', '2026-01-01T00:00:00Z')).toMatchObject({ code: 2, stdout: '' })
  expect((await run('reaggregate', '--cluster', 'nobody')).stderr).toContain('There is no cluster "nobody"')
  expect((await run('reaggregate', '--help')).stdout).toContain('--dry-run')
}, 120_000)
