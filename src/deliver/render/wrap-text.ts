const WIDTH = 100

/** A paragraph of lines at most 100 columns wide; words are never broken. Lines after the first are indented by `hanging`. */
export function wrapText(text: string, indent = '', hanging = indent): string {
  const lines: string[] = []
  let line = indent
  let isEmpty = true
  for (const word of text.split(/\s+/).filter((w) => w !== '')) {
    if (!isEmpty && line.length + 1 + word.length > WIDTH) {
      lines.push(line)
      line = hanging
      isEmpty = true
    }
    line += isEmpty ? word : ` ${word}`
    isEmpty = false
  }
  if (!isEmpty) lines.push(line)
  return lines.map((l) => `${l}\n`).join('')
}
