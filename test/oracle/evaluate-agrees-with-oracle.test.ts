import { describe, expect, test } from '@jest/globals'
import { compilePolicies } from '../../src/core/evaluate/compile.ts'
import type { Connection, EvalEnd } from '../../src/core/evaluate/eval-end.ts'
import { evaluateConnection } from '../../src/core/evaluate/evaluate-connection.ts'
import { admittedPorts } from '../../src/core/evaluate/admitted.ts'
import type { EndKind } from '../../src/core/flow/end.ts'
import type { Protocol } from '../../src/core/flow/flow-record.ts'
import { AddressSet } from '../../src/core/sets/cidr.ts'
import { ip, policyOf } from '../support/ends.ts'
import { createRandom, rounds } from '../support/random.ts'
import type { Random } from '../support/random.ts'
import { oracleVerdict } from './evaluate-oracle.ts'
import type { OracleConnection, OracleEnd } from './evaluate-oracle.ts'
import { ADDRESSES, KEYS, VALUES, randomConnection, randomWorld } from './random-world.ts'
import type { World } from './random-world.ts'

const CONNECTIONS_PER_WORLD = 100

/** Everything about the end is known. */
function knownEnd(end: OracleEnd): EvalEnd {
  return {
    ...end, kind: end.kind as EndKind, labelsComplete: () => true, namespaceLabelsComplete: true, ips: [ip(end.ip)],
    namedPorts: end.namedPorts.map((n) => ({ ...n, protocol: n.protocol as Protocol })), display: `${end.namespace}/pod`,
  }
}

function connectionOf(c: OracleConnection, endOf: (end: OracleEnd) => EvalEnd): Connection {
  return { from: endOf(c.from), to: endOf(c.to), protocol: c.protocol as Protocol, port: c.port, isSameEndpoint: c.isSamePod === true, isOwnNode: c.isOwnNode === true }
}

function memo(endOf: (end: OracleEnd) => EvalEnd): (end: OracleEnd) => EvalEnd {
  const known = new Map<OracleEnd, EvalEnd>()
  return (end) => {
    const made = known.get(end) ?? endOf(end)
    known.set(end, made)
    return made
  }
}

/** Text that can be pasted into a test of its own. */
function pasteable(seed: number, world: World, c: unknown): string {
  return `seed ${seed}\npolicies = ${JSON.stringify(world.policies)}\nconnection = ${JSON.stringify(c)}`
}

describe('the evaluator agrees with the oracle on random clusters', () => {
  test('when everything is known, on both sides and together', () => {
    let verdicts = 0
    for (let seed = 1; seed <= rounds({ small: 250, full: 10_000 }); seed++) {
      const random = createRandom(seed)
      const world = randomWorld(random)
      const ipBlockMatchesPods = random.chance(0.7)
      const compiled = compilePolicies(world.policies.map(policyOf), { ipBlockMatchesPods })
      const endOf = memo(knownEnd)
      for (let i = 0; i < CONNECTIONS_PER_WORLD; i++) {
        const c = randomConnection(random, world)
        const expected = oracleVerdict(world.policies, c, ipBlockMatchesPods)
        const got = evaluateConnection(compiled, connectionOf(c, endOf))
        verdicts++
        const isEqual = got.verdict === (expected.isAllowed ? 'allowed' : 'denied') && got.egress.verdict === expected.egress && got.ingress.verdict === expected.ingress
        if (!isEqual) throw new Error(`${pasteable(seed, world, c)}\nexpected ${JSON.stringify(expected)}\ngot ${JSON.stringify({ egress: got.egress, ingress: got.ingress })}`)
      }
    }
    expect(verdicts).toBeGreaterThanOrEqual(process.env.FLOWFENCE_TIER === 'small' ? 20_000 : 1_000_000)
  }, 1_200_000)

  test('admitted ports are exactly the ports on which a side is not denied', () => {
    for (let seed = 1; seed <= rounds({ small: 60, full: 1_000 }); seed++) {
      const random = createRandom(seed + 5_000_000)
      const world = randomWorld(random)
      const compiled = compilePolicies(world.policies.map(policyOf))
      const endOf = memo(knownEnd)
      for (let i = 0; i < 10; i++) {
        const c = randomConnection(random, world)
        if (c.isOwnNode === true || c.isSamePod === true) continue
        const [from, to] = [endOf(c.from), endOf(c.to)]
        for (const direction of ['ingress', 'egress'] as const) {
          const [subject, peer] = direction === 'ingress' ? [to, from] : [from, to]
          const admitted = admittedPorts(compiled, { subject, direction, peer })
          for (const protocol of ['TCP', 'UDP', 'SCTP'] as const) {
            for (const port of [1, 52, 53, 54, 80, 81, 84, 8079, 8080, 8085, 65_534, 65_535]) {
              const side = oracleVerdict(world.policies, { ...c, protocol, port })[direction]
              const isEqual = admitted.isIsolated === (side !== 'not-isolated') && admitted.ports[protocol].has(port) === (side !== 'denied')
              if (!isEqual) throw new Error(`${pasteable(seed, world, { ...c, protocol, port, direction })}\nexpected ${side}, got ${admitted.ports[protocol].toString()}`)
            }
          }
        }
      }
    }
  }, 600_000)
})

