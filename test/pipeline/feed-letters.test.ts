/** Dead letters on their way to a dead-letter topic. */
import { expect, test } from '@jest/globals'
import { feedLetters } from '../../src/pipeline/feed-letters.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import type { DeadLetterRecord } from '../../src/sources/kafka/kafka-driver.ts'
import { createTestDatabase } from '../support/database.ts'
import { START_US } from '../support/flow-records.ts'

test('letters of one topic have a key each, the same again when they are sent again', async () => {
  const { database } = await createTestDatabase()
  const ingester = await createIngester(database, { cluster: 'test', nowUs: () => START_US })
  // Two partitions with a message at the same offset, one of which holds two records.
  const at = (text: string): { bytes: Buffer; offset: number } => ({ bytes: Buffer.from(text), offset: 7 })
  await ingester.ingestValues({ source: 'kafka:flows', values: [at('{"a":\n{"b":\n'), at('{"c":\n')] })
  const sent: DeadLetterRecord[][] = []
  const stopping = new AbortController()
  // The second time the brokers take them.
  const send = (_: string, records: readonly DeadLetterRecord[]): Promise<void> => {
    sent.push([...records])
    if (sent.length === 1) return Promise.reject(new Error('no broker'))
    stopping.abort()
    return Promise.resolve()
  }
  await feedLetters({ database, driver: { send }, topic: 'dead', everyMs: 1 }, stopping.signal)
  const [first = [], second = []] = sent
  expect(first.map((letter) => letter.value.toString()).sort()).toEqual(['{"a":', '{"b":', '{"c":'])
  expect(new Set(first.map((letter) => letter.key)).size).toBe(3)
  expect(second).toEqual(first)
})
