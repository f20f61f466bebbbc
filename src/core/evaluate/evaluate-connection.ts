/**
 * Judges one new connection against a set of NetworkPolicies, both sides, with three verdicts.
 *
 * In: compiled policies, a connection with what is known of its ends. Out: allowed, denied or uncertain, per side the
 * policies that select the end, the rule that admits or the nearest one, and what is missing.
 * Invariants: pure union of all policies, order irrelevant; `uncertain` only when what is missing can change the result (up to
 * REFINE_LIMIT cases, beyond which it may be reported although it cannot).
 * Cost: per connection the rules of the policies that select its two ends; selectors are answered once per end.
 */
import type { CompiledPolicies } from './compile.ts'
import type { Connection } from './eval-end.ts'
import { evaluateSide, unknownTexts } from './evaluate-side.ts'
import { refine } from './refine.ts'
import { combineVerdict } from './verdict.ts'
import type { ConnectionVerdict } from './verdict.ts'

export function evaluateConnection(compiled: CompiledPolicies, connection: Connection): ConnectionVerdict {
  const egress = evaluateSide(compiled, connection, 'egress')
  const ingress = evaluateSide(compiled, connection, 'ingress')
  const { from, to, protocol, port } = connection
  const shown = { from: from.display, to: to.display, protocol, port }
  if (egress.unknowns.length === 0 && ingress.unknowns.length === 0) {
    return { verdict: combineVerdict(egress.result.verdict, ingress.result.verdict), egress: egress.result, ingress: ingress.result, missing: [], connection: shown }
  }
  const refined = refine(compiled, connection, { egress, ingress })
  if (refined !== undefined) return { ...refined, connection: shown }
  const verdict = combineVerdict(egress.result.verdict, ingress.result.verdict)
  const missing = verdict === 'uncertain' ? unknownTexts([...egress.unknowns, ...ingress.unknowns]) : []
  return { verdict, egress: egress.result, ingress: ingress.result, missing, connection: shown }
}
