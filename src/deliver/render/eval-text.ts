import { escapeText } from './escape-text.ts'
import { wrapText } from './wrap-text.ts'

/** An answered query, as far as text shows it. */
export interface EvalAnswer {
  readonly from: string
  readonly to: string
  readonly port: number | string
  readonly protocol: string
  readonly verdict: string
  readonly explanation: { readonly text: string }
}

/** `eval -o text`: one block per query. */
export function renderEvalText(answers: readonly EvalAnswer[]): string {
  return answers.map((answer) => `${answer.verdict.toUpperCase()}  ${escapeText(`${String(answer.from)} -> ${String(answer.to)} ${String(answer.port)}/${String(answer.protocol)}`)}\n`
    + reasonOf(answer).split('\n').map((line) => wrapText(escapeText(line), '  ')).join('')).join('\n')
}

/** The explanation without its opening, which repeats connection and verdict for those who see it alone. */
function reasonOf({ explanation, verdict }: EvalAnswer): string {
  const text = explanation.text.trim()
  const opening = `: ${verdict}. `
  const at = text.indexOf(opening)
  return at < 0 ? text : text.slice(at + opening.length)
}
