/**
 * Records of Antrea and Theia as JSON: rows of Theia's ClickHouse table, the messages of an IPFIX exporter in JSON, and go-ipfix' Kafka messages
 * (FlowType1, FlowType2) as they are decoded. Field by field: docs/sources/antrea.md.
 */
import type { Outcome } from '../../flow/flow-record.ts'
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

export class AntreaReader implements RecordReader {
  readonly #flows: AntreaFlows

  constructor(context: NormalizeContext) {
    this.#flows = new AntreaFlows(context)
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
