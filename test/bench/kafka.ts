/** Kafka into Postgres, beside what the same driver reads when it throws every message away; and both drivers beside each other. */
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DecodePool } from '../../src/pipeline/decode-pool.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { KafkaIngest } from '../../src/pipeline/ingest-kafka.ts'
import { createKafkaDriver } from '../../src/sources/kafka/create-driver.ts'
import type { KafkaDriverName, KafkaHandler } from '../../src/sources/kafka/kafka-driver.ts'
import { startCluster } from '../support/kafka/cluster.ts'
import { findRuntime } from '../support/kafka/runtime.ts'
import { openTopics } from '../support/kafka/topics.ts'
import { endlessLog } from './endless-log.ts'
import type { IngestBench } from './ingest.ts'
import { secondsOf } from './measure.ts'

const PARTITIONS = 4
const MESSAGES = 400_000
const ROUNDS = 3
const PRODUCE_LINES = 500

export async function benchKafka(bench: IngestBench): Promise<void> {
  const { folder, lines, report } = bench
  const runtime = await findRuntime()
  if (runtime.kind === 'none') {
    process.stdout.write(`Kafka is left out: ${runtime.reason}.\n`)
    return
  }
  const home = join(folder, 'kafka')
  mkdirSync(home)
  chmodSync(home, 0o755)
  const cluster = await startCluster(runtime, { folder: home, ownerPid: process.pid })
  // A consumer alone does not keep a process running.
  const beat = setInterval(() => undefined, 60_000)
  try {
    const topic = 'flows'
    const messages = await produce(cluster.brokers, topic, lines)
    const ratios = new Map<KafkaDriverName, number>()
    for (const name of ['kafkajs', 'platformatic'] as const) {
      const discard: number[] = []
      const store: number[] = []
      // In turns, so that a busy machine slows both.
      for (let round = 0; round < ROUNDS; round++) {
        discard.push(await discardSeconds(name, { brokers: cluster.brokers, topic, messages, group: `discard-${name}-${round}` }))
        store.push(await storeSeconds(name, { bench, brokers: cluster.brokers, topic, messages, group: `store-${name}-${round}` }))
      }
      const pairs = discard.map((seconds, i) => seconds / (store[i] as number)).sort((a, b) => a - b)
      const ratio = pairs[Math.floor(ROUNDS / 2)] as number
      ratios.set(name, ratio)
      const fastest = Math.min(...discard)
      report({ name: `Kafka (${name}): read and discarded`, value: messages / fastest, unit: 'messages/s' })
      report({ name: '  Kafka -> Postgres: raw flows and edge windows', value: messages / Math.min(...store), unit: 'messages/s' })
      report({ name: '  ... as a share of what is read when discarded', value: ratio, unit: 'x', limit: { atLeast: 0.7 } })
    }
  } finally {
    clearInterval(beat)
    await cluster.end()
  }
}

async function produce(brokers: readonly string[], topic: string, lines: readonly string[]): Promise<number> {
  const topics = await openTopics(brokers)
  await topics.create(topic, { partitions: PARTITIONS })
  const log = endlessLog(lines, 10)
  let sent = 0
  let rest = ''
  for await (const chunk of log.chunks(Math.ceil(MESSAGES / log.linesPerRound))) {
    const all = (rest + chunk.toString('latin1')).split('\n')
    rest = all.pop() ?? ''
    for (let at = 0; at < all.length; at += PRODUCE_LINES) {
      const part = all.slice(at, at + PRODUCE_LINES)
      await topics.produce(topic, part, { partition: Math.floor(sent / PRODUCE_LINES) % PARTITIONS })
      sent += part.length
    }
  }
  await topics.close()
  return sent
}

interface Reading {
  readonly brokers: readonly string[]
  readonly topic: string
  readonly messages: number
  readonly group: string
}

/** From the assignment to the last message: connecting and joining do not count. */
async function discardSeconds(name: KafkaDriverName, { brokers, topic, messages, group }: Reading): Promise<number> {
  const driver = await createKafkaDriver(name, { brokers, clientId: 'bench', groupId: group, topics: [topic] })
  const done = new AbortController()
  let [read, startedMs, endedMs] = [0, 0, 0]
  const handler: KafkaHandler = {
    assigned: () => {
      startedMs = performance.now()
      return Promise.resolve([])
    },
    revoked: () => undefined,
    batch: ({ records }) => {
      read += records.length
      if (read < messages) return
      endedMs = performance.now()
      done.abort()
    },
    outOfRange: () => done.abort(),
    status: () => undefined,
  }
  await driver.consume(handler, done.signal)
  await driver.close()
  if (read < messages) throw new Error('not all messages came')
  return (endedMs - startedMs) / 1000
}

let clusters = 0

async function storeSeconds(name: KafkaDriverName, { bench: { database }, brokers, topic, messages, group }: Reading & { readonly bench: IngestBench }): Promise<number> {
  const pool = new DecodePool(1)
  const ingester = await createIngester(database, { cluster: `kafka-${clusters++}`, nowUs: () => Date.UTC(2026, 0, 2) * 1000, decodePool: pool })
  const driver = await createKafkaDriver(name, { brokers, clientId: 'bench', groupId: group, topics: [topic] })
  const done = new AbortController()
  let [received, stored, startedMs, endedMs] = [0, 0, 0, 0]
  const ingest = new KafkaIngest({
    database, driver, ingesterOf: () => Promise.resolve(ingester), start: 'earliest', onReset: 'stop', nowUs: () => Date.now() * 1000,
    onNotice: ({ event }) => {
      if (event === 'assigned') startedMs = performance.now()
    },
    onStored: (report) => {
      received += report.received
      stored += report.stored
      if (received < messages) return
      endedMs = performance.now()
      done.abort()
    },
  })
  const seconds = await secondsOf(() => ingest.run(done.signal))
  await driver.close()
  await pool.close()
  if (stored < 0.9 * messages) throw new Error(`only ${stored} of ${messages} were stored`)
  if (received !== messages || endedMs === 0) throw new Error(`${received} of ${messages} messages were stored in ${seconds} s`)
  return (endedMs - startedMs) / 1000
}