/** What is hidden from the evaluator. */
interface Hidden {
  readonly fromKeys: readonly string[]
  readonly toKeys: readonly string[]
  readonly isFromIpHidden: boolean
  readonly isToIpHidden: boolean
  readonly isPortHidden: boolean
  readonly areNamedPortsHidden: boolean
  /** Namespace whose labels are hidden, but for its name; '' = none. */
  readonly namespace: string
}

function hide(random: Random, c: OracleConnection): Hidden {
  const some = (): string[] => KEYS.filter(() => random.chance(0.25))
  return {
    fromKeys: some(), toKeys: some(), isFromIpHidden: random.chance(0.15), isToIpHidden: random.chance(0.15),
    isPortHidden: random.chance(0.1), areNamedPortsHidden: random.chance(0.15), namespace: random.chance(0.2) ? random.pick([c.from, c.to]).namespace : '',
  }
}

/** How many cases the oracle would have to go through. */
function caseCount(h: Hidden): number {
  return 5 ** (h.fromKeys.length + h.toKeys.length + (h.namespace === '' ? 0 : 2)) * (h.isFromIpHidden ? 9 : 1) * (h.isToIpHidden ? 9 : 1) * (h.isPortHidden ? 14 : 1) * (h.areNamedPortsHidden ? 8 : 1)
}

function without(labels: OracleEnd['labels'], keys: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([key]) => !keys.includes(key)))
}

const POSSIBLE = AddressSet.fromAddresses(ADDRESSES.map(ip))

interface HiddenOfEnd {
  readonly keys: readonly string[]
  readonly isIpHidden: boolean
  readonly isNamespaceHidden: boolean
}

function partlyKnownEnd(end: OracleEnd, { keys, isIpHidden, isNamespaceHidden }: HiddenOfEnd): EvalEnd {
  const known = { ...knownEnd(end), ...(isNamespaceHidden ? { namespaceLabels: {}, namespaceLabelsComplete: false } : {}) }
  return { ...known, labels: without(end.labels, keys), labelsComplete: (key) => !keys.includes(key), ...(isIpHidden ? { ips: [], possibleAddresses: POSSIBLE } : {}) }
}

/** Every value that a hidden label can have, as far as the policies can tell. */
function completions(end: OracleEnd, keys: readonly string[], isIpHidden: boolean): OracleEnd[] {
  let ends: OracleEnd[] = [{ ...end, labels: without(end.labels, keys) }]
  for (const key of keys) ends = ends.flatMap((e) => [e, ...[...VALUES, 'other'].map((value) => ({ ...e, labels: { ...e.labels, [key]: value } }))])
  return isIpHidden ? ends.flatMap((e) => ADDRESSES.map((address) => ({ ...e, ip: address }))) : ends
}

const TRIED_PORTS = [1, 53, 54, 80, 81, 82, 83, 84, 85, 86, 8080, 8081, 8084, 65_535]
const NAMES = ['http', 'dns', 'metrics']

/** Every set of labels that a hidden namespace can have; `undefined` = not hidden. */
function namespaceCompletions(isHidden: boolean): (Record<string, string> | undefined)[] {
  if (!isHidden) return [undefined]
  const of = (key: string): Record<string, string>[] => [{}, ...[...VALUES, 'other'].map((value) => ({ [key]: value }))]
  return of('a').flatMap((a) => of('team').map((team) => ({ ...a, ...team })))
}

interface Possible {
  readonly all: Set<string>
  readonly egress: Set<string>
  readonly ingress: Set<string>
}

/** The verdicts of every case that agrees with what is not hidden. */
function possibleVerdicts(world: World, c: OracleConnection, hidden: Hidden): Possible {
  const possible: Possible = { all: new Set(), egress: new Set(), ingress: new Set() }
  const inNamespace = (end: OracleEnd, namespaceLabels: Record<string, string> | undefined): OracleEnd =>
    (namespaceLabels !== undefined && end.namespace === hidden.namespace ? { ...end, namespaceLabels } : end)
  for (const labels of namespaceCompletions(hidden.namespace !== '')) {
    for (const from of completions(inNamespace(c.from, labels), hidden.fromKeys, hidden.isFromIpHidden)) {
      for (const to of completions(inNamespace(c.to, labels), hidden.toKeys, hidden.isToIpHidden)) {
        if (from.ip.includes(':') === to.ip.includes(':')) addVerdicts(possible, world, { ...c, from, to }, hidden)
      }
    }
  }
  return possible
}

