/**
 * Records of Antrea and Theia as JSON: rows of Theia's ClickHouse table, the messages of an IPFIX exporter in JSON, and go-ipfix' Kafka messages
 * (FlowType1, FlowType2) as they are decoded. Field by field: docs/sources/antrea.md.
 */
import type { Outcome } from '../../flow/flow-record.ts'
import type { Fields } from '../field-layouts.ts'
import type { FieldPlan, FieldReader } from '../field-plan.ts'
import type { NormalizeContext, RecordReader } from '../normalize-context.ts'
import { isObject, type RawObject } from '../problems.ts'
import type { AntreaRow, RowNames } from './antrea-fields.ts'
import { AntreaFlows } from './antrea-flow.ts'

/** True for records of Antrea and Theia. */
export function isAntrea(record: RawObject): boolean {
  if (record.flowEndSeconds !== undefined || record.flowStartSeconds !== undefined) return true
  if (record.SrcIP !== undefined && record.DstIP !== undefined) return record.TimeFlowEndInSecs !== undefined || record.TimeFlowStartInSecs !== undefined || record.SrcPodName !== undefined
  return isObject(record.ipfix) && (record.ipfix.flowEndSeconds ?? record.ipfix.flowStartSeconds) !== undefined
}

const IPFIX_NAMES: RowNames = {
  start: 'flowStartSeconds', end: 'flowEndSeconds', sourceIp: 'sourceIP', destinationIp: 'destinationIP', sourcePort: 'sourceTransportPort',
  destinationPort: 'destinationTransportPort', protocol: 'protocolIdentifier', sourcePrefix: 'sourcePod', destinationPrefix: 'destinationPod',
}
const KAFKA_NAMES: RowNames = {
  start: 'TimeFlowStartInSecs', end: 'TimeFlowEndInSecs', sourceIp: 'SrcIP', destinationIp: 'DstIP', sourcePort: 'SrcPort', destinationPort: 'DstPort', protocol: 'Proto',
  sourcePrefix: 'SrcPod', destinationPrefix: 'DstPod',
}

/** What rows of ClickHouse and of the IPFIX exporter have. The other spellings of addresses are rare, and left to the parser. */
const PLAN: FieldPlan = {
  read: [
    'flowStartSeconds', 'flowEndSeconds', 'sourceIP', 'destinationIP', 'sourceTransportPort', 'destinationTransportPort', 'protocolIdentifier', 'sourcePodName',
    'sourcePodNamespace', 'sourceNodeName', 'destinationPodName', 'destinationPodNamespace', 'destinationNodeName', 'destinationServiceIP', 'destinationClusterIP',
    'destinationServicePortName', 'ingressNetworkPolicyRuleAction', 'egressNetworkPolicyRuleAction', 'flowType', 'sourcePodLabels', 'destinationPodLabels', 'tcpState',
    'packetTotalCount', 'reversePacketTotalCount', 'octetTotalCount',
  ],
  unread: [
    'timeInserted', 'flowEndReason', 'packetDeltaCount', 'octetDeltaCount', 'reverseOctetTotalCount', 'reversePacketDeltaCount', 'reverseOctetDeltaCount', 'destinationServicePort',
    'ingressNetworkPolicyName', 'ingressNetworkPolicyNamespace', 'ingressNetworkPolicyRuleName', 'ingressNetworkPolicyType', 'egressNetworkPolicyName',
    'egressNetworkPolicyNamespace', 'egressNetworkPolicyRuleName', 'egressNetworkPolicyType', 'throughput', 'reverseThroughput', 'throughputFromSourceNode',
    'throughputFromDestinationNode', 'reverseThroughputFromSourceNode', 'reverseThroughputFromDestinationNode', 'egressName', 'egressIP', 'egressNodeName', 'clusterUUID',
    'trusted',
  ],
  follows: {
    sourcePodNamespace: 'sourcePodName', sourceNodeName: 'sourcePodName', sourcePodLabels: 'sourcePodName',
    destinationPodNamespace: 'destinationPodName', destinationNodeName: 'destinationPodName', destinationPodLabels: 'destinationPodName',
    destinationServicePortName: 'destinationClusterIP',
  },
}

