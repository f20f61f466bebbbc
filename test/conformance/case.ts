import { readFileSync, readdirSync } from 'node:fs'
import { admittedPorts } from '../../src/core/evaluate/admitted.ts'
import { compilePolicies } from '../../src/core/evaluate/compile.ts'
import type { CompileOptions, CompiledPolicies } from '../../src/core/evaluate/compile.ts'
import type { EvalEnd } from '../../src/core/evaluate/eval-end.ts'
import { evaluateConnection } from '../../src/core/evaluate/evaluate-connection.ts'
import type { Labels } from '../../src/core/flow/end.ts'
import { PROTOCOLS } from '../../src/core/flow/flow-record.ts'
import type { Protocol } from '../../src/core/flow/flow-record.ts'
import { PortSet } from '../../src/core/sets/port-set.ts'
import { outside, pod, policyOf } from '../support/ends.ts'
import { sharedPath } from '../support/shared.ts'

/** A case of the public suites (shared/semantics/README.md). */
interface Case {
  readonly world: {
    readonly namespaces: readonly { name: string; labels?: Labels | null }[]
    readonly pods: readonly {
      namespace: string; name: string; labels?: Labels | null; ips: readonly string[]; hostNetwork?: boolean
      ports: readonly { name: string; containerPort: number; protocol: Protocol }[]
    }[]
  }
  readonly policies: readonly unknown[]
  readonly matrix?: { readonly order: readonly string[] } & Partial<Record<'combined' | 'ingress' | 'egress', Readonly<Record<string, readonly string[]>>>>
  readonly facts?: readonly { from: Place; to: Place; protocol: Protocol; port: number; expect: 'allow' | 'deny'; direction?: 'ingress' | 'egress' | 'both'; quirk?: string }[]
  readonly connsets?: readonly { from: Place; to: Place; allowed: string }[]
  readonly anyconn?: readonly { from: Place; to: Place; expect: 'some' | 'none' }[]
  readonly isolation?: Readonly<Record<string, { nonIsolatedIngress: boolean; nonIsolatedEgress: boolean }>>
}

type Place = string | { readonly ip: string }

/** The case files of a suite; empty where the reference data is missing. */
export function caseFiles(suite: string): string[] {
  const folder = sharedPath(`semantics/cases/${suite}/cases`)
  return folder === undefined ? [] : readdirSync(folder).filter((f) => f.endsWith('.json')).sort().map((f) => `${folder}/${f}`)
}

export interface CaseResult {
  checked: number
  readonly mismatches: string[]
}

export interface CaseOptions extends CompileOptions {
  /** Cells from a pod to itself: cyclonus evaluates them as ordinary traffic. */
  readonly skipDiagonal?: boolean
}

/** Checks every assertion of a case file. */
export function runCase(file: string, options: CaseOptions = {}): CaseResult {
  const test = JSON.parse(readFileSync(file, 'utf8')) as Case
  const run: Run = { compiled: compilePolicies(test.policies.map(policyOf), options), ends: endsOf(test), result: { checked: 0, mismatches: [] } }
  checkMatrix(test, run, options.skipDiagonal === true)
  for (const fact of test.facts ?? []) {
    if (fact.quirk !== undefined) continue
    const direction = fact.direction === undefined || fact.direction === 'both' ? 'combined' : fact.direction
    compare(run, `${text(fact.from)} -> ${text(fact.to)} ${fact.protocol}/${fact.port} ${direction}`, isAllowed(run, fact, direction), fact.expect === 'allow')
  }
  for (const c of test.connsets ?? []) compare(run, `${text(c.from)} -> ${text(c.to)}`, connectionSet(run, c), normalizeSet(c.allowed))
  for (const c of test.anyconn ?? []) compare(run, `${text(c.from)} -> ${text(c.to)} any`, connectionSet(run, c) !== 'No Connections', c.expect === 'some')
  for (const [name, expected] of Object.entries(test.isolation ?? {})) checkIsolation(run, name, expected)
  return run.result
}

interface Run {
  readonly compiled: CompiledPolicies
  readonly ends: ReadonlyMap<string, EvalEnd>
  readonly result: CaseResult
}

function endsOf(test: Case): Map<string, EvalEnd> {
  const namespaces = new Map(test.world.namespaces.map((n) => [n.name, n.labels ?? {}]))
  return new Map(test.world.pods.map((p) => [`${p.namespace}/${p.name}`, pod(`${p.namespace}/${p.name}`, p.labels ?? {}, {
    ips: p.ips, namespaceLabels: namespaces.get(p.namespace) ?? {}, hostNetwork: p.hostNetwork ?? false,
    namedPorts: p.ports.filter((x) => x.name !== '').map((x) => ({ name: x.name, port: x.containerPort, protocol: x.protocol })),
  })]))
}

