import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { makeFolder, runCli, startCli } from '../support/run-cli.ts'
import { call } from '../support/start-service.ts'

let cwd = ''
let remove = (): Promise<void> => Promise.resolve()

beforeAll(async () => {
  const folder = await makeFolder()
  cwd = folder.path
  remove = folder.remove
})

afterAll(() => remove())

async function demoFolders(): Promise<string[]> {
  return (await readdir(tmpdir())).filter((name) => name.startsWith('flowfence-demo-'))
}

test('demo --once shows the whole path in under a minute and leaves nothing behind', async () => {
  const before = await demoFolders()
  const startedAt = performance.now()
  const { code, stdout, stderr } = await runCli(['demo', '--once'], { cwd })
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
  expect((performance.now() - startedAt) / 1000).toBeLessThan(60)

  // Progress for people, results for pipes.
  expect(stderr).toContain('[1/5] Starting a database and the service in a temporary folder …\n')
  expect(stderr).toContain('[5/5] Checking wrong policies …\n')

  // Received = stored + duplicate + ignored + rejected, and none of them is empty.
  const counts = /(\d+) records received: (\d+) stored, (\d+) duplicate, (\d+) ignored, (\d+) rejected/.exec(stdout.replace(/\n(?=\S)/g, ' '))?.slice(1).map(Number) ?? []
  const [received = 0, ...outcomes] = counts
  expect(outcomes.every((n) => n > 0)).toBe(true)
  expect(outcomes.reduce((a, b) => a + b, 0)).toBe(received)
  for (const format of ['calico-enterprise', 'hubble']) expect(stdout).toContain(` ${format} `)
  for (const reason of ['bad-address', 'malformed-json', 'too-late', 'truncated', 'foreign-log']) expect(stdout).toMatch(new RegExp(`^ {2}${reason} +1 {2}`, 'm'))

  // Policies, certificate.
  expect(stdout.match(/^kind: NetworkPolicy$/gm)).toHaveLength(3)
  expect(stdout).toContain('\n  name: ledger-db-statefulset\n  namespace: payments\n')
  expect(stdout).toContain('\n  sound: yes, every accepted connection is allowed by the policies\n  tight: yes, ')
  expect(stdout).toContain('\n  irredundant: yes, ')

  // Wrong policies, each with what it would deny.
  expect(stdout.match(/^\d-[a-z-]+\.yaml$/gm)).toHaveLength(6)
  expect(stdout).toMatch(/^ {2}shop\/orders \(Deployment\) {2}kube-system\/coredns \(Deployment\) +53\/UDP/m)
  expect(stdout).toMatch(/It ran at http:\/\/127\.0\.0\.1:\d+ and has stopped/)

  // Readable when piped: no colours, no control characters, YAML aside at most 100 columns.
  // eslint-disable-next-line no-control-regex -- that is what is tested
  expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
  expect(stdout.split('\n').filter((line) => line.length > 100)).toEqual([])
  expect(await demoFolders()).toEqual(before)
  expect(existsSync(`${cwd}/.flowfence`)).toBe(false)
}, 90_000)

test('the demo stays up, answers the commands it prints, and Ctrl-C stops it and removes its folder', async () => {
  const before = await demoFolders()
  // The settings of a real service must not reach the demo.
  const started = startCli(['demo'], { cwd, env: { FLOWFENCE_API_KEY: 'hunter2hunter2', DATABASE_URL: 'postgres://u:hunter2@127.0.0.1:1/x' } })
  const shown = await started.waitForStdout('Press Ctrl-C to stop.')
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(shown)?.[0] ?? ''
  const paths = [...shown.matchAll(/curl '(http[^']+)'/g)].map((m) => m[1] ?? '')
  expect(paths.length).toBeGreaterThanOrEqual(4)
  for (const path of paths) expect(await call(path)).toMatchObject({ status: 200 })
  expect((await call(`${url}/api/v1/namespaces`)).json.items).toMatchObject([{ name: 'kube-system' }, { name: 'payments' }, { name: 'platform' }, { name: 'shop' }])
  started.kill('SIGINT')
  const { code, stderr } = await started.result
  expect(code).toBe(0)
  expect(stderr).toContain('Stopped; the temporary folder is removed.\n')
  expect(stderr).not.toContain('hunter2')
  expect(await demoFolders()).toEqual(before)
}, 90_000)

test('Ctrl-C in the middle ends the demo and removes its folder', async () => {
  const before = await demoFolders()
  const started = startCli(['demo'], { cwd })
  await started.waitForStderr('[3/5]')
  started.kill('SIGINT')
  const { code, stderr } = await started.result
  expect(code).toBe(130)
  expect(stderr).toContain('Stopped; the temporary folder is removed.\n')
  expect(await demoFolders()).toEqual(before)
}, 90_000)

test('a second Ctrl-C stops at once, kills the database and removes the folder', async () => {
  const before = await demoFolders()
  const started = startCli(['demo'], { cwd })
  await started.waitForStderr('[3/5]')
  started.kill('SIGINT')
  started.kill('SIGTERM')
  const { code } = await started.result
  expect(code).toBe(130)
  expect(await demoFolders()).toEqual(before)
}, 90_000)
