import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { openDatabase } from '../../../src/store/db/database.ts'
import { createEmptyDatabase } from '../../support/database.ts'
import { hubbleLines } from '../../support/hubble-lines.ts'
import { createRandom } from '../../support/random.ts'
import { makeFolder, runCli, startCli } from '../../support/run-cli.ts'
import { call } from '../../support/start-service.ts'

let cwd = ''
let remove = (): Promise<void> => Promise.resolve()
let env: Record<string, string> = {}
let password = ''
const lines = hubbleLines(createRandom(11), 200)
const run = (args: readonly string[], stdin?: string) => runCli(args, { cwd, env, ...(stdin === undefined ? {} : { stdin }) })

beforeAll(async () => {
  const folder = await makeFolder()
  cwd = folder.path
  remove = folder.remove
  const { connectionString } = await createEmptyDatabase()
  password = new URL(connectionString).password
  env = { DATABASE_URL: connectionString, FLOWFENCE_CLUSTER: 'prod' }
  await writeFile(join(cwd, 'flows.ndjson'), lines.slice(0, 150).join(''))
})

afterAll(() => remove())

describe('commands on a database, in the order a user takes', () => {
  test('migrate brings it up to date, once', async () => {
    const first = await run(['migrate'])
    expect(first).toMatchObject({ code: 0, stderr: '' })
    expect(first.stdout).toMatch(/^\d+ migrations ran:\n {2}/)
    expect(await run(['migrate'])).toEqual({ code: 0, stdout: 'The database is up to date.\n', stderr: '' })
  })

  test('recommend before anything is stored says what to do', async () => {
    expect(await run(['recommend'])).toEqual({ code: 2, stdout: '', stderr: 'flowfence: The database holds no flows yet: run `flowfence ingest` first.\n' })
  })

  test('ingest stores a file, and again changes nothing', async () => {
    const first = await run(['ingest', 'flows.ndjson'])
    expect(first).toMatchObject({ code: 0, stderr: '' })
    expect(first.stdout).toMatch(/^150 records received: 150 stored, 0 duplicate, 0 ignored, 0 rejected\n\n {2}SOURCE {2}FORMAT {2}RECEIVED/)
    const again = await run(['ingest', 'flows.ndjson', '-o', 'json'])
    expect(JSON.parse(again.stdout)).toMatchObject({ received: 150, stored: 0, duplicate: 150, known: [{ source: 'flows.ndjson', records: 150 }] })
  })

  test('a log that has grown is read on where it was left', async () => {
    await appendFile(join(cwd, 'flows.ndjson'), lines.slice(150).join(''))
    expect((await run(['ingest', 'flows.ndjson'])).stdout).toMatch(/^200 records received: 50 stored, 150 duplicate, /)
  })

  test('partly bad input: exit 0 with the places listed, --strict makes it 2', async () => {
    const { code, stdout, stderr } = await run(['ingest', '-', 'missing.log'], `${lines[0]}{"cut":\n`)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^2 records received: 0 stored, 1 duplicate, 0 ignored, 1 rejected\n/)
    expect(stderr).toContain('2 problems in the input (everything else was used)\n  stdin, line 2: malformed-json: ')
    expect(stderr).toContain('\n  missing.log does not exist; check the path.\n')
    expect((await run(['ingest', '--strict', '-'], `${lines[1]}{"cut":\n`)).code).toBe(2)
  })

  test('nothing usable: exit 2', async () => {
    expect(await run(['ingest', 'missing.log'])).toMatchObject({ code: 2, stderr: 'flowfence: No usable flow record in missing.log.\n  missing.log does not exist; check the path.\n' })
  })

  test('recommend and check read what was stored, as from the file', async () => {
    const fromStore = await run(['recommend', '--namespace', 'shop'])
    const fromFile = await run(['recommend', '--namespace', 'shop', '--flows', 'flows.ndjson'])
    expect(fromStore.code).toBe(0)
    expect(fromStore.stdout).toBe(fromFile.stdout)
    await writeFile(join(cwd, 'policies.yaml'), fromStore.stdout)
    const checks = await Promise.all([run(['check', '--policies', 'policies.yaml', '-o', 'json']), run(['check', '--policies', 'policies.yaml', '-o', 'json', '--flows', 'flows.ndjson'])])
    const [stored, filed] = checks.map((c) => JSON.parse(c.stdout) as { totals: unknown; findings: unknown; identityMap: { version: number | null } })
    // Files have no versions of the map; what it says is the same.
    expect(stored).toEqual({ ...filed, identityMap: { ...filed?.identityMap, version: 1 } })
  })

  test('recommend saves what it computed', async () => {
    const { stdout } = await run(['recommend', '-o', 'json'])
    const serving = startCli(['serve', '--port', '0'], { cwd, env })
    try {
      const url = /"url":"(http:[^"]+)"/.exec(await serving.waitForStderr('"msg":"listening"'))?.[1] ?? ''
      const { json } = await call(`${url}/api/v1/recommendations/saved?limit=1`)
      const saved = await call(`${url}${(json.items as { href: string }[])[0]?.href ?? ''}`)
      const { inputErrors, ...document } = JSON.parse(stdout) as Record<string, unknown>
      expect(saved.json).toEqual(document)
      expect(inputErrors).toEqual([])
    } finally {
      serving.kill('SIGTERM')
    }
    const { code, stderr } = await serving.result
    expect(code).toBe(0)
    expect(stderr).toContain('Stopping; press Ctrl-C again to stop at once.\n')
    expect(stderr).not.toContain(password)
  })

  test('an unknown cluster is refused with those that exist', async () => {
    expect(await run(['check', '--cluster', 'test', '--policies', 'policies.yaml'])).toMatchObject({ code: 2, stderr: 'flowfence: There is no cluster "test"; known: prod.\n' })
  })

  test('a range without flows says which', async () => {
    const { code, stderr } = await run(['recommend', '--since', '2027-01-01T00:00:00Z'])
    expect({ code, stderr }).toEqual({
      code: 2, stderr: 'flowfence: The database holds no flows of cluster "prod" from 2027-01-01T00:00:00Z to now. Leave out --since and --until to use all that is stored. Store some with "flowfence ingest FILE", or read files with --flows FILE.\n',
    })
  })

  test('ingest stopped by Ctrl-C keeps what is stored and goes on the next time', async () => {
    const many = hubbleLines(createRandom(12), 60_000).join('')
    await writeFile(join(cwd, 'many.ndjson'), many)
    const started = startCli(['ingest', 'many.ndjson', '--cluster', 'big'], { cwd, env })
    const database = openDatabase({ connectionString: env.DATABASE_URL ?? '', maxConnections: 1 })
    for (let stored = 0; stored === 0;) {
      const { rows } = await database.query<{ count: string }>("select count(*) from positions join clusters on clusters.id = cluster_id where clusters.name = 'big'")
      stored = Number(rows[0]?.count)
    }
    await database.close()
    started.kill('SIGINT')
    const { code, stderr } = await started.result
    expect([0, 130]).toContain(code)
    if (code === 130) expect(stderr).toContain('What was stored, if anything, is complete and stays; run the same command again to go on.')
    const again = await run(['ingest', 'many.ndjson', '--cluster', 'big', '-o', 'json'])
    expect(JSON.parse(again.stdout)).toMatchObject({ received: 60_000, rejected: {} })
    expect((await readFile(join(cwd, 'many.ndjson'), 'utf8')).length).toBe(many.length)
  })
})
