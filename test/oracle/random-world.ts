import type { Random } from '../support/random.ts'
import type { OracleConnection, OracleEnd } from './evaluate-oracle.ts'

/** Few keys and values, so that selectors, labels and absences meet often. */
export const KEYS = ['a', 'b', 'constructor'] as const
export const VALUES = ['x', 'y', ''] as const
const NAMESPACES = ['n1', 'n2', 'default'] as const
const NAMESPACE_KEYS = ['a', 'team', 'kubernetes.io/metadata.name'] as const
const PORT_NAMES = ['http', 'dns', 'metrics'] as const
const PORTS = [53, 80, 81, 82, 8080, 65_535] as const
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const
const BLOCKS = [
  '0.0.0.0/0', '10.0.0.0/8', '10.0.0.7/30', '10.0.1.0/24', '10.0.0.4/32', '192.0.2.0/24', '::/0', 'fd00::/8', 'fd00:0:0:1::/64', '2001:db8::1/128',
] as const
const EXCEPTS: Readonly<Record<string, readonly string[]>> = {
  '0.0.0.0/0': ['10.0.0.0/8', '10.0.0.4/30', '192.0.2.9/32'], '10.0.0.0/8': ['10.0.1.0/24', '10.0.0.4/32'], '10.0.1.0/24': ['10.0.1.0/25'],
  '::/0': ['fd00::/8'], 'fd00::/8': ['fd00:0:0:1::/64'],
}
export const ADDRESSES = ['10.0.0.4', '10.0.0.5', '10.0.1.9', '10.0.1.200', '192.0.2.9', '198.51.100.1', 'fd00::5', 'fd00:0:0:1::9', '2001:db8::1'] as const

export interface World {
  readonly policies: readonly unknown[]
  readonly ends: readonly OracleEnd[]
}

function someOf<T>(random: Random, items: readonly T[], most: number): T[] {
  return random.shuffle(items).slice(0, random.int(most + 1))
}

function labels(random: Random, keys: readonly string[]): Record<string, string> {
  return Object.fromEntries(keys.filter(() => random.chance(0.5)).map((key) => [key, random.pick(VALUES)]))
}

function selector(random: Random, keys: readonly string[], names: readonly string[]): unknown {
  if (random.chance(0.15)) return {}
  const valueOf = (key: string): string => (key === 'kubernetes.io/metadata.name' ? random.pick(names) : random.pick(VALUES))
  const matchLabels = random.chance(0.5) ? Object.fromEntries(someOf(random, keys, 2).map((key) => [key, valueOf(key)])) : undefined
  const matchExpressions = random.chance(0.5) ? Array.from({ length: 1 + random.int(2) }, () => {
    const key = random.pick(keys)
    const operator = random.pick(['In', 'NotIn', 'Exists', 'DoesNotExist'])
    return { key, operator, ...(operator.endsWith('In') ? { values: [valueOf(key), ...(random.chance(0.3) ? [valueOf(key)] : [])] } : {}) }
  }) : undefined
  return { ...(matchLabels === undefined ? {} : { matchLabels }), ...(matchExpressions === undefined ? {} : { matchExpressions }) }
}

function peer(random: Random): unknown {
  const podSelector = selector(random, KEYS, [])
  const namespaceSelector = selector(random, NAMESPACE_KEYS, NAMESPACES)
  const kind = random.int(10)
  if (kind < 3) return { podSelector }
  if (kind < 5) return { namespaceSelector }
  if (kind < 7) return { podSelector, namespaceSelector }
  const cidr = random.pick(BLOCKS)
  return { ipBlock: { cidr, ...(random.chance(0.5) ? { except: someOf(random, EXCEPTS[cidr] ?? [], 2) } : {}) } }
}

function port(random: Random): unknown {
  const protocol = random.chance(0.3) ? {} : { protocol: random.pick(PROTOCOLS) }
  const kind = random.int(6)
  if (kind === 0) return protocol
  if (kind === 1) return { ...protocol, port: random.pick(PORT_NAMES) }
  const number = random.pick(PORTS)
  return { ...protocol, port: number, ...(kind === 2 ? { endPort: Math.min(65_535, number + random.int(5)) } : {}) }
}

function rule(random: Random, peersField: 'from' | 'to'): unknown {
  if (random.chance(0.05)) return {}
  return {
    ...(random.chance(0.15) ? {} : { [peersField]: Array.from({ length: random.int(4) }, () => peer(random)) }),
    ...(random.chance(0.4) ? {} : { ports: Array.from({ length: random.int(3) }, () => port(random)) }),
  }
}

function policy(random: Random, index: number): unknown {
  const rules = (field: 'from' | 'to'): unknown => Array.from({ length: random.int(3) }, () => rule(random, field))
  const namespace = random.pick(NAMESPACES)
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: `p${index}`, ...(namespace === 'default' && random.chance(0.5) ? {} : { namespace }) },
    spec: {
      podSelector: selector(random, KEYS, []),
      ...(random.chance(0.4) ? {} : { policyTypes: random.pick([['Ingress'], ['Egress'], ['Ingress', 'Egress'], []]) }),
      ...(random.chance(0.2) ? {} : { ingress: rules('from') }),
      ...(random.chance(0.3) ? {} : { egress: rules('to') }),
    },
  }
}

function podEnd(random: Random, namespaceLabels: ReadonlyMap<string, Record<string, string>>): OracleEnd {
  const namespace = random.pick(NAMESPACES)
  const namedPorts = someOf(random, PORT_NAMES, 3).map((name) => ({ name, port: random.pick(PORTS), protocol: random.pick(PROTOCOLS) }))
  return {
    kind: 'pod', namespace, labels: labels(random, KEYS), namespaceLabels: namespaceLabels.get(namespace) ?? {},
    ip: random.pick(ADDRESSES), namedPorts, hostNetwork: random.chance(0.05),
  }
}

/** A random cluster and policies; every policy is valid. */
export function randomWorld(random: Random): World {
  const namespaceLabels = new Map(NAMESPACES.map((name) => [name as string, labels(random, ['a', 'team'])]))
  const pods = Array.from({ length: 6 }, () => podEnd(random, namespaceLabels))
  const others = ['external', 'external', 'node', 'host'].map((kind): OracleEnd => ({
    kind, namespace: '', labels: {}, namespaceLabels: {}, ip: random.pick(ADDRESSES), namedPorts: [], hostNetwork: false,
  }))
  return { policies: Array.from({ length: 1 + random.int(7) }, (_, i) => policy(random, i)), ends: [...pods, ...others] }
}

/** A random connection whose ends speak one address family. */
export function randomConnection(random: Random, world: World): OracleConnection {
  for (;;) {
    const from = random.pick(world.ends)
    const to = random.pick(world.ends)
    if (from.ip.includes(':') !== to.ip.includes(':')) continue
    return { from, to, protocol: random.pick(PROTOCOLS), port: random.pick(PORTS), isSamePod: from === to, isOwnNode: from.kind === 'host' }
  }
}
