import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from '@jest/globals'
import { KnownValues } from '../../src/decode/known-values.ts'
import { createRandom, rounds, type Random } from '../support/random.ts'

function opened(text: string): KnownValues {
  const values = new KnownValues()
  open(values, text)
  return values
}

function open(values: KnownValues, text: string): number {
  const bytes = Buffer.from(text, 'latin1')
  values.open(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length))
  return bytes.length
}

const TEXTS = ['', 'a', 'ab', 'abc', 'abcd', 'abcde', 'web-7d4b9c6f58-x2kbp', '10.244.0.1', 'x'.repeat(300), 'a"b', 'tab\tand\\', '\u0001', 'é']

function randomValue(random: Random, depth = 0): unknown {
  switch (random.int(depth > 2 ? 5 : 7)) {
    case 0: return random.int(100_000)
    case 1: return random.pick([0, -0, -1, 1.5, 1e21, 1e-7, 123_456_789_012_345, 1_234_567_890_123_456, 2 ** 53, true, false, null])
    case 2: case 3: case 4: return random.pick(TEXTS) + (random.chance(0.3) ? String(random.int(1000)) : '')
    case 5: return Array.from({ length: random.int(4) }, () => randomValue(random, depth + 1))
    default: return Object.fromEntries(Array.from({ length: random.int(4) }, () => [random.pick(TEXTS), randomValue(random, depth + 1)]))
  }
}

describe('law: a value read from bytes is what JSON.parse makes of them', () => {
  test('any value, again and again, and its followers', () => {
    const random = createRandom(1)
    const values = new KnownValues()
    const leaders = [0, 1, 2].map((i) => {
      values.read(0, open(values, `"leader-${i}"`))
      return values.known
    })
    const all = Array.from({ length: 300 }, () => JSON.stringify(randomValue(random)).replace('é', '\\u00e9'))
    for (let i = 0; i < rounds({ small: 30_000, full: 300_000 }); i++) {
      const json = random.pick(all)
      const length = open(values, `,${json}}`)
      const leader = random.pick(leaders)
      const next = random.chance(0.5) || leader === undefined ? values.read(1, length) : values.readFollower(1, length, leader, random.int(3))
      if (next < 0) expect(json).toMatch(/[^\u0020-\u007e]/)
      else expect([json.slice(0, next - 1), values.value]).toEqual([json, JSON.parse(json)])
    }
  })

  test('what is no value, or is cut off, is left to the parser', () => {
    for (const text of ['', '"', '"abc', '"abcdefgh', '"a\\"', '{', '{"a"', '[1,', 'tru', 'falsy', 'nul', '-', '1.', '1e', '"\u0001"', '"\\x"', '"\\u12"']) {
      expect([text, opened(text).read(0, text.length)]).toEqual([text, -1])
    }
  })

  test('a text with a leader that had another one', () => {
    const values = new KnownValues()
    values.read(0, open(values, '"leader"'))
    const leader = values.known
    if (leader === undefined) throw new Error('a short text is remembered')
    for (const text of ['"web"', '"web-1"', '"we"', '"web"']) {
      expect(values.readFollower(0, open(values, text), leader, 0)).toBe(text.length)
      expect(values.value).toBe(JSON.parse(text))
    }
  })
})

test('what is remembered is bounded, whatever comes', () => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const values = new KnownValues()
  values.read(0, open(values, '"leader"'))
  const leader = values.known
  if (leader === undefined) throw new Error('a short text is remembered')
  gc()
  const before = process.memoryUsage().heapUsed
  const amount = rounds({ small: 16_000, full: 200_000 })
  for (let i = 0; i < amount; i++) {
    values.readFollower(0, open(values, `["${String(i).padStart(3000, 'x')}"]`), leader, i % 20)
    values.read(0, open(values, `"${String(i).padStart(200, 'y')}"`))
  }
  gc()
  // All of it would be 150 MB in the smallest run. What is remembered is its bytes, once more as numbers and once as texts.
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(110e6)
})
