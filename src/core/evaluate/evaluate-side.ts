import { compareText } from '../base/order.ts'
import type { Direction } from '../policy/network-policy.ts'
import type { CompiledPolicies } from './compile.ts'
import { isPolicedPod } from './end-state.ts'
import type { Match, Selections } from './end-state.ts'
import { unknownText } from './eval-end.ts'
import type { Connection, EvalEnd, Unknown } from './eval-end.ts'
import { matchRule, usableIps } from './match-rule.ts'
import type { RuleContext } from './match-rule.ts'
import { findNearest } from './nearest-rule.ts'
import type { CompiledPolicy, CompiledRule } from './policy-index.ts'
import type { SideResult } from './verdict.ts'

/** A side's result with what it depends on, before that is put into words. */
export interface SideDraft {
  readonly result: SideResult
  readonly unknowns: readonly Unknown[]
}

const NOT_ISOLATED: SideDraft = { result: { verdict: 'not-isolated', selectedBy: [], maybeSelectedBy: [], missing: [] }, unknowns: [] }

/** Judges one side with three-valued logic, each unknown on its own; `refine` sharpens what this leaves uncertain. */
export function evaluateSide(compiled: CompiledPolicies, connection: Connection, direction: Direction): SideDraft {
  const subject = direction === 'egress' ? connection.from : connection.to
  if (!isPolicedPod(subject) && subject.kind !== 'unknown') return NOT_ISOLATED
  const selections = compiled.states.of(subject).selections(compiled, direction)
  if (selections.all.length === 0) return NOT_ISOLATED
  const exempt = exemption(connection, direction)
  if (exempt !== undefined) return exemptSide(selections, exempt)
  const context = ruleContext(compiled, connection, direction)
  return subject.kind === 'unknown' ? judgeUnknown(selections, context, subject) : judge(selections, context)
}

/** The facts that rules of one direction are matched against. */
export function ruleContext(compiled: CompiledPolicies, connection: Connection, direction: Direction): RuleContext {
  const { from, to, protocol, port } = connection
  const peerRole = direction === 'egress' ? 'to' : 'from'
  const peer = connection[peerRole]
  const other = peerRole === 'from' ? to : from
  return { compiled, peer, peerState: compiled.states.of(peer), peerRole, peerIps: usableIps(peer, other), destination: to, protocol, port }
}

/** "A pod cannot block access to itself"; "the traffic source is the pod's local node" (API text of NetworkPolicy). */
function exemption({ from, isSameEndpoint, isOwnNode }: Connection, direction: Direction): SideResult['exempt'] {
  if (isSameEndpoint === true) return 'same-endpoint'
  return direction === 'ingress' && (isOwnNode ?? from.kind === 'host') ? 'own-node' : undefined
}

function exemptSide({ selectedBy, maybeSelectedBy }: Selections, exempt: 'same-endpoint' | 'own-node'): SideDraft {
  return { result: { verdict: selectedBy.length > 0 ? 'allowed' : 'not-isolated', selectedBy, maybeSelectedBy, exempt, missing: [] }, unknowns: [] }
}

/** What one policy says: the first rule that certainly admits, else whether one may. */
interface Admission {
  readonly rule: CompiledRule | undefined
  readonly isPossible: boolean
  readonly unknowns: readonly Unknown[]
}

function admission(context: RuleContext, policy: CompiledPolicy): Admission {
  const unknowns: Unknown[] = []
  let isPossible = false
  for (const rule of policy.rules) {
    const match: Match = matchRule(context, policy, rule)
    if (match.certainty === 'yes') return { rule, isPossible: true, unknowns: [] }
    if (match.certainty === 'no') continue
    isPossible = true
    unknowns.push(...match.unknowns)
  }
  return { rule: undefined, isPossible, unknowns }
}

/**
 * With S = the policies that select the end: allowed when S is empty or any of S admits. Certain when a certain selector
 * certainly admits, or when S is only "maybe" and each of it certainly admits; denied when somebody certainly selects and nobody can admit.
 */
function judge(selections: Selections, context: RuleContext): SideDraft {
  const { selectedBy, maybeSelectedBy } = selections
  const unknowns: Unknown[] = []
  let canAdmit = false
  let doAllAdmit = true
  let firstRule: SideResult['rule']
  for (const { policy, match } of selections.all) {
    const { rule, isPossible, unknowns: ruleUnknowns } = admission(context, policy)
    if (rule !== undefined) {
      const ref = { policy: policy.id, index: rule.index }
      if (match.certainty === 'yes') return allowed(selectedBy, maybeSelectedBy, ref)
      firstRule ??= ref
    } else doAllAdmit = false
    canAdmit ||= isPossible
    unknowns.push(...match.unknowns, ...ruleUnknowns)
  }
  if (selectedBy.length === 0 && doAllAdmit && firstRule !== undefined) return allowed(selectedBy, maybeSelectedBy, firstRule)
  const nearest = findNearest(selections.all, context)
  if (selectedBy.length > 0 && !canAdmit) return { result: { verdict: 'denied', selectedBy, maybeSelectedBy, nearest, missing: [] }, unknowns: [] }
  return { result: { verdict: 'uncertain', selectedBy, maybeSelectedBy, nearest, missing: unknownTexts(unknowns) }, unknowns }
}

/** An end that may be a pod, or not: allowed only if each policy that may select it certainly admits. */
function judgeUnknown({ all, maybeSelectedBy }: Selections, context: RuleContext, end: EvalEnd): SideDraft {
  if (all.every(({ policy }) => admission(context, policy).rule !== undefined)) return NOT_ISOLATED
  const unknowns: Unknown[] = [{ kind: 'identity', end }]
  return { result: { verdict: 'uncertain', selectedBy: [], maybeSelectedBy, missing: unknownTexts(unknowns) }, unknowns }
}

function allowed(selectedBy: readonly string[], maybeSelectedBy: readonly string[], rule: NonNullable<SideResult['rule']>): SideDraft {
  return { result: { verdict: 'allowed', selectedBy, maybeSelectedBy, rule, missing: [] }, unknowns: [] }
}

/** Distinct texts in code-unit order. */
export function unknownTexts(unknowns: readonly Unknown[]): string[] {
  return [...new Set(unknowns.map(unknownText))].sort(compareText)
}
