import { readFileSync, readdirSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { parse } from 'yaml'
import { parseTimeUs } from '../../src/core/base/time.ts'
import { simulate } from '../../src/core/simulate/simulate.ts'
import type { SimulatedFormat } from '../../src/core/simulate/simulate.ts'
import { recommend } from '../../src/pipeline/recommend.ts'
import { compareWithTruth } from '../support/against-truth.ts'
import { observeLines, topologyOf } from '../support/observe.ts'
import { describeShared, sharedPath } from '../support/shared.ts'

const startUs = parseTimeUs('2026-01-01T00:00:00Z') ?? 0

/** `npm test` takes the three applications that are promised, `test:full` every one beside the project. */
function applications(): string[] {
  if (process.env.FLOWFENCE_TIER === 'small') return ['argo-cd', 'online-boutique', 'sock-shop']
  return readdirSync(sharedPath('topologies') ?? '', { withFileTypes: true }).filter((d) => d.isDirectory()).map((d) => d.name)
}

function load(app: string): unknown[] {
  return ['workloads.yaml', 'services.yaml', 'edges.json'].map((file) => parse(readFileSync(sharedPath(`topologies/${app}/${file}`) ?? '', 'utf8')) as unknown)
}

describeShared('real applications: every accepted true edge is allowed, nothing else', () => {
  const formats: SimulatedFormat[] = ['hubble', 'calico-enterprise']
  test.each(applications().flatMap((app) => formats.map((format) => [app, format] as const)))('%s from %s', (app, format) => {
    const topology = topologyOf(...load(app))
    const simulation = simulate(topology, { format, minutes: 15, seed: 1, startUs, rate: 0.5 })
    const document = recommend(observeLines(simulation.lines()), { cluster: 'default' })
    const truth = simulation.truth()
    const ports = [...new Set([...truth.map((e) => e.port ?? 0), 1, 53, 80, 443, 33_000, 65_535])].filter((p) => p > 0)
    const compared = compareWithTruth(document, topology, { truth, ports })
    const podEdges = truth.filter((e) => e.from.kind === 'pod' && e.to.kind === 'pod')
    expect({ app, refused: document.refused, missing: compared.missing, excess: compared.excess, open: compared.open })
      .toEqual({ app, refused: [], missing: [], excess: [], open: [] })
    expect(document.certificate).toMatchObject({ sound: true, tight: true, irredundant: true })
    expect(podEdges.length).toBeGreaterThan(5)
    // What cannot be a rule is in review with the reason, and nothing else is.
    const expectedKinds = truth.some((e) => e.to.kind === 'kube-apiserver' || e.from.kind === 'kube-apiserver')
    expect(document.review.some((r) => r.reason.code === 'needs-apiserver-cidr')).toBe(expectedKinds)
  })
})
