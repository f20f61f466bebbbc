/** Where a partition goes on: what is another log, and what is only a leader that is behind. */
import { expect, test } from '@jest/globals'
import { findStart } from '../../src/pipeline/kafka-position.ts'
import type { PartitionRange } from '../../src/sources/kafka/kafka-driver.ts'

const range = (latest: number): PartitionRange => ({ topic: 't', partition: 1, earliest: 0, latest })
const POSITION = { next: 100, fingerprint: '', records: 100 }

/** Answers with one end of the log after the other. */
function brokers(ends: number[]): Parameters<typeof findStart>[0] {
  return {
    ranges: () => Promise.resolve([{ ...range(7), partition: 0 }, range(ends.length > 1 ? ends.shift() as number : ends[0] as number)]),
    readRecord: () => Promise.resolve(undefined),
  }
}

test('an end before the position, as a leader that took over may tell it, is asked for again', async () => {
  expect(await findStart(brokers([90, 90, 120]), range(90), POSITION, { pauseMs: 1 })).toEqual({ offset: 100, lost: 0, reset: undefined, range: range(120) })
})

test('an end that stays before the position is that of another log', async () => {
  const { offset, reset } = await findStart(brokers([90]), range(80), POSITION, { pauseMs: 1 })
  expect([offset, reset]).toEqual([0, 'it ends at offset 90, and everything up to 100 was read before'])
})
