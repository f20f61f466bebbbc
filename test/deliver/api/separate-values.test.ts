import { describe, expect, test } from '@jest/globals'
import { separateValues } from '../../../src/deliver/api/separate-values.ts'
import { createRandom } from '../../support/random.ts'
import type { Random } from '../../support/random.ts'

async function separated(text: string, cuts: readonly number[] = []): Promise<string> {
  const bytes = Buffer.from(text)
  const edges = [0, ...cuts, bytes.length].sort((a, b) => a - b)
  async function* chunks(): AsyncGenerator<Buffer> {
    for (let i = 1; i < edges.length; i++) yield await Promise.resolve(bytes.subarray(edges[i - 1], edges[i]))
  }
  const pieces: Buffer[] = []
  for await (const piece of separateValues(chunks())) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}

function value(random: Random): object {
  return { a: random.pick(['}{', '"', '\\', '\\"}{"', 'é', '[{']), b: random.chance(0.5) ? [{ c: {} }] : { d: [1, '}'] } }
}

describe('objects that touch', () => {
  test('get a newline between them, wherever the chunks are cut', async () => {
    const random = createRandom(5)
    for (let round = 0; round < 200; round++) {
      const texts = Array.from({ length: 1 + random.int(6) }, () => JSON.stringify(value(random)))
      const cuts = Array.from({ length: random.int(8) }, () => random.int(Buffer.byteLength(texts.join(''))))
      expect(await separated(texts.join(''), cuts)).toBe(texts.join('\n'))
    }
  })
})

test.each([
  '', ' ', '{}', '{}\n{}\n', '[{},{}]', '{}\n{}{}', '{"a":1}\n', 'text }{ text', '\n{"a":"x"}', '{"a"', '{}{', '{}x{}{}',
])('%j passes unchanged, but for objects that touch', async (text) => {
  expect(await separated(text)).toBe(text.replace(/^\{\}\{(?!\})/, '{}\n{'))
})
