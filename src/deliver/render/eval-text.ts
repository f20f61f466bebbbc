import { escapeText } from './escape-text.ts'

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
  return answers.map((a) => {
    const explanation = a.explanation.text.trim().split('\n').map((line) => `  ${escapeText(line)}\n`).join('')
    return `${a.verdict.toUpperCase()}  ${escapeText(`${a.from} -> ${a.to} ${a.port}/${a.protocol}`)}\n${explanation}`
  }).join('\n')
}
