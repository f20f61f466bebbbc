import { describe, expect, test } from '@jest/globals'
import { parseTimeUs } from '../../../src/core/base/time.ts'
import { simulate } from '../../../src/core/simulate/simulate.ts'
import type { Simulation, SimulationOptions } from '../../../src/core/simulate/simulate.ts'
import { edgesOfVerdicts, hubbleFlows, hubbleLines, layer4, truthText } from './observed-lines.ts'
import { parsed, smallTopology } from './small-topology.ts'

const startUs = parseTimeUs('2026-01-01T00:00:00Z') ?? 0
const endUs = (minutes: number): number => startUs + minutes * 60_000_000

function run(options: Partial<SimulationOptions> = {}, document: unknown = smallTopology()): Simulation {
  return simulate(parsed(document), { format: 'hubble', minutes: 12, seed: 7, startUs, ...options })
}

describe('same input, same bytes', () => {
  test.each(['hubble', 'calico-enterprise'] as const)('%s: the same seed gives the same lines, another seed others', (format) => {
    const once = [...run({ format }).lines()].join('\n')
    expect([...run({ format }).lines()].join('\n')).toBe(once)
    expect([...run({ format, seed: 8 }).lines()].join('\n')).not.toBe(once)
  })

  test('one simulation may be read more than once, and its truth does not depend on reading', () => {
    const simulation = run()
    const truth = simulation.truth()
    const lines = [...simulation.lines()]
    expect([...simulation.lines()]).toEqual(lines)
    expect(simulation.truth()).toEqual(truth)
    expect(simulation.clusterObjects()).toEqual(run().clusterObjects())
  })

  test('both formats tell of the same truth', () => {
    expect(run({ format: 'calico-enterprise' }).truth()).toEqual(run().truth())
  })
})

describe('truth', () => {
  test('is what the policy-verdict events show, nothing more and nothing less', () => {
    const simulation = run()
    expect([...edgesOfVerdicts(simulation)].sort()).toEqual(simulation.truth().map(truthText).sort())
  })

  test('has every edge of the topology, outside ends one per address', () => {
    const texts = run().truth().map(truthText)
    expect(texts).toContain('Deployment/app/web -> Deployment/app/api TCP/8080')
    expect(texts).toContain('CronJob/app/report -> StatefulSet/data/db TCP/5432')
    expect(texts).toContain('host -> Deployment/app/api TCP/8081')
    expect(texts).toContain('node -> Deployment/app/api TCP/9100') // the hostNetwork agent is its node
    expect(texts).toContain('Deployment/app/api -> kube-apiserver TCP/6443')
    expect(texts.filter((t) => t.endsWith('-> Deployment/app/web TCP/8443'))).toHaveLength(3)
    expect(texts.filter((t) => /^Deployment\/app\/api -> (192\.0\.2|198\.51\.100|203\.0\.113)\.\d+ TCP\/443$/.test(t))).toHaveLength(1)
  })

  test('has the shape that every output shows', () => {
    expect(run().truth().find((e) => truthText(e) === 'Deployment/app/web -> Deployment/app/api TCP/8080')).toEqual({
      from: { kind: 'pod', cluster: 'default', namespace: 'app', workload: { kind: 'Deployment', name: 'web' }, labels: { app: 'web', 'app.kubernetes.io/version': '1.2.3' } },
      to: { kind: 'pod', cluster: 'default', namespace: 'app', workload: { kind: 'Deployment', name: 'api' }, labels: { app: 'api' } },
      protocol: 'TCP', port: 8080, flows: expect.any(Number), firstSeen: expect.stringMatching(/^2026-01-01T00:0/), lastSeen: expect.stringMatching(/^2026-01-01T00:1/),
      observedVerdict: 'allowed', sides: ['client', 'server'], orientation: 'verdict-event', labelQuality: 'full',
    })
  })

  test.each([0.01, 1, 5])('at rate %d every active edge is still observed', (rate) => {
    const simulation = run({ rate })
    expect([...edgesOfVerdicts(simulation)].sort()).toEqual(simulation.truth().map(truthText).sort())
    const ids = ['web -> Deployment/app/api', 'api -> StatefulSet/data/db', '-> Deployment/kube-system/coredns']
    for (const id of ids) expect(simulation.truth().map(truthText).some((t) => t.includes(id))).toBe(true)
  })

  test('a rate multiplies the connections', () => {
    const flows = (rate: number): number => run({ rate }).truth().reduce((sum, e) => sum + e.flows, 0)
    expect(flows(10) / flows(1)).toBeGreaterThan(8)
  })

  test('an edge is active only between startsAt and endsAt', () => {
    const topology = smallTopology()
    topology.edges[0] = { ...topology.edges[0], startsAt: '4m', endsAt: '2026-01-01T00:06:00Z' }
    const edge = run({}, topology).truth().find((e) => truthText(e) === 'Deployment/app/web -> Deployment/app/api TCP/8080')
    expect(parseTimeUs(edge?.firstSeen ?? '')).toBeGreaterThanOrEqual(startUs + 240_000_000)
    expect(parseTimeUs(edge?.lastSeen ?? '')).toBeLessThan(startUs + 425_000_000)
    topology.edges[0] = { ...topology.edges[0], startsAt: '2027-01-01T00:00:00Z' }
    expect(run({}, topology).truth().map(truthText)).not.toContain('Deployment/app/web -> Deployment/app/api TCP/8080')
  })

  test('a scheduled edge calls only in its minutes', () => {
    const topology = smallTopology()
    topology.edges[1] = { ...topology.edges[1], schedule: '3,7 * * * *' }
    const minutes = new Set(hubbleFlows(run({}, topology))
      .filter((f) => f.event_type.type === 5 && layer4(f).destinationPort === 5432 && f.source.pod_name?.startsWith('api-'))
      .map((f) => f.time.slice(14, 16)))
    expect([...minutes].sort()).toEqual(['03', '07'])
  })
})

