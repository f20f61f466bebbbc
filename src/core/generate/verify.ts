/**
 * Verifies generated policies with `evaluate`, per isolated (subject, direction), never on both ends together.
 *
 * Sound: every accepted cell is admitted on that side. Tight: for every known workload, a symbolic unknown pod in every
 * known and in one unknown namespace, and the whole outside address space, the admitted (protocol, ports) equal the accepted ones plus the
 * declared widenings; and no workload without a policy is isolated. Irredundant: the products of the rules are pairwise disjoint, so dropping
 * any rule, peer or port loses an accepted cell. Cost: O(subjects x known label sets) admitted-port look-ups.
 */
import type { Labels } from '../flow/end.ts'
import type { Protocol } from '../flow/flow-record.ts'
import { PROTOCOLS } from '../flow/flow-record.ts'
import type { Workload } from '../flow/workloads.ts'
import type { Direction } from '../policy/network-policy.ts'
import { admittedAddresses, admittedPorts } from '../evaluate/admitted.ts'
import type { CompiledPolicies } from '../evaluate/compile.ts'
import type { EvalEnd } from '../evaluate/eval-end.ts'
import { parseAddress } from '../sets/address.ts'
import type { Address } from '../sets/address.ts'
import { AddressSet } from '../sets/cidr.ts'
import { PortSet } from '../sets/port-set.ts'
import type { Cover } from './cover-cells.ts'
import { DNS_PORT } from './cover-cells.ts'
import type { PortCells } from './policy-draft.ts'

/** What one workload's policies are expected to admit. */
export interface Expectation {
  readonly workload: Workload
  /** Absent: the direction must not be isolated. */
  readonly covers: ReadonlyMap<Direction, Cover>
  /** Workload keys that a declared layer opens for DNS. */
  readonly dnsServers: ReadonlySet<string>
}

export interface Failure {
  readonly workload: Workload
  readonly kind: 'unsound' | 'not-tight'
  readonly text: string
}

export interface Verification {
  readonly failures: readonly Failure[]
  readonly cellsChecked: number
  readonly symbolicPods: number
}

interface UniversePeer {
  /** Workload key, or undefined for a symbolic pod that nobody may reach. */
  readonly key: string | undefined
  readonly end: EvalEnd
}

const SYMBOLIC_NAMESPACE = 'flowfence-unknown-namespace'
const DNS_CELLS: PortCells = new Map<Protocol, PortSet>([['TCP', PortSet.of(DNS_PORT)], ['UDP', PortSet.of(DNS_PORT)]])

export function verifyPolicies(compiled: CompiledPolicies, expectations: readonly Expectation[], known: readonly Workload[]): Verification {
  const universe = buildUniverse(known)
  const failures: Failure[] = []
  let cellsChecked = 0
  for (const expectation of expectations) {
    for (const labels of expectation.workload.labelSets) {
      const subject = podEnd(expectation.workload.namespace, labels, expectation.workload.namespaceLabels, expectation.workload.display)
      for (const direction of ['ingress', 'egress'] as const) {
        const check = { compiled, subject, direction, expectation, universe }
        const text = expectation.covers.has(direction) ? checkIsolated(check) : checkOpen(check)
        if (text !== undefined) failures.push({ workload: expectation.workload, ...text })
        cellsChecked += universe.length + 1
      }
    }
  }
  return { failures, cellsChecked, symbolicPods: universe.filter((p) => p.key === undefined).length }
}

function podEnd(namespace: string, labels: Labels, namespaceLabels: Labels, display: string): EvalEnd {
  return {
    kind: 'pod', namespace, labels, labelsComplete: () => true, namespaceLabels, namespaceLabelsComplete: true,
    ips: [], namedPorts: [], hostNetwork: false, display,
  }
}

function buildUniverse(known: readonly Workload[]): UniversePeer[] {
  const namespaces = new Map<string, Labels>()
  for (const w of known) namespaces.set(w.namespace, { ...namespaces.get(w.namespace), ...w.namespaceLabels })
  const symbolic = [...namespaces, [SYMBOLIC_NAMESPACE, {}] as const].map(([namespace, labels]) => ({
    key: undefined, end: podEnd(namespace, {}, labels, `an unknown pod of ${namespace}`),
  }))
  const pods = known.flatMap((w) => w.labelSets.map((labels) => ({ key: w.key, end: podEnd(w.namespace, labels, w.namespaceLabels, w.display) })))
  return [...pods, ...symbolic]
}

interface Check {
  readonly compiled: CompiledPolicies
  readonly subject: EvalEnd
  readonly direction: Direction
  readonly expectation: Expectation
  readonly universe: readonly UniversePeer[]
}

