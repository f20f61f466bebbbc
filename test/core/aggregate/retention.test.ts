import { describe, expect, test } from '@jest/globals'
import { clusterClock, computeWatermark, cutoffsOf, DEFAULT_RETENTION } from '../../../src/core/aggregate/retention.ts'
import { formatTimeUs, parseTimeUs, US_PER_SECOND } from '../../../src/core/base/time.ts'

const MINUTE_US = 60 * US_PER_SECOND
const at = (text: string): number => parseTimeUs(text) ?? NaN
const NOW = at('2026-03-01T12:00:00Z')

/** A source whose newest flow and last batch are so many minutes old. */
function source(newestMinutes: number | null, recordedMinutes: number) {
  return { newestUs: newestMinutes === null ? null : NOW - newestMinutes * MINUTE_US, recordedAtUs: NOW - recordedMinutes * MINUTE_US }
}

describe('the watermark', () => {
  const minutesBehind = (sources: Parameters<typeof computeWatermark>[0]): number | undefined => {
    const watermark = computeWatermark(sources, NOW)
    return watermark === undefined ? undefined : (NOW - watermark.atUs) / MINUTE_US
  }

  test('is the slowest source that is at work, less ten minutes', () => {
    expect(minutesBehind([source(1, 0), source(50, 0), source(3, 2)])).toBe(60)
  })

  test('a source that is silent for more than a quarter of an hour holds nobody back', () => {
    expect(minutesBehind([source(1, 0), source(500, 15)])).toBe(510)
    expect(minutesBehind([source(1, 0), source(500, 16)])).toBe(11)
  })

  test('where all are silent it is the fastest: nothing older is awaited', () => {
    expect(computeWatermark([source(700, 16), source(600, 500)], NOW)).toEqual({ atUs: NOW - 610 * MINUTE_US, isBusy: false })
    expect(computeWatermark([source(700, 15)], NOW)).toMatchObject({ isBusy: true })
  })

  test('never lies in the future, and there is none before the first flow', () => {
    expect(minutesBehind([source(-1000, 0)])).toBe(10)
    expect(minutesBehind([source(null, 0)])).toBeUndefined()
    expect(minutesBehind([])).toBeUndefined()
    expect(minutesBehind([source(null, 0), source(5, 0)])).toBe(15)
  })
})

describe('the clock of retention', () => {
  test('is the newest flow of the cluster, never later than the service\'s clock', () => {
    expect(clusterClock([source(5, 0), source(1000, 0), source(null, 0)], NOW)).toBe(NOW - 5 * MINUTE_US)
    expect(clusterClock([source(-5, 0)], NOW)).toBe(NOW)
    expect(clusterClock([source(null, 0)], NOW)).toBeUndefined()
  })

  test('whole days expire, and never less is kept than was asked for', () => {
    const { rawUs, windowsUs, hoursUs, daysUs } = cutoffsOf(NOW, DEFAULT_RETENTION)
    expect([rawUs, windowsUs, hoursUs, daysUs].map(formatTimeUs)).toEqual(['2026-02-22T00:00:00Z', '2026-02-15T00:00:00Z', '2025-12-01T00:00:00Z', '2025-01-25T00:00:00Z'])
  })
})