describe('pods', () => {
  test('are replaced, and a later pod gets the freed address after it rested', () => {
    const { pods } = run({ minutes: 60 })
    const gone = pods.filter((p) => p.workload.kind === 'Deployment' && p.untilUs < endUs(60))
    expect(gone.length).toBeGreaterThanOrEqual(2)
    const reused = pods.filter((p) => pods.some((o) => o.ip === p.ip && o !== p && o.untilUs <= p.fromUs && o.workload !== p.workload))
    expect(reused.length).toBeGreaterThan(0)
    for (const pod of pods) {
      for (const other of pods) {
        if (pod.index >= other.index || pod.ip !== other.ip || pod.workload.hostNetwork) continue
        expect(Math.max(pod.fromUs, other.fromUs) - Math.min(pod.untilUs, other.untilUs)).toBeGreaterThanOrEqual(30_000_000)
      }
    }
  })

  test('of a CronJob come and go on its schedule', () => {
    const { pods } = run({ minutes: 30 })
    const jobs = pods.filter((p) => p.workload.kind === 'CronJob')
    expect(jobs.map((p) => Math.floor((p.fromUs - startUs) / 60_000_000))).toEqual([0, 5, 10, 15, 20, 25])
    expect(new Set(jobs.map((p) => p.name)).size).toBe(6)
    for (const job of jobs) {
      expect(job.name).toMatch(/^report-\d{8}-[bcdfghjklmnpqrstvwxz2456789]{5}$/)
      expect(job.untilUs - job.fromUs).toBeLessThan(60_000_000)
      expect(job.labels['job-name']).toBe(job.owner)
    }
  })

  test('are named by their controllers', () => {
    const names = (kind: string, name: string): string[] => run().pods.filter((p) => p.workload.kind === kind && p.workload.name === name).map((p) => p.name)
    expect(names('Deployment', 'web')[0]).toMatch(/^web-[bcdfghjklmnpqrstvwxz2456789]{9}-[bcdfghjklmnpqrstvwxz2456789]{5}$/)
    expect(names('StatefulSet', 'db')).toEqual(['db-0'])
    expect(names('DaemonSet', 'agent')[0]).toMatch(/^agent-[bcdfghjklmnpqrstvwxz2456789]{5}$/)
    expect(names('DaemonSet', 'agent')).toHaveLength(3) // one per node
  })

  test('share the identity of their workload, not of their instance', () => {
    const web = run().pods.filter((p) => p.workload.name === 'web')
    expect(new Set(web.map((p) => p.labels['pod-template-hash'])).size).toBe(1)
    const db = run().pods.find((p) => p.workload.name === 'db')
    expect(db?.labels).toMatchObject({ app: 'db', 'apps.kubernetes.io/pod-index': '0', 'statefulset.kubernetes.io/pod-name': 'db-0' })
  })
})

