/** Seeded randomness for tests: mulberry32. The same seed gives the same cases on every machine. */
export interface Random {
  /** In [0, 1). */
  next(): number
  /** Whole number in [0, n). */
  int(n: number): number
  pick<T>(items: readonly T[]): T
  chance(probability: number): boolean
  shuffle<T>(items: readonly T[]): T[]
}

export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  const int = (n: number): number => Math.floor(next() * n)
  return {
    next,
    int,
    pick: <T>(items: readonly T[]): T => items[int(items.length)] as T,
    chance: (probability) => next() < probability,
    shuffle: <T>(items: readonly T[]): T[] => {
      const copy = [...items]
      for (let i = copy.length - 1; i > 0; i--) {
        const j = int(i + 1)
        const kept = copy[i] as T
        copy[i] = copy[j] as T
        copy[j] = kept
      }
      return copy
    },
  }
}

/** How many rounds a law test makes: small in `npm test`, the promised number in `test:full`, open end in `fuzz`. */
export function rounds(amounts: { small: number; full: number }): number {
  const tier = process.env.FLOWFENCE_TIER
  return tier === 'fuzz' ? amounts.full * 20 : tier === 'full' ? amounts.full : amounts.small
}
