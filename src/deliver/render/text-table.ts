import Table from 'cli-table3'
import { escapeText } from './escape-text.ts'
import { wrapText } from './wrap-text.ts'

/** Widest line of any text output. */
const MAX_WIDTH = 100
const GAP = 2
const INDENT = '  '
/** No column is squeezed below this. */
const MIN_COLUMN = 8

const NO_BORDER = {
  top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '',
  left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: ' '.repeat(GAP),
}

export interface TableColumn {
  readonly title: string
  readonly align?: 'left' | 'right'
}

export type TableRow = readonly (string | number)[]

/**
 * An aligned table without borders or colours, at most 100 columns wide, each line indented; cells are escaped here, so callers pass raw text.
 * Long cells wrap at spaces; a word longer than its column is broken, never cut. With `notes`, each row is followed by its note, indented further.
 */
export function renderTable(columns: readonly TableColumn[], rows: readonly TableRow[], notes: readonly string[] = []): string {
  const cells = rows.map((row) => row.map((cell) => escapeText(String(cell))))
  const widths = fitWidths(columns.map((c, i) => Math.max(c.title.length, ...cells.map((row) => row[i]?.length ?? 0))), MAX_WIDTH - INDENT.length)
  // Row by row: the widths are fixed, so they align, and a note can stand between two.
  const render = (row: readonly string[]): string => {
    const table = new Table({
      chars: NO_BORDER, style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
      colWidths: widths, colAligns: columns.map((c) => c.align ?? 'left'), wordWrap: true,
    })
    table.push(row.map((cell, i) => breakWords(cell, widths[i] ?? MAX_WIDTH)))
    return table.toString().split('\n').map((line) => `${INDENT}${line}`.trimEnd()).join('\n')
  }
  const lines = cells.map((row, i) => {
    const note = notes[i]
    return `${render(row)}\n${note === undefined ? '' : wrapText(escapeText(note), `${INDENT}    `)}`
  })
  return `${render(columns.map((c) => c.title.toUpperCase()))}\n${lines.join('')}`
}

/** Takes from the widest columns until the table fits. */
function fitWidths(natural: readonly number[], available: number): number[] {
  const widths = natural.map((w) => Math.max(w, 1))
  const room = available - GAP * (widths.length - 1)
  for (let excess = widths.reduce((a, b) => a + b, 0) - room; excess > 0; excess--) {
    const widest = widths.indexOf(Math.max(...widths))
    if ((widths[widest] ?? 0) <= MIN_COLUMN) break
    widths[widest] = (widths[widest] ?? 0) - 1
  }
  return widths
}

/** cli-table3 cuts words that are longer than the column; breaking them first, after a separator if there is one, keeps every character. */
function breakWords(text: string, width: number): string {
  return text.split(' ').map((word) => breakWord(word, width)).join(' ')
}

function breakWord(word: string, width: number): string {
  const pieces: string[] = []
  let rest = word
  while (rest.length > width) {
    const separator = rest.slice(0, width).search(/[-/._:,][^-/._:,]*$/)
    const end = separator > 0 ? separator + 1 : width
    pieces.push(rest.slice(0, end))
    rest = rest.slice(end)
  }
  return [...pieces, rest].join(' ')
}
