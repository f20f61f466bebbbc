/**
 * Sharpens uncertain verdicts: goes through every case of what is not known and evaluates each.
 *
 * In: a connection whose verdict three-valued logic left uncertain. Out: the exact verdict per side and together, and which
 * of the unknowns can change it; `undefined` where the cases are too many or an end's identity itself is not known.
 * Why: selectors correlate. `app In [a]` in one rule and `app NotIn [a]` in another admit every pod, though neither does for sure.
 * Cost: cases x rules in play, at most REFINE_LIMIT cases.
 */
import { invariant } from '../base/invariant.ts'
import type { CompiledPolicies } from './compile.ts'
import { EndStates } from './end-state.ts'
import type { Direction } from '../policy/network-policy.ts'
import type { Connection, EvalEnd, Unknown } from './eval-end.ts'
import { evaluateSide, unknownTexts } from './evaluate-side.ts'
import type { SideDraft } from './evaluate-side.ts'
import { casesOf, isFeasible } from './unknown-cases.ts'
import type { Case } from './unknown-cases.ts'
import type { CompiledPolicy, PoliciesByDirection } from './policy-index.ts'
import type { ConnectionVerdict, SideResult, Verdict } from './verdict.ts'

/** Cases per connection; more: sharper answers where much is unknown; fewer: bounded time per connection. */
export const REFINE_LIMIT = 512
/** Cases x policies in play per connection. */
const WORK_LIMIT = 50_000

const DIRECTIONS: readonly Direction[] = ['egress', 'ingress']

interface Sides {
  readonly egress: SideDraft
  readonly ingress: SideDraft
}

type Outcome = 'allowed' | 'denied'

interface CaseResult {
  readonly egress: Outcome
  readonly ingress: Outcome
  readonly both: Outcome
  /** Of the sides that were evaluated again. */
  readonly rules: Partial<Record<Direction, SideResult['rule']>>
}

/** What every case starts from: the policies in play, and the sides that are uncertain; the others stay as they are. */
interface Base {
  readonly inPlay: CompiledPolicies
  readonly connection: Connection
  readonly sides: Sides
  readonly open: readonly Direction[]
}

export function refine(compiled: CompiledPolicies, connection: Connection, sides: Sides): Omit<ConnectionVerdict, 'connection'> | undefined {
  const open = DIRECTIONS.filter((d) => sides[d].result.verdict === 'uncertain')
  const inPlay = restrict(compiled, connection, open)
  const policies = [...inPlay.everywhere.egress, ...inPlay.everywhere.ingress]
  const unknowns = distinctUnknowns([...sides.egress.unknowns, ...sides.ingress.unknowns])
  const cases: (readonly Case[])[] = []
  for (const unknown of unknowns) {
    const options = casesOf(policies, connection, unknown)
    if (options === undefined) return undefined
    cases.push(options)
  }
  const count = cases.reduce((n, c) => n * c.length, 1)
  if (count > REFINE_LIMIT || count * policies.length > WORK_LIMIT) return undefined
  return summarize({ sides, unknowns, cases, results: evaluateCases({ inPlay, connection, sides, open }, cases) })
}

/** The policies that select an end, certainly or maybe: in no case of the unknowns does another one select it. */
function restrict(compiled: CompiledPolicies, { from, to }: Connection, open: readonly Direction[]): CompiledPolicies {
  const selecting = (end: EvalEnd, direction: Direction): CompiledPolicy[] =>
    (open.includes(direction) ? compiled.states.of(end).selections(compiled, direction).all.map((s) => s.policy) : [])
  const [egress, ingress] = [selecting(from, 'egress'), selecting(to, 'ingress')]
  const byNamespace = new Map<string, PoliciesByDirection>([[from.namespace, { egress, ingress: [] }]])
  byNamespace.set(to.namespace, { egress: byNamespace.get(to.namespace)?.egress ?? [], ingress })
  return { byNamespace, everywhere: { egress, ingress }, ipBlockMatchesPods: compiled.ipBlockMatchesPods, states: new EndStates() }
}

function unknownKey(unknown: Unknown): string {
  switch (unknown.kind) {
    case 'label': return `label ${unknown.key}`
    case 'namespace-label': return `namespace ${unknown.namespace} ${unknown.key}`
    case 'address': return `address ${unknown.role}`
    case 'named-ports': return 'named ports'
    case 'port': return 'port'
    case 'identity': return 'identity'
  }
}

