/** Partitions that are taken away and given back while the database is away: the newest assignment counts, and reading goes on when the database is back. */
import { expect, test } from '@jest/globals'
import { KafkaIngest } from '../../src/pipeline/ingest-kafka.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import type { KafkaDriver, KafkaHandler } from '../../src/sources/kafka/kafka-driver.ts'
import { AppError } from '../../src/core/base/app-error.ts'
import { createTestDatabase } from '../support/database.ts'
import { START_US } from '../support/flow-records.ts'
import { hubbleLines } from '../support/hubble-lines.ts'
import { received, until } from '../support/kafka/conservation.ts'
import { createRandom } from '../support/random.ts'

test('an assignment that was answered late does not take the place of a newer one', async () => {
  const { database } = await createTestDatabase()
  const nowUs = (): number => START_US + 7_200_000_000
  const ingester = await createIngester(database, { cluster: 'test', nowUs })
  let handler: KafkaHandler | undefined
  let isAway = true
  const at = { topic: 'flows', partition: 0 }
  const driver: KafkaDriver = {
    name: 'kafkajs',
    consume: (given, signal) => new Promise((resolve) => {
      handler = given
      signal.addEventListener('abort', () => resolve())
    }),
    seek: () => undefined, pause: () => undefined, resume: () => undefined, commit: () => Promise.resolve(), readRecord: () => Promise.resolve(undefined),
    ranges: () => Promise.resolve([{ ...at, earliest: 0, latest: 100 }]), clusterId: () => Promise.resolve('brokers'), send: () => Promise.resolve(), close: () => Promise.resolve(),
  }
  const ingest = new KafkaIngest({
    database, driver, nowUs, start: 'earliest', onReset: 'earliest', flushMs: 10,
    ingesterOf: () => isAway ? Promise.reject(new AppError('unavailable', 'The database does not answer.', { retryable: true })) : Promise.resolve(ingester),
  })
  const stopping = new AbortController()
  const running = ingest.run(stopping.signal)
  const first = handler?.assigned([{ ...at, generation: 1 }])
  handler?.revoked([at])
  const second = handler?.assigned([{ ...at, generation: 2 }])
  await until('it to wait', () => Promise.resolve(ingest.state.condition === 'database-away'))
  isAway = false
  const starts = await Promise.allSettled([first, second])
  expect(starts.map((start) => start.status === 'fulfilled' ? start.value : start.reason as unknown)).toEqual([[], [{ ...at, offset: 0 }]])
  expect(ingest.state).toMatchObject({ partitions: 1, lag: 100 })
  const records = hubbleLines(createRandom(71), 100).map((line, offset) => ({ offset, timestampMs: 0, value: Buffer.from(line) }))
  handler?.batch({ ...at, generation: 1, records, nextOffset: 100, highWatermark: 100 })
  handler?.batch({ ...at, generation: 2, records, nextOffset: 100, highWatermark: 100 })
  await until('the records of the newer one', async () => await received(database) >= 100)
  stopping.abort()
  await running
  expect(await received(database)).toBe(100)
  expect(ingest.state.lag).toBe(0)
})
