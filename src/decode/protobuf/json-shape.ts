/**
 * Decoded protobuf messages to the JSON shape that each format's reader knows. 64-bit integers stay decimal text, where they may not be exact as
 * numbers; zero values are absent in both. The functions change or rename the message they are given, which is the caller's own.
 */
import { isObject, type RawObject } from '../../core/normalize/problems.ts'

type Target = Record<string, unknown>

/** protojson writes wrapped values bare. */
export function hubbleFlow(flow: RawObject): RawObject {
  const target = flow as Target
  if (isObject(flow.is_reply)) target.is_reply = flow.is_reply.value === true
  return flow
}

export function hubbleEvent(event: RawObject): RawObject {
  if (isObject(event.flow)) hubbleFlow(event.flow)
  const lost = event.lost_events
  if (isObject(lost)) {
    const target = lost as Target
    if (isObject(lost.cpu)) target.cpu = lost.cpu.value ?? 0
  }
  return event
}

const ICMP = 1
const TCP = 6
const UDP = 17
const ICMP_V6 = 58
const SCTP = 132

/** A record of the NetObserv agent with the keys that flowlogs-pipeline gives it. The direction is the interface's, as in `IfDirections`. */
export function netobservRow(record: RawObject): RawObject {
  const network = record.network as RawObject
  const transport = isObject(record.transport) ? record.transport : {}
  const protocol = transport.protocol ?? 0
  const row: Target = {
    SrcAddr: addressOf(network.src_addr), DstAddr: addressOf(network.dst_addr), Proto: protocol, Etype: record.eth_protocol, Dscp: network.dscp,
    TimeFlowStartMs: millisecondsOf(record.time_flow_start), TimeFlowEndMs: millisecondsOf(record.time_flow_end), AgentIP: addressOf(record.agent_ip),
    Bytes: record.bytes, Packets: record.packets, Sampling: record.sampling, Duplicate: record.duplicate,
    PktDropBytes: record.pkt_drop_bytes, PktDropPackets: record.pkt_drop_packets, PktDropLatestFlags: record.pkt_drop_latest_flags,
    PktDropLatestState: record.pkt_drop_latest_state, PktDropLatestDropCause: record.pkt_drop_latest_drop_cause,
  }
  if (protocol === TCP || protocol === UDP || protocol === SCTP) {
    row.SrcPort = transport.src_port ?? 0
    row.DstPort = transport.dst_port ?? 0
  }
  if (protocol === TCP) row.Flags = record.flags ?? 0
  if (protocol === ICMP || protocol === ICMP_V6) {
    row.IcmpType = record.icmp_type ?? 0
    row.IcmpCode = record.icmp_code ?? 0
  }
  addInterfaces(row, record)
  addTranslation(row, record.xlat)
  return withoutAbsent(row)
}

function addInterfaces(row: Target, record: RawObject): void {
  const seen = Array.isArray(record.dup_list) && record.dup_list.length > 0 ? record.dup_list.filter(isObject) : [record]
  row.Interfaces = seen.map((entry) => entry.interface ?? '')
  row.IfDirections = seen.map((entry) => entry.direction ?? 0)
  if (seen.some((entry) => typeof entry.udn === 'string' && entry.udn !== '')) row.Udns = seen.map((entry) => entry.udn ?? '')
}

function addTranslation(row: Target, xlat: unknown): void {
  if (!isObject(xlat)) return
  row.XlatSrcAddr = addressOf(xlat.src_addr)
  row.XlatDstAddr = addressOf(xlat.dst_addr)
  row.XlatSrcPort = xlat.src_port
  row.XlatDstPort = xlat.dst_port
  row.ZoneId = xlat.zone_id
}

/** IPv4 travels as a number in network order, IPv6 as 16 bytes (base64 here). */
function addressOf(address: unknown): string | undefined {
  if (!isObject(address)) return undefined
  const { ipv4, ipv6 } = address
  if (typeof ipv4 === 'number') return `${ipv4 >>> 24}.${(ipv4 >>> 16) & 255}.${(ipv4 >>> 8) & 255}.${ipv4 & 255}`
  if (typeof ipv6 !== 'string') return undefined
  const bytes = Buffer.from(ipv6, 'base64')
  return bytes.length === 16 ? Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16)).join(':') : undefined
}

function millisecondsOf(time: unknown): number | undefined {
  if (!isObject(time)) return undefined
  return Number(time.seconds ?? 0) * 1000 + Math.floor(Number(time.nanos ?? 0) / 1e6)
}

/** Antrea's wire names beside the names of its other outlets. The end in milliseconds is left out: the wire has too few bits for it. */
const ANTREA_NAMES: Readonly<Record<string, string>> = {
  TimeFlowStartInSecs: 'flowStartSeconds', TimeFlowEndInSecs: 'flowEndSeconds', FlowEndReason: 'flowEndReason', SrcIP: 'sourceIP', DstIP: 'destinationIP',
  SrcPort: 'sourceTransportPort', DstPort: 'destinationTransportPort', Proto: 'protocolIdentifier', PacketsTotal: 'packetTotalCount',
  BytesTotal: 'octetTotalCount', PacketsDelta: 'packetDeltaCount', BytesDelta: 'octetDeltaCount', ReversePacketsTotal: 'reversePacketTotalCount',
  ReverseBytesTotal: 'reverseOctetTotalCount', ReversePacketsDelta: 'reversePacketDeltaCount', ReverseBytesDelta: 'reverseOctetDeltaCount',
  SrcPodName: 'sourcePodName', SrcPodNamespace: 'sourcePodNamespace', SrcNodeName: 'sourceNodeName', DstPodName: 'destinationPodName',
  DstPodNamespace: 'destinationPodNamespace', DstNodeName: 'destinationNodeName', DstClusterIP: 'destinationClusterIP',
  DstServicePort: 'destinationServicePort', DstServicePortName: 'destinationServicePortName', IngressPolicyName: 'ingressNetworkPolicyName',
  IngressPolicyNamespace: 'ingressNetworkPolicyNamespace', EgressPolicyName: 'egressNetworkPolicyName',
  EgressPolicyNamespace: 'egressNetworkPolicyNamespace', TcpState: 'tcpState',
}

/** A record of Antrea's Kafka producer with the keys of its ClickHouse rows. */
export function antreaRow(flow: RawObject): RawObject {
  const row: Target = {}
  for (const [name, value] of Object.entries(flow)) {
    const key = ANTREA_NAMES[name]
    if (key !== undefined) row[key] = value
  }
  if (row.flowStartSeconds === undefined && flow.TimeFlowStartInMilliSecs !== undefined) row.flowStartSeconds = Math.floor(Number(flow.TimeFlowStartInMilliSecs) / 1000)
  return row
}

function withoutAbsent(row: Target): RawObject {
  for (const key of Object.keys(row)) if (row[key] === undefined) delete row[key]
  return row
}
