/** Runs the command line as a user does: bin/flowfence.mjs in a process of its own. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const BIN = fileURLToPath(new URL('../../bin/flowfence.mjs', import.meta.url))

export interface CliResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CliRun {
  readonly cwd: string
  readonly stdin?: string
  readonly env?: Readonly<Record<string, string>>
}

export interface StartedCli {
  readonly pid: number
  /** Resolves with everything written to stderr once it holds the text; fails when the process ends before. */
  waitForStderr(text: string): Promise<string>
  waitForStdout(text: string): Promise<string>
  /** Everything written to stderr so far. */
  readonly stderr: () => string
  kill(signal: NodeJS.Signals): void
  /** Stops reading stdout, as `head` does. */
  closeStdout(): void
  readonly result: Promise<CliResult>
}

export function startCli(args: readonly string[], run: CliRun): StartedCli {
  // Nothing of the settings of whoever runs the tests leaks in.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('FLOWFENCE_') && !['DATABASE_URL', 'NODE_OPTIONS'].includes(name))
  const child = spawn(process.execPath, [BIN, ...args], { cwd: run.cwd, env: { ...Object.fromEntries(inherited), ...run.env } })
  const texts = { stdout: '', stderr: '' }
  const changed = new Set<() => void>()
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      texts[name] += chunk
      for (const look of changed) look()
    })
  }
  const result = new Promise<CliResult>((done, failed) => {
    child.once('error', failed)
    child.once('close', (code) => done({ code, ...texts }))
  })
  const waitFor = (name: 'stdout' | 'stderr', text: string): Promise<string> => new Promise((done, failed) => {
    const look = (): void => {
      if (!texts[name].includes(text)) return
      changed.delete(look)
      done(texts[name])
    }
    changed.add(look)
    look()
    void result.then((r) => failed(new Error(`ended with ${r.code} before ${name} held ${JSON.stringify(text)}:\n${r.stdout}\n${r.stderr}`)))
  })
  // A child that does not read its input must not fail the test.
  child.stdin.on('error', () => undefined)
  child.stdin.end(run.stdin ?? '')
  return {
    pid: child.pid ?? 0,
    waitForStderr: (text) => waitFor('stderr', text),
    waitForStdout: (text) => waitFor('stdout', text),
    stderr: () => texts.stderr,
    kill: (signal) => void child.kill(signal),
    closeStdout: () => void child.stdout.destroy(),
    result,
  }
}

export function runCli(args: readonly string[], run: CliRun): Promise<CliResult> {
  return startCli(args, run).result
}

/** A folder of its own; the caller removes it. */
export async function makeFolder(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'flowfence-cli-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}
