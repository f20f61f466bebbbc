import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { beforeAll, expect, test } from '@jest/globals'
import { rounds } from '../support/random.ts'
import { heapAfter } from '../bench/formats.ts'

beforeAll(() => {
  setFlagsFromString('--expose-gc')
  global.gc = runInNewContext('gc') as typeof global.gc
})

// The same over 5 million records of 100,000 pods: npm run bench formats.
test('the heap is bounded by the pods that are seen, not by the records', () => {
  const records = rounds({ small: 12_000, full: 600_000 })
  const [first = 0, second = 0] = heapAfter([records, 4 * records], 2_000)
  // MiB. Were every further record kept, about 200 bytes each, it would be 7 in the smallest run.
  expect(second - first).toBeLessThan(3)
})
