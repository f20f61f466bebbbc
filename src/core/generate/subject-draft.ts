import type { Direction } from '../policy/network-policy.ts'
import type { Cover } from './cover-cells.ts'
import type { PolicyDraft } from './policy-draft.ts'

/** A subject's policy with the covers that its rules came from, before verification. */
export interface SubjectDraft {
  readonly draft: PolicyDraft
  readonly covers: ReadonlyMap<Direction, Cover>
}
