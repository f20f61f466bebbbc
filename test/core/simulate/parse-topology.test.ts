import { describe, expect, test } from '@jest/globals'
import { parseTopology } from '../../../src/core/simulate/parse-topology.ts'
import { parsed, smallTopology } from './small-topology.ts'

function problemsOf(change: (topology: ReturnType<typeof smallTopology>) => void): string[] {
  const topology = smallTopology()
  change(topology)
  const result = parseTopology([topology])
  return 'problems' in result ? result.problems.map((p) => `${p.field}: ${p.message}`) : []
}

describe('parseTopology', () => {
  test('reads one document', () => {
    const topology = parsed(smallTopology())
    expect(topology.workloads.map((w) => w.key)).toContain('CronJob/app/report')
    expect(topology.edges[0]).toMatchObject({ id: 'call', port: 8080, protocol: 'TCP', via: { namespace: 'app', name: 'api', port: 80, portName: 'http' } })
  })

  test('joins several documents, in any order', () => {
    const { namespaces, workloads, services, edges } = smallTopology()
    const apart = parseTopology([{ edges, app: 'x' }, { services }, { namespaces, workloads }])
    expect(apart).toEqual({ topology: parsed(smallTopology()) })
  })

  test('infrastructure lists are read like the others', () => {
    const { workloads, services, edges, namespaces } = smallTopology()
    const result = parseTopology([{
      namespaces, workloads: workloads.slice(0, 5), infrastructureWorkloads: workloads.slice(5),
      services: services.slice(0, 1), infrastructureServices: services.slice(1), edges: edges.slice(0, 3), infrastructureEdges: edges.slice(3),
    }])
    expect(result).toEqual({ topology: parsed(smallTopology()) })
  })

  test('names the field and what to write instead', () => {
    expect(problemsOf((t) => { t.edges[0] = { ...t.edges[0], from: { kind: 'Deployment', namespace: 'app', name: 'wep' } } })).toEqual([
      'edges[0].from: unknown end Deployment/app/wep: no such workload; add it to workloads or infrastructureWorkloads',
    ])
    expect(problemsOf((t) => { t.edges[3] = { ...t.edges[3], to: { fqdn: 'pay.example', port: 70000 } } })).toEqual(['edges[3].to.port: 70000 is not a whole number from 1 to 65535'])
    expect(problemsOf((t) => { t.edges[3] = { ...t.edges[3], to: { fqdn: 'pay.example' } } })).toEqual(['edges[3].to.port: is missing: a port from 1 to 65535'])
    expect(problemsOf((t) => { t.edges[2] = { ...t.edges[2], schedule: '61 * * * *' } })).toEqual([
      'edges[2].schedule: "61 * * * *" is not a cron schedule: minute hour day month weekday, e.g. "*/15 * * * *"',
    ])
    expect(problemsOf((t) => { t.workloads[0] = { ...t.workloads[0], namespace: 'ap' } })).toContain('workloads[0].namespace: namespace "ap" is not listed under namespaces')
    expect(problemsOf((t) => { t.edges[0] = { ...t.edges[0], to: { kind: 'Deployment', namespace: 'app', name: 'api', port: 8080, via: { service: 'apy.app' } } } })).toEqual([
      'edges[0].to.via.service: unknown service "apy.app": write name.namespace of a listed service',
    ])
    expect(problemsOf((t) => { t.edges[0] = { ...t.edges[0], loss: 2 } })).toEqual(['edges[0].loss: 2 is not a number from 0 to 1'])
    expect(problemsOf((t) => { t.edges[0] = { ...t.edges[0], startsAt: 'soon' } })).toEqual([
      'edges[0].startsAt: "soon" is neither an RFC 3339 time nor a time after the start such as "10m"',
    ])
    expect(problemsOf((t) => { t.workloads[0] = { ...t.workloads[0], podLabels: { version: 2 } } })).toEqual(['workloads[0].podLabels["version"]: a label value is text: write "2" in quotes'])
    expect(problemsOf((t) => { t.edges[3] = { ...t.edges[3], to: { external: true, port: 443 } } })).toEqual(['edges[3].to: an external end needs ip, fqdn or cidr'])
    expect(problemsOf((t) => { t.edges[3] = { ...t.edges[3], to: { external: true, ip: '10.0.0.256', port: 443 } } })).toEqual([
      'edges[3].to.ip: "10.0.0.256" is not an IP address', 'edges[3].to: an external end needs ip, fqdn or cidr',
    ])
    expect(problemsOf((t) => { t.edges[5] = { ...t.edges[5], from: { special: 'kubelet' } } })).toEqual(['edges[5]: neither end is a workload'])
    expect(problemsOf((t) => { t.workloads.push(t.workloads[0] ?? {}) })).toEqual(['workloads[6]: workload Deployment/app/web is listed twice'])
  })

  test.each([[null], [3], ['text'], [[]]])('refuses %j', (document) => {
    const result = parseTopology([document])
    expect('problems' in result ? result.problems[0]?.message : '').toMatch(/^expected an object/)
  })

  test('lists every missing part of an empty document', () => {
    expect(parseTopology([{}])).toEqual({ problems: [
      { field: 'namespaces', message: 'is missing or empty: list every namespace with its labels' },
      { field: 'workloads', message: 'is missing or empty: list every workload with kind, name, namespace and podLabels' },
      { field: 'edges', message: 'is missing: list who calls whom' },
    ] })
  })

  test('reads absolute times and times after the start', () => {
    const topology = smallTopology()
    topology.edges[0] = { ...topology.edges[0], startsAt: '2026-01-01T00:05:00Z', endsAt: '1h30m' }
    topology.edges[1] = { ...topology.edges[1], startsAt: 2.5 }
    const { edges } = parsed(topology)
    expect(edges[0]).toMatchObject({ startsAt: { atUs: Date.UTC(2026, 0, 1, 0, 5) * 1000 }, endsAt: { afterUs: 5_400_000_000 } })
    expect(edges[1]).toMatchObject({ startsAt: { afterUs: 150_000_000 } })
  })
})
