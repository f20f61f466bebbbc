/** `flowfence ingest` (or `serve`) as a process of its own that reads Kafka, as an operator runs it: observed by its health endpoints, its metrics and its log. */
import { tmpdir } from 'node:os'
import { startCli } from './run-cli.ts'
import type { CliResult } from './run-cli.ts'
import { until } from './kafka/conservation.ts'

export interface IngestOptions {
  readonly databaseUrl: string
  readonly brokers: readonly string[]
  readonly topic: string
  readonly group: string
  readonly command?: 'ingest' | 'serve'
  readonly env?: Readonly<Record<string, string>>
}

export interface Readiness {
  readonly status: number
  /** Name -> text, with `!` in front of those that failed. */
  readonly checks: Readonly<Record<string, string>>
}

export interface IngestProcess {
  readonly pid: number
  /** Everything logged so far, a JSON object or a sentence per line. */
  readonly log: () => string
  /** Returns when it listens; fails when it has ended before. */
  listening(): Promise<string>
  /** Returns when `/readyz` says 200. */
  ready(): Promise<void>
  readiness(): Promise<Readiness>
  /** Returns when `/readyz` answers so. */
  untilReadiness(what: string, holds: (readiness: Readiness) => boolean): Promise<Readiness>
  /** Values of one metric, summed over the labels that hold `label`. */
  metric(name: string, label?: string): Promise<number>
  untilLogged(text: string): Promise<void>
  /** Returns when it is gone. */
  kill(): Promise<void>
  /** SIGTERM; returns when it is gone. */
  stop(): Promise<CliResult & { readonly tookMs: number }>
  signal(name: NodeJS.Signals): void
  readonly result: Promise<CliResult>
}

/** The embedded server and Kafka answer on the loopback address; how long one answer of the process may take. */
const ANSWER_MS = 30_000

export function startIngest({ databaseUrl, brokers, topic, group, command = 'ingest', env = {} }: IngestOptions): IngestProcess {
  const cli = startCli([command], {
    cwd: tmpdir(),
    env: {
      DATABASE_URL: databaseUrl, FLOWFENCE_CLUSTER: 'test', FLOWFENCE_PORT: '0', FLOWFENCE_KAFKA_BROKERS: brokers.join(','), FLOWFENCE_KAFKA_TOPICS: topic,
      FLOWFENCE_KAFKA_GROUP: group, ...env,
    },
  })
  let ended: CliResult | undefined
  void cli.result.then((result) => { ended = result })
  const log = cli.stderr
  const alive = (): void => {
    if (ended !== undefined) throw new Error(`The process ended with ${ended.code}:\n${ended.stderr}`)
  }
  const waitFor = (what: string, holds: () => Promise<boolean>): Promise<void> => until(what, async () => {
    alive()
    return holds()
  }, log)
  const listening = async (): Promise<string> => {
    await cli.waitForStderr('"listening"')
    const url = /"url":"([^"]+)"[^\n]*"listening"/.exec(log())?.[1]
    if (url === undefined) throw new Error(`No address in the log:\n${log()}`)
    return url
  }
  const ask = async (path: string): Promise<{ status: number, text: string }> => {
    const response = await fetch(`${await listening()}${path}`, { signal: AbortSignal.timeout(ANSWER_MS) })
    return { status: response.status, text: await response.text() }
  }
  const readiness = async (): Promise<Readiness> => {
    const { status, text } = await ask('/readyz')
    const { checks } = JSON.parse(text) as { checks: Record<string, { status: string, text: string }> }
    return { status, checks: Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, `${check.status === 'ok' ? '' : '!'}${check.text}`])) }
  }
  const untilReadiness = async (what: string, holds: (readiness: Readiness) => boolean): Promise<Readiness> => {
    let last: Readiness = { status: 0, checks: {} }
    await waitFor(`/readyz: ${what}`, async () => holds(last = await readiness()))
    return last
  }
  return {
    pid: cli.pid, log, listening, readiness, untilReadiness, result: cli.result,
    ready: async () => { await untilReadiness('ready', ({ status }) => status === 200) },
    metric: async (name, label = '') => {
      const { text } = await ask('/metrics')
      const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `)).filter((line) => line.includes(label))
      return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
    },
    untilLogged: (text) => waitFor(`in the log: ${text}`, () => Promise.resolve(log().includes(text))),
    kill: async () => {
      cli.kill('SIGKILL')
      await cli.result
    },
    stop: async () => {
      const startedMs = performance.now()
      cli.kill('SIGTERM')
      const result = await cli.result
      return { ...result, tookMs: performance.now() - startedMs }
    },
    signal: (name) => cli.kill(name),
  }
}
