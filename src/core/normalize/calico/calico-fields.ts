import type { FlowRecord, Ignored, ObservedVerdict, Protocol, Rejection, Side } from '../../flow/flow-record.ts'
import type { AddressCache, AddressInfo } from '../address-cache.ts'
import { NO_ADDRESS } from '../address-cache.ts'
import type { Digest, TextHash } from '../digest.ts'
import { checkTimeUs } from '../instant.ts'
import { isPoliced, type Located } from '../orientation.ts'
import { PROTOCOL_NUMBERS, readCount } from '../ports.ts'
import { ignored, reject, shown, wrongType } from '../problems.ts'

/** Formats that Calico writes: they share types, reporters, protocols and names. */
export type CalicoFormat = 'calico-enterprise' | 'goldmane'

const US_PER_SECOND = 1_000_000

/** Ignored outcomes of a format, made once. */
interface IgnoredOutcomes {
  readonly forwarded: Ignored
  readonly icmp: Ignored
  readonly otherProtocol: Ignored
  readonly unroutable: Ignored
  readonly noEndpoint: Ignored
}

function ignoredOf(format: CalicoFormat): IgnoredOutcomes {
  return {
    forwarded: ignored(format, 'forwarded'), icmp: ignored(format, 'icmp'), otherProtocol: ignored(format, 'other-protocol'),
    unroutable: ignored(format, 'multicast-or-link-local'), noEndpoint: ignored(format, 'no-endpoint'),
  }
}

const IGNORED: Readonly<Record<CalicoFormat, IgnoredOutcomes>> = { 'calico-enterprise': ignoredOf('calico-enterprise'), goldmane: ignoredOf('goldmane') }

/** A name: absent, null and Calico's "-" are ''. `undefined` when it is no text. */
export function nameOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value === '-' ? '' : value
  return value === undefined || value === null ? '' : undefined
}

/** Names of a row's end; the first that is no text is named. */
export function wrongName(format: CalicoFormat, fields: readonly (readonly [string, unknown])[]): Rejection {
  const [field, value] = fields.find(([, v]) => nameOf(v) === undefined) ?? ['name', undefined]
  return wrongType(format, field, 'a text', value)
}

/** Which end's node reported. Host forwarding alone (`fwd`) belongs to neither end; older text lines say `out` and `in`. */
export function readReporter(value: unknown): Side | Ignored | Rejection {
  if (value === 'src' || value === 'out') return 'client'
  if (value === 'dst' || value === 'in') return 'server'
  if (value === 'fwd') return IGNORED['calico-enterprise'].forwarded
  if (value === undefined || value === null) return 'unknown'
  if (typeof value !== 'string') return wrongType('calico-enterprise', 'reporter', 'src, dst or fwd', value)
  const roles = value.split(',').map((role) => role.trim())
  if (roles.includes('dst')) return 'server'
  if (roles.includes('src')) return 'client'
  return roles.includes('fwd') ? IGNORED['calico-enterprise'].forwarded : wrongType('calico-enterprise', 'reporter', 'src, dst or fwd', value)
}

const PROTOCOLS = new Map<unknown, Protocol>([
  ['tcp', 'TCP'], ['TCP', 'TCP'], [6, 'TCP'], ['6', 'TCP'],
  ['udp', 'UDP'], ['UDP', 'UDP'], [17, 'UDP'], ['17', 'UDP'],
  ['sctp', 'SCTP'], ['SCTP', 'SCTP'], [132, 'SCTP'], ['132', 'SCTP'],
])
const ICMP_NAMES = new Set<unknown>(['icmp', 'icmp6', 'icmpv6', 'ICMP', 'ICMPv6', 1, '1', 58, '58'])

export function readProtocol(format: CalicoFormat, value: unknown): Protocol | Ignored | Rejection {
  if (value === 'tcp') return 'TCP'
  const protocol = PROTOCOLS.get(value)
  if (protocol !== undefined) return protocol
  if (ICMP_NAMES.has(value)) return IGNORED[format].icmp
  if (value === undefined || value === null || value === '') return reject(format, 'missing-field', 'proto: absent')
  return typeof value === 'string' || typeof value === 'number' ? IGNORED[format].otherProtocol : wrongType(format, 'proto', 'a protocol', value)
}

