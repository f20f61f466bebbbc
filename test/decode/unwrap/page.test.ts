import { readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { createNormalizer } from '../../../src/core/normalize/normalizer.ts'
import { createDecoder } from '../../../src/decode/decode-chunk.ts'

const page = readFileSync(new URL('../../../docs/sources/shippers.md', import.meta.url), 'utf8')
const examples = [...page.matchAll(/^```(?:json|text)\n(.+)\n```$/gm)].map(([, line]) => line as string)

test('the page has an example of every wrapping', () => {
  expect(examples).toHaveLength(19)
})

test.each(examples.map((line) => [line.slice(0, 60), line]))('the example %s… holds flows', (_, line) => {
  const decoder = createDecoder()
  const normalizer = createNormalizer({ cluster: 'default' })
  const outcomes = decoder.push(Buffer.from(`${line}\n`)).map((item) => item.problem ?? normalizer.normalize(item.value))
  expect(outcomes.map((outcome) => outcome.kind)).toEqual(line.startsWith('{"message":"') && line.includes('\\n[') ? ['flow', 'flow'] : ['flow'])
  for (const outcome of outcomes) {
    if (outcome.kind !== 'flow') continue
    expect(outcome.port).toBe(outcome.format === 'aws-vpc-cni' ? 80 : 5432)
    expect(new Date(outcome.lastAtUs / 1000).toISOString()).toMatch(/^2026-01-02T03:04:05/)
  }
})
