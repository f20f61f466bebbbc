import { AppError } from '../../core/base/app-error.ts'
import { compareText } from '../../core/base/order.ts'
import type { QueryReader } from './query.ts'

export interface Page<T> {
  readonly items: readonly T[]
  /** Give it as `cursor` to get the next page; absent on the last one. */
  readonly nextCursor?: string
}

export interface PageRequest {
  readonly limit: number
  /** Order key of the last item of the page before. */
  readonly after: string | undefined
}

const CURSOR_PREFIX = 'k1:'

/** `limit` (1 to 1000, default 100) and `cursor`. */
export function readPageRequest(query: QueryReader): PageRequest {
  const limit = query.wholeNumber('limit', { min: 1, max: 1000, fallback: 100 })
  const cursor = query.text('cursor')
  if (cursor === undefined) return { limit, after: undefined }
  const text = Buffer.from(cursor, 'base64url').toString('utf8')
  if (!text.startsWith(CURSOR_PREFIX)) throw new AppError('usage', 'The query parameter "cursor" is not one that this service gave out.', { at: 'cursor' })
  return { limit, after: text.slice(CURSOR_PREFIX.length) }
}

/** One page by order key: items that come or go between two requests neither repeat nor hide others. */
export function pageOf<T>(items: readonly T[], keyOf: (item: T) => string, request: PageRequest): Page<T> {
  const sorted = items.map((item) => [keyOf(item), item] as const).sort((a, b) => compareText(a[0], b[0]))
  const rest = request.after === undefined ? sorted : sorted.filter(([key]) => compareText(key, request.after ?? '') > 0)
  const shown = rest.slice(0, request.limit)
  const last = shown.at(-1)
  const page = { items: shown.map(([, item]) => item) }
  return rest.length <= shown.length || last === undefined ? page : { ...page, nextCursor: cursorOf(last[0]) }
}

/** The cursor that asks for what comes after the item with this order key. */
export function cursorOf(key: string): string {
  return Buffer.from(`${CURSOR_PREFIX}${key}`).toString('base64url')
}
