import { countText } from './edge-text.ts'
import { escapeText } from './escape-text.ts'
import { renderTable } from './text-table.ts'

export interface ShownLetter {
  readonly source: string
  readonly line: number
  readonly byte: number
  readonly format: string
  readonly reason: string
  readonly detail: string
  readonly sample: string
  readonly isComplete: boolean
  readonly tries: number
}

/** Characters of a letter's text in a list. */
const SHOWN = 160

/** A table of dead letters, newest first, the beginning of its text below each. */
export function renderDeadLetters(letters: readonly ShownLetter[], totals: { readonly kept: number; readonly complete: number }): string {
  const head = `${countText(totals.kept, 'dead letter')}, ${totals.complete} of them complete: those can be read again\n`
  if (letters.length === 0) return head
  const columns = [{ title: 'source' }, { title: 'line', align: 'right' as const }, { title: 'reason' }, { title: 'detail' }, { title: 'tries', align: 'right' as const }, { title: 'complete' }]
  const rows = letters.map((l) => [l.source, l.line, l.reason, l.detail, l.tries, l.isComplete ? 'yes' : 'no'])
  const notes = letters.map((l) => escapeText(l.sample.length > SHOWN ? `${l.sample.slice(0, SHOWN)}…` : l.sample))
  return `${head}\n${renderTable(columns, rows, notes)}`
}

/** One sentence about letters that were read again. */
export function replaySentence(report: { readonly received: number; readonly stored: number; readonly duplicate: number; readonly incomplete: number
  readonly rejected: Readonly<Record<string, number>>; readonly ignored: Readonly<Record<string, number>> }): string {
  const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0)
  const rest = report.incomplete === 0 ? '' : `; ${countText(report.incomplete, 'dead letter')} cannot be read again, because not all of the text was kept`
  return `${countText(report.received, 'record')} read again: ${report.stored} stored, ${report.duplicate} duplicate, ${sum(report.ignored)} ignored, `
    + `${sum(report.rejected)} still refused${rest}`
}
