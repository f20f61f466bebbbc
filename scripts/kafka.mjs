/**
 * The Kafka broker of the tests for development: `npm run kafka [-- --port 9092]`. Keeps its data in .flowfence-kafka; Ctrl-C stops it.
 * Topics come into being when they are first written to.
 */
import { clearInterval, setInterval } from 'node:timers'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { checkNodeVersion } from '../bin/check-node.mjs'

checkNodeVersion()
const { startCluster } = await import('../test/support/kafka/cluster.ts')
const { freePort, isFree } = await import('../test/support/kafka/ports.ts')
const { findRuntime } = await import('../test/support/kafka/runtime.ts')
const { withLock } = await import('../test/support/file-lock.ts')

const DEFAULT_PORT = 9092
const { values } = parseArgs({ options: { port: { type: 'string' } } })
const folder = fileURLToPath(new URL('../.flowfence-kafka', import.meta.url))

const wanted = Number(values.port ?? DEFAULT_PORT)
const isWantedFree = await isFree(wanted)
if (values.port !== undefined && !isWantedFree) end(`Port ${wanted} is in use. Choose another one, or leave --port out to get a free one.`)
const port = isWantedFree ? wanted : await freePort()

console.log('Looking for Docker, or Java and Maven. The first time this downloads Kafka, which takes a while.')
const runtime = await findRuntime()
if (runtime.kind === 'none') end(`Nothing here can run Kafka: ${runtime.reason}. Start Docker, or install Java 17 and Maven.`)

const stopped = new Promise((resolve) => { for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, resolve) })
try {
  await withLock(`${folder}.lock`, async () => {
    const cluster = await startCluster(runtime, {
      folder, port, ownerPid: process.pid, keepsData: true, settings: { 'auto.create.topics.enable': 'true' },
    })
    console.log(`
Kafka ${runtime.version} (${runtime.kind === 'java' ? 'Java' : 'Docker'}) listens on localhost:${port}.${isWantedFree ? '' : ` Port ${wanted} is in use by something else.`}

  flowfence reads it with   FLOWFENCE_KAFKA_BROKERS=localhost:${port} FLOWFENCE_KAFKA_TOPICS=flows flowfence ingest
  the tests use it with     KAFKA_BROKERS=localhost:${port} npm test
  its data is in            ${folder}

Ctrl-C stops it.`)
    const beat = setInterval(() => undefined, 60_000)
    await stopped
    clearInterval(beat)
    console.log('Stopping.')
    await cluster.end()
  }, 1000)
} catch (error) {
  end(error instanceof Error ? error.message : String(error))
}

function end(text) {
  console.error(text)
  process.exit(1)
}
