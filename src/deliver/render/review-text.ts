import { groupedBy, sortedBy } from '../../core/base/order.ts'
import type { RecommendationDocument, ReviewItem } from '../../core/generate/recommendation.ts'
import { countText, endText, portText } from './edge-text.ts'
import { renderTable } from './text-table.ts'
import { wrapText } from './wrap-text.ts'

/**
 * What was held back, grouped by reason: the reason once, what to do next, then what waits for it. Connections come before
 * workloads that were merely silent. At most `limit` rows for each reason, the rest is counted.
 */
export function renderReview(review: readonly ReviewItem[], limit = Infinity): string {
  if (review.length === 0) return '  nothing was held back\n'
  const groups = sortedBy(groupedBy(review, (item) => item.reason.code).values(), ([first]) => `${first?.edge === undefined ? 1 : 0}${first?.reason.code ?? ''}`)
  return groups.map((items) => renderGroup(items, limit)).join('\n')
}

function renderGroup(items: readonly ReviewItem[], limit: number): string {
  const [first] = items
  if (first === undefined) return ''
  const head = wrapText(`${first.reason.code} (${items.length}): ${first.reason.text}`, '  ', '    ')
  const rows = items.slice(0, limit).map((item) => [subjectText(item), item.edge === undefined ? '' : portText(item.edge)])
  const rest = items.length - rows.length
  return head + renderTable([{ title: first.edge === undefined ? 'workload' : 'connection' }, { title: first.edge === undefined ? '' : 'port', align: 'right' }], rows)
    + (rest > 0 ? `  … and ${rest} more\n` : '')
}

function subjectText({ edge, workload, direction }: ReviewItem): string {
  if (edge !== undefined) return `${endText(edge.from)} -> ${endText(edge.to)}`
  return `${workload ?? ''}${direction === undefined ? '' : `, ${direction}`}`
}

export function renderRefused(refused: RecommendationDocument['refused']): string {
  if (refused.length === 0) return ''
  return `Refused (${countText(refused.length, 'workload')} without policies)\n`
    + renderTable([{ title: 'workload' }, { title: 'code' }, { title: 'why' }], refused.map((r) => [r.workload, r.reason.code, r.reason.text]))
}
