/**
 * The one broker of a test run: started by the first test file that needs it, joined by the others, ended by global-teardown.mjs, or by its
 * watchdog when the run is killed.
 */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { withLock } from '../file-lock.ts'
import { killBrokers } from './broker-process.ts'
import { startCluster } from './cluster.ts'
import type { SecureListeners } from './cluster.ts'
import { findRuntime } from './runtime.ts'
import type { KafkaRuntime } from './runtime.ts'

export interface SharedBroker {
  readonly brokers: readonly string[]
  readonly clusterId: string
  readonly secure: SecureListeners
}

/** The next step for whoever sees skipped tests. */
export const HOW_TO_ENABLE = 'Start Docker, install Java 17 and Maven, or set KAFKA_BROKERS.'

/** What runs a broker here; looked for once in a run. */
export function runtimeOfRun(): Promise<KafkaRuntime | { readonly kind: 'none'; readonly reason: string }> {
  return once('kafka-runtime', findRuntime)
}

export async function sharedBroker(): Promise<SharedBroker> {
  const runtime = await runtimeOfRun()
  if (runtime.kind === 'none') throw new Error(`Nothing here can run Kafka: ${runtime.reason}.`)
  return once('kafka-broker', async () => {
    const cluster = await startCluster(runtime, { folder: join(testFolder(), 'kafka'), ownerPid: runPid(), isSecure: true })
    const { secure } = cluster
    if (secure === undefined) throw new Error('The shared broker has no secure listeners.')
    return { brokers: cluster.brokers, clusterId: cluster.clusterId, secure, processes: cluster.processes() }
  })
}

/** Called when every test file is done. */
export async function endSharedBroker(): Promise<void> {
  const text = await readFile(join(testFolder(), 'kafka-broker.json'), 'utf8').catch(() => undefined)
  if (text !== undefined) await killBrokers((JSON.parse(text) as { processes: string[] }).processes)
  const runtime = await runtimeOfRun()
  // jest names skipped tests of a file only where one of them ran.
  if (runtime.kind === 'none') process.stderr.write(`Kafka tests were skipped: ${runtime.reason}. ${HOW_TO_ENABLE}\n`)
}

/** The folder of the run, which is removed at its end. */
export function testFolder(): string {
  const folder = process.env.FLOWFENCE_TEST_FOLDER
  if (folder === undefined) throw new Error('Run the tests by `npm test`: jest.config.mjs names the folder of the test broker.')
  return folder
}

/** The process that runs all test files. */
function runPid(): number {
  return Number(process.env.FLOWFENCE_TEST_PID ?? process.pid)
}

/** The value that the first caller in this run, in whatever process, has made. */
async function once<T>(name: string, make: () => Promise<T>): Promise<T> {
  const path = join(testFolder(), `${name}.json`)
  return withLock(`${path}.lock`, async () => {
    const text = await readFile(path, 'utf8').catch(() => undefined)
    if (text !== undefined) return JSON.parse(text) as T
    const value = await make()
    await writeFile(`${path}.new`, JSON.stringify(value), { mode: 0o600 })
    await rename(`${path}.new`, path)
    return value
  })
}
