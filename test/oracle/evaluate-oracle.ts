/**
 * The obvious evaluator: NetworkPolicy semantics written down from the API text, on plain Kubernetes objects, with nothing
 * shared with src/core/evaluate and nothing optimised. The fast evaluator is compared with it on random input.
 * It knows everything about both ends, so it answers only allowed or denied.
 */

type Plain = Readonly<Record<string, unknown>>

export interface OracleEnd {
  /** `pod`, or any other kind: then only addresses and rules without peers match it. */
  readonly kind: string
  readonly namespace: string
  readonly labels: Readonly<Record<string, string>>
  readonly namespaceLabels: Readonly<Record<string, string>>
  /** '' = none. */
  readonly ip: string
  readonly namedPorts: readonly { name: string; port: number; protocol: string }[]
  readonly hostNetwork: boolean
}

export interface OracleConnection {
  readonly from: OracleEnd
  readonly to: OracleEnd
  readonly protocol: string
  readonly port: number
  readonly isSamePod?: boolean
  readonly isOwnNode?: boolean
}

export type OracleSide = 'allowed' | 'denied' | 'not-isolated'

export interface OracleVerdict {
  readonly egress: OracleSide
  readonly ingress: OracleSide
  readonly isAllowed: boolean
}

export function oracleVerdict(policies: readonly unknown[], c: OracleConnection, ipBlockMatchesPods = true): OracleVerdict {
  const egress = sideVerdict(policies as Plain[], c, { direction: 'egress', ipBlockMatchesPods })
  const ingress = sideVerdict(policies as Plain[], c, { direction: 'ingress', ipBlockMatchesPods })
  return { egress, ingress, isAllowed: egress !== 'denied' && ingress !== 'denied' }
}

interface Mode {
  readonly direction: 'ingress' | 'egress'
  readonly ipBlockMatchesPods: boolean
}

function sideVerdict(policies: readonly Plain[], c: OracleConnection, mode: Mode): OracleSide {
  const subject = mode.direction === 'egress' ? c.from : c.to
  if (subject.kind !== 'pod' || subject.hostNetwork) return 'not-isolated'
  const selecting = policies.filter((p) => selects(p, subject, mode.direction))
  if (selecting.length === 0) return 'not-isolated'
  // "A pod cannot block access to itself"; ingress from "the pod's local node" is always allowed.
  if (c.isSamePod === true) return 'allowed'
  if (mode.direction === 'ingress' && c.isOwnNode === true) return 'allowed'
  for (const policy of selecting) {
    for (const rule of list(spec(policy)[mode.direction])) if (ruleMatches(policy, rule as Plain | null, c, mode)) return 'allowed'
  }
  return 'denied'
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function spec(policy: Plain): Plain {
  return (policy.spec ?? {}) as Plain
}

function namespaceOf(policy: Plain): string {
  const metadata = policy.metadata as { namespace?: string }
  return metadata.namespace === undefined || metadata.namespace === '' ? 'default' : metadata.namespace
}

function selects(policy: Plain, pod: OracleEnd, direction: 'ingress' | 'egress'): boolean {
  const given = list(spec(policy).policyTypes)
  // Defaulting: Ingress always, Egress only with at least one egress rule.
  const types = given.length > 0 ? given : list(spec(policy).egress).length > 0 ? ['Ingress', 'Egress'] : ['Ingress']
  if (!types.includes(direction === 'ingress' ? 'Ingress' : 'Egress')) return false
  if (namespaceOf(policy) !== pod.namespace) return false
  return selectorMatches(spec(policy).podSelector, pod.labels)
}

function selectorMatches(selector: unknown, labels: Readonly<Record<string, string>>): boolean {
  const { matchLabels, matchExpressions } = (selector ?? {}) as { matchLabels?: Record<string, string> | null; matchExpressions?: unknown }
  for (const [key, value] of Object.entries(matchLabels ?? {})) {
    if (!Object.keys(labels).includes(key)) return false
    if (labels[key] !== value) return false
  }
  for (const expression of list(matchExpressions)) {
    const { key, operator, values } = expression as { key: string; operator: string; values?: string[] }
    const isPresent = Object.keys(labels).includes(key)
    const isAmong = isPresent && (values ?? []).includes(labels[key] as string)
    if (operator === 'In' && !isAmong) return false
    if (operator === 'NotIn' && isAmong) return false
    if (operator === 'Exists' && !isPresent) return false
    if (operator === 'DoesNotExist' && isPresent) return false
  }
  return true
}

function ruleMatches(policy: Plain, rule: Plain | null, c: OracleConnection, mode: Mode): boolean {
  const peers = list(rule?.[mode.direction === 'ingress' ? 'from' : 'to'])
  const ports = list(rule?.ports)
  const other = mode.direction === 'ingress' ? c.from : c.to
  const isPeer = peers.length === 0 || peers.some((peer) => peerMatches(policy, peer as Plain, other, mode))
  const isPort = ports.length === 0 || ports.some((port) => portMatches(port as Plain, c))
  return isPeer && isPort
}

function peerMatches(policy: Plain, peer: Plain, other: OracleEnd, mode: Mode): boolean {
  const { podSelector, namespaceSelector, ipBlock } = peer
  const isPod = other.kind === 'pod' && !other.hostNetwork
  if (ipBlock !== undefined && ipBlock !== null) {
    if (isPod && !mode.ipBlockMatchesPods) return false
    return other.ip !== '' && blockHas(ipBlock as { cidr: string; except?: string[] }, other.ip)
  }
  if (!isPod) return false
  const hasNamespaceSelector = namespaceSelector !== undefined && namespaceSelector !== null
  const hasPodSelector = podSelector !== undefined && podSelector !== null
  if (!hasNamespaceSelector && !hasPodSelector) return false
  const namespaceLabels = { ...other.namespaceLabels, 'kubernetes.io/metadata.name': other.namespace }
  const isNamespace = hasNamespaceSelector ? selectorMatches(namespaceSelector, namespaceLabels) : other.namespace === namespaceOf(policy)
  return isNamespace && (!hasPodSelector || selectorMatches(podSelector, other.labels))
}

function portMatches(entry: Plain, c: OracleConnection): boolean {
  const protocol = entry.protocol ?? 'TCP'
  if (protocol !== c.protocol) return false
  const { port, endPort } = entry
  if (port === undefined || port === null) return true
  if (typeof port === 'number') return c.port >= port && c.port <= (typeof endPort === 'number' ? endPort : port)
  if (c.to.kind !== 'pod' || c.to.hostNetwork) return false
  return c.to.namedPorts.some((n) => n.name === port && n.protocol === protocol && n.port === c.port)
}

function blockHas(block: { cidr: string; except?: string[] | null }, ip: string): boolean {
  return cidrHas(block.cidr, ip) && !(block.except ?? []).some((e) => cidrHas(e, ip))
}

function cidrHas(cidr: string, ip: string): boolean {
  const [base, length] = cidr.split('/') as [string, string]
  if (base.includes(':') !== ip.includes(':')) return false
  const width = ip.includes(':') ? 128n : 32n
  const shift = width - BigInt(length)
  return toNumber(base) >> shift === toNumber(ip) >> shift
}

function toNumber(ip: string): bigint {
  if (!ip.includes(':')) return ip.split('.').reduce((n, part) => n * 256n + BigInt(part), 0n)
  const [head, tail] = ip.split('::') as [string, string | undefined]
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups = tail === undefined ? left : [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right]
  return groups.reduce((n, group) => n * 65_536n + BigInt(`0x${group}`), 0n)
}
