/** The settings of retention, part of the table in settings.ts, and what they must say together. */
import { wholeNumber } from './setting-parsers.ts'

const YEARS = 3_650

export const RETENTION_SETTINGS = {
  retainRawDays: {
    name: 'FLOWFENCE_RETAIN_RAW_DAYS', parse: wholeNumber(1, YEARS), fallback: 7, defaultText: '7',
    effect: 'Days that raw flows are kept, counted back from their cluster\'s newest flow. More: single flows can be looked up, and aggregated anew, for longer; fewer: less disk (up to 90 bytes per flow).',
  },
  retainWindowDays: {
    name: 'FLOWFENCE_RETAIN_WINDOW_DAYS', parse: wholeNumber(2, YEARS), fallback: 14, defaultText: '14',
    effect: 'Days that edges are kept by 5 minutes, then only by hours; more than FLOWFENCE_LATENESS_DAYS. More: ranges stay exact to 5 minutes for longer; fewer: less disk.',
  },
  retainHourDays: {
    name: 'FLOWFENCE_RETAIN_HOUR_DAYS', parse: wholeNumber(3, YEARS), fallback: 90, defaultText: '90',
    effect: 'Days that edges are kept by hours, then only by days, and how long is known which nodes reported; more than FLOWFENCE_RETAIN_WINDOW_DAYS. More: ranges stay exact to the hour for longer; fewer: less disk.',
  },
  retainDayDays: {
    name: 'FLOWFENCE_RETAIN_DAY_DAYS', parse: wholeNumber(4, YEARS), fallback: 400, defaultText: '400',
    effect: 'Days that edges are kept at all, with their outside addresses and signs of incomplete observation; more than FLOWFENCE_RETAIN_HOUR_DAYS. More: what happens once a year stays known; fewer: less disk.',
  },
  latenessDays: {
    name: 'FLOWFENCE_LATENESS_DAYS', parse: wholeNumber(1, YEARS), fallback: 8, defaultText: '8',
    effect: 'Days that a flow may be late; streams and pushes refuse older ones as too-late unless they are back-filled. More: longer outages of a shipper lose nothing; fewer: wrong clocks are noticed sooner.',
  },
} as const

/** Sentences about values that contradict each other; none when all fit. */
export function retentionProblems(config: Readonly<Record<string, unknown>>): string[] {
  const ascending = [
    ['latenessDays', 'a flow may come that late, and its hour is summed up only then'],
    ['retainWindowDays', 'hours are what windows are summed up to'],
    ['retainHourDays', 'days are what hours are summed up to'],
  ] as const
  const next = { latenessDays: 'retainWindowDays', retainWindowDays: 'retainHourDays', retainHourDays: 'retainDayDays' } as const
  return ascending.flatMap(([key, reason]) => {
    const [smaller, larger] = [config[key], config[next[key]]]
    // A value that could not be read has its own sentence.
    if (typeof smaller !== 'number' || typeof larger !== 'number' || smaller < larger) return []
    return [`${RETENTION_SETTINGS[key].name} is ${smaller}, but must be less than ${RETENTION_SETTINGS[next[key]].name}, which is ${larger}: ${reason}. Lower the first or raise the second.`]
  })
}
