import type { EdgeView } from '../flow/edge-view.ts'
import type { IdentityMapView } from '../flow/identity-map-view.ts'

/** One side of a verdict (CONTRACTS "Side"). */
export interface SideView {
  readonly verdict: 'allowed' | 'denied' | 'uncertain' | 'not-isolated'
  readonly selectedBy: readonly string[]
  readonly rule?: { readonly policy: string; readonly index: number }
}

export type FindingCode = 'egress-denied' | 'ingress-denied' | 'both-denied' | 'uncertain'

/** An observed connection that the policies would deny, or may deny (CONTRACTS "Finding"). */
export interface Finding extends EdgeView {
  readonly verdict: 'denied' | 'uncertain'
  readonly egress: SideView
  readonly ingress: SideView
  readonly reason: { readonly code: FindingCode; readonly text: string }
  readonly missing: readonly string[]
  readonly admit?: { readonly policy: string; readonly rule: string }
}

export interface InputError {
  readonly file: string
  readonly line?: number
  readonly message: string
}

/** `check -o json` (CONTRACTS): schema flowfence.check/v1. Unit of the totals: one observed edge (one per outside address). */
export interface CheckDocument {
  readonly schema: 'flowfence.check/v1'
  readonly cluster: string
  readonly window: { readonly since: string | null; readonly until: string | null }
  /** Which labels were taken for identity. */
  readonly identityMap: IdentityMapView
  readonly totals: { readonly evaluated: number; readonly allowed: number; readonly denied: number; readonly uncertain: number }
  readonly findings: readonly Finding[]
  readonly inputErrors: readonly InputError[]
}
