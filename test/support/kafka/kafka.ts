/**
 * A real Kafka broker for test files.
 *
 *   describeKafka(name, fn)   the suite uses `kafkaBroker()`; a broker of one's own may be given by KAFKA_BROKERS
 *   describeOwnKafka(name, fn)   the suite uses `kafkaListeners()` or `startKafka()`: brokers that the tests may secure and kill
 *
 * Without anything that can run a broker such suites show as skipped, or fail where FLOWFENCE_REQUIRE_KAFKA is 1. Broker and topics outlive a test
 * file, so names of topics and groups should be random: `topicName()`.
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, describe, test } from '@jest/globals'
import { startCluster } from './cluster.ts'
import type { KafkaCluster } from './cluster.ts'
import { HOW_TO_ENABLE, runtimeOfRun, sharedBroker, testFolder } from './shared-broker.ts'
import type { SharedBroker } from './shared-broker.ts'
import { openTopics } from './topics.ts'
import type { Topics } from './topics.ts'

export interface KafkaBroker {
  /** `host:port` without security. */
  readonly brokers: readonly string[]
  readonly topics: Topics
}

/** A broker given from outside by KAFKA_BROKERS="host:port,host:port". */
const given = (process.env.KAFKA_BROKERS ?? '').split(',').map((broker) => broker.trim()).filter((broker) => broker !== '')
const runtime = await runtimeOfRun()
const cleanups: (() => Promise<void>)[] = []

afterAll(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** The shared broker of the run, or the one given from outside. */
export async function kafkaBroker(): Promise<KafkaBroker> {
  const brokers = given.length > 0 ? given : (await sharedBroker()).brokers
  return { brokers, topics: await topicsOf(brokers) }
}

/** The shared broker with its secure listeners; never the one given from outside. */
export async function kafkaListeners(): Promise<SharedBroker & KafkaBroker> {
  const broker = await sharedBroker()
  return { ...broker, topics: await topicsOf(broker.brokers) }
}

export interface StartOptions {
  readonly brokers?: 1 | 3
  /** Further lines of server.properties. */
  readonly settings?: Readonly<Record<string, string>>
}

/** Brokers for one test file alone, ended after it. Takes some seconds each: give the test or hook a long timeout. */
export async function startKafka(options: StartOptions = {}): Promise<KafkaCluster & KafkaBroker> {
  if (runtime.kind === 'none') throw new Error(`Nothing here can run Kafka: ${runtime.reason}.`)
  const cluster = await startCluster(runtime, { ...options, folder: join(testFolder(), `kafka-${randomUUID()}`), ownerPid: process.pid })
  cleanups.push(() => cluster.end())
  return { ...cluster, topics: await topicsOf(cluster.brokers) }
}

async function topicsOf(brokers: readonly string[]): Promise<Topics> {
  const topics = await openTopics(brokers)
  cleanups.push(() => topics.close())
  return topics
}

/** A name nobody else has, for a topic or a group. */
export function topicName(prefix = 'flows'): string {
  return `${prefix}-${randomUUID().slice(0, 13)}`
}

/** A token for SASL OAUTHBEARER as the brokers of the tests take it: unsigned. */
export function oauthToken({ subject = 'flowfence', lifetimeS = 3600 } = {}): string {
  const nowS = Math.floor(Date.now() / 1000)
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'none' })}.${part({ sub: subject, iat: nowS + Math.min(lifetimeS, 0) - 1, exp: nowS + lifetimeS })}.`
}

export function describeKafka(name: string, fn: () => void): void {
  describeIf(given.length > 0, name, fn)
}

export function describeOwnKafka(name: string, fn: () => void): void {
  describeIf(false, name, fn)
}

function describeIf(isGiven: boolean, name: string, fn: () => void): void {
  if (isGiven || runtime.kind !== 'none') {
    describe(name, fn)
    return
  }
  const { reason } = runtime
  if (process.env.FLOWFENCE_REQUIRE_KAFKA === '1') {
    test(`${name} (Kafka is required by FLOWFENCE_REQUIRE_KAFKA)`, () => {
      throw new Error(`Nothing here can run Kafka: ${reason}. ${HOW_TO_ENABLE}`)
    })
  } else describe.skip(`${name} (skipped: ${reason}. ${HOW_TO_ENABLE})`, fn)
}
