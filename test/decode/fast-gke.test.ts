import { describe, expect, test } from '@jest/globals'
import { FastGke } from '../../src/decode/fast-gke.ts'
import { gkeLines } from '../bench/format-lines.ts'
import { FastPathPair } from '../support/fast-path-law.ts'
import { createRandom, rounds, type Random } from '../support/random.ts'

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

function newPair(): FastPathPair {
  return new FastPathPair(OPTIONS, ({ gke }) => new FastGke(gke))
}

describe('law: the byte path of GKE lines says what the full parse says, or nothing', () => {
  test('it takes the lines that GKE writes, and notes the same gaps', () => {
    const pair = newPair()
    const lines = linesOf(createRandom(7))
    for (const line of lines) pair.check(line)
    expect(pair.taken).toBeGreaterThan(lines.length * 0.95)
    const { fast, slow } = pair.coverage()
    expect(fast).toEqual(slow)
    expect(fast).not.toEqual([])
  })

  test('lines cut anywhere', () => {
    const pair = newPair()
    const lines = linesOf(createRandom(7))
    for (const line of [lines[0], lines[405], lines[470]]) for (let i = 0; i <= (line ?? '').length; i++) pair.check((line ?? '').slice(0, i))
    expect(pair.taken).toBeLessThanOrEqual(3)
  })

  test('mutated lines', () => {
    const random = createRandom(8)
    const pair = newPair()
    const lines = linesOf(random)
    pair.checkChanged(random, lines, INSERTED, rounds({ small: 20_000, full: 200_000 }))
    expect(pair.taken).toBeGreaterThan(pair.checked / 8)
  })
})
