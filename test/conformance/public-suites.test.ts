import { expect, test } from '@jest/globals'
import { describeShared } from '../support/shared.ts'
import { caseFiles, runCase } from './case.ts'
import type { CaseOptions } from './case.ts'

const SMALL_STEP = 8

/** The files of a suite; `npm test` takes every eighth of the large one. */
function sample(suite: string): string[] {
  const files = caseFiles(suite)
  return suite === 'cyclonus' && process.env.FLOWFENCE_TIER === 'small' ? files.filter((_, i) => i % SMALL_STEP === 0) : files
}

function runSuite(suite: string, options: CaseOptions = {}): { checked: number; mismatches: string[] } {
  const mismatches: string[] = []
  let checked = 0
  for (const file of sample(suite)) {
    const result = runCase(file, options)
    checked += result.checked
    mismatches.push(...result.mismatches.map((m) => `${file.split('/').at(-1) ?? ''}: ${m}`))
  }
  return { checked, mismatches: mismatches.slice(0, 20) }
}

describeShared('the evaluator agrees with every asserted fact of the public suites', () => {
  test('cyclonus: combined, egress and ingress tables (without the diagonal, which it treats as ordinary traffic)', () => {
    const { checked, mismatches } = runSuite('cyclonus', { skipDiagonal: true })
    expect(mismatches).toEqual([])
    expect(checked).toBeGreaterThanOrEqual(process.env.FLOWFENCE_TIER === 'small' ? 40_000 : 300_000)
  })

  test('the Kubernetes end-to-end suite', () => {
    const { checked, mismatches } = runSuite('kubernetes-e2e-netpol')
    expect(mismatches).toEqual([])
    expect(checked).toBe(506)
  })

  test('the StackRox graph, in which address blocks never match pods', () => {
    const { checked, mismatches } = runSuite('stackrox-graph', { ipBlockMatchesPods: false })
    expect(mismatches).toEqual([])
    expect(checked).toBeGreaterThanOrEqual(327)
  })

  test('the Cilium tests of Kubernetes policies', () => {
    const { checked, mismatches } = runSuite('cilium-k8s-netpol')
    expect(mismatches).toEqual([])
    expect(checked).toBe(75)
  })

  test('the recipes, but for the one fact whose text contradicts its manifest', () => {
    const { checked, mismatches } = runSuite('recipes')
    expect(mismatches).toEqual([])
    expect(checked).toBe(53)
  })
})
