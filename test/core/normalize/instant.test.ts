import { describe, expect, test } from '@jest/globals'
import { parseTimeUs } from '../../../src/core/base/time.ts'
import { InstantParser } from '../../../src/core/normalize/instant.ts'
import { createRandom, rounds } from '../../support/random.ts'
import { flow, flowOf, verdictOf } from './hubble-records.ts'

describe('times', () => {
  test('the fast parser agrees with the plain one on random times', () => {
    const random = createRandom(7)
    const parser = new InstantParser()
    for (let i = 0; i < rounds({ small: 5000, full: 200_000 }); i++) {
      const seconds = new Date(random.int(7_000_000_000) * 1000).toISOString().slice(0, 19)
      const digits = random.int(10)
      const fraction = digits === 0 ? '' : `.${String(random.int(1_000_000_000)).padStart(9, '0').slice(0, digits)}`
      const text = `${seconds}${fraction}Z`
      const isParsed = parser.parse(text)
      if (!isParsed || parser.us !== parseTimeUs(text)) throw new Error(`seed 7: ${text} gives ${isParsed} ${parser.us}, not ${parseTimeUs(text)}`)
    }
  })

  test('nanoseconds beyond microseconds are kept for telling records apart', () => {
    const parser = new InstantParser()
    expect([parser.parse('2026-01-01T00:00:00.123456789Z'), parser.us % 1_000_000, parser.ns]).toEqual([true, 123_456, 789])
    expect([parser.parse('2026-01-01T01:00:00.123456789+01:00'), parser.us % 1_000_000, parser.ns]).toEqual([true, 123_456, 789])
  })

  test('trailing zeros and offsets do not make another instant', () => {
    const plain = flowOf(flow({ time: '2026-01-01T00:00:00.5Z' }))
    for (const time of ['2026-01-01T00:00:00.500000000Z', '2026-01-01T02:00:00.5+02:00']) expect(flowOf(flow({ time }))).toEqual(plain)
  })

  test.each([
    ['', 'bad-time'], ['yesterday', 'bad-time'], ['2026-13-01T00:00:00Z', 'bad-time'], ['2026-02-30T00:00:00Z', 'bad-time'], ['2025-02-29T00:00:00Z', 'bad-time'],
    ['2026-01-01T24:00:00Z', 'bad-time'], ['2026-01-01T00:00:00', 'bad-time'], ['2026-01-01T00:00:00.Z', 'bad-time'], ['2026-01-01T00:00:00.1x2Z', 'bad-time'],
    ['9'.repeat(100_000), 'bad-time'], ['1999-12-31T23:59:59Z', 'too-early'], ['1970-01-01T00:00:01Z', 'too-early'], ['2300-01-01T00:00:00Z', 'in-future'],
  ])('%.30s is %s', (time, code) => {
    expect(verdictOf(flow({ time }))).toBe(`rejected ${code}`)
  })

  test('leap days are days', () => {
    expect(flowOf(flow({ time: '2024-02-29T12:00:00Z' })).firstAtUs).toBe(Date.UTC(2024, 1, 29, 12) * 1000)
  })

  test('absent and wrongly typed times are refused', () => {
    expect(verdictOf({ flow: flow({ time: undefined }) })).toBe('rejected missing-field')
    expect(verdictOf(flow({ time: 5 }))).toBe('rejected wrong-type')
    expect(verdictOf(flow({ time: { seconds: 'x' } }))).toBe('rejected bad-time')
  })
})
