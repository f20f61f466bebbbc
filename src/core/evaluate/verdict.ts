import type { Protocol } from '../flow/flow-record.ts'

export type Verdict = 'allowed' | 'denied' | 'uncertain'

/** A rule by its policy (`ns/name`) and its index in the policy's list for that direction. */
export interface RuleRef {
  readonly policy: string
  readonly index: number
}

/** The rule that comes closest to admitting; index -1 and `no rules` where the selecting policies have none. */
export interface NearestRule extends RuleRef {
  /** What keeps it from matching: `port`, `protocol`, `peer`, `namespace`, two of them joined by `and`, or `no rules`. */
  readonly differs: string
}

/** One side of a connection. */
export interface SideResult {
  /** `not-isolated`: no policy selects the end for this direction (or the end is not policed), so everything is allowed. */
  readonly verdict: Verdict | 'not-isolated'
  /** `ns/name` of the policies that certainly select the end, sorted. */
  readonly selectedBy: readonly string[]
  /** Of those that may select it, depending on what is not known; sorted. */
  readonly maybeSelectedBy: readonly string[]
  /** The rule that admits; only when allowed by a rule. */
  readonly rule?: RuleRef
  /** Only when denied or uncertain. */
  readonly nearest?: NearestRule
  /** Why no rule was needed although policies select the end. */
  readonly exempt?: 'same-endpoint' | 'own-node'
  /** What is not known and can change this side; sorted, empty unless uncertain. */
  readonly missing: readonly string[]
}

export interface ConnectionVerdict {
  readonly verdict: Verdict
  readonly egress: SideResult
  readonly ingress: SideResult
  /** What is not known and can change the verdict; sorted, empty unless uncertain. */
  readonly missing: readonly string[]
  /** The ends as texts name them; port 0 = unknown. */
  readonly connection: { readonly from: string; readonly to: string; readonly protocol: Protocol; readonly port: number }
}

/** Both sides must let it through; a certain denial on one side decides. */
export function combineVerdict(egress: SideResult['verdict'], ingress: SideResult['verdict']): Verdict {
  if (egress === 'denied' || ingress === 'denied') return 'denied'
  return egress === 'uncertain' || ingress === 'uncertain' ? 'uncertain' : 'allowed'
}
