import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { makeFolder, runCli } from '../../support/run-cli.ts'

let cwd = ''
let remove = (): Promise<void> => Promise.resolve()

beforeAll(async () => {
  const folder = await makeFolder()
  cwd = folder.path
  remove = folder.remove
})

afterAll(() => remove())

const COMMANDS = ['demo', 'serve', 'ingest', 'recommend', 'check', 'eval', 'simulate', 'migrate']

describe('usage', () => {
  test('--version prints the version', async () => {
    expect(await runCli(['--version'], { cwd })).toEqual({ code: 0, stdout: '0.1.0\n', stderr: '' })
  })

  test('--help names every command and the exit codes', async () => {
    const { code, stdout, stderr } = await runCli(['--help'], { cwd })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const name of COMMANDS) expect(stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'))
    expect(stdout).toContain('Exit codes:\n    0  done')
  })

  test.each(COMMANDS)('%s --help has examples and exit codes and fits 100 columns', async (name) => {
    const { code, stdout } = await runCli([name, '--help'], { cwd })
    expect(code).toBe(0)
    expect(stdout).toMatch(/Examples?:\n {2}\S/)
    expect(stdout).toContain('Exit codes:\n')
    const options = stdout.slice(0, stdout.search(/\nExamples?:/))
    expect(options.split('\n').filter((line) => line.length > 100)).toEqual([])
  })

  test('no command at all shows the help on stderr', async () => {
    const { code, stdout, stderr } = await runCli([], { cwd })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('Usage: flowfence')
  })

  test('a misspelt command is refused with a suggestion', async () => {
    expect(await runCli(['recomend'], { cwd })).toEqual({
      code: 2, stdout: '', stderr: "error: unknown command 'recomend'\n(Did you mean recommend?)\n(--help shows what is possible)\n",
    })
  })

  test('a misspelt flag is refused with a suggestion', async () => {
    const { code, stderr } = await runCli(['check', '--polices', 'x'], { cwd })
    expect(code).toBe(2)
    expect(stderr).toContain("error: unknown option '--polices'\n(Did you mean --policies?)")
  })

  test('a missing flag is named', async () => {
    const { code, stderr } = await runCli(['check', '--flows', 'x'], { cwd })
    expect(code).toBe(2)
    expect(stderr).toBe('flowfence: --policies PATH... is missing (--help shows what is possible).\n')
  })

  test.each([
    [['recommend', '--since', 'yesterday'], "error: option '--since <time>' argument 'yesterday' is invalid. Write a time such as 2026-01-01T00:00:00Z, or an age such as 90m, 24h or 7d."],
    [['recommend', '-o', 'xml'], "error: option '-o, --output <format>' argument 'xml' is invalid. Allowed choices are yaml, json, text."],
    [['recommend', '--pod-cidr', '10.0.0.0'], "error: option '--pod-cidr <network...>' argument '10.0.0.0' is invalid. \"10.0.0.0\" is not a network such as 10.244.0.0/16."],
    [['recommend', '--cluster', '../x'], "error: option '--cluster <name>' argument '../x' is invalid. A cluster name has letters, digits, \".\", \"_\" and \"-\", and at most 253 characters."],
    [['serve', '--port', '70000'], "error: option '--port <number>' argument '70000' is invalid. Write a whole number from 0 to 65535."],
    [['simulate', '--topology', 'x', '--format', 'pcap'], "error: option '--format <format>' argument 'pcap' is invalid. Allowed choices are hubble, calico-enterprise, goldmane, netobserv, antrea."],
  ])('%j is refused', async (args, message) => {
    const { code, stdout, stderr } = await runCli(args, { cwd })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(message)
  })

  test('an empty range is refused', async () => {
    const { code, stderr } = await runCli(['recommend', '--flows', 'x', '--since', '2026-01-02T00:00:00Z', '--until', '2026-01-01T00:00:00Z'], { cwd })
    expect({ code, stderr }).toEqual({ code: 2, stderr: 'flowfence: --since 2026-01-02T00:00:00Z is not before --until 2026-01-01T00:00:00Z.\n' })
  })

  test('a malformed setting stops every command but help', async () => {
    const env = { FLOWFENCE_PORT: 'eighty' }
    expect(await runCli(['migrate'], { cwd, env })).toEqual({ code: 2, stdout: '', stderr: 'flowfence: FLOWFENCE_PORT is "eighty", but must be a whole number from 0 to 65535.\n' })
    expect(await runCli(['--help'], { cwd, env })).toMatchObject({ code: 0 })
  })

  test('an address that others can reach is refused without a key, before anything is started', async () => {
    expect(await runCli(['serve', '--host', '0.0.0.0'], { cwd })).toEqual({
      code: 2, stdout: '',
      stderr: 'flowfence: Listening on 0.0.0.0 lets others reach the service, so it needs a key: set FLOWFENCE_API_KEY (openssl rand -hex 16), or listen on 127.0.0.1.\n',
    })
  })

  test('a database that does not answer: the next step, and no password', async () => {
    const { code, stderr } = await runCli(['migrate'], { cwd, env: { DATABASE_URL: 'postgres://flow:hunter2@127.0.0.1:1/x' } })
    expect(code).toBe(1)
    expect(stderr).toBe('flowfence: The database does not answer: connect ECONNREFUSED 127.0.0.1:1. Check DATABASE_URL and that the server runs, then try again.\n')
  })
})
