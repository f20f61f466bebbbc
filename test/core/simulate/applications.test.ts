import { readFileSync, readdirSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { parse } from 'yaml'
import { parseTimeUs } from '../../../src/core/base/time.ts'
import { parseTopology } from '../../../src/core/simulate/parse-topology.ts'
import { simulate } from '../../../src/core/simulate/simulate.ts'
import type { Topology } from '../../../src/core/simulate/topology.ts'
import { describeShared, sharedPath } from '../../support/shared.ts'
import { edgesOfVerdicts, truthText } from './observed-lines.ts'

const startUs = parseTimeUs('2026-01-01T00:00:00Z') ?? 0
const folder = sharedPath('topologies')
const applications = folder === undefined ? ['none'] : readdirSync(folder, { withFileTypes: true }).filter((f) => f.isDirectory()).map((f) => f.name)

function load(application: string): Topology {
  const documents = ['workloads.yaml', 'services.yaml', 'edges.json'].map((file) => parse(readFileSync(sharedPath(`topologies/${application}/${file}`) ?? '', 'utf8')) as unknown)
  const result = parseTopology(documents)
  if ('topology' in result) return result.topology
  throw new Error(JSON.stringify(result.problems))
}

/** An edge as the log names its ends: hostNetwork pods are nodes, outside ends addresses. */
function isCovered(topology: Topology, index: number, truth: ReadonlySet<string>): boolean {
  const edge = topology.edges[index]
  if (edge === undefined) return false
  const name = (end: (typeof edge)['from']): RegExp => {
    if (end.type === 'workload') return end.workload.hostNetwork ? /^(host|node)$/ : new RegExp(`^${end.workload.key.replaceAll('.', '\\.')}$`)
    if (end.type === 'kubelet') return /^host$/
    if (end.type === 'node') return /^(host|node)$/
    return end.type === 'kube-apiserver' ? /^kube-apiserver$/ : /^[\d.]+$/
  }
  return [...truth].some((text) => {
    const [, from = '', to = '', port = ''] = /^(.+) -> (.+) (\S+)$/.exec(text) ?? []
    return port === `${edge.protocol}/${edge.port}` && name(edge.from).test(from) && name(edge.to).test(to)
  })
}

describeShared('applications beside the project', () => {
  test.each(applications)('%s: its log shows every edge and nothing that is not true', (application) => {
    const topology = load(application)
    const simulation = simulate(topology, { format: 'hubble', minutes: 4, seed: 5, startUs, rate: 0.5 })
    const truth = new Set(simulation.truth().map(truthText))
    expect([...edgesOfVerdicts(simulation)].sort()).toEqual([...truth].sort())
    const hostOnly = (index: number): boolean => [topology.edges[index]?.from, topology.edges[index]?.to].every((end) => end?.type !== 'workload' || end.workload.hostNetwork)
    expect(topology.edges.flatMap((edge, i) => (hostOnly(i) || isCovered(topology, i, truth) ? [] : [edge.id]))).toEqual([])
    expect([...simulate(topology, { format: 'calico-enterprise', minutes: 4, seed: 5, startUs }).lines()].length).toBeGreaterThan(topology.edges.length)
  })
})