function text(place: Place): string {
  return typeof place === 'string' ? place : place.ip
}

function endAt(run: Run, place: Place): EvalEnd {
  if (typeof place !== 'string') return outside(place.ip)
  return run.ends.get(place) ?? outside(place)
}

function compare(run: Run, what: string, actual: unknown, expected: unknown): void {
  run.result.checked++
  if (actual !== expected) run.result.mismatches.push(`${what}: got ${String(actual)}, expected ${String(expected)}`)
}

interface Asked {
  readonly from: Place
  readonly to: Place
  readonly protocol: Protocol
  readonly port: number
}

function isAllowed(run: Run, { from, to, protocol, port }: Asked, direction: 'combined' | 'ingress' | 'egress'): boolean | 'uncertain' {
  const verdict = evaluateConnection(run.compiled, { from: endAt(run, from), to: endAt(run, to), protocol, port })
  const answer = direction === 'combined' ? verdict.verdict : verdict[direction].verdict
  return answer === 'uncertain' ? answer : answer !== 'denied'
}

function checkMatrix({ matrix }: Case, run: Run, skipDiagonal: boolean): void {
  if (matrix === undefined) return
  for (const direction of ['combined', 'ingress', 'egress'] as const) {
    for (const [key, rows] of Object.entries(matrix[direction] ?? {})) {
      const [protocol, port] = key.split('/') as [Protocol, string]
      for (const [i, from] of matrix.order.entries()) {
        for (const [j, to] of matrix.order.entries()) {
          const cell = rows[i]?.[j]
          if (cell === '-' || (skipDiagonal && i === j)) continue
          compare(run, `${from} -> ${to} ${key} ${direction}`, isAllowed(run, { from, to, protocol, port: Number(port) }, direction), cell === '.')
        }
      }
    }
  }
}

/** What both sides admit, as the suites write it. */
function connectionSet(run: Run, { from, to }: { from: Place; to: Place }): string {
  const [source, target] = [endAt(run, from), endAt(run, to)]
  const egress = admittedPorts(run.compiled, { subject: source, direction: 'egress', peer: target }).ports
  const ingress = admittedPorts(run.compiled, { subject: target, direction: 'ingress', peer: source }).ports
  return setText((protocol) => egress[protocol].intersect(ingress[protocol]))
}

function setText(portsOf: (protocol: Protocol) => PortSet): string {
  const parts = PROTOCOLS.map((protocol) => [protocol, portsOf(protocol)] as const).filter(([, ports]) => !ports.isEmpty)
  if (parts.length === 0) return 'No Connections'
  if (parts.length === PROTOCOLS.length && parts.every(([, ports]) => ports.isAll)) return 'All Connections'
  return parts.map(([protocol, ports]) => `${protocol} ${ports.toString()}`).join(' ')
}

/** The suites write `TCP 80,443-445,UDP 1-100`. */
function normalizeSet(allowed: string): string {
  if (allowed === 'All Connections' || allowed === 'No Connections') return allowed
  const sets = new Map<Protocol, PortSet>()
  let protocol: Protocol = 'TCP'
  for (const part of allowed.split(',')) {
    const [, named, start, end] = /^(?:([A-Z]+) )?(\d+)(?:-(\d+))?$/.exec(part) as unknown as [string, Protocol | undefined, string, string | undefined]
    protocol = named ?? protocol
    sets.set(protocol, (sets.get(protocol) ?? PortSet.empty).union(PortSet.range(Number(start), Number(end ?? start))))
  }
  return setText((p) => sets.get(p) ?? PortSet.empty)
}

function checkIsolation(run: Run, name: string, expected: { nonIsolatedIngress: boolean; nonIsolatedEgress: boolean }): void {
  const subject = [...run.ends].find(([place]) => place.endsWith(`/${name}`))?.[1]
  if (subject === undefined) throw new Error(`no pod ${name}`)
  const isOpen = (direction: 'ingress' | 'egress'): boolean => !admittedPorts(run.compiled, { subject, direction, peer: subject }).isIsolated
  compare(run, `${name} ingress not isolated`, isOpen('ingress'), expected.nonIsolatedIngress)
  compare(run, `${name} egress not isolated`, isOpen('egress'), expected.nonIsolatedEgress)
}