export class AntreaReader implements RecordReader, FieldReader {
  readonly plan = PLAN
  readonly #flows: AntreaFlows

  constructor(context: NormalizeContext) {
    this.#flows = new AntreaFlows(context)
  }

  /** Rows of ClickHouse and of the IPFIX exporter. */
  readFields(f: Fields): Outcome | undefined {
    if (f[1] === undefined) return undefined
    return this.#flows.read({
      start: f[0], end: f[1], sourceIp: f[2], destinationIp: f[3], sourcePort: f[4], destinationPort: f[5], protocol: f[6], sourcePod: f[7], sourceNamespace: f[8],
      sourceNode: f[9], destinationPod: f[10], destinationNamespace: f[11], destinationNode: f[12], serviceIp: f[13] ?? f[14], servicePortName: f[15],
      ingressAction: f[16], egressAction: f[17], flowType: f[18], sourceLabels: f[19], destinationLabels: f[20], tcpState: f[21], packets: f[22],
      reversePackets: f[23], bytes: f[24],
    }, IPFIX_NAMES)
  }

  read(record: RawObject): Outcome {
    if (record.SrcIP !== undefined) return this.#flows.read(kafkaRow(record), KAFKA_NAMES)
    return this.#flows.read(ipfixRow(isObject(record.ipfix) ? record.ipfix : record), IPFIX_NAMES)
  }
}

/** ClickHouse names its columns after the IPFIX elements, with one column for both address families. */
function ipfixRow(r: RawObject): AntreaRow {
  return {
    start: r.flowStartSeconds, end: r.flowEndSeconds, sourceIp: r.sourceIP ?? r.sourceIPv4Address ?? r.sourceIPv6Address,
    destinationIp: r.destinationIP ?? r.destinationIPv4Address ?? r.destinationIPv6Address, sourcePort: r.sourceTransportPort, destinationPort: r.destinationTransportPort,
    protocol: r.protocolIdentifier, sourcePod: r.sourcePodName, sourceNamespace: r.sourcePodNamespace, sourceNode: r.sourceNodeName, destinationPod: r.destinationPodName,
    destinationNamespace: r.destinationPodNamespace, destinationNode: r.destinationNodeName, serviceIp: serviceIpOf(r), servicePortName: r.destinationServicePortName,
    ingressAction: r.ingressNetworkPolicyRuleAction, egressAction: r.egressNetworkPolicyRuleAction, flowType: r.flowType, sourceLabels: r.sourcePodLabels,
    destinationLabels: r.destinationPodLabels, tcpState: r.tcpState, packets: r.packetTotalCount, reversePackets: r.reversePacketTotalCount, bytes: r.octetTotalCount,
  }
}

function serviceIpOf(r: RawObject): unknown {
  return r.destinationServiceIP ?? r.destinationClusterIP ?? r.destinationServiceIPv4 ?? r.destinationClusterIPv4 ?? r.destinationServiceIPv6 ?? r.destinationClusterIPv6
}

function kafkaRow(r: RawObject): AntreaRow {
  return {
    start: r.TimeFlowStartInSecs, end: r.TimeFlowEndInSecs ?? r.TimeReceived, sourceIp: r.SrcIP, destinationIp: r.DstIP, sourcePort: r.SrcPort, destinationPort: r.DstPort, protocol: r.Proto,
    sourcePod: r.SrcPodName, sourceNamespace: r.SrcPodNamespace, sourceNode: r.SrcNodeName, destinationPod: r.DstPodName, destinationNamespace: r.DstPodNamespace,
    destinationNode: r.DstNodeName, serviceIp: r.DstClusterIP, servicePortName: r.DstServicePortName, ingressAction: undefined, egressAction: undefined, flowType: undefined,
    sourceLabels: undefined, destinationLabels: undefined, tcpState: r.TcpState, packets: r.PacketsTotal, reversePackets: r.ReversePacketsTotal, bytes: r.BytesTotal,
  }
}
