import { isDeepStrictEqual } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import type { Outcome } from '../../src/core/flow/flow-record.ts'
import { createNormalizer } from '../../src/core/normalize/normalizer.ts'
import { createDecoder } from '../../src/decode/decode-chunk.ts'
import { FastGke } from '../../src/decode/fast-gke.ts'
import { gkeLines } from '../bench/format-lines.ts'
import { createRandom, rounds } from '../support/random.ts'
import type { Random } from '../support/random.ts'

const OPTIONS = { cluster: 'c', ownWorkloads: ['team-1/app-1', 'team-3'] }

/** Lines of every shape that GKE writes. */
function linesOf(random: Random): string[] {
  const base = gkeLines(400)
  return [
    ...base,
    ...base.slice(0, 60).map((l) => l.replace(/"node_name":"[^"]*",/, '')),
    ...base.slice(0, 60).map((l) => l.replace(/"policies":\[[^\]]*\],/, '').replace('"allow"', '"deny"').replace(/"src_port":\d+,/, '').replace('ingress', 'egress')),
    ...base.slice(0, 60).map((l) => l.replace(/"src":\{[^}]*\}/, '"src":{"node_name":"gke-pool-1-0","workload_kind":"Node"}').replace('"ingress"', random.pick(['"ingress"', '"egress"']))),
    ...base.slice(0, 60).map((l) => l.replace(/"src":\{[^}]*\}/, '"src":{"instance":"198.51.100.7"}').replace(/"src_ip":"[^"]*"/, '"src_ip":"198.51.100.7"')),
    ...base.slice(0, 40).map((l) => l.replace('"tcp"', random.pick(['"udp"', '"sctp"', '"icmp"', '"unknown"']))),
    ...base.slice(0, 20).map((l) => l.replace(/"dest_ip":"[^"]*"/, '"dest_ip":"224.0.0.251"')),
  ]
}

const INSERTED = [
  '"connection":{}', '"disposition":"deny"', '"flow":{"verdict":1}', '"src":{}', '"count":9', '"pod_name":"evil"', '"__proto__":{"count":3}', '"dest_port":1', '"protocol":"udp"', '"cou\\u006et":7',
]

function mutate(random: Random, line: string, other: string): string {
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
      return comma < 0 ? line : `${line.slice(0, comma + 1)}${random.pick(INSERTED)},${line.slice(comma + 1)}`
    }
    default: return line.replace(/\d+/g, (digits) => (random.chance(0.9) ? digits : String(random.int(70_000))))
  }
}

function comparable(outcome: Outcome): unknown {
  return outcome.kind === 'flow' ? { ...outcome, initiator: outcome.initiator.key, responder: outcome.responder.key } : outcome
}

class Pair {
  readonly #slow = createNormalizer(OPTIONS)
  readonly #fast = createNormalizer(OPTIONS)
  readonly #path = new FastGke(this.#fast.gke)
  checked = 0
  taken = 0

  /** Fails where the byte path says anything else than the full parse. */
  check(line: string): void {
    if (line.includes('\n')) return
    const bytes = Buffer.from(`1:"}${line}23,"}`, 'latin1')
    const fast = this.#path.read(bytes, 4, 4 + line.length)
    this.checked++
    if (fast === undefined) return
    this.taken++
    const items = createDecoder().push(Buffer.from(`${line}\n`, 'latin1'))
    const slow = items.map((item) => item.problem ?? this.#slow.normalize(item.value))
    if (slow.length !== 1 || !isDeepStrictEqual(comparable(fast), comparable(slow[0] as Outcome))) {
      expect({ line, outcomes: [comparable(fast)] }).toEqual({ line, outcomes: slow.map(comparable) })
    }
  }

  coverage(): unknown[] {
    return [this.#fast.takeCoverage().map((c) => JSON.stringify(c)).sort(), this.#slow.takeCoverage().map((c) => JSON.stringify(c)).sort()]
  }
}

describe('law: the byte path of GKE lines says what the full parse says, or nothing', () => {
  test('it takes the lines that GKE writes, and notes the same gaps', () => {
    const pair = new Pair()
    const lines = linesOf(createRandom(7))
    for (const line of lines) pair.check(line)
    expect(pair.taken).toBeGreaterThan(lines.length * 0.95)
    const [fast, slow] = pair.coverage()
    expect(fast).toEqual(slow)
    expect(fast).not.toEqual([])
  })

  test('lines cut anywhere', () => {
    const pair = new Pair()
    const lines = linesOf(createRandom(7))
    for (const line of [lines[0], lines[405], lines[470]]) for (let i = 0; i <= (line ?? '').length; i++) pair.check((line ?? '').slice(0, i))
    expect(pair.taken).toBeLessThanOrEqual(3)
  })

  test('mutated lines', () => {
    const random = createRandom(8)
    const pair = new Pair()
    const lines = linesOf(random)
    for (let i = 0; i < rounds({ small: 20_000, full: 200_000 }); i++) {
      const line = random.pick(lines)
      let changed = mutate(random, line, random.pick(lines))
      if (random.chance(0.3)) changed = mutate(random, changed, line)
      pair.check(changed)
      // What a mutant left behind is met by the original.
      if (random.chance(0.3)) pair.check(line)
    }
    expect(pair.taken).toBeGreaterThan(pair.checked / 8)
  })
})
