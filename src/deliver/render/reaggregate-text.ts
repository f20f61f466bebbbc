import type { DayReport, ReaggregateReport } from '../../core/report/reaggregation.ts'
import { countText } from './edge-text.ts'
import { escapeText } from './escape-text.ts'

/** What was, or would be, rebuilt; then what was not, and why. */
export function renderReaggregation({ cluster, isDryRun, days, olderEdges, identityMap }: ReaggregateReport): string {
  const rebuilt = days.filter((day) => day.outcome === 'rebuilt')
  const flows = rebuilt.reduce((sum, day) => sum + day.flows, 0)
  const revised = rebuilt.reduce((sum, day) => sum + day.revised, 0)
  const lines = [
    `Cluster ${escapeText(cluster)}: ${countText(rebuilt.length, 'day')} of ${days.length} ${isDryRun ? 'can be' : 'were'} rebuilt from ${countText(flows, 'raw flow')}; `
      + `${countText(revised, 'flow')} ${isDryRun ? 'would get' : 'got'} other ends than when they came.`,
    ...days.map((day) => `  ${day.day.slice(0, 10)}  ${dayText(day)}`),
  ]
  if (olderEdges !== null) {
    lines.push(`Edges from ${olderEdges.since} to ${olderEdges.until} stay as they are: their label sets are grouped by the identity map whenever they are read, by rules that hold then.`)
  }
  const { version, isNew } = identityMap
  lines.push(version === null ? 'Identity map: a new version; it is saved when this runs without --dry-run.' : `Identity map: version ${version}${isNew ? ', new' : ''}.`)
  return `${lines.join('\n')}\n`
}

function dayText({ outcome, flows, revised, leftOut, uncovered }: DayReport): string {
  if (outcome === 'expired') return 'left alone: its 5-minute windows have expired'
  if (uncovered !== null) {
    const span = uncovered.windows === 1 ? `the 5 minutes from ${uncovered.first}` : `${uncovered.windows} times 5 minutes between ${uncovered.first} and ${uncovered.last}`
    return `left alone: raw flows do not hold all of ${span}`
  }
  const out = leftOut === 0 ? '' : `, ${leftOut} of them left out: today they would not be stored`
  return `${countText(flows, 'flow')}, ${revised} with other ends${out}`
}