interface KubernetesObject {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly uid: string; readonly ownerReferences?: readonly { readonly kind: string; readonly name: string; readonly uid: string }[] }
  readonly spec?: { readonly clusterIP?: string; readonly nodeName?: string; readonly podCIDR?: string }
  readonly status?: { readonly phase?: string; readonly podIP?: string }
}

describe('cluster objects', () => {
  const objects = run({ minutes: 30 }).clusterObjects() as KubernetesObject[]
  const of = (kind: string): KubernetesObject[] => objects.filter((o) => o.kind === kind)

  test('list every kind, and owners that exist', () => {
    expect([...new Set(objects.map((o) => o.kind))].sort()).toEqual(['CronJob', 'DaemonSet', 'Deployment', 'Job', 'Namespace', 'Node', 'Pod', 'ReplicaSet', 'Service', 'StatefulSet'])
    const uids = new Map(objects.map((o) => [o.metadata.uid, o]))
    expect(uids.size).toBe(objects.length)
    for (const object of objects) for (const owner of object.metadata.ownerReferences ?? []) expect(uids.get(owner.uid)?.metadata.name).toBe(owner.name)
    for (const pod of of('Pod')) expect(pod.metadata.ownerReferences).toHaveLength(1)
  })

  test('running pods have distinct addresses inside their node\'s network', () => {
    const running = of('Pod').filter((p) => p.status?.phase === 'Running' && !p.metadata.name.startsWith('agent-'))
    expect(new Set(running.map((p) => p.status?.podIP)).size).toBe(running.length)
    const cidrs = new Map(of('Node').map((n) => [n.metadata.name, n.spec?.podCIDR?.replace('0/24', '')]))
    for (const pod of running) expect(pod.status?.podIP?.startsWith(cidrs.get(pod.spec?.nodeName ?? '') ?? '-')).toBe(true)
  })

  test('every pod in the lines is an object or a pod that has gone, and had that address then', () => {
    const simulation = run({ minutes: 30 })
    const byName = new Map(simulation.pods.map((p) => [`${p.workload.namespace}/${p.name}`, p]))
    const living = new Set((simulation.clusterObjects() as KubernetesObject[]).filter((o) => o.kind === 'Pod').map((o) => `${o.metadata.namespace}/${o.metadata.name}`))
    const wrong: unknown[] = []
    for (const flow of hubbleFlows(simulation)) {
      for (const [end, ip] of [[flow.source, flow.IP.source], [flow.destination, flow.IP.destination]] as const) {
        if (end.pod_name === undefined) continue
        const pod = byName.get(`${end.namespace}/${end.pod_name}`)
        const atUs = parseTimeUs(flow.time) ?? 0
        const wasThere = pod !== undefined && pod.ip === ip && pod.fromUs <= atUs && atUs < pod.untilUs
        const isListed = pod?.untilUs !== Infinity || living.has(`${end.namespace}/${end.pod_name}`)
        if (!wasThere || !isListed) wrong.push({ end, ip, time: flow.time })
      }
    }
    expect(wrong).toEqual([])
  })

  test('services have cluster addresses', () => {
    expect(of('Service').map((s) => [s.metadata.name, s.spec?.clusterIP])).toEqual([
      ['kubernetes', '10.96.0.1'], ['api', '10.96.0.22'], ['kube-dns', '10.96.0.10'],
    ])
  })
})

describe('loss', () => {
  test('drops records and says how many', () => {
    const topology = { ...smallTopology(), loss: 0.3 }
    const lines = hubbleLines(run({}, topology))
    const lost = lines.reduce((sum, line) => sum + Number(line.lost_events?.num_events_lost ?? 0), 0)
    const distinct = new Set(lines.map((l) => l.flow?.uuid)).size
    expect(lost / (lost + distinct)).toBeGreaterThan(0.25)
    expect(lost / (lost + distinct)).toBeLessThan(0.35)
    expect(run({}, topology).truth()).toEqual(run().truth())
  })

  test('without loss nothing is reported lost', () => {
    expect(hubbleLines(run()).filter((line) => line.lost_events !== undefined)).toEqual([])
  })
})
