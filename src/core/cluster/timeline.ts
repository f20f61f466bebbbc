/**
 * Who holds one thing (an address, a name) over time, from claims that may overlap.
 *
 * In: claims. Out: disjoint segments, each with its holder, `UNKNOWN` or `undefined` for nobody. Rules, at every moment:
 * - one holder is certain: it is that one; claims that are not certain at that moment are thereby refuted;
 * - two are certain: unknown (the state contradicts itself);
 * - else one claims it and no other may have had it: it is that one; several claim it, or another may still have had it: unknown.
 * Cost: building O(n log n) in the claims, a lookup O(log n) without allocation.
 */
export interface Claim<T> {
  /** Who claims; two claims of one holder never contradict each other. */
  readonly holder: string
  readonly value: T
  /** The holder may have had it from here on; nothing is known until `fromUs`, which it is when left out. */
  readonly possibleFromUs?: number
  readonly fromUs: number
  /** From here on it is certain, as long as it is claimed. Infinity: never. */
  readonly certainUs: number
  /** End of the claim, not included. */
  readonly untilUs: number
  /** The holder may have had it until here, not included; nothing is known. */
  readonly possibleUntilUs: number
}

/** At that moment state cannot tell. */
export const UNKNOWN = Symbol('unknown')

export class Timeline<T> {
  /** Starts of the segments, ascending; before the first one there is nobody. */
  readonly #starts: readonly number[]
  readonly #values: readonly (T | typeof UNKNOWN | undefined)[]

  constructor(claims: readonly Claim<T>[]) {
    const { starts, values } = sweep(claims)
    this.#starts = starts
    this.#values = values
  }

  at(timeUs: number): T | typeof UNKNOWN | undefined {
    const index = lastAtOrBefore(this.#starts, timeUs)
    return index < 0 ? undefined : this.#values[index]
  }

  /** Where the answer may change. */
  get starts(): readonly number[] {
    return this.#starts
  }
}

/** Index of the last number that is not greater than `value`, or -1; `sorted` ascends. */
export function lastAtOrBefore(sorted: readonly number[], value: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] as number) <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** How many claims of each holder are active, and one of them. */
class ActiveClaims<T> {
  readonly #byHolder = new Map<string, { count: number; claim: Claim<T> }>()

  add(claim: Claim<T>, by: number): void {
    const known = this.#byHolder.get(claim.holder)
    if (known === undefined) this.#byHolder.set(claim.holder, { count: by, claim })
    else if (known.count + by === 0) this.#byHolder.delete(claim.holder)
    else {
      known.count += by
      if (by > 0) known.claim = claim
    }
  }

  get size(): number {
    return this.#byHolder.size
  }

  first(): Claim<T> | undefined {
    for (const { claim } of this.#byHolder.values()) return claim
    return undefined
  }
}

interface Step<T> {
  readonly atUs: number
  readonly of: 'certain' | 'claimed' | 'possible'
  readonly by: 1 | -1
  readonly claim: Claim<T>
}

function sweep<T>(claims: readonly Claim<T>[]): { starts: number[]; values: (T | typeof UNKNOWN | undefined)[] } {
  const steps = claims.flatMap(stepsOf).sort((a, b) => a.atUs - b.atUs || b.by - a.by)
  const active = { certain: new ActiveClaims<T>(), claimed: new ActiveClaims<T>(), possible: new ActiveClaims<T>() }
  const starts: number[] = []
  const values: (T | typeof UNKNOWN | undefined)[] = []
  for (const [i, step] of steps.entries()) {
    active[step.of].add(step.claim, step.by)
    if (steps[i + 1]?.atUs === step.atUs) continue
    const value = judge(active)
    if (values.length > 0 && values.at(-1) === value) continue
    starts.push(step.atUs)
    values.push(value)
  }
  return { starts, values }
}

function stepsOf<T>(claim: Claim<T>): Step<T>[] {
  const { fromUs, untilUs } = claim
  const certainUs = Math.max(fromUs, claim.certainUs)
  const possible = ['possible', Math.min(fromUs, claim.possibleFromUs ?? fromUs), Math.max(untilUs, claim.possibleUntilUs)] as const
  const spans = [possible, ['claimed', fromUs, untilUs], ['certain', certainUs, untilUs]] as const
  return spans.flatMap(([of, from, until]): Step<T>[] => (from < until ? [{ atUs: from, of, by: 1, claim }, { atUs: until, of, by: -1, claim }] : []))
}

function judge<T>({ certain, claimed, possible }: Record<Step<T>['of'], ActiveClaims<T>>): T | typeof UNKNOWN | undefined {
  if (certain.size > 1) return UNKNOWN
  if (certain.size === 1) return certain.first()?.value
  if (claimed.size === 1 && possible.size === 1) return claimed.first()?.value
  return possible.size === 0 ? undefined : UNKNOWN
}
