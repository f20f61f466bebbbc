/**
 * Times inside core are whole microseconds since 1970 as a number (`…Us`): PostgreSQL's timestamptz resolution, exact
 * in a double until the year 2255. Formatting is RFC 3339 in UTC without trailing zeros in the fraction.
 */
export const US_PER_MS = 1_000
export const US_PER_SECOND = 1_000_000
export const US_PER_DAY = 86_400 * US_PER_SECOND

/** RFC 3339 UTC text, e.g. `2026-01-01T00:00:00Z` or `2026-01-01T00:00:00.000125Z`. */
export function formatTimeUs(timeUs: number): string {
  const seconds = Math.floor(timeUs / US_PER_SECOND)
  const fraction = timeUs - seconds * US_PER_SECOND
  const base = new Date(seconds * 1000).toISOString().slice(0, 19)
  return fraction === 0 ? `${base}Z` : `${base}.${String(fraction).padStart(6, '0').replace(/0+$/, '')}Z`
}

function daysInMonth(year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate()
}

const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?([Zz]|[+-]\d{2}:\d{2})$/

/** Parses RFC 3339 with any number of fraction digits (cut to microseconds). `undefined` when it is not a time. */
export function parseTimeUs(text: string): number | undefined {
  const m = RFC3339.exec(text)
  if (m === null) return undefined
  const ms = Date.parse(`${m[1]}-${m[2]}-${m[3]}T${m[4]}:${m[5]}:${m[6]}${m[8] === 'z' ? 'Z' : m[8]}`)
  // Date takes 30 February for 2 March; a log or a person that writes it means something else.
  const isReal = Number(m[3]) >= 1 && Number(m[3]) <= daysInMonth(Number(m[1]), Number(m[2])) && Number(m[4]) < 24
  if (Number.isNaN(ms) || !isReal) return undefined
  const micros = m[7] === undefined ? 0 : Number(m[7].slice(0, 6).padEnd(6, '0'))
  return ms * US_PER_MS + micros
}
