/** What laws of byte paths share: a byte path beside the full parse, and lines changed at random. */
import { isDeepStrictEqual } from 'node:util'
import { expect } from '@jest/globals'
import type { Outcome } from '../../src/core/flow/flow-record.ts'
import { createNormalizer, type Normalizer, type NormalizerOptions } from '../../src/core/normalize/normalizer.ts'
import { createDecoder, type FastPath } from '../../src/decode/decode-chunk.ts'
import type { Random } from './random.ts'

/** One change of a line at a random place; `inserted` are members that a JSON line may get between two others. */
function mutateLine(random: Random, line: string, other: string, inserted: readonly string[]): string {
  const at = random.int(line.length)
  const end = Math.min(line.length, at + random.int(40))
  switch (random.int(8)) {
    case 0: return line.slice(0, at) + random.pick([...'{}[]",:;\\0123456789.eE-TZ \t\0\r']) + line.slice(at + 1)
    case 1: return line.slice(0, at) + line.slice(end)
    case 2: return line.slice(0, end) + line.slice(at)
    case 3: return line.slice(0, at) + String.fromCharCode(random.int(128)) + line.slice(at)
    case 4: return line.slice(0, at) + other.slice(at)
    case 5: return line.slice(0, at) + String.fromCharCode(line.charCodeAt(at) ^ (1 << random.int(7))) + line.slice(at + 1)
    case 6: {
      const comma = line.indexOf(',', at)
      return comma < 0 ? line : `${line.slice(0, comma + 1)}${random.pick(inserted)},${line.slice(comma + 1)}`
    }
    default: return line.replace(/\d+/g, (digits) => (random.chance(0.9) ? digits : String(random.int(70_000))))
  }
}

function comparable(outcome: Outcome): unknown {
  return outcome.kind === 'flow' ? { ...outcome, initiator: outcome.initiator.key, responder: outcome.responder.key } : outcome
}

/** The lines are written into one buffer, each over those before it, as readers of files do. */
const BUFFER_BYTES = 64 << 10

/** A byte path, and the full parse of the same lines. */
export class FastPathPair {
  readonly #slow: Normalizer
  readonly #fast: Normalizer
  readonly #path: FastPath
  readonly #buffer = Buffer.alloc(BUFFER_BYTES)
  #at = 0
  checked = 0
  taken = 0

  constructor(options: NormalizerOptions, pathOf: (normalizer: Normalizer) => FastPath) {
    this.#slow = createNormalizer(options)
    this.#fast = createNormalizer(options)
    this.#path = pathOf(this.#fast)
  }

  /** Fails where the byte path says anything else than the full parse. */
  check(line: string): void {
    if (line.includes('\n')) return
    const bytes = Buffer.from(`1:"}${line}23,"}`, 'latin1')
    if (this.#at + bytes.length > BUFFER_BYTES) this.#at = 0
    const start = this.#at + 4
    bytes.copy(this.#buffer, this.#at)
    this.#at = (this.#at + bytes.length) % (BUFFER_BYTES >> 3)
    const fast = this.#path.read(this.#buffer, start, start + line.length)
    this.checked++
    if (fast === undefined) return
    this.taken++
    const slow = fullParse(this.#slow, line)
    if (slow.length !== 1 || !isDeepStrictEqual(comparable(fast), comparable(slow[0] as Outcome))) {
      expect({ line, outcomes: [comparable(fast)] }).toEqual({ line, outcomes: slow.map(comparable) })
    }
  }

  /** Checks so many changed lines, and some of the lines themselves after them: what a change left behind is met by the original. */
  checkChanged(random: Random, lines: readonly string[], inserted: readonly string[], amount: number): void {
    for (let i = 0; i < amount; i++) {
      const line = random.pick(lines)
      let changed = mutateLine(random, line, random.pick(lines), inserted)
      if (random.chance(0.3)) changed = mutateLine(random, changed, line, inserted)
      this.check(changed)
      if (random.chance(0.3)) this.check(line)
    }
  }

  /** Gaps noted by both since the last call, in one order. */
  coverage(): { readonly fast: readonly string[]; readonly slow: readonly string[] } {
    const noted = (normalizer: Normalizer): string[] => normalizer.takeCoverage().map((event) => JSON.stringify(event)).sort()
    return { fast: noted(this.#fast), slow: noted(this.#slow) }
  }
}

/** What decoding and normalizing make of a line, without byte paths. */
export function fullParse(normalizer: Normalizer, line: string): Outcome[] {
  return createDecoder().push(Buffer.from(`${line}\n`, 'latin1')).map((item) => item.problem ?? normalizer.normalize(item.value))
}
