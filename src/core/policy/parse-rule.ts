import { PROTOCOLS } from '../flow/flow-record.ts'
import type { Protocol } from '../flow/flow-record.ts'
import { parseCidr } from '../sets/cidr.ts'
import type { Cidr } from '../sets/cidr.ts'
import { MAX_PORT, MIN_PORT } from '../sets/port-set.ts'
import { portNameProblem } from './label-syntax.ts'
import type { IpBlock, PolicyPeer, PolicyPort, PolicyRule } from './network-policy.ts'
import type { ObjectReader } from '../base/object-reader.ts'
import { parseSelector } from './parse-selector.ts'

/** Parses one rule; `peersField` is `from` for ingress and `to` for egress. */
export function parseRule(value: unknown, field: string, peersField: 'from' | 'to', reader: ObjectReader): PolicyRule {
  const object = reader.object(value, field, [peersField, 'ports'])
  return {
    peers: reader.list(object[peersField], `${field}.${peersField}`).map((item, i) => parsePeer(item, `${field}.${peersField}[${i}]`, reader)),
    ports: reader.list(object.ports, `${field}.ports`).map((item, i) => parsePort(item, `${field}.ports[${i}]`, reader)),
  }
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null
}

function parsePeer(value: unknown, field: string, reader: ObjectReader): PolicyPeer {
  const object = reader.object(value, field, ['podSelector', 'namespaceSelector', 'ipBlock'])
  const { podSelector, namespaceSelector, ipBlock } = object
  const hasSelector = isSet(podSelector) || isSet(namespaceSelector)
  if (!hasSelector && !isSet(ipBlock)) reader.add(field, 'Required value: must specify a peer (podSelector, namespaceSelector or ipBlock)')
  if (hasSelector && isSet(ipBlock)) reader.add(field, 'Forbidden: may not specify both ipBlock and another peer')
  return {
    ...(isSet(podSelector) ? { podSelector: parseSelector(podSelector, `${field}.podSelector`, reader) } : {}),
    ...(isSet(namespaceSelector) ? { namespaceSelector: parseSelector(namespaceSelector, `${field}.namespaceSelector`, reader) } : {}),
    ...(isSet(ipBlock) ? parseIpBlock(ipBlock, `${field}.ipBlock`, reader) : {}),
  }
}

function parseIpBlock(value: unknown, field: string, reader: ObjectReader): { ipBlock?: IpBlock } {
  const object = reader.object(value, field, ['cidr', 'except'])
  const text = reader.text(object.cidr, `${field}.cidr`) ?? ''
  const cidr = text === '' ? undefined : readCidr(text, `${field}.cidr`, reader)
  if (text === '') reader.add(`${field}.cidr`, 'Required value')
  const except: Cidr[] = []
  for (const [i, item] of reader.list(object.except, `${field}.except`).entries()) {
    const place = `${field}.except[${i}]`
    const hole = readCidr(reader.text(item, place) ?? '', place, reader)
    if (hole === undefined || cidr === undefined) continue
    if (hole.family !== cidr.family || hole.start < cidr.start || hole.end > cidr.end || hole.prefix <= cidr.prefix) reader.invalid(place, hole.text, `must be a strict subset of \`cidr\` ${cidr.text}`)
    else except.push(hole)
  }
  return cidr === undefined ? {} : { ipBlock: { cidr, except } }
}

function readCidr(text: string, field: string, reader: ObjectReader): Cidr | undefined {
  const cidr = parseCidr(text)
  if (cidr === undefined) {
    const hasLeadingZero = /(^|\.)0\d/.test(text)
    reader.invalid(field, text, hasLeadingZero ? 'octets must not have leading zeros: write them in plain decimal' : 'must be a valid CIDR, e.g. 10.9.8.0/24 or 2001:db8::/64')
  }
  return cidr
}

function parsePort(value: unknown, field: string, reader: ObjectReader): PolicyPort {
  const object = reader.object(value, field, ['protocol', 'port', 'endPort'])
  const protocol = parseProtocol(object.protocol, `${field}.protocol`, reader)
  const port = isSet(object.port) ? readPort(object.port, `${field}.port`, reader) : undefined
  const endPort = isSet(object.endPort) ? readEndPort(object.port, object.endPort, field, reader) : undefined
  return { protocol, ...(port === undefined ? {} : { port }), ...(endPort === undefined ? {} : { endPort }) }
}

/** An absent protocol is TCP: "If not specified, this field defaults to TCP" (API type NetworkPolicyPort). */
function parseProtocol(value: unknown, field: string, reader: ObjectReader): Protocol {
  if (!isSet(value)) return 'TCP'
  const protocol = PROTOCOLS.find((p) => p === value)
  if (protocol === undefined) reader.add(field, `Unsupported value: ${JSON.stringify(value)}: supported values: "TCP", "UDP", "SCTP"`)
  return protocol ?? 'TCP'
}

function isPortNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= MIN_PORT && value <= MAX_PORT
}

function readPort(value: unknown, field: string, reader: ObjectReader): number | string | undefined {
  if (isPortNumber(value)) return value
  if (typeof value === 'string') {
    const problem = portNameProblem(value)
    if (problem === undefined) return value
    reader.invalid(field, value, /^\d+$/.test(value) ? `a port number must not be quoted; as a name it ${problem}` : problem)
  } else reader.invalid(field, value, `must be between ${MIN_PORT} and ${MAX_PORT}, inclusive`)
  return undefined
}

function readEndPort(port: unknown, endPort: unknown, rule: string, reader: ObjectReader): number | undefined {
  const field = `${rule}.endPort`
  if (!isSet(port)) reader.invalid(field, endPort, 'may not be specified when `port` is not specified')
  else if (typeof port === 'string') reader.invalid(field, endPort, 'may not be specified when `port` is non-numeric')
  else if (!isPortNumber(endPort)) reader.invalid(field, endPort, `must be between ${MIN_PORT} and ${MAX_PORT}, inclusive`)
  else if (typeof port === 'number' && endPort < port) reader.invalid(field, endPort, 'must be greater than or equal to `port`')
  else return endPort
  return undefined
}
