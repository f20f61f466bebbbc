/**
 * Names, labels and paths come from logs: hostile text. Everything a terminal would act on, or that would reorder or hide text, is shown as
 * an escape: C0 and C1 controls (so no ANSI sequence survives), DEL, line separators, bidirectional controls, zero-width characters, lone surrogates.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

const NAMED: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\u001b': '\\e' }

/** One line of harmless text. */
export function escapeText(text: string): string {
  return text.replace(UNSAFE, (c) => NAMED[c] ?? `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`)
}

/** The same for text of several lines: line ends stay. */
export function escapeLines(text: string): string {
  return text.split('\n').map(escapeText).join('\n')
}

/** JSON of a document, two spaces deep, with a newline at the end; characters that terminals act on are written as JSON escapes, which parse to the same document. */
export function renderJson(document: unknown): string {
  return `${escapeJsonText(JSON.stringify(document, null, 2))}\n`
}

function escapeJsonText(json: string): string {
  return json.replace(UNSAFE, (c) => (c === '\n' ? c : Array.from({ length: c.length }, (_, i) => `\\u${c.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')))
}

/** Text inside HTML, also inside attributes. */
export function escapeHtml(text: string): string {
  return escapeText(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}
