import type { CheckDocument, Finding } from '../../core/report/check-document.ts'
import { countText, endText, portText } from './edge-text.ts'
import { escapeText } from './escape-text.ts'
import { renderInputErrors } from './input-error-text.ts'
import { renderTable } from './text-table.ts'
import { identityMapText } from './identity-map-text.ts'
import { windowText } from './window-text.ts'
import { wrapText } from './wrap-text.ts'

/** `check -o text`: totals first, then a table of findings, then what could not be read. */
export function renderCheckText(document: CheckDocument): string {
  const { totals, findings, inputErrors } = document
  const sections = [
    wrapText(`Check of cluster ${escapeText(document.cluster)}, ${windowText(document.window)}`)
      + `  ${countText(totals.evaluated, 'connection')} evaluated: ${totals.allowed} allowed, ${totals.denied} would be denied, ${totals.uncertain} uncertain`,
    ...(['denied', 'uncertain'] as const).map((verdict) => section(verdict, findings.filter((f) => f.verdict === verdict))),
    identityMapText(document.identityMap).trimEnd(),
    renderInputErrors(inputErrors).trimEnd(),
  ]
  return `${sections.filter((s) => s !== '').join('\n\n')}\n`
}

const HEADINGS = { denied: 'Would be denied', uncertain: 'Uncertain: depends on what is not known' }

function section(verdict: 'denied' | 'uncertain', findings: readonly Finding[]): string {
  return findings.length === 0 ? '' : `${HEADINGS[verdict]} (${findings.length})\n${renderFindings(findings)}`.trimEnd()
}

/** Findings as a table, the reason below each; `limit` rows at most, the rest is counted. */
export function renderFindings(findings: readonly Finding[], limit = Infinity): string {
  const shown = findings.slice(0, limit)
  const rest = findings.length - shown.length
  return renderTable(
    [{ title: 'from' }, { title: 'to' }, { title: 'port', align: 'right' }, { title: 'flows', align: 'right' }],
    shown.map((f) => [endText(f.from), endText(f.to), portText(f), f.flows]), shown.map(whyText),
  ) + (rest > 0 ? `  … and ${rest} more\n` : '')
}

function whyText(finding: Finding): string {
    const drift = finding.observedVerdict === 'allowed' || finding.observedVerdict === 'audit' ? '' : ` (was ${finding.observedVerdict} when observed)`
  return `${finding.reason.text}${drift}`
}
