import { countText } from './edge-text.ts'
import { escapeText } from './escape-text.ts'

/** Logs that are followed, those that are furthest behind first. */
export interface FollowedView {
  readonly path: string
  readonly behindBytes: number
  readonly isThere: boolean
}

export interface FollowView {
  readonly logs: readonly FollowedView[]
  /** Lines received since following began. */
  readonly records: number
  readonly recordsPerSecond: number
}

/** Logs shown by name. */
const SHOWN = 10

/** One line, for logs of scripts: `Following 2 logs: 1,200 lines, 20.0 a second; 3.1 MiB behind in flows.log.` */
export function followSentence(view: FollowView): string {
  const behind = view.logs.filter((log) => log.behindBytes > 0)
  const places = behind.slice(0, 3).map((log) => `${sizeText(log.behindBytes)} behind in ${escapeText(log.path)}`).join(', ')
  const more = behind.length > 3 ? `, and behind in ${behind.length - 3} more` : ''
  return `Following ${countText(view.logs.length, 'log')}: ${countText(view.records, 'line')}, ${rateText(view.recordsPerSecond)}; ${places === '' ? 'nothing behind' : `${places}${more}`}.`
}

/** Several lines for a person who watches: the rate, then each log. */
export function renderFollowed(view: FollowView): string {
  const rows = view.logs.slice(0, SHOWN).map((log) => `  ${escapeText(log.path)}: ${stateText(log)}\n`)
  const more = view.logs.length > SHOWN ? `  and ${view.logs.length - SHOWN} more\n` : ''
  return `  ${countText(view.records, 'line')}, ${rateText(view.recordsPerSecond)}\n${rows.join('')}${more}`
}

function stateText(log: FollowedView): string {
  if (log.behindBytes > 0) return `${sizeText(log.behindBytes)} behind`
  return log.isThere ? 'read to its end' : 'waited for'
}

function rateText(perSecond: number): string {
  return `${perSecond >= 100 ? Math.round(perSecond) : perSecond.toFixed(1)} a second`
}

function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`
  return bytes < 1 << 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / (1 << 20)).toFixed(1)} MiB`
}
