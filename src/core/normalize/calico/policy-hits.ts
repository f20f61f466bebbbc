/**
 * What the policies of a Calico row did: the hits of its policy trace, as Enterprise's texts and Goldmane's objects tell them.
 *
 * A text is `<index>|<tier>|<policy>|<action>|<rule>` (older logs end after the action), in no order. Policies are written `ns/tier.name`,
 * `ns/knp.default.name`, `tier.name`, `__PROFILE__.kns.ns`, with `staged:` before the tier, or since v3.32 with their kind in front (`np:ns/name`,
 * `snp:`, `sgnp:`, `sknp:`, `pro:`, `eot:`...). Staged policies are hypothetical and have no effect; a profile's hit means that no policy applied, and
 * stands for what happened then; so does the end of a tier (rule -1), whose policy name is arbitrary. Text that reads otherwise has no effect:
 * nobody's flow is refused for it. Source: FORMATS 2.1, trap T23.
 */
import type { ObservedVerdict } from '../../flow/flow-record.ts'
import { hashText, type TextHash } from '../digest.ts'

/** `none`: passed on, staged, or not understood. */
export type HitEffect = 'allow' | 'deny' | 'none'

/** One hit of an Enterprise row. */
export interface TextHit {
  /** Place in the order of evaluation. */
  readonly index: number
  readonly effect: HitEffect
  readonly hash: TextHash
}

/** Texts remembered. A cluster has one per policy rule and place; larger: fewer are parsed again. */
const MAX_TEXTS = 20_000
/** Longer texts are no policy's: 253 characters a name at most. */
const MAX_LENGTH = 1024
const STAGED_KINDS = ['snp:', 'sgnp:', 'sknp:']

/** Parses hit texts, remembering them. */
export class HitTexts {
  readonly #known = new Map<string, TextHit>()

  read(text: string): TextHit {
    const known = this.#known.get(text)
    if (known !== undefined) return known
    const hit = parseHit(text)
    if (this.#known.size >= MAX_TEXTS) this.#known.clear()
    if (text.length <= MAX_LENGTH) this.#known.set(text, hit)
    return hit
  }
}

function parseHit(text: string): TextHit {
  const hash = hashText(text)
  const [index = '', , policy = '', action = ''] = text.length <= MAX_LENGTH ? text.split('|', 5) : []
  if (!/^\d{1,6}$/.test(index) || policy === '') return { index: 0, effect: 'none', hash }
  const isStaged = policy.includes('staged:') || STAGED_KINDS.some((kind) => policy.startsWith(kind))
  return { index: Number(index), effect: !isStaged && (action === 'allow' || action === 'deny') ? action : 'none', hash }
}

/** Sums up the enforced hits of one row; reused for every row. */
export class EnforcedHits {
  #hasAllow = false
  #hasDeny = false
  #lastIndex = -1
  #last: HitEffect = 'none'

  start(): void {
    this.#hasAllow = false
    this.#hasDeny = false
    this.#lastIndex = -1
    this.#last = 'none'
  }

  add(index: number, effect: HitEffect): void {
    if (effect === 'none') return
    if (effect === 'allow') this.#hasAllow = true
    else this.#hasDeny = true
    if (index > this.#lastIndex) this.#last = effect
    // Two hits in one place that disagree (a row of several flows) decide nothing.
    else if (index === this.#lastIndex && effect !== this.#last) this.#last = 'none'
    this.#lastIndex = Math.max(this.#lastIndex, index)
  }

  /**
   * The verdict of a row with this action. The action says what happened; an allow that every enforced hit contradicts is no evidence of
   * anything, a denial is believed. Without an action, the last enforced hit that decided.
   */
  verdict(action: 'allow' | 'deny' | 'absent' | 'other'): ObservedVerdict {
    if (action === 'deny') return 'denied'
    if (action === 'allow') return this.#hasDeny && !this.#hasAllow ? 'unknown' : 'allowed'
    if (action === 'other' || this.#last === 'none') return 'unknown'
    return this.#last === 'allow' ? 'allowed' : 'denied'
  }
}