function distinctUnknowns(unknowns: readonly Unknown[]): Unknown[] {
  const distinct: Unknown[] = []
  for (const unknown of unknowns) {
    const isKnown = distinct.some((d) => unknownKey(d) === unknownKey(unknown) && ('end' in d ? d.end : undefined) === ('end' in unknown ? unknown.end : undefined))
    if (!isKnown) distinct.push(unknown)
  }
  // The port comes first: the cases of named ports say which names stand for it.
  return [...distinct.filter((u) => u.kind === 'port'), ...distinct.filter((u) => u.kind !== 'port')]
}

/** Results by mixed-radix number of the case; `undefined` where the case cannot be. Settling every unknown leaves none: answers that were certain stay so. */
function evaluateCases(base: Base, cases: readonly (readonly Case[])[]): (CaseResult | undefined)[] {
  const count = cases.reduce((n, c) => n * c.length, 1)
  const results: (CaseResult | undefined)[] = []
  for (let number = 0; number < count; number++) {
    let world = base.connection
    let rest = number
    for (const options of cases) {
      world = (options[rest % options.length] as Case)(world)
      rest = Math.floor(rest / options.length)
    }
    results.push(isFeasible(world) ? evaluateCase(base, world) : undefined)
  }
  return results
}

function evaluateCase({ inPlay, sides, open }: Base, world: Connection): CaseResult {
  const outcomes = { egress: outcome(sides.egress), ingress: outcome(sides.ingress) }
  const rules: Partial<Record<Direction, SideResult['rule']>> = {}
  for (const direction of open) {
    const side = evaluateSide(inPlay, world, direction)
    invariant(side.unknowns.length === 0, 'a case leaves something open', { missing: side.result.missing })
    outcomes[direction] = outcome(side)
    rules[direction] = side.result.rule
  }
  return { ...outcomes, both: outcomes.egress === 'denied' ? 'denied' : outcomes.ingress, rules }
}

function outcome(side: SideDraft): Outcome {
  return side.result.verdict === 'denied' ? 'denied' : 'allowed'
}

interface Enumeration {
  readonly sides: Sides
  readonly unknowns: readonly Unknown[]
  readonly cases: readonly (readonly Case[])[]
  readonly results: readonly (CaseResult | undefined)[]
}

function summarize(e: Enumeration): Omit<ConnectionVerdict, 'connection'> | undefined {
  if (e.results.every((r) => r === undefined)) return undefined
  const verdict = verdictOf(e.results, (r) => r.both)
  return {
    verdict,
    egress: refinedSide(e, 'egress'),
    ingress: refinedSide(e, 'ingress'),
    missing: verdict === 'uncertain' ? decisive(e, (r) => r.both) : [],
  }
}

function verdictOf(results: Enumeration['results'], of: (r: CaseResult) => Outcome): Verdict {
  const outcomes = new Set(results.filter((r) => r !== undefined).map(of))
  return outcomes.size > 1 ? 'uncertain' : outcomes.has('denied') ? 'denied' : 'allowed'
}

function refinedSide(e: Enumeration, direction: Direction): SideResult {
  const draft = e.sides[direction].result
  if (draft.verdict !== 'uncertain') return draft
  const verdict = verdictOf(e.results, (r) => r[direction])
  const { selectedBy, maybeSelectedBy, nearest } = draft
  if (verdict === 'uncertain') return { ...draft, missing: decisive(e, (r) => r[direction]) }
  if (verdict === 'denied') return { verdict, selectedBy, maybeSelectedBy, ...(nearest === undefined ? {} : { nearest }), missing: [] }
  const rule = e.results.find((r) => r?.rules[direction] !== undefined)?.rules[direction]
  return { verdict: rule === undefined ? 'not-isolated' : 'allowed', selectedBy, maybeSelectedBy, ...(rule === undefined ? {} : { rule }), missing: [] }
}

/** The unknowns of which two cases give different results while everything else stays; all where only several together do. */
function decisive(e: Enumeration, of: (r: CaseResult) => Outcome): string[] {
  const matters: Unknown[] = []
  let stride = 1
  for (const [i, options] of e.cases.entries()) {
    const seen = new Map<number, Outcome>()
    const width = options.length
    const changes = e.results.some((result, number) => {
      if (result === undefined) return false
      const others = number - (Math.floor(number / stride) % width) * stride
      const known = seen.get(others)
      seen.set(others, known ?? of(result))
      return known !== undefined && known !== of(result)
    })
    if (changes) matters.push(e.unknowns[i] as Unknown)
    stride *= width
  }
  return matters.length > 0 ? unknownTexts(matters) : unknownTexts(e.unknowns)
}
