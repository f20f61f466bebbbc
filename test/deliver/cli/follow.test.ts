import { appendFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { followSentence, renderFollowed } from '../../../src/deliver/render/follow-text.ts'
import type { Database } from '../../../src/store/db/database.ts'
import { selectIngestTotals } from '../../../src/store/read/select-ingest-totals.ts'
import { createEmptyDatabase } from '../../support/database.ts'
import { hubbleLines } from '../../support/hubble-lines.ts'
import { createRandom } from '../../support/random.ts'
import { makeFolder, runCli, startCli } from '../../support/run-cli.ts'

let database: Database
let cwd = ''
let remove = (): Promise<void> => Promise.resolve()
let env: Record<string, string> = {}

beforeAll(async () => {
  const folder = await makeFolder()
  cwd = folder.path
  remove = folder.remove
  const created = await createEmptyDatabase()
  database = created.database
  env = { DATABASE_URL: created.connectionString, FLOWFENCE_CLUSTER: 'prod' }
})
afterAll(() => remove())

test('ingest --follow stores what is appended until it is told to stop, through a rotation, and reports it', async () => {
  const lines = hubbleLines(createRandom(1), 30)
  mkdirSync(join(cwd, 'logs'))
  const log = join(cwd, 'logs', 'flows.log')
  const command = startCli(['ingest', '--follow', 'logs/flows.log', 'logs/*.json', '-o', 'json'], { cwd, env })
  await command.waitForStderr('flowfence: logs/flows.log does not exist yet; waiting for it.')
  writeFileSync(log, lines.slice(0, 10).join(''))
  renameSync(log, `${log}.1`)
  writeFileSync(log, lines.slice(10, 20).join(''))
  writeFileSync(join(cwd, 'logs', 'more.json'), '[\n')
  await command.waitForStderr('more.json is a JSON document over several lines')
  appendFileSync(log, `${lines.slice(20).join('')}{"flow":`)
  await untilReceived(30)
  command.kill('SIGTERM')
  const { code, stdout, stderr } = await command.result
  expect({ code, report: JSON.parse(stdout) as object }).toMatchObject({ code: 0, report: { received: 30, stored: 30, duplicate: 0, rejected: {} } })
  expect(stderr).toContain('Stopping; press Ctrl-C again to stop at once.')
  const again = startCli(['ingest', '--follow', 'logs/flows.log'], { cwd, env })
  await again.waitForStderr('Following logs/flows.log; Ctrl-C ends it, and what was read is stored.')
  again.kill('SIGTERM')
  expect((await again.result).stdout).toContain('no records')
}, 120_000)

/** Waits until another process sees so many records stored. */
async function untilReceived(records: number): Promise<void> {
  const total = async (): Promise<number> => (await selectIngestTotals(database)).reduce((n, t) => n + t.records, 0)
  while (await total() < records) await new Promise((resolve) => setTimeout(resolve, 50))
}

test('what --follow cannot do is said with what to write instead', async () => {
  const run = (...args: string[]) => runCli(['ingest', ...args], { cwd, env })
  expect(await run('--follow', '-')).toMatchObject({ code: 2, stderr: expect.stringContaining('--follow reads files by name; standard input is read to its end without it.') as unknown })
  expect(await run('--follow', '--dead-letters')).toMatchObject({ code: 2, stderr: expect.stringContaining('--follow belongs to flow logs, not to --dead-letters.') as unknown })
  expect(await run('--follow')).toMatchObject({ code: 2, stderr: expect.stringContaining('Name at least one flow log') as unknown })
})

test('how far following is: one sentence for logs of scripts, a line for each log for a person', () => {
  const logs = [
    { path: '/var/log/a.log', behindBytes: 3_355_443, isThere: true }, { path: '/var/log/b\u001b[2J.log', behindBytes: 100, isThere: true },
    { path: '/var/log/c.log', behindBytes: 0, isThere: true }, { path: '/var/log/d.log', behindBytes: 0, isThere: false },
  ]
  expect(followSentence({ logs, records: 1200, recordsPerSecond: 20 }))
    .toBe('Following 4 logs: 1200 lines, 20.0 a second; 3.2 MiB behind in /var/log/a.log, 100 bytes behind in /var/log/b\\e[2J.log.')
  expect(followSentence({ logs: logs.slice(2, 3), records: 1, recordsPerSecond: 120.4 })).toBe('Following 1 log: 1 line, 120 a second; nothing behind.')
  expect(renderFollowed({ logs, records: 1200, recordsPerSecond: 20 }).split('\n')).toEqual([
    '  1200 lines, 20.0 a second', '  /var/log/a.log: 3.2 MiB behind', '  /var/log/b\\e[2J.log: 100 bytes behind', '  /var/log/c.log: read to its end', '  /var/log/d.log: waited for', '',
  ])
  expect(renderFollowed({ logs: Array.from({ length: 12 }, () => logs[2]).filter((log) => log !== undefined), records: 0, recordsPerSecond: 0 })).toMatch(/ {2}and 2 more\n$/)
})