/** An address; absent, null and "-" are none. */
export function readAddress(addresses: AddressCache, field: string, value: unknown): AddressInfo | Rejection {
  if (value === undefined || value === null || value === '' || value === '-') return NO_ADDRESS
  if (typeof value !== 'string') return wrongType('calico-enterprise', field, 'an IP address', value)
  return addresses.get(value) ?? reject('calico-enterprise', 'bad-address', `${field}: ${shown(value)} is not an IP address`)
}

/** Unix seconds as microseconds; numbers or their text. */
export function readSeconds(format: CalicoFormat, field: string, value: unknown): number | Rejection {
  if (value === undefined || value === null) return reject(format, 'missing-field', `${field}: absent`)
  const seconds = typeof value === 'string' && /^\d{1,12}(\.\d+)?$/.test(value) ? Number(value) : value
  if (typeof seconds !== 'number' || !Number.isFinite(seconds)) return reject(format, 'bad-time', `${field}: ${shown(value)} is not Unix seconds`)
  const us = Math.round(seconds * US_PER_SECOND)
  const problem = checkTimeUs(us)
  return problem === '' ? us : reject(format, problem, `${field}: ${shown(value)} (Unix seconds)`)
}

/** Mixes a counter: 0 when it is absent or none. */
export function digestCount(digest: Digest, value: unknown): void {
  if (typeof value === 'number' && value >= 0 && (value | 0) === value) digest.number(value)
  else digest.number(readCount(value) ?? 0)
}

/** Mixes a name; most rows leave most of them out. */
export function digestName(digest: Digest, value: unknown): void {
  if (typeof value === 'string' && value !== '' && value !== '-') digest.text(value)
  else digest.number(0)
}

/** The ends as the row says them, whoever cluster state knows them to be. */
interface SaidEnds {
  readonly source: TextHash
  readonly destination: TextHash
  readonly destinationPort: number
}

/** Mixes what both formats tell of a row and its ends: what the row says, so that a row read again after state has arrived is the same row. */
export function digestRow(digest: Digest, row: CalicoRow, said: SaidEnds): void {
  digest.number(row.firstAtUs)
  digest.number(row.lastAtUs - row.firstAtUs)
  digest.hash(said.source)
  digest.hash(said.destination)
  digest.number(said.destinationPort)
  digest.number(PROTOCOL_NUMBERS[row.protocol])
}

/** What a row says of the connections between two ends, read and checked, without the ends. */
export interface CalicoRow {
  readonly protocol: Protocol
  readonly firstAtUs: number
  readonly lastAtUs: number
  readonly side: Side
  readonly observedVerdict: ObservedVerdict
  /** The node that reports; '' when the row does not tell. */
  readonly host: string
  readonly flows: number
}

/** The two ends of a row, found. */
export interface CalicoEndPair {
  readonly source: Located
  readonly destination: Located
}

/** Why a row between these ends makes no record, or `null`. */
export function problemOf(format: CalicoFormat, source: Located, destination: Located): Ignored | Rejection | null {
  if (source.address.isUnroutable || destination.address.isUnroutable) return IGNORED[format].unroutable
  if (!isPoliced(source) && !isPoliced(destination)) return IGNORED[format].noEndpoint
  if (destination.port !== 0) return null
  const remedy = format === 'goldmane' ? '' : '; flow-log aggregation level 3 drops it, use 2 or lower'
  return reject(format, 'no-port', `dest_port: absent${remedy}`)
}

/** The record of a row without problems; `digest` is finished. */
export function flowRecordOf(format: CalicoFormat, row: CalicoRow, ends: CalicoEndPair, digest: Digest): FlowRecord {
  const { source, destination } = ends
  return {
    kind: 'flow',
    format,
    firstAtUs: row.firstAtUs,
    lastAtUs: row.lastAtUs,
    initiator: source.end.identity,
    responder: destination.end.identity,
    initiatorIp: source.address.text,
    responderIp: destination.address.text,
    initiatorPod: source.end.pod,
    responderPod: destination.end.pod,
    protocol: row.protocol,
    port: destination.isService ? 0 : destination.port,
    initiatorPort: 0,
    orientation: 'conntrack',
    side: row.side,
    observedVerdict: row.observedVerdict,
    node: row.host,
    flows: row.flows,
    digestHi: digest.a,
    digestLo: digest.b,
  }
}
