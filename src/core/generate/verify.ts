/**
 * Verifies generated policies with `evaluate`, per isolated (subject, direction), never on both ends together.
 *
 * Sound: every accepted cell is admitted on that side. Tight: for every known workload, a symbolic unknown pod in every
 * known and in one unknown namespace, and the whole outside address space, the admitted (protocol, ports) equal the accepted ones plus the
 * declared widenings; and no workload without a policy is isolated. Irredundant: the products of the rules are pairwise disjoint, so dropping
 * any rule, peer or port loses an accepted cell. Every peer of the universe is answered for: a peer that no rule matches and no accepted cell
 * names is admitted and accepted on nothing, so only the others are compared. Cost: linear in the universe, the rules' matches and the cells.
 */
import { invariant } from '../base/invariant.ts'
import type { Labels } from '../flow/end.ts'
import type { Protocol } from '../flow/flow-record.ts'
import { PROTOCOLS } from '../flow/flow-record.ts'
import type { Workload } from '../flow/workloads.ts'
import type { Direction } from '../policy/network-policy.ts'
import type { PortsByProtocol } from '../evaluate/admitted.ts'
import { AdmittedUniverse } from '../evaluate/admitted-universe.ts'
import type { CompiledPolicies } from '../evaluate/compile.ts'
import type { EvalEnd } from '../evaluate/eval-end.ts'
import { parseAddress } from '../sets/address.ts'
import type { Address } from '../sets/address.ts'
import { AddressSet } from '../sets/cidr.ts'
import { PortSet } from '../sets/port-set.ts'
import type { Cover } from './cover-cells.ts'
import { DNS_PORT } from './accept.ts'
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

interface Universe {
  /** The pods of every known workload, then symbolic pods that nobody may reach. */
  readonly ends: readonly EvalEnd[]
  /** Positions of each workload's pods, one per label set, by workload key. */
  readonly positions: ReadonlyMap<string, readonly number[]>
  readonly symbolicPods: number
}

const SYMBOLIC_NAMESPACE = 'flowfence-unknown-namespace'
const WORKLOAD = 'workload '
const DNS_CELLS: PortCells = new Map<Protocol, PortSet>([['TCP', PortSet.of(DNS_PORT)], ['UDP', PortSet.of(DNS_PORT)]])

export function verifyPolicies(compiled: CompiledPolicies, expectations: readonly Expectation[], known: readonly Workload[]): Verification {
  const universe = buildUniverse(known)
  const admitted = new AdmittedUniverse(compiled, universe.ends)
  const failures: Failure[] = []
  let cellsChecked = 0
  for (const expectation of expectations) {
    const positions = universe.positions.get(expectation.workload.key)
    invariant(positions !== undefined, 'a workload to verify is not among the known ones', { workload: expectation.workload.key })
    for (const position of positions) {
      for (const direction of ['ingress', 'egress'] as const) {
        const check = { admitted, position, subject: endAt(universe, position), direction, expectation, universe }
        const text = expectation.covers.has(direction) ? checkIsolated(check) : checkOpen(check)
        if (text !== undefined) failures.push({ workload: expectation.workload, ...text })
        cellsChecked += universe.ends.length + 1
      }
    }
  }
  return { failures, cellsChecked, symbolicPods: universe.symbolicPods }
}

const endAt = (universe: Universe, position: number): EvalEnd => universe.ends[position] as EvalEnd

function podEnd(namespace: string, labels: Labels, namespaceLabels: Labels, display: string): EvalEnd {
  return {
    kind: 'pod', namespace, labels, labelsComplete: () => true, namespaceLabels, namespaceLabelsComplete: true,
    ips: [], namedPorts: [], hostNetwork: false, display,
  }
}

