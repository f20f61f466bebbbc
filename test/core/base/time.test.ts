import { expect, test } from '@jest/globals'
import { formatTimeUs, parseTimeUs } from '../../../src/core/base/time.ts'

test.each([
  ['2026-01-01T00:00:00Z', 1_767_225_600_000_000],
  ['2026-01-01T01:30:00.000125+01:30', 1_767_225_600_000_125],
  ['2026-01-01T00:00:00.123456789Z', 1_767_225_600_123_456],
  ['2024-02-29t00:00:00z', 1_709_164_800_000_000],
])('%s is %d', (text, us) => {
  expect(parseTimeUs(text)).toBe(us)
})

test.each(['2026-02-30T00:00:00Z', '2025-02-29T00:00:00Z', '2026-01-01T24:00:00Z', '2026-13-01T00:00:00Z', '2026-01-01', '2026-01-01T00:00:00', 'yesterday', ''])('%s is no time', (text) => {
  expect(parseTimeUs(text)).toBeUndefined()
})

test('printing drops trailing zeros of the fraction and parses back', () => {
  expect(formatTimeUs(1_767_225_600_000_000)).toBe('2026-01-01T00:00:00Z')
  expect(formatTimeUs(1_767_225_600_120_000)).toBe('2026-01-01T00:00:00.12Z')
  for (const us of [0, 1, 999_999, 1_767_225_600_000_125]) expect(parseTimeUs(formatTimeUs(us))).toBe(us)
})
