import { describe, expect, test } from '@jest/globals'
import { parseTimeUs } from '../../../src/core/base/time.ts'
import { simulate } from '../../../src/core/simulate/simulate.ts'
import { truthText } from './observed-lines.ts'
import { parsed, smallTopology } from './small-topology.ts'

const startUs = parseTimeUs('2026-01-01T00:00:00Z') ?? 0

interface CalicoRow {
  readonly start_time: number
  readonly end_time: number
  readonly reporter: 'src' | 'dst'
  readonly source_ip: string | null
  readonly source_name_aggr: string
  readonly source_namespace: string
  readonly source_type: string
  readonly source_port: null
  readonly source_labels: { readonly labels: readonly string[] } | null
  readonly dest_ip: string | null
  readonly dest_name_aggr: string
  readonly dest_namespace: string
  readonly dest_type: string
  readonly dest_port: number
  readonly dest_service_name: string
  readonly dest_domains: readonly string[] | null
  readonly proto: string
  readonly host: string
  readonly num_flows: number
  readonly num_flows_started: number
  readonly num_flows_completed: number
}

const simulation = simulate(parsed(smallTopology()), { format: 'calico-enterprise', minutes: 12, seed: 3, startUs })
const rows = [...simulation.lines()].map((line) => JSON.parse(line) as CalicoRow)

/** The workload of an aggregate, read from its name as a person would. */
function nameOf(row: CalicoRow, end: 'source' | 'dest'): string {
  const ip = row[`${end}_ip`]
  if (row[`${end}_type`] === 'net') return ip ?? ''
  const aggregate = row[`${end}_name_aggr`]
  const namespace = row[`${end}_namespace`]
  const job = /^(.+)-\d{8}-\*$/.exec(aggregate)
  if (job !== null) return `CronJob/${namespace}/${job[1]}`
  const set = /^(.+)-[bcdfghjklmnpqrstvwxz2456789]{9}-\*$/.exec(aggregate)
  return set === null ? `StatefulSet/${namespace}/${aggregate.slice(0, -2)}` : `Deployment/${namespace}/${set[1]}`
}

describe('Calico rows', () => {
  test('show every true edge, from each side whose end is a pod', () => {
    const seen = new Map<string, Set<string>>()
    for (const row of rows) {
      const key = `${nameOf(row, 'source')} -> ${nameOf(row, 'dest')} ${row.proto.toUpperCase()}/${row.dest_port}`
      seen.set(key, (seen.get(key) ?? new Set()).add(row.reporter))
    }
    const nodes = /^(host|node) |kube-apiserver/
    const truth = simulation.truth().filter((e) => !nodes.test(truthText(e)))
    for (const edge of truth) {
      expect([truthText(edge), [...(seen.get(truthText(edge)) ?? [])].sort()]).toEqual([truthText(edge), edge.sides.map((s) => (s === 'client' ? 'src' : 'dst')).sort().reverse().sort()])
    }
    const others = [...seen.keys()].filter((key) => !truth.some((e) => truthText(e) === key))
    expect(others.every((key) => key.startsWith('172.18.0.') || key.includes('-> 172.18.0.2 TCP/6443'))).toBe(true)
  })

  test('keep no pod address, name or source port, and keep outside addresses', () => {
    for (const row of rows) {
      expect(row.source_port).toBeNull()
      expect(row.source_ip === null).toBe(row.source_type === 'wep')
      expect(row.dest_ip === null).toBe(row.dest_type === 'wep')
      for (const end of ['source', 'dest'] as const) if (row[`${end}_type`] === 'net') expect(row[`${end}_name_aggr`]).toBe(row[`${end}_ip`]?.startsWith('172.18.') ? 'pvt' : 'pub')
    }
  })

  test('cover five minutes each, the last what is left', () => {
    expect([...new Set(rows.map((r) => `${r.start_time - startUs / 1e6}-${r.end_time - startUs / 1e6}`))]).toEqual(['0-300', '300-600', '600-720'])
  })

  test('another interval length gives other rows of the same connections', () => {
    const short = [...simulate(parsed(smallTopology()), { format: 'calico-enterprise', minutes: 12, seed: 3, startUs, intervalSeconds: 60 }).lines()].map((l) => JSON.parse(l) as CalicoRow)
    expect(new Set(short.map((r) => r.start_time)).size).toBe(12)
    const started = (list: readonly CalicoRow[]): number => list.reduce((sum, r) => sum + r.num_flows_started, 0)
    expect(started(short)).toBe(started(rows))
  })

  test('count live, started and completed connections, each reporter for itself', () => {
    for (const row of rows) expect(row.num_flows >= row.num_flows_started && row.num_flows >= row.num_flows_completed && row.num_flows > 0).toBe(true)
    const sum = (reporter: string, field: 'num_flows_started' | 'num_flows_completed'): number => rows.filter((r) => r.reporter === reporter).reduce((n, r) => n + r[field], 0)
    const of = (side: 'client' | 'server'): number => simulation.truth().filter((e) => e.sides.includes(side)).reduce((n, e) => n + e.flows, 0)
    expect(sum('src', 'num_flows_started')).toBe(of('client'))
    expect(sum('dst', 'num_flows_started')).toBe(of('server'))
    expect(sum('src', 'num_flows_completed')).toBe(of('client'))
  })

  test('labels are those all pods of the aggregate share', () => {
    const web = rows.find((r) => r.source_name_aggr.startsWith('web-'))
    expect(web?.source_labels?.labels).toEqual(['app=web', 'app.kubernetes.io/version=1.2.3', expect.stringMatching(/^pod-template-hash=/)])
    expect(rows.find((r) => r.source_type === 'net')?.source_labels).toBeNull()
  })

  test('the Service and the domain are known at the client\'s node', () => {
    const client = rows.filter((r) => r.dest_port === 8080 && r.reporter === 'src')
    expect(new Set(client.map((r) => r.dest_service_name))).toEqual(new Set(['api']))
    expect(rows.filter((r) => r.dest_port === 443).map((r) => r.dest_domains)).toEqual(expect.arrayContaining([['pay.example']]))
  })
})
