import type { Labels } from '../flow/end.ts'
import { labelValue } from '../policy/label-selector.ts'
import type { LabelRequirement } from '../policy/label-selector.ts'
import { addressOf } from '../sets/address.ts'
import type { Address, AddressFamily } from '../sets/address.ts'
import { AddressSet } from '../sets/cidr.ts'
import { MAX_PORT } from '../sets/port-set.ts'
import { keyCases } from './compile.ts'
import type { Connection, EvalEnd, Unknown } from './eval-end.ts'
import type { CompiledPolicy, CompiledSelector } from './policy-index.ts'

/** One case of an unknown: the connection as it is in that case. */
export type Case = (connection: Connection) => Connection

/** Every case that the policies can tell apart; together they cover all that may be true. `undefined` = too many. */
export function casesOf(policies: readonly CompiledPolicy[], connection: Connection, unknown: Unknown): readonly Case[] | undefined {
  switch (unknown.kind) {
    case 'label': {
      const { end, key } = unknown
      const roles = ROLES.filter((role) => connection[role] === end)
      return keyCases(requirementsOn(key, policies)).map((value) => changeEnds(roles, (e) => withLabel(e, key, value)))
    }
    case 'namespace-label': {
      const { namespace, key } = unknown
      const roles = ROLES.filter((role) => connection[role].namespace === namespace && isNamespaceKeyOpen(connection[role], key))
      return keyCases(requirementsOn(key, policies)).map((value) => changeEnds(roles, (e) => withNamespaceLabel(e, key, value)))
    }
    case 'address': return addressCases(policies, unknown.end).map((ip) => changeEnds([unknown.role], (e) => ({ ...e, ips: [ip] })))
    case 'named-ports': return namedPortCases(connection, policies)
    case 'port': return portCases(connection, policies).map((port) => (c) => ({ ...c, port }))
    case 'identity': return undefined
  }
}

/** Both ends of a connection speak one address family. */
export function isFeasible({ from, to }: Connection): boolean {
  if (from.ips.length !== 1 || to.ips.length !== 1) return true
  return from.ips[0]?.family === to.ips[0]?.family
}

const ROLES = ['from', 'to'] as const

function changeEnds(roles: readonly ('from' | 'to')[], change: (end: EvalEnd) => EvalEnd): Case {
  return (connection) => roles.reduce((c, role) => ({ ...c, [role]: change(c[role]) }), connection)
}

function withKey(labels: Labels, key: string, value: string | undefined): Labels {
  return value === undefined ? labels : { ...labels, [key]: value }
}

function withLabel(end: EvalEnd, key: string, value: string | undefined): EvalEnd {
  const settled = end.labelsComplete
  return { ...end, labels: withKey(end.labels, key, value), labelsComplete: (k) => k === key || settled(k) }
}

function isNamespaceKeyOpen(end: EvalEnd, key: string): boolean {
  return !end.namespaceLabelsComplete && labelValue(end.namespaceLabels, key) === undefined && end.settledNamespaceKeys?.includes(key) !== true
}

function withNamespaceLabel(end: EvalEnd, key: string, value: string | undefined): EvalEnd {
  const settled = end.settledNamespaceKeys ?? []
  return { ...end, namespaceLabels: withKey(end.namespaceLabels, key, value), settledNamespaceKeys: [...settled, key] }
}

/** All requirements on a key that the policies make, of pods or of namespaces. */
function requirementsOn(key: string, policies: readonly CompiledPolicy[]): LabelRequirement[] {
  const selectors = new Set<CompiledSelector | undefined>()
  for (const policy of policies) {
    selectors.add(policy.subject)
    for (const rule of policy.rules) for (const peer of rule.peers) selectors.add(peer.podSelector).add(peer.namespaceSelector)
  }
  return [...selectors].flatMap((s) => s?.keys ?? []).filter((k) => k.key === key).flatMap((k) => k.requirements)
}

/** One of each class of items that the tests answer alike. */
function distinctBy<T>(items: readonly T[], signature: (item: T) => string): T[] {
  return [...new Map(items.map((item) => [signature(item), item])).values()]
}

/** One address of every part of the possible space that the rules' blocks tell apart, per family. */
function addressCases(policies: readonly CompiledPolicy[], end: EvalEnd): Address[] {
  const sets = policies.flatMap((p) => p.rules.map((r) => r.addresses)).filter((s) => !s.isEmpty)
  const possible = end.possibleAddresses ?? AddressSet.all
  const candidates = end.ips.length > 0 ? [...end.ips] : [...new Set([possible, ...sets])].flatMap(boundaryAddresses).filter((a) => possible.has(a))
  return distinctBy(candidates, (a) => `${a.family}${sets.map((s) => (s.has(a) ? '1' : '0')).join('')}`)
}

/** Per set, because a rule's blocks are asked for again with every connection. */
const boundaries = new WeakMap<AddressSet, Address[]>()

/** The first address of every interval, and the first behind it. */
function boundaryAddresses(set: AddressSet): Address[] {
  const known = boundaries.get(set)
  if (known !== undefined) return known
  const of = (family: AddressFamily, intervals: AddressSet['v4']): Address[] => {
    const last = (1n << (family === 4 ? 32n : 128n)) - 1n
    return intervals.flatMap(({ start, end }) => [addressOf(family, start), ...(end < last ? [addressOf(family, end + 1n)] : [])])
  }
  const found = [...of(4, set.v4), ...of(6, set.v6)]
  boundaries.set(set, found)
  return found
}

/** One port of every class that the rules tell apart. */
function portCases({ to, protocol }: Connection, policies: readonly CompiledPolicy[]): number[] {
  const sets = policies.flatMap((p) => p.rules.map((r) => r.ports.numbers[protocol])).filter((s) => !s.isEmpty)
  const declared = (to.namedPorts ?? []).filter((n) => n.protocol === protocol)
  const ends = sets.flatMap((s) => s.intervals.flatMap((i) => [i.start, i.end + 1]))
  const candidates = [1, ...ends, ...declared.flatMap((n) => [n.port, n.port + 1])].filter((port) => port <= MAX_PORT)
  return distinctBy(candidates, (port) => `${sets.map((s) => (s.has(port) ? '1' : '0')).join('')} ${declared.map((n) => (n.port === port ? '1' : '0')).join('')}`)
}

/** Names beyond this give too many cases (each may or may not be the connection's port). */
const NAMED_PORT_LIMIT = 8

/** Every subset of the port names in play: those under which the responder declares the connection's port. */
function namedPortCases({ protocol }: Connection, policies: readonly CompiledPolicy[]): Case[] | undefined {
  const names = [...new Set(policies.flatMap((p) => p.rules.flatMap((r) => r.ports.named.filter((n) => n.protocol === protocol).map((n) => n.name))))]
  if (names.length > NAMED_PORT_LIMIT) return undefined
  return Array.from({ length: 2 ** names.length }, (_, bits) => (c: Connection) => {
    const namedPorts = names.filter((_name, i) => (bits >> i) % 2 === 1).map((name) => ({ name, port: c.port, protocol }))
    return { ...c, to: { ...c.to, namedPorts } }
  })
}