type Problem = Pick<Failure, 'kind' | 'text'> | undefined

function checkOpen(c: Check): Problem {
  const peer = c.universe[0] as UniversePeer
  const { isIsolated, selectedBy } = admittedPorts(c.compiled, { subject: c.subject, direction: c.direction, peer: peer.end })
  return isIsolated ? { kind: 'unsound', text: `${c.subject.display} has no accepted ${c.direction} but ${selectedBy.join(', ')} isolates it` } : undefined
}

function checkIsolated(c: Check): Problem {
  const cover = c.expectation.covers.get(c.direction) as Cover
  for (const peer of c.universe) {
    const { isIsolated, ports } = admittedPorts(c.compiled, { subject: c.subject, direction: c.direction, peer: peer.end })
    if (!isIsolated) return { kind: 'not-tight', text: `${c.subject.display} is not isolated for ${c.direction}` }
    const expected = peer.key === undefined ? undefined : expectedCells(c, cover, peer.key)
    const problem = comparePorts(ports, expected)
    if (problem !== undefined) return { kind: problem.kind, text: `${c.subject.display} ${c.direction}, ${peer.end.display}: ${problem.text}` }
  }
  return checkOutside(c, cover)
}

function expectedCells(c: Check, cover: Cover, key: string): PortCells | undefined {
  const cells = cover.cells.get(`workload ${key}`)
  if (c.direction !== 'egress' || !c.expectation.dnsServers.has(key)) return cells
  return new Map(PROTOCOLS.map((p) => [p, (cells?.get(p) ?? PortSet.empty).union(DNS_CELLS.get(p) ?? PortSet.empty)]))
}

function comparePorts(admitted: Readonly<Record<Protocol, PortSet>>, expected: PortCells | undefined): Problem {
  for (const protocol of PROTOCOLS) {
    const want = expected?.get(protocol) ?? PortSet.empty
    const have = admitted[protocol]
    if (want.equals(have)) continue
    const missing = want.subtract(have)
    return missing.isEmpty
      ? { kind: 'not-tight', text: `${protocol} ${have.subtract(want).toString()} is admitted but was not accepted` }
      : { kind: 'unsound', text: `${protocol} ${missing.toString()} was accepted but is not admitted` }
  }
  return undefined
}

interface OutsideCell {
  readonly protocol: Protocol
  readonly ports: PortSet
  readonly addresses: AddressSet
}

function checkOutside(c: Check, cover: Cover): Problem {
  const admitted = admittedAddresses(c.compiled, { subject: c.subject, direction: c.direction })
  const expected = outsideCells(cover)
  for (const protocol of PROTOCOLS) {
    const have = admitted.filter((x) => x.protocol === protocol)
    const want = expected.filter((x) => x.protocol === protocol)
    for (const port of boundaryPorts([...have, ...want])) {
      const haveAddresses = addressesAt(have, port)
      const wantAddresses = addressesAt(want, port)
      if (haveAddresses.equals(wantAddresses)) continue
      const isUnsound = !wantAddresses.subtract(haveAddresses).isEmpty
      return { kind: isUnsound ? 'unsound' : 'not-tight', text: `${c.subject.display} ${c.direction}, outside addresses on ${protocol} ${port} differ from the accepted ones` }
    }
  }
  return undefined
}

/** The accepted outside cells, addresses of equal ports together. */
function outsideCells(cover: Cover): OutsideCell[] {
  const groups = new Map<string, { protocol: Protocol; ports: PortSet; addresses: Address[] }>()
  for (const [key, cells] of cover.cells) {
    const address = key.startsWith('address ') ? parseAddress(key.slice('address '.length)) : undefined
    if (address === undefined) continue
    for (const [protocol, ports] of cells) {
      const id = `${protocol} ${ports.toString()}`
      const group = groups.get(id)
      if (group === undefined) groups.set(id, { protocol, ports, addresses: [address] })
      else group.addresses.push(address)
    }
  }
  return [...groups.values()].map((g) => ({ protocol: g.protocol, ports: g.ports, addresses: AddressSet.fromAddresses(g.addresses) }))
}

/** One port of every stretch in which no cell begins or ends: enough to compare all 65,535. */
function boundaryPorts(cells: readonly OutsideCell[]): number[] {
  const ports = new Set<number>()
  for (const { ports: set } of cells) {
    for (const { start, end } of set.intervals) {
      ports.add(start)
      if (end < 65_535) ports.add(end + 1)
    }
  }
  return [...ports].sort((a, b) => a - b)
}

function addressesAt(cells: readonly OutsideCell[], port: number): AddressSet {
  return cells.filter((c) => c.ports.has(port)).reduce((all, c) => all.union(c.addresses), AddressSet.empty)
}
