import { describe, expect, test } from '@jest/globals'
import { planLevels } from '../../../src/core/aggregate/level-spans.ts'
import type { LevelSpans, LevelState, Span } from '../../../src/core/aggregate/level-spans.ts'
import { US_PER_HOUR } from '../../../src/core/aggregate/node-hours.ts'
import { US_PER_DAY } from '../../../src/core/base/time.ts'
import { WINDOW_US } from '../../../src/core/flow/edge.ts'
import { START_US } from '../../support/flow-records.ts'
import { createRandom, rounds } from '../../support/random.ts'

const NOTHING_EXPIRED: LevelState = { windowsBeforeUs: -Infinity, hoursBeforeUs: -Infinity, dirtyHours: [], dirtyDays: [] }

/** A moment as hours since START_US. */
function hours(n: number): number {
  return START_US + n * US_PER_HOUR
}

/** Spans as hours since START_US. */
function shown(spans: LevelSpans): Record<keyof LevelSpans, string> {
  const bound = (us: number): string => (Number.isFinite(us) ? String((us - START_US) / US_PER_HOUR) : '')
  const text = (list: readonly Span[]): string => list.map((s) => `${bound(s.sinceUs)}..${bound(s.untilUs)}`).join(' ')
  return { days: text(spans.days), hours: text(spans.hours), windows: text(spans.windows) }
}

describe('which rows a range is read from', () => {
  test('days inside, then hours, then windows at the margins', () => {
    expect(shown(planLevels({ sinceUs: hours(20.5), untilUs: hours(73.25) }, NOTHING_EXPIRED))).toEqual({ days: '24..72', hours: '21..24 72..73', windows: '20.5..21 73..73.25' })
  })

  test('everything: days, but for what is not rolled up', () => {
    expect(shown(planLevels({ sinceUs: -Infinity, untilUs: Infinity }, NOTHING_EXPIRED))).toEqual({ days: '..', hours: '', windows: '' })
    expect(shown(planLevels({ sinceUs: -Infinity, untilUs: Infinity }, { ...NOTHING_EXPIRED, dirtyDays: [hours(24)], dirtyHours: [hours(50), hours(51)] }))).toEqual({
      days: '..24 72..', hours: '24..50 52..72', windows: '50..52',
    })
  })

  test('a window counts when any part of it lies in the range', () => {
    const inside = { sinceUs: hours(1) + 1, untilUs: hours(1) + 2 }
    expect(planLevels(inside, NOTHING_EXPIRED).windows).toEqual([{ sinceUs: hours(1), untilUs: hours(1) + WINDOW_US }])
    expect(shown(planLevels({ sinceUs: hours(1), untilUs: hours(1) }, NOTHING_EXPIRED))).toEqual({ days: '', hours: '', windows: '' })
  })

  test('where windows have expired the margins are whole hours, and late windows are read beside them', () => {
    expect(shown(planLevels({ sinceUs: hours(20.5), untilUs: hours(73.25) }, { ...NOTHING_EXPIRED, windowsBeforeUs: hours(60) }))).toEqual({
      days: '24..72', hours: '20..24 72..73', windows: '20..24 73..73.25',
    })
  })

  test('where hours have expired the margins are whole days, and all that came late is read beside them', () => {
    expect(shown(planLevels({ sinceUs: hours(20.5), untilUs: hours(50) }, { ...NOTHING_EXPIRED, windowsBeforeUs: hours(48), hoursBeforeUs: hours(24) }))).toEqual({
      days: '0..48', hours: '0..24 48..50', windows: '0..24',
    })
    expect(shown(planLevels({ sinceUs: hours(3), untilUs: hours(4) }, { ...NOTHING_EXPIRED, windowsBeforeUs: hours(48), hoursBeforeUs: hours(24) }))).toEqual({
      days: '0..24', hours: '0..24', windows: '0..24',
    })
  })
})

test('every window of the range is read from the level that holds it, once', () => {
  for (let round = 0; round < rounds({ small: 200, full: 5_000 }); round++) {
    const random = createRandom(0x1e7 + round)
    const days = 4
    const hourOf = (): number => hours(random.int(days * 24))
    const [a, b] = [random.int(days * US_PER_DAY), random.int(days * US_PER_DAY)].sort((x, y) => x - y) as [number, number]
    const windowsBeforeUs = random.pick([-Infinity, hourOf()])
    const state: LevelState = {
      windowsBeforeUs, hoursBeforeUs: random.pick([-Infinity, Math.floor(windowsBeforeUs / US_PER_DAY) * US_PER_DAY]),
      dirtyHours: Array.from({ length: random.int(4) }, hourOf), dirtyDays: Array.from({ length: random.int(2) }, () => hours(24 * random.int(days))),
    }
    const range = { sinceUs: random.pick([-Infinity, START_US + a]), untilUs: random.pick([Infinity, START_US + b]) }
    const spans = planLevels(range, state)
    const starts = Array.from({ length: days * 288 }, (_, i) => START_US + i * WINDOW_US)
    const wrong = starts.filter((start) => readAt(spans, start) !== expectedAt(range, state, start))
    expect({ round, range, state, wrong }).toEqual({ round, range, state, wrong: [] })
  }
})

/** The levels whose spans hold a window. */
function readAt(spans: LevelSpans, startUs: number): string {
  return (['days', 'hours', 'windows'] as const).filter((level) => spans[level].some((s) => s.sinceUs <= startUs && startUs < s.untilUs)).join()
}

/** The same, told window by window. */
function expectedAt(range: Span, state: LevelState, startUs: number): string {
  const floor = (unitUs: number): number => Math.floor(startUs / unitUs) * unitUs
  const touches = (unitUs: number): boolean => floor(unitUs) < range.untilUs && floor(unitUs) + unitUs > range.sinceUs
  const day = floor(US_PER_DAY)
  const hour = floor(US_PER_HOUR)
  // From which moment on the range counts, and up to which: the margins of the level that holds them.
  const [from, to] = ([range.sinceUs, range.untilUs] as const).map((at) => (at <= state.hoursBeforeUs ? US_PER_DAY : at <= state.windowsBeforeUs ? US_PER_HOUR : WINDOW_US)) as [number, number]
  const isInside = (startOf: number, lengthUs: number): boolean => (
    startOf >= Math.floor(range.sinceUs / from) * from && startOf + lengthUs <= Math.ceil(range.untilUs / to) * to)
  if (startUs < state.hoursBeforeUs) return touches(US_PER_DAY) ? 'days,hours,windows' : ''
  const isCleanDay = !state.dirtyDays.includes(day) && !state.dirtyHours.some((h) => Math.floor(h / US_PER_DAY) * US_PER_DAY === day)
  if (isCleanDay && isInside(day, US_PER_DAY)) return 'days'
  if (startUs < state.windowsBeforeUs) return touches(US_PER_HOUR) ? 'hours,windows' : ''
  if (!touches(WINDOW_US)) return ''
  return !state.dirtyHours.includes(hour) && isInside(hour, US_PER_HOUR) ? 'hours' : 'windows'
}
