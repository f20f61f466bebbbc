import { expect, test } from '@jest/globals'
import { BatchPace } from '../../src/pipeline/batch-pace.ts'

const options = { records: 10_000, min: 1_000, max: 40_000, targetMs: 400 }

/** Stores batches of the pace's own size at a speed, in records per millisecond. */
function settle(pace: BatchPace, perMs: number): number {
  for (let i = 0; i < 50; i++) pace.stored(pace.records, pace.records / perMs)
  return pace.records
}

test('a batch comes to take about the wanted time, within the bounds', () => {
  expect(settle(new BatchPace(options), 50)).toBeCloseTo(20_000, -2)
  expect(settle(new BatchPace(options), 1_000)).toBe(40_000)
  expect(settle(new BatchPace(options), 1)).toBe(1_000)
})

test('it follows a database that becomes slow and fast again', () => {
  const pace = new BatchPace(options)
  expect(settle(pace, 5)).toBeCloseTo(2_000, -2)
  expect(settle(pace, 50)).toBeCloseTo(20_000, -2)
})

test('small batches of a quiet topic do not make the pace smaller, slow ones do', () => {
  const pace = new BatchPace(options)
  for (let i = 0; i < 20; i++) pace.stored(10, 5)
  expect(pace.records).toBe(10_000)
  pace.stored(100, 4_000)
  expect(pace.records).toBeLessThan(10_000)
})

test('a fixed size stays', () => {
  const pace = new BatchPace({ records: 300, min: 300, max: 300, targetMs: 400 })
  expect(settle(pace, 1_000)).toBe(300)
})