function addVerdicts(possible: Possible, world: World, c: OracleConnection, hidden: Hidden): void {
  const subsets = hidden.areNamedPortsHidden ? Array.from({ length: 8 }, (_, bits) => NAMES.filter((_n, i) => (bits >> i) % 2 === 1)) : [undefined]
  for (const port of hidden.isPortHidden ? TRIED_PORTS : [c.port]) {
    for (const names of subsets) {
      const to = names === undefined ? c.to : { ...c.to, namedPorts: names.map((name) => ({ name, port, protocol: c.protocol })) }
      const v = oracleVerdict(world.policies, { ...c, to, port })
      possible.all.add(v.isAllowed ? 'allowed' : 'denied')
      possible.egress.add(v.egress === 'denied' ? 'denied' : 'allowed')
      possible.ingress.add(v.ingress === 'denied' ? 'denied' : 'allowed')
    }
  }
}

function only(verdicts: ReadonlySet<string>): string {
  return verdicts.size > 1 ? 'uncertain' : [...verdicts].join('')
}

function loosened(verdict: string): string {
  return verdict === 'not-isolated' ? 'allowed' : verdict
}

describe('three verdicts: the evaluator is uncertain exactly where what is hidden can change the result', () => {
  test('on random clusters with labels, addresses, ports and named ports hidden', () => {
    let uncertain = 0
    for (let seed = 1; seed <= rounds({ small: 60, full: 1_000 }); seed++) {
      const random = createRandom(seed + 1_000_000)
      const world = randomWorld(random)
      const compiled = compilePolicies(world.policies.map(policyOf))
      for (let i = 0; i < 5; i++) {
        const c = { ...randomConnection(random, world), isSamePod: false }
        if (c.from === c.to) continue
        const hidden = hide(random, c)
        if (caseCount(hidden) > rounds({ small: 4_000, full: 100_000 })) continue
        const from = partlyKnownEnd(c.from, { keys: hidden.fromKeys, isIpHidden: hidden.isFromIpHidden, isNamespaceHidden: hidden.namespace !== '' && c.from.namespace === hidden.namespace })
        const known = partlyKnownEnd(c.to, { keys: hidden.toKeys, isIpHidden: hidden.isToIpHidden, isNamespaceHidden: hidden.namespace !== '' && c.to.namespace === hidden.namespace })
        const to = hidden.areNamedPortsHidden ? { ...known, namedPorts: undefined } : known
        const got = evaluateConnection(compiled, { from, to, protocol: c.protocol as Protocol, port: hidden.isPortHidden ? 0 : c.port, isOwnNode: c.isOwnNode === true })
        const possible = possibleVerdicts(world, c, hidden)
        if (got.verdict === 'uncertain') uncertain++
        const isEqual = got.verdict === only(possible.all) && loosened(got.egress.verdict) === only(possible.egress) && loosened(got.ingress.verdict) === only(possible.ingress)
        const namesMissing = (got.verdict === 'uncertain') === (got.missing.length > 0)
        if (!isEqual || !namesMissing) {
          throw new Error(`${pasteable(seed, world, { ...c, hidden })}\nexpected ${only(possible.all)}, egress ${only(possible.egress)}, ingress ${only(possible.ingress)}\ngot ${JSON.stringify(got)}`)
        }
      }
    }
    expect(uncertain).toBeGreaterThan(5)
  }, 1_200_000)

  test('an uncertain verdict always names what is missing, and a certain one nothing, whatever the ends are', () => {
    for (let seed = 1; seed <= rounds({ small: 60, full: 3_000 }); seed++) {
      const random = createRandom(seed + 3_000_000)
      const world = randomWorld(random)
      const compiled = compilePolicies(world.policies.map(policyOf), { ipBlockMatchesPods: random.chance(0.7) })
      const ends = world.ends.map((end) => strangeEnd(random, end))
      for (let i = 0; i < 30; i++) {
        const from = random.pick(ends)
        const to = random.chance(0.2) ? from : random.pick(ends)
        const c: Connection = { from, to, protocol: random.pick(['TCP', 'UDP', 'SCTP']), port: random.pick([0, 53, 80, 8080]) }
        const got = evaluateConnection(compiled, c)
        const sides = [got, got.egress, got.ingress]
        if (sides.some((x) => (x.verdict === 'uncertain') !== (x.missing.length > 0))) throw new Error(`seed ${seed}: ${JSON.stringify(got)}`)
      }
    }
  }, 600_000)
})

/** Every way in which an end can be known in part, several addresses included. */
function strangeEnd(random: Random, end: OracleEnd): EvalEnd {
  const keys = KEYS.filter(() => random.chance(0.4))
  const known = partlyKnownEnd(end, { keys, isIpHidden: random.chance(0.2), isNamespaceHidden: random.chance(0.3) })
  return {
    ...known,
    kind: random.pick(['pod', 'pod', 'pod', known.kind, 'unknown', 'external', 'kube-apiserver']),
    ips: random.chance(0.5) ? known.ips : random.shuffle(ADDRESSES).slice(0, random.int(4)).map(ip),
    namedPorts: random.chance(0.3) ? undefined : known.namedPorts,
  }
}