function buildUniverse(known: readonly Workload[]): Universe {
  const namespaces = new Map<string, Record<string, string>>()
  const ends: EvalEnd[] = []
  const positions = new Map<string, number[]>()
  for (const w of known) {
    namespaces.set(w.namespace, Object.assign(namespaces.get(w.namespace) ?? {}, w.namespaceLabels))
    positions.set(w.key, w.labelSets.map((labels) => ends.push(podEnd(w.namespace, labels, w.namespaceLabels, w.display)) - 1))
  }
  const symbolic = [...namespaces, [SYMBOLIC_NAMESPACE, {}] as const].map(([namespace, labels]) => podEnd(namespace, {}, labels, `an unknown pod of ${namespace}`))
  return { ends: [...ends, ...symbolic], positions, symbolicPods: symbolic.length }
}

interface Check {
  readonly admitted: AdmittedUniverse
  /** Of the subject in the universe. */
  readonly position: number
  readonly subject: EvalEnd
  readonly direction: Direction
  readonly expectation: Expectation
  readonly universe: Universe
}

type Problem = Pick<Failure, 'kind' | 'text'> | undefined

function checkOpen(c: Check): Problem {
  const { isIsolated, selectedBy } = c.admitted.admittedPeers(c.position, c.direction)
  return isIsolated ? { kind: 'unsound', text: `${c.subject.display} has no accepted ${c.direction} but ${selectedBy.join(', ')} isolates it` } : undefined
}

function checkIsolated(c: Check): Problem {
  const cover = c.expectation.covers.get(c.direction) as Cover
  const { isIsolated, ports } = c.admitted.admittedPeers(c.position, c.direction)
  if (!isIsolated) return { kind: 'not-tight', text: `${c.subject.display} is not isolated for ${c.direction}` }
  const expected = expectedPeers(c, cover)
  for (const peer of [...new Set([...ports.keys(), ...expected.keys()])].sort((a, b) => a - b)) {
    const problem = comparePorts(ports.get(peer), expected.get(peer))
    if (problem !== undefined) return { kind: problem.kind, text: `${c.subject.display} ${c.direction}, ${endAt(c.universe, peer).display}: ${problem.text}` }
  }
  return checkOutside(c, cover)
}

/** The accepted cells of every peer that has any, by position. */
function expectedPeers(c: Check, cover: Cover): Map<number, PortCells> {
  const expected = new Map<number, PortCells>()
  const keys = [...cover.cells.keys()].flatMap((key) => (key.startsWith(WORKLOAD) ? [key.slice(WORKLOAD.length)] : []))
  for (const key of [...keys, ...(c.direction === 'egress' ? c.expectation.dnsServers : [])]) {
    const cells = expectedCells(c, cover, key)
    if (cells !== undefined) for (const position of c.universe.positions.get(key) ?? []) expected.set(position, cells)
  }
  return expected
}

function expectedCells(c: Check, cover: Cover, key: string): PortCells | undefined {
  const cells = cover.cells.get(`${WORKLOAD}${key}`)
  if (c.direction !== 'egress' || !c.expectation.dnsServers.has(key)) return cells
  return new Map(PROTOCOLS.map((p) => [p, (cells?.get(p) ?? PortSet.empty).union(DNS_CELLS.get(p) ?? PortSet.empty)]))
}

function comparePorts(admitted: PortsByProtocol | undefined, expected: PortCells | undefined): Problem {
  for (const protocol of PROTOCOLS) {
    const want = expected?.get(protocol) ?? PortSet.empty
    const have = admitted?.[protocol] ?? PortSet.empty
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
  const admitted = c.admitted.admittedAddresses(c.position, c.direction)
  const expected = outsideCells(cover)
  for (const protocol of PROTOCOLS) {
    const have = admitted.filter((x) => x.protocol === protocol)
    const want = expected.filter((x) => x.protocol === protocol)
    if (areSame(have, want)) continue
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

/** Equal ports hold equal addresses: then both are the same set. Where they are not, the cells may still add up to it. */
function areSame(a: readonly OutsideCell[], b: readonly OutsideCell[]): boolean {
  const byPorts = new Map(a.map((cell) => [cell.ports.toString(), cell.addresses]))
  return a.length === b.length && byPorts.size === a.length && b.every((cell) => byPorts.get(cell.ports.toString())?.equals(cell.addresses) === true)
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
