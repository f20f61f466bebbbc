/** Storing what comes of one topic, without brokers: nothing is skipped, whatever fails. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { KafkaPartition } from '../../src/pipeline/kafka-partition.ts'
import { TopicRun } from '../../src/pipeline/kafka-topic.ts'
import type { TopicRunOptions } from '../../src/pipeline/kafka-topic.ts'
import type { KafkaRecord } from '../../src/sources/kafka/kafka-driver.ts'
import type { Database } from '../../src/store/db/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { START_US } from '../support/flow-records.ts'
import { hubbleLines } from '../support/hubble-lines.ts'
import { createRandom } from '../support/random.ts'

const TOPIC = { topic: 'flows', partition: 0 }

async function startRun(database: Database, options: Partial<TopicRunOptions> = {}): Promise<{ run: TopicRun; partition: KafkaPartition; failures: unknown[] }> {
  const ingester = await createIngester(database, { cluster: 'test', nowUs: () => START_US + 7_200_000_000, retry: { giveUpAfterMs: 100 } })
  const partition = new KafkaPartition({ ...TOPIC, generation: 1 }, { name: 'kafka:brokers/flows/0', ingester, position: undefined })
  const failures: unknown[] = []
  const run = new TopicRun({
    topic: TOPIC.topic, ingester, partitions: () => [partition], isOwned: () => true, taken: () => undefined, fence: () => Promise.reject(new Error('fenced')),
    persist: (work) => work(), stored: () => undefined, failed: (error) => failures.push(error), flushMs: 1, batchRecords: 10, ...options,
  })
  return { run, partition, failures }
}

function push(partition: KafkaPartition, records: readonly KafkaRecord[]): void {
  for (let at = 0; at < records.length; at += 10) {
    const part = records.slice(at, at + 10)
    partition.push({ ...TOPIC, generation: 1, records: part, nextOffset: (part.at(-1)?.offset ?? 0) + 1, highWatermark: records.length }, performance.now())
  }
}

function recordsOf(lines: readonly string[]): KafkaRecord[] {
  return lines.map((line, offset) => ({ offset, timestampMs: 0, value: Buffer.from(line) }))
}

async function until(done: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + 30_000
  while (!done() && performance.now() < giveUpAt) await sleep(10)
  expect(done()).toBe(true)
}

test('after a batch that cannot be stored, nothing behind it is stored', async () => {
  const { database } = await createTestDatabase()
  const { run, partition, failures } = await startRun(database)
  const records = recordsOf(hubbleLines(createRandom(1), 60))
  // The third batch is refused by the database for what it holds; those behind it would be taken.
  const poison = new Date(START_US / 1000 + Math.floor((25 / 60) * 7_200_000))
  await database.query(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$`)
  await database.query(`create trigger refuse before insert on flows for each row when (date_trunc('second', new.last_at) = '${poison.toISOString()}') execute function refuse()`)
  push(partition, records)
  run.wake()
  await until(() => failures.length > 0)
  // More comes until whoever was told has stopped reading.
  run.wake()
  await sleep(500)
  await run.stop()
  expect(String(failures[0])).toContain('refused')
  const { rows: [position] } = await database.query<{ next: string }>('select next from positions')
  const { rows: [flows] } = await database.query<{ n: string }>('select count(*) as n from flows')
  expect({ next: Number(position?.next), flows: Number(flows?.n) }).toEqual({ next: 20, flows: 20 })
})
