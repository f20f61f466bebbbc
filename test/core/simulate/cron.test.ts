import { describe, expect, test } from '@jest/globals'
import { parseTimeUs } from '../../../src/core/base/time.ts'
import { cronMatches, parseCron } from '../../../src/core/simulate/cron.ts'

function matches(schedule: string, time: string): boolean | undefined {
  const parsed = parseCron(schedule)
  return parsed === undefined ? undefined : cronMatches(parsed, parseTimeUs(time) ?? 0)
}

describe('cron schedules', () => {
  test.each([
    ['* * * * *', '2026-01-01T00:00:00Z', true],
    ['*/15 * * * *', '2026-01-01T00:45:59.999999Z', true],
    ['*/15 * * * *', '2026-01-01T00:46:00Z', false],
    ['5,10-12 3 * * *', '2026-01-01T03:11:00Z', true],
    ['5,10-12 3 * * *', '2026-01-01T03:13:00Z', false],
    ['0 9-17/4 * * mon-fri', '2026-01-02T13:00:00Z', true], // a Friday
    ['0 9-17/4 * * mon-fri', '2026-01-03T13:00:00Z', false],
    ['0 0 * * 7', '2026-01-04T00:00:00Z', true], // 7 is Sunday too
    ['0 0 1 * mon', '2026-01-05T00:00:00Z', true], // day or weekday when both are given
    ['0 0 1 * mon', '2026-01-06T00:00:00Z', false],
    ['@hourly', '2026-01-06T07:00:00Z', true],
    ['0 0 1 jan *', '2026-02-01T00:00:00Z', false],
  ])('%s at %s: %s', (schedule, time, expected) => expect(matches(schedule, time)).toBe(expected))

  test.each(['', '* * * *', '60 * * * *', '*/0 * * * *', '5-1 * * * *', 'a * * * *', '* * 0 * *', '1-2-3 * * * *', '* * * * * *', '*/2/3 * * * *'])(
    '%j is refused', (text) => expect(parseCron(text)).toBeUndefined())
})
