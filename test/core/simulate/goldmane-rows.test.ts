import { describe, expect, test } from '@jest/globals'
import { parseTimeUs } from '../../../src/core/base/time.ts'
import { simulate } from '../../../src/core/simulate/simulate.ts'
import { truthText } from './observed-lines.ts'
import { parsed, smallTopology } from './small-topology.ts'

const startUs = parseTimeUs('2026-01-01T00:00:00Z') ?? 0

interface GoldmaneFlow {
  readonly Key: {
    readonly source_name: string
    readonly source_namespace: string
    readonly source_type: number
    readonly dest_name: string
    readonly dest_namespace: string
    readonly dest_type: number
    readonly dest_port: number
    readonly dest_service_name: string
    readonly dest_service_port?: number
    readonly proto: string
    readonly reporter: number
  }
  readonly start_time: number
  readonly end_time: number
  readonly source_labels?: readonly string[]
  readonly num_connections_started?: number
  readonly num_connections_completed?: number
  readonly num_connections_live?: number
}

const simulation = simulate(parsed(smallTopology()), { format: 'goldmane', minutes: 12, seed: 3, startUs })
const lines = [...simulation.lines()]
const flows = lines.map((line) => JSON.parse(line) as GoldmaneFlow)
const NETWORK = 4

/** The workload of an aggregate, read from its name as a person would; the outside has no name. */
function nameOf({ Key }: GoldmaneFlow, end: 'source' | 'dest'): string {
  if (Key[`${end}_type`] === NETWORK) return 'outside'
  const aggregate = Key[`${end}_name`]
  const namespace = Key[`${end}_namespace`]
  const job = /^(.+)-\d{8}-\*$/.exec(aggregate)
  if (job !== null) return `CronJob/${namespace}/${job[1]}`
  const set = /^(.+)-[bcdfghjklmnpqrstvwxz2456789]{9}-\*$/.exec(aggregate)
  return set === null ? `StatefulSet/${namespace}/${aggregate.slice(0, -2)}` : `Deployment/${namespace}/${set[1]}`
}

describe('Goldmane flows', () => {
  test('show every true edge, from each side whose end is a pod, and nothing else', () => {
    const seen = new Set(flows.map((f) => `${f.Key.reporter} ${nameOf(f, 'source')} -> ${nameOf(f, 'dest')} ${f.Key.proto.toUpperCase()}/${f.Key.dest_port}`))
    const truth = new Set(simulation.truth().flatMap((edge) => {
      const [, from = '', to = '', port = ''] = /^(.+) -> (.+) (\S+)$/.exec(truthText(edge)) ?? []
      const named = (end: string): string => (end.includes('/') ? end : 'outside')
      return edge.sides.map((side) => `${side === 'client' ? 1 : 2} ${named(from)} -> ${named(to)} ${port}`)
    }))
    expect([...seen].sort()).toEqual([...truth].sort())
  })

  test('have no address and no node anywhere', () => {
    for (const line of lines) expect(line).not.toMatch(/\d+\.\d+\.\d+\.\d+|worker|control-plane/)
  })

  test('are one per key and window: what several nodes saw is summed up', () => {
    const keys = flows.map((f) => JSON.stringify([f.Key, f.start_time]))
    expect(new Set(keys).size).toBe(keys.length)
    expect([...new Set(flows.map((f) => `${f.start_time - startUs / 1e6}-${f.end_time - startUs / 1e6}`))]).toEqual(['0-300', '300-600', '600-720'])
  })

  test('count what the nodes\' own rows count', () => {
    const rows = [...simulate(parsed(smallTopology()), { format: 'calico-enterprise', minutes: 12, seed: 3, startUs }).lines()].map((l) => JSON.parse(l) as Record<string, number>)
    const started = flows.reduce((n, f) => n + (f.num_connections_started ?? 0), 0)
    expect(started).toBe(rows.reduce((n, r) => n + (r.num_flows_started ?? 0), 0))
    expect(flows.reduce((n, f) => n + (f.num_connections_completed ?? 0), 0)).toBe(started)
    expect(flows.some((f) => (f.num_connections_live ?? 0) > 0)).toBe(true)
  })

  test('leave out what is zero or empty, as the emitter does', () => {
    for (const line of lines) expect(line).not.toMatch(/:(0|""|\[\]|null)[,}]/)
    expect(flows.find((f) => f.Key.source_type === NETWORK)?.source_labels).toBeUndefined()
    expect(flows.find((f) => f.Key.dest_service_name === '-')?.Key.dest_service_port).toBeUndefined()
  })

  test('of another interval length tell of the same connections', () => {
    const short = [...simulate(parsed(smallTopology()), { format: 'goldmane', minutes: 12, seed: 3, startUs, intervalSeconds: 15 }).lines()].map((l) => JSON.parse(l) as GoldmaneFlow)
    expect(new Set(short.map((f) => f.start_time)).size).toBe(48)
    const started = (list: readonly GoldmaneFlow[]): number => list.reduce((n, f) => n + (f.num_connections_started ?? 0), 0)
    expect(started(short)).toBe(started(flows))
  })

  test('are the same bytes for the same seed, and the truth of the other formats', () => {
    expect([...simulation.lines()]).toEqual(lines)
    expect(simulation.truth()).toEqual(simulate(parsed(smallTopology()), { format: 'hubble', minutes: 12, seed: 3, startUs }).truth())
  })
})
