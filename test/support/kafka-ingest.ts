/** Runs members of a consumer group in this process, for tests of the Kafka pipeline. */
import { createIngester } from '../../src/pipeline/ingest.ts'
import type { Ingester } from '../../src/pipeline/ingest.ts'
import { KafkaIngest } from '../../src/pipeline/ingest-kafka.ts'
import type { KafkaIngestOptions, KafkaNotice } from '../../src/pipeline/ingest-kafka.ts'
import { createKafkaDriver } from '../../src/sources/kafka/create-driver.ts'
import type { KafkaDriver, KafkaDriverName } from '../../src/sources/kafka/kafka-driver.ts'
import type { Database } from '../../src/store/db/database.ts'
import { START_US } from './flow-records.ts'

export interface MemberOptions extends Partial<Omit<KafkaIngestOptions, 'database' | 'driver' | 'ingesterOf'>> {
  readonly database: Database
  readonly brokers: readonly string[]
  readonly topic: string | RegExp
  readonly group: string
  readonly driverName?: KafkaDriverName
  readonly cluster?: string
}

export interface Member {
  readonly ingest: KafkaIngest
  readonly driver: KafkaDriver
  readonly ingester: Ingester
  readonly notices: KafkaNotice[]
  /** Rejects when the member ended with an error. */
  readonly ended: Promise<void>
  stop(): Promise<void>
}

/** The clock of tests: an hour after the first of hubbleLines(). */
const NOW_US = START_US + 3_600_000_000

export async function startMember({ database, brokers, topic, group, driverName = 'kafkajs', cluster = 'test', ...rest }: MemberOptions): Promise<Member> {
  const nowUs = (): number => NOW_US + 3_600_000_000
  const ingester = await createIngester(database, { cluster, nowUs, retry: { giveUpAfterMs: 5_000 } })
  const driver = await createKafkaDriver(driverName, { brokers, clientId: 'flowfence-test', groupId: group, topics: [topic], sessionTimeoutMs: 6_000 })
  const notices: KafkaNotice[] = []
  const ingest = new KafkaIngest({
    database, driver, ingesterOf: () => Promise.resolve(ingester), start: 'earliest', onReset: 'earliest', nowUs, flushMs: 100, onNotice: (notice) => notices.push(notice), ...rest,
  })
  const stopping = new AbortController()
  const ended = ingest.run(stopping.signal)
  ended.catch(() => undefined)
  return {
    ingest, driver, ingester, notices, ended,
    stop: async () => {
      stopping.abort()
      await ended
      await driver.close()
    },
  }
}
