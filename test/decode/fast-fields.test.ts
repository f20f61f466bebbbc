import { isDeepStrictEqual } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import { createNormalizer } from '../../src/core/normalize/normalizer.ts'
import { simulate, type SimulatedFormat } from '../../src/core/simulate/simulate.ts'
import { FastFields } from '../../src/decode/fast-fields.ts'
import { loadTopology } from '../../src/manifests/load-topology.ts'
import { FastPathPair, fullParse } from '../support/fast-path-law.ts'
import { createRandom, rounds, type Random } from '../support/random.ts'

const OPTIONS = { cluster: 'c', podCidrs: ['10.244.0.0/16'], ownWorkloads: ['kube-system'] }
const FORMATS = ['calico-enterprise', 'goldmane', 'netobserv', 'antrea'] as const satisfies readonly SimulatedFormat[]
type Format = (typeof FORMATS)[number]

const topology = await loadTopology(new URL('../../examples/shop.yaml', import.meta.url).pathname)
const simulated = new Map(FORMATS.map((format) => {
  const lines: string[] = []
  for (const line of simulate(topology, { format, minutes: 600, seed: 3, startUs: Date.UTC(2026, 0, 1) * 1000, intervalSeconds: 15 }).lines()) if (lines.push(line) === 800) break
  return [format, lines] as const
}))

function linesOf(format: Format): readonly string[] {
  return simulated.get(format) ?? []
}

function newPair(): FastPathPair {
  return new FastPathPair(OPTIONS, ({ fieldReaders }) => new FastFields(fieldReaders))
}

type Members = [string, unknown][]

function membersOf(line: string): Members {
  return Object.entries(JSON.parse(line) as Record<string, unknown>)
}

function lineOf(members: Members): string {
  return `{${members.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`
}

const ODD_VALUES = [null, '', '-', 0, -0, 1, 65_535, 65_536, -1, 1.5, 1e3, 1e300, 12_345_678_901_234_567_890n, 'x', 'a"b\\c/d\n', 'ü', '10.244.0.1', 'fd00::1', true, false, [], {}, ['a=b'],
  { labels: ['a=b'] }, { labels: [{ deep: [[]] }] }, '{"app":"x"}', 1_767_225_600, '2026-01-01 00:00:00', 'Service', 'Pod', 'wep', 'net', 'pvt', 'deny', 'dst', 'udp', 2, 17, 128]

function oddText(random: Random): string {
  const value = random.pick(ODD_VALUES)
  return typeof value === 'bigint' ? String(value) : JSON.stringify(value)
}

/** The same record as a producer with other habits writes it: members left out, in another order, with odd values. */
function rewritten(random: Random, line: string): string {
  const members = membersOf(line).filter(() => random.chance(0.97)).map(([key, value]): [string, string] => [key, random.chance(0.96) ? JSON.stringify(value) : oddText(random)])
  if (random.chance(0.5)) for (let i = members.length - 1; i > 0; i--) {
    const j = random.int(i + 1)
    const other = members[j] as [string, string]
    members[j] = members[i] as [string, string]
    members[i] = other
  }
  return `{${members.map(([key, value]) => `"${key}":${value}`).join(',')}}`
}

const INSERTED = [
  '"flow":{"verdict":1}', '"Key":{"source_name":"x"}', '"Key":null', '"IP":{}', '"source_name_aggr":"evil-*"', '"dest_port":1', '"proto":"udp"', '"__proto__":{"dest_port":3}',
  '"SrcAddr":"10.0.0.9"', '"TimeFlowEndMs":5', '"Proto":17', '"flowEndSeconds":1767225600', '"destinationIP":"10.0.0.1"', '"p\\u0072oto":"udp"', '"kubernetes":{"host":"n"}', '"start_time":1767225601',
  '"Dscp":{"a":[1,2,{"b":"c"}]}', '"":1', '"a":1',
]

describe.each(FORMATS)('law: the byte path of %s says what the full parse says, or nothing', (format) => {
  test('it takes the lines that are simulated, and notes the same gaps', () => {
    const pair = newPair()
    for (const line of linesOf(format)) pair.check(line)
    expect(pair.checked).toBe(800)
    expect(pair.taken).toBeGreaterThan(pair.checked * 0.98)
    const { fast, slow } = pair.coverage()
    expect(fast).toEqual(slow)
  })

  test('members left out, in any order, with odd values', () => {
    const random = createRandom(11)
    const pair = newPair()
    const lines = linesOf(format)
    for (let i = 0; i < rounds({ small: 6000, full: 60_000 }); i++) {
      const line = random.pick(lines)
      pair.check(random.chance(0.3) ? line : rewritten(random, line))
    }
    expect(pair.taken).toBeGreaterThan(pair.checked / 2)
  })

  test('mutated lines', () => {
    const random = createRandom(12)
    const pair = newPair()
    pair.checkChanged(random, linesOf(format), INSERTED, rounds({ small: 6000, full: 100_000 }))
    expect(pair.taken).toBeGreaterThan(pair.checked / 5)
  })

  test('lines cut anywhere', () => {
    const pair = newPair()
    const lines = linesOf(format).slice(0, 2)
    for (const line of lines) {
      for (let i = 0; i < line.length; i++) {
        pair.check(line.slice(0, i))
        pair.check(line)
      }
    }
    expect(pair.taken).toBe(lines.reduce((sum, { length }) => sum + length, 0))
  })

  test('keys that the plan calls unread change nothing', () => {
    const normalizer = createNormalizer(OPTIONS)
    const line = linesOf(format).find((l) => fullParse(normalizer, l)[0]?.kind === 'flow') ?? ''
    const plan = normalizer.fieldReaders.find(({ plan: { read } }) => membersOf(line).every(([key]) => read.includes(key) || key === 'Key' || isUnread(key)))?.plan
    function isUnread(key: string): boolean {
      return normalizer.fieldReaders.some(({ plan: { unread } }) => unread.includes(key))
    }
    expect(plan).toBeDefined()
    const expected = fullParse(normalizer, line)
    for (const key of plan?.unread ?? []) {
      for (const value of [null, 0, 'x', ['x'], { x: 1 }, true]) {
        const changed = lineOf([...membersOf(line).filter(([k]) => k !== key), [key, value]])
        expect([key, value, isDeepStrictEqual(fullParse(normalizer, changed), expected)]).toEqual([key, value, true])
      }
    }
  })
})

test('law: formats in turn, and records that no byte path reads', () => {
  const random = createRandom(13)
  const pair = newPair()
  for (let i = 0; i < rounds({ small: 4000, full: 40_000 }); i++) {
    const lines = linesOf(random.pick(FORMATS))
    pair.check(random.chance(0.2) ? '{"flow":{"verdict":"FORWARDED"},"time":"2026-01-01T00:00:00Z"}' : random.pick(lines))
  }
  expect(pair.taken).toBeGreaterThan(pair.checked * 0.7)
})

test('a format whose lines are walked in vain is hardly tried, until one is taken again', () => {
  const pair = newPair()
  const [good = ''] = linesOf('netobserv')
  const other = good.replace('{', '{"unknownToThePlan":1,')
  for (let i = 0; i < 500; i++) pair.check(other)
  expect(pair.taken).toBe(0)
  for (let i = 0; i < 200; i++) pair.check(good)
  expect(pair.taken).toBeGreaterThan(130)
})
