import type { RecommendationDocument, ReviewItem } from '../../core/generate/recommendation.ts'
import { countText, endText, portText } from './edge-text.ts'
import { renderTable } from './text-table.ts'

/** What was held back and why, one row per subject and reason; `limit` rows at most, the rest is counted. */
export function renderReview(review: readonly ReviewItem[], limit = Infinity): string {
  if (review.length === 0) return '  nothing was held back\n'
  const shown = review.slice(0, limit).map((item) => [
    item.edge === undefined ? `${item.workload ?? ''}${item.direction === undefined ? '' : `, ${item.direction}`}` : `${endText(item.edge.from)} -> ${endText(item.edge.to)}`,
    item.edge === undefined ? '' : portText(item.edge), item.reason.code,
  ])
  const rest = review.length - shown.length
  return renderTable([{ title: 'connection or workload' }, { title: 'port', align: 'right' }, { title: 'why it waits' }], shown, review.map((item) => item.reason.text))
    + (rest > 0 ? `  … and ${rest} more\n` : '')
}

export function renderRefused(refused: RecommendationDocument['refused']): string {
  if (refused.length === 0) return ''
  return `Refused (${countText(refused.length, 'workload')} without policies)\n`
    + renderTable([{ title: 'workload' }, { title: 'code' }, { title: 'why' }], refused.map((r) => [r.workload, r.reason.code, r.reason.text]))
}
