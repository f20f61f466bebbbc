import { US_PER_SECOND } from '../base/time.ts'

/** A parsed five-field cron expression, UTC. */
export interface CronSchedule {
  readonly minutes: ReadonlySet<number>
  readonly hours: ReadonlySet<number>
  readonly days: ReadonlySet<number>
  readonly months: ReadonlySet<number>
  readonly weekdays: ReadonlySet<number>
  readonly isAnyDay: boolean
  readonly isAnyWeekday: boolean
}

const NAMED: Readonly<Record<string, string>> = {
  '@hourly': '0 * * * *', '@daily': '0 0 * * *', '@midnight': '0 0 * * *', '@weekly': '0 0 * * 0', '@monthly': '0 0 1 * *', '@yearly': '0 0 1 1 *',
}
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']

/** Parses `minute hour day month weekday` with `*`, lists, ranges and steps. `undefined` when it is not a schedule. */
export function parseCron(text: string): CronSchedule | undefined {
  const fields = (NAMED[text.trim()] ?? text).trim().split(/\s+/)
  if (fields.length !== 5) return undefined
  const [minute, hour, day, month, weekday] = fields as [string, string, string, string, string]
  const minutes = parseField(minute, 0, 59, [])
  const hours = parseField(hour, 0, 23, [])
  const days = parseField(day, 1, 31, [])
  const months = parseField(month, 1, 12, MONTHS.map((name, i) => [name, i + 1]))
  const weekdays = parseField(weekday, 0, 7, WEEKDAYS.map((name, i) => [name, i]))
  if (!minutes || !hours || !days || !months || !weekdays) return undefined
  if (weekdays.has(7)) weekdays.add(0)
  return { minutes, hours, days, months, weekdays, isAnyDay: day.startsWith('*'), isAnyWeekday: weekday.startsWith('*') }
}

function parseField(text: string, min: number, max: number, names: readonly (readonly [string, number])[]): Set<number> | undefined {
  const values = new Set<number>()
  const lookup = new Map(names)
  const numberOf = (part: string): number => lookup.get(part.toLowerCase()) ?? (/^\d{1,2}$/.test(part) ? Number(part) : Number.NaN)
  for (const item of text.split(',')) {
    const [span = '', step, ...rest] = item.split('/')
    const stride = step === undefined ? 1 : numberOf(step)
    const [low = '', high, ...more] = span.split('-')
    const from = span === '*' ? min : numberOf(low)
    const to = span === '*' ? max : high === undefined ? (step === undefined ? from : max) : numberOf(high)
    const isValid = rest.length === 0 && more.length === 0 && stride >= 1 && from >= min && to <= max && from <= to
    if (!isValid) return undefined
    for (let v = from; v <= to; v += stride) values.add(v)
  }
  return values
}

/** True when the minute that contains `timeUs` is one of the schedule's. Day and weekday are alternatives when both are restricted. */
export function cronMatches(schedule: CronSchedule, timeUs: number): boolean {
  const at = new Date(Math.floor(timeUs / US_PER_SECOND) * 1000)
  if (!schedule.minutes.has(at.getUTCMinutes()) || !schedule.hours.has(at.getUTCHours()) || !schedule.months.has(at.getUTCMonth() + 1)) return false
  const isDay = schedule.days.has(at.getUTCDate())
  const isWeekday = schedule.weekdays.has(at.getUTCDay())
  if (schedule.isAnyDay || schedule.isAnyWeekday) return isDay && isWeekday
  return isDay || isWeekday
}
