import { describe, expect, test } from '@jest/globals'
import { spawnSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { root } from './repository-files.ts'

interface CheckNode {
  readonly nodeVersionProblem: (version: string) => string | undefined
}

const { nodeVersionProblem } = await import(pathToFileURL(`${root}/bin/check-node.mjs`).href) as CheckNode

/** The Node of the system rather than of the project; '' where there is none. */
const SYSTEM_NODE = ['-i', 'PATH=/usr/bin:/bin', 'node']
const systemVersion = spawnSync('/usr/bin/env', [...SYSTEM_NODE, '--version'], { encoding: 'utf8' }).stdout?.trim() ?? ''
const hasOldNode = systemVersion !== '' && nodeVersionProblem(systemVersion) !== undefined

describe('the Node version check', () => {
  test.each(['22.22.0', 'v22.22.0', '22.30.1', '24.6.0', 'v24.21.0', '25.0.0', '26.1.0'])('accepts %s', (version) => {
    expect(nodeVersionProblem(version)).toBeUndefined()
  })

  test.each(['18.20.8', '20.20.2', 'v20.20.2', '22.21.9', '23.11.0', '24.0.0', '24.5.0'])('refuses %s and says what to do next', (version) => {
    const [problem = '', next = '', ...others] = (nodeVersionProblem(version) ?? '').split('\n')
    expect(problem).toBe(`flowfence needs Node ^22.22.0 or >=24.6.0, but this is Node ${version.replace('v', '')}.`)
    expect(next).toMatch(/^Next step: run it through npm \("npm run demo", "npm test"\)/)
    expect(others.join(' ')).toContain('npm ci --ignore-scripts=false')
  })

  const title = 'an older Node gets the next step and exit code 2 instead of a syntax error'
  const onOldNode = hasOldNode ? test : test.skip
  onOldNode(hasOldNode ? title : `${title} (skipped: the system has no older Node)`, () => {
    for (const args of [['bin/flowfence.mjs', '--version'], ['scripts/run-jest.mjs', '--version']]) {
      const { status, stdout, stderr } = spawnSync('/usr/bin/env', [...SYSTEM_NODE, ...args], { cwd: root, encoding: 'utf8' })
      expect(status).toBe(2)
      expect(stdout).toBe('')
      expect(stderr).toBe(`${nodeVersionProblem(systemVersion) ?? ''}\n`)
    }
  })
})
