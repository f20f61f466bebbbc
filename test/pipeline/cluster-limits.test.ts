import { expect, test } from '@jest/globals'
import { loadConfig } from '../../src/config/load-config.ts'
import { DEFAULT_LIMITS } from '../../src/pipeline/cluster-limits.ts'
import { limitsOf } from '../../src/start/limits.ts'

test('the defaults of the settings are the defaults of the pipeline', () => {
  const { config } = loadConfig({})
  expect(config === undefined ? undefined : limitsOf(config)).toEqual(DEFAULT_LIMITS)
})
