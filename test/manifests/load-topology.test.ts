import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from '@jest/globals'
import { parseTimeUs } from '../../src/core/base/time.ts'
import { simulate } from '../../src/core/simulate/simulate.ts'
import { loadTopology } from '../../src/manifests/load-topology.ts'
import { describeShared, sharedPath } from '../support/shared.ts'

const projectPath = (relative: string): string => fileURLToPath(new URL(`../../${relative}`, import.meta.url))

function folderOf(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'flowfence-topology-'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

const NAMESPACES = 'namespaces: [{ name: app, labels: { team: a } }]\n'
const WORKLOADS = 'workloads:\n- { kind: Deployment, name: web, namespace: app, podLabels: { app: web } }\n- { kind: Deployment, name: api, namespace: app, podLabels: { app: api } }\n'
const EDGES = 'edges: [{ from: { kind: Deployment, namespace: app, name: web }, to: { kind: Deployment, namespace: app, name: api, port: 80 } }]\n'

describe('loadTopology', () => {
  test('reads one file and the same in a folder, ignoring other files', async () => {
    const folder = folderOf({
      'topology.yaml': NAMESPACES + WORKLOADS + EDGES,
    })
    const apart = folderOf({
      'workloads.yaml': NAMESPACES + WORKLOADS,
      'edges.json': JSON.stringify({ edges: [{ from: { kind: 'Deployment', namespace: 'app', name: 'web' }, to: { kind: 'Deployment', namespace: 'app', name: 'api', port: 80 } }] }),
      'comparison.json': '{"edges": "not one"}', 'SOURCE.txt': 'text',
    })
    const whole = await loadTopology(join(folder, 'topology.yaml'))
    expect(await loadTopology(apart)).toEqual(whole)
    expect(await loadTopology(folder)).toEqual(whole)
    expect(whole.edges[0]?.port).toBe(80)
  })

  test('says which field is wrong', async () => {
    const path = join(folderOf({ 'topology.yaml': NAMESPACES + WORKLOADS + EDGES.replace('80', '0').replace('name: web', 'name: wep') }), 'topology.yaml')
    await expect(loadTopology(path)).rejects.toMatchObject({
      code: 'input-unusable',
      message: [`${path} is not a topology:`, '  edges[0].from: unknown end Deployment/app/wep: no such workload; add it to workloads or infrastructureWorkloads', '  edges[0].to.port: 0 is not a whole number from 1 to 65535'].join('\n'),
    })
  })

  test('says when a path is missing, a folder holds nothing and YAML does not parse', async () => {
    await expect(loadTopology('/nowhere/topology.yaml')).rejects.toMatchObject({ code: 'input-unreadable', message: expect.stringContaining('cannot read the topology /nowhere/topology.yaml') })
    const empty = folderOf({ 'notes.txt': '' })
    await expect(loadTopology(empty)).rejects.toMatchObject({ message: `no workloads.yaml, services.yaml or edges.json in ${empty}` })
    const broken = join(folderOf({ 'topology.yaml': 'a: [1\nb: }' }), 'topology.yaml')
    await expect(loadTopology(broken)).rejects.toMatchObject({ code: 'input-unusable', message: expect.stringMatching(/topology\.yaml: .*line/) })
  })
})

describe('examples', () => {
  test('the shop has 14 workloads in three namespaces and shows every kind of end', async () => {
    const topology = await loadTopology(projectPath('examples/shop.yaml'))
    expect(topology.workloads.filter((w) => w.namespace !== 'kube-system')).toHaveLength(14)
    const simulation = simulate(topology, { format: 'hubble', minutes: 30, seed: 1, startUs: parseTimeUs('2026-01-01T00:00:00Z') ?? 0 })
    const truth = simulation.truth()
    // Every edge once, the customers as three addresses.
    expect(truth).toHaveLength(topology.edges.length + 2)
    expect([...new Set(truth.flatMap((e) => [e.from.kind, e.to.kind]))].sort()).toEqual(['external', 'host', 'kube-apiserver', 'pod'])
    expect(truth.some((e) => e.from.workload?.kind === 'CronJob')).toBe(true)
  })

  test('the large example is what the script writes', async () => {
    const path = projectPath('examples/large-200.yaml')
    expect(execFileSync(process.execPath, [projectPath('scripts/make-large-topology.mjs')], { encoding: 'utf8', maxBuffer: 16 * 1024 * 1024 })).toBe(readFileSync(path, 'utf8'))
    const { workloads, namespaces } = await loadTopology(path)
    expect([workloads.length, namespaces.length]).toEqual([203, 23])
  })
})

const shared = sharedPath('topologies')
const applications = shared === undefined ? ['none'] : readdirSync(shared, { withFileTypes: true }).filter((f) => f.isDirectory()).map((f) => f.name)

describeShared('topology folders beside the project', () => {
  test.each(applications)('%s loads', async (application) => {
    const topology = await loadTopology(sharedPath(`topologies/${application}`) ?? '')
    expect(topology.edges.length).toBeGreaterThan(20)
  })
})
