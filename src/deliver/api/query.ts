/** Query parameters: strict, because a misspelt filter that is ignored answers a question nobody asked. */
import type { Request } from 'express'
import { AppError } from '../../core/base/app-error.ts'
import { formatTimeUs, parseTimeUs } from '../../core/base/time.ts'

/** Reads the parameters of one request; `done` refuses the ones nobody asked for. */
export class QueryReader {
  readonly #query: Readonly<Record<string, unknown>>
  readonly #known = new Set<string>()

  constructor(req: Request) {
    this.#query = req.query
  }

  text(name: string): string | undefined {
    this.#known.add(name)
    const value = this.#query[name]
    if (value === undefined) return undefined
    if (typeof value !== 'string') throw new AppError('usage', `Give the query parameter "${name}" once.`, { at: name })
    if (value === '') throw new AppError('usage', `The query parameter "${name}" is empty; leave it out instead.`, { at: name })
    return value
  }

  flag(name: string): boolean {
    const value = this.text(name)
    if (value === undefined || value === 'false') return false
    if (value === 'true') return true
    throw new AppError('usage', `The query parameter "${name}" is "${value}", but must be true or false.`, { at: name })
  }

  wholeNumber(name: string, range: { readonly min: number; readonly max: number; readonly fallback: number }): number {
    const value = this.text(name)
    if (value === undefined) return range.fallback
    const number = /^\d{1,9}$/.test(value) ? Number(value) : NaN
    if (!(number >= range.min && number <= range.max)) {
      throw new AppError('usage', `The query parameter "${name}" is "${value}", but must be a whole number from ${range.min} to ${range.max}.`, { at: name })
    }
    return number
  }

  /** A time, microseconds. */
  moment(name: string): number | undefined {
    return this.#time(name)
  }

  /** The half-open range [since, until), microseconds. */
  range(): { sinceUs?: number; untilUs?: number } {
    const sinceUs = this.#time('since')
    const untilUs = this.#time('until')
    if (sinceUs !== undefined && untilUs !== undefined && sinceUs >= untilUs) {
      throw new AppError('usage', `"since" (${formatTimeUs(sinceUs)}) is not before "until" (${formatTimeUs(untilUs)}).`, { at: 'since' })
    }
    return { ...(sinceUs === undefined ? {} : { sinceUs }), ...(untilUs === undefined ? {} : { untilUs }) }
  }

  #time(name: string): number | undefined {
    const value = this.text(name)
    const timeUs = value === undefined ? undefined : parseTimeUs(value)
    if (value !== undefined && timeUs === undefined) {
      throw new AppError('usage', `The query parameter "${name}" is "${value}", but must be a time such as 2026-01-01T00:00:00Z.`, { at: name })
    }
    return timeUs
  }

  /** Refuses parameters that were not read. Call it after the last one. */
  done(): void {
    const unknown = Object.keys(this.#query).find((name) => !this.#known.has(name))
    if (unknown === undefined) return
    const known = [...this.#known].sort().join(', ')
    throw new AppError('usage', `There is no query parameter "${unknown}" here${known === '' ? '.' : `; possible are ${known}.`}`, { at: unknown })
  }
}
