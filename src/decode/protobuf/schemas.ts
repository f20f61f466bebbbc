/**
 * The wire schemas that are read and written, as .proto text: what flowfence needs of each public interface, with the field numbers of Hubble
 * (2026-01), Calico Goldmane (2026-08), the NetObserv agent, Antrea's go-ipfix and OTLP. Fields that are not listed are skipped when decoding. Kept in a module, so
 * that the package carries them wherever it is compiled to. Enumerations whose numbers mean the same to the readers are plain integers here.
 */
import protobuf from 'protobufjs'

const WELL_KNOWN = `
message Timestamp { int64 seconds = 1; int32 nanos = 2; }
message BoolValue { bool value = 1; }
message Int32Value { int32 value = 1; }
`

const HUBBLE = `
syntax = "proto3";
package hubble;
${WELL_KNOWN}
enum Verdict { VERDICT_UNKNOWN = 0; FORWARDED = 1; DROPPED = 2; ERROR = 3; AUDIT = 4; REDIRECTED = 5; TRACED = 6; TRANSLATED = 7; }
enum FlowType { UNKNOWN_TYPE = 0; L3_L4 = 1; L7 = 2; SOCK = 3; }
enum TrafficDirection { TRAFFIC_DIRECTION_UNKNOWN = 0; INGRESS = 1; EGRESS = 2; }
enum TraceObservationPoint {
  UNKNOWN_POINT = 0; TO_PROXY = 1; TO_HOST = 2; TO_STACK = 3; TO_OVERLAY = 4; FROM_ENDPOINT = 5; FROM_PROXY = 6; FROM_HOST = 7; FROM_STACK = 8;
  FROM_OVERLAY = 9; FROM_NETWORK = 10; TO_NETWORK = 11; FROM_CRYPTO = 12; TO_CRYPTO = 13; TO_ENDPOINT = 101;
}
enum TraceReason {
  TRACE_REASON_UNKNOWN = 0; NEW = 1; ESTABLISHED = 2; REPLY = 3; RELATED = 4; REOPENED = 5; SRV6_ENCAP = 6; SRV6_DECAP = 7; ENCRYPT_OVERLAY = 8;
}
enum IPVersion { IP_NOT_USED = 0; IPv4 = 1; IPv6 = 2; }
enum LostEventSource { UNKNOWN_LOST_EVENT_SOURCE = 0; PERF_EVENT_RING_BUFFER = 1; OBSERVER_EVENTS_QUEUE = 2; HUBBLE_RING_BUFFER = 3; }
enum NodeState { UNKNOWN_NODE_STATE = 0; NODE_CONNECTED = 1; NODE_UNAVAILABLE = 2; NODE_GONE = 3; NODE_ERROR = 4; }
message Flow {
  Timestamp time = 1; Verdict verdict = 2; uint32 drop_reason = 3; IP IP = 5; Layer4 l4 = 6; Endpoint source = 8; Endpoint destination = 9;
  FlowType Type = 10; string node_name = 11; repeated string source_names = 13; repeated string destination_names = 14; Layer7 l7 = 15; bool reply = 16;
  CiliumEventType event_type = 19; Service source_service = 20; Service destination_service = 21; TrafficDirection traffic_direction = 22;
  uint32 policy_match_type = 23; TraceObservationPoint trace_observation_point = 24; uint32 drop_reason_desc = 25; BoolValue is_reply = 26;
  uint32 proxy_port = 29; uint32 sock_xlate_point = 31; string uuid = 34; uint32 auth_type = 35; TraceReason trace_reason = 36; repeated string node_labels = 37;
  repeated Policy egress_allowed_by = 21001; repeated Policy ingress_allowed_by = 21002; repeated Policy egress_denied_by = 21004;
  repeated Policy ingress_denied_by = 21005; repeated string policy_log = 21006; Aggregate aggregate = 21007;
}
message IP { string source = 1; string destination = 2; IPVersion ipVersion = 3; bool encrypted = 4; string source_xlated = 5; }
message Layer4 { TCP TCP = 1; UDP UDP = 2; ICMPv4 ICMPv4 = 3; ICMPv6 ICMPv6 = 4; SCTP SCTP = 5; VRRP VRRP = 6; IGMP IGMP = 7; }
message TCP { uint32 source_port = 1; uint32 destination_port = 2; TCPFlags flags = 3; }
message TCPFlags {
  bool FIN = 1; bool SYN = 2; bool RST = 3; bool PSH = 4; bool ACK = 5; bool URG = 6; bool ECE = 7; bool CWR = 8; bool NS = 9;
}
message UDP { uint32 source_port = 1; uint32 destination_port = 2; }
message SCTP { uint32 source_port = 1; uint32 destination_port = 2; uint32 chunk_type = 3; }
message ICMPv4 { uint32 type = 1; uint32 code = 2; }
message ICMPv6 { uint32 type = 1; uint32 code = 2; }
message VRRP { uint32 type = 1; uint32 vrid = 2; uint32 priority = 3; }
message IGMP { uint32 type = 1; string group_address = 2; }
message Endpoint {
  uint32 ID = 1; uint32 identity = 2; string namespace = 3; repeated string labels = 4; string pod_name = 5; repeated Workload workloads = 6; string cluster_name = 7;
}
message Workload { string name = 1; string kind = 2; }
message Service { string name = 1; string namespace = 2; }
message CiliumEventType { int32 type = 1; int32 sub_type = 2; }
message Layer7 { uint32 type = 1; uint64 latency_ns = 2; }
message Policy { string name = 1; string namespace = 2; repeated string labels = 3; uint64 revision = 4; string kind = 5; }
message Aggregate { uint32 ingress_flow_count = 1; uint32 egress_flow_count = 2; uint32 unknown_direction_flow_count = 3; }
message LostEvent { LostEventSource source = 1; uint64 num_events_lost = 2; Int32Value cpu = 3; Timestamp first = 4; Timestamp last = 5; }
message NodeStatusEvent { NodeState state_change = 1; repeated string node_names = 2; string message = 3; }
message AgentEvent { uint32 type = 1; }
message DebugEvent { uint32 type = 1; }
message ExportEvent {
  Flow flow = 1; NodeStatusEvent node_status = 2; LostEvent lost_events = 3; AgentEvent agent_event = 4; DebugEvent debug_event = 5;
  string node_name = 1000; Timestamp time = 1001;
}
`

const GOLDMANE = `
syntax = "proto3";
package goldmane;
message Flow {
  FlowKey Key = 1; int64 start_time = 2; int64 end_time = 3; repeated string source_labels = 4; repeated string dest_labels = 5; int64 packets_in = 6;
  int64 packets_out = 7; int64 bytes_in = 8; int64 bytes_out = 9; int64 num_connections_started = 10; int64 num_connections_completed = 11;
  int64 num_connections_live = 12;
}
message FlowKey {
  string source_name = 1; string source_namespace = 2; uint32 source_type = 3; string dest_name = 4; string dest_namespace = 5; uint32 dest_type = 6;
  int64 dest_port = 7; string dest_service_name = 8; string dest_service_namespace = 9; string dest_service_port_name = 10; int64 dest_service_port = 11;
  string proto = 12; uint32 reporter = 13; uint32 action = 14; PolicyTrace policies = 15;
}
message PolicyTrace { repeated PolicyHit enforced_policies = 1; repeated PolicyHit pending_policies = 2; }
message PolicyHit {
  uint32 kind = 1; string namespace = 2; string name = 3; string tier = 4; uint32 action = 5; int64 policy_index = 6; int64 rule_index = 7; PolicyHit trigger = 8;
}
message FlowResult { int64 id = 1; Flow flow = 2; }
message FlowUpdate { Flow flow = 1; }
message ListMetadata { int64 totalPages = 1; int64 totalResults = 2; }
message FlowListResult { ListMetadata meta = 1; repeated FlowResult flows = 2; }
`

/** What is asked of Hubble Relay (observer.Observer) and answered beside the flows; `FlowHead` is all that a stream must know of a message. */
const OBSERVER = `
syntax = "proto3";
package observer;
message Timestamp { int64 seconds = 1; int32 nanos = 2; }
message UInt32Value { uint32 value = 1; }
message GetFlowsRequest {
  uint64 number = 1; bool follow = 3; repeated FlowFilter blacklist = 5; repeated FlowFilter whitelist = 6; Timestamp since = 7; Timestamp until = 8;
  bool first = 9;
}
message ServerStatusResponse {
  uint64 num_flows = 1; uint64 max_flows = 2; uint64 seen_flows = 3; uint64 uptime_ns = 4; UInt32Value num_connected_nodes = 5;
  UInt32Value num_unavailable_nodes = 6; repeated string unavailable_nodes = 7; string version = 8; double flows_rate = 9;
}
message FlowHead { Head flow = 1; string node_name = 1000; }
message Head { Timestamp time = 1; string node_name = 11; }
message FlowFilter {
  repeated string source_ip = 1; repeated string source_pod = 2; repeated string destination_ip = 3; repeated string destination_pod = 4;
  repeated Verdict verdict = 5; repeated EventTypeFilter event_type = 6; repeated string source_fqdn = 7; repeated string destination_fqdn = 8;
  repeated string http_status_code = 9; repeated string source_label = 10; repeated string destination_label = 11; repeated string protocol = 12;
  repeated string source_port = 13; repeated string destination_port = 14; repeated bool reply = 15; repeated string source_service = 16;
  repeated string destination_service = 17; repeated string dns_query = 18; repeated uint32 source_identity = 19; repeated uint32 destination_identity = 20;
  repeated string http_method = 21; repeated string http_path = 22; repeated TCPFlags tcp_flags = 23; repeated string node_name = 24;
  repeated IPVersion ip_version = 25; repeated Workload source_workload = 26; repeated Workload destination_workload = 27; repeated string trace_id = 28;
  repeated string uuid = 29; repeated TrafficDirection traffic_direction = 30; repeated string http_url = 31; repeated HTTPHeader http_header = 32;
  repeated DropReason drop_reason_desc = 33; repeated string source_ip_xlated = 34; repeated NetworkInterface interface = 35;
  repeated string node_labels = 36; repeated string source_cluster_name = 37; repeated string destination_cluster_name = 38;
  repeated uint64 ip_trace_id = 39; repeated bool encrypted = 40; Experimental experimental = 999;
}
message Experimental { repeated string cel_expression = 1; }
message EventTypeFilter { int32 type = 1; bool match_sub_type = 2; int32 sub_type = 3; }
message TCPFlags {
  bool FIN = 1; bool SYN = 2; bool RST = 3; bool PSH = 4; bool ACK = 5; bool URG = 6; bool ECE = 7; bool CWR = 8; bool NS = 9;
}
message Workload { string name = 1; string kind = 2; }
message HTTPHeader { string key = 1; string value = 2; }
message NetworkInterface { uint32 index = 1; string name = 2; }
enum Verdict { VERDICT_UNKNOWN = 0; FORWARDED = 1; DROPPED = 2; ERROR = 3; AUDIT = 4; REDIRECTED = 5; TRACED = 6; TRANSLATED = 7; }
enum TrafficDirection { TRAFFIC_DIRECTION_UNKNOWN = 0; INGRESS = 1; EGRESS = 2; }
enum IPVersion { IP_NOT_USED = 0; IPv4 = 1; IPv6 = 2; }
enum DropReason { DROP_REASON_UNKNOWN = 0; POLICY_DENIED = 133; POLICY_DENY = 181; AUTH_REQUIRED = 189; }
`

/** What is asked of Goldmane (goldmane.Flows) and answered; `FlowHead` as above, `FlowCount` a page of a list without its flows' content. */
const FLOWS_API = `
syntax = "proto3";
package flows;
message FlowStreamRequest { int64 start_time_gte = 1; int64 aggregation_interval = 3; }
message FlowListRequest { int64 start_time_gte = 1; int64 start_time_lt = 2; int64 page = 3; int64 page_size = 4; int64 aggregation_interval = 7; }
message FlowCount { repeated FlowHead flows = 2; }
message FlowHead { int64 id = 1; Head flow = 2; }
message Head { int64 start_time = 2; int64 end_time = 3; }
`

const NETOBSERV = `
syntax = "proto3";
package netobserv;
message Timestamp { int64 seconds = 1; int32 nanos = 2; }
message Records { repeated Record entries = 1; }
message Record {
  uint32 eth_protocol = 1; uint32 direction = 2; Timestamp time_flow_start = 3; Timestamp time_flow_end = 4; DataLink data_link = 5; Network network = 6;
  Transport transport = 7; uint64 bytes = 8; uint64 packets = 9; string interface = 10; bool duplicate = 11; IP agent_ip = 12; uint32 flags = 13;
  uint32 icmp_type = 14; uint32 icmp_code = 15; uint64 pkt_drop_bytes = 16; uint64 pkt_drop_packets = 17; uint32 pkt_drop_latest_flags = 18;
  uint32 pkt_drop_latest_state = 19; uint32 pkt_drop_latest_drop_cause = 20; repeated DupMapEntry dup_list = 26; Xlat xlat = 28; uint32 sampling = 29;
}
message DataLink { uint64 src_mac = 1; uint64 dst_mac = 2; }
message Network { IP src_addr = 1; IP dst_addr = 2; uint32 dscp = 3; }
message IP { fixed32 ipv4 = 1; bytes ipv6 = 2; }
message Transport { uint32 src_port = 1; uint32 dst_port = 2; uint32 protocol = 3; }
message DupMapEntry { string interface = 1; uint32 direction = 2; string udn = 3; }
message Xlat { IP src_addr = 1; IP dst_addr = 2; uint32 src_port = 3; uint32 dst_port = 4; uint32 zone_id = 5; }
`

const ANTREA = `
syntax = "proto3";
package antrea;
message Flow {
  uint32 TimeReceived = 1; uint32 SequenceNumber = 2; uint32 ObsDomainID = 3; uint32 TimeFlowStartInSecs = 4; uint32 TimeFlowEndInSecs = 5; string SrcIP = 6;
  string DstIP = 7; uint32 SrcPort = 8; uint32 DstPort = 9; uint32 Proto = 10; uint64 PacketsTotal = 11; uint64 BytesTotal = 12; uint64 PacketsDelta = 13;
  uint64 BytesDelta = 14; uint64 ReversePacketsTotal = 15; uint64 ReverseBytesTotal = 16; uint64 ReversePacketsDelta = 17; uint64 ReverseBytesDelta = 18;
  string SrcPodName = 19; string SrcPodNamespace = 20; string SrcNodeName = 21; string DstPodName = 22; string DstPodNamespace = 23; string DstNodeName = 24;
  string DstClusterIP = 25; string DstServicePortName = 26; uint64 TimeFlowStartInMilliSecs = 27; uint32 TimeFlowEndInMilliSecs = 28;
  string IngressPolicyName = 29; string IngressPolicyNamespace = 30; string EgressPolicyName = 31; string EgressPolicyNamespace = 32;
  string ExportAddress = 33; uint32 DstServicePort = 34; uint32 FlowEndReason = 35; string TcpState = 36;
}
`

/** Read in lowerCamel, which is how OTLP writes JSON. */
const OTLP = `
syntax = "proto3";
package otlp;
message ExportLogsServiceRequest { repeated ResourceLogs resource_logs = 1; }
message ResourceLogs { Resource resource = 1; repeated ScopeLogs scope_logs = 2; string schema_url = 3; }
message Resource { repeated KeyValue attributes = 1; uint32 dropped_attributes_count = 2; }
message ScopeLogs { Scope scope = 1; repeated LogRecord log_records = 2; string schema_url = 3; }
message Scope { string name = 1; string version = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4; }
message LogRecord {
  fixed64 time_unix_nano = 1; uint32 severity_number = 2; string severity_text = 3; AnyValue body = 5; repeated KeyValue attributes = 6;
  uint32 dropped_attributes_count = 7; fixed32 flags = 8; bytes trace_id = 9; bytes span_id = 10; fixed64 observed_time_unix_nano = 11; string event_name = 12;
}
message AnyValue {
  oneof value {
    string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; ArrayValue array_value = 5; KeyValueList kvlist_value = 6;
    bytes bytes_value = 7;
  }
}
message ArrayValue { repeated AnyValue values = 1; }
message KeyValueList { repeated KeyValue values = 1; }
message KeyValue { string key = 1; AnyValue value = 2; }
`

const CAMEL: protobuf.IParseOptions = { keepCase: false }
const AS_WRITTEN: protobuf.IParseOptions = { keepCase: true }

/** Message types of the schemas. Parsed when first asked for: parsing all of them takes a tenth of a second. */
const TYPES = {
  hubbleEvent: { text: HUBBLE, name: 'hubble.ExportEvent', options: AS_WRITTEN },
  hubbleFlow: { text: HUBBLE, name: 'hubble.Flow', options: AS_WRITTEN },
  goldmaneFlow: { text: GOLDMANE, name: 'goldmane.Flow', options: AS_WRITTEN },
  goldmaneResult: { text: GOLDMANE, name: 'goldmane.FlowResult', options: AS_WRITTEN },
  goldmaneUpdate: { text: GOLDMANE, name: 'goldmane.FlowUpdate', options: AS_WRITTEN },
  goldmaneList: { text: GOLDMANE, name: 'goldmane.FlowListResult', options: AS_WRITTEN },
  getFlowsRequest: { text: OBSERVER, name: 'observer.GetFlowsRequest', options: AS_WRITTEN },
  flowFilter: { text: OBSERVER, name: 'observer.FlowFilter', options: AS_WRITTEN },
  serverStatus: { text: OBSERVER, name: 'observer.ServerStatusResponse', options: AS_WRITTEN },
  hubbleHead: { text: OBSERVER, name: 'observer.FlowHead', options: AS_WRITTEN },
  flowStreamRequest: { text: FLOWS_API, name: 'flows.FlowStreamRequest', options: AS_WRITTEN },
  flowListRequest: { text: FLOWS_API, name: 'flows.FlowListRequest', options: AS_WRITTEN },
  flowCount: { text: FLOWS_API, name: 'flows.FlowCount', options: AS_WRITTEN },
  goldmaneHead: { text: FLOWS_API, name: 'flows.FlowHead', options: AS_WRITTEN },
  netobservRecord: { text: NETOBSERV, name: 'netobserv.Record', options: AS_WRITTEN },
  netobservRecords: { text: NETOBSERV, name: 'netobserv.Records', options: AS_WRITTEN },
  antreaFlow: { text: ANTREA, name: 'antrea.Flow', options: AS_WRITTEN },
  otlpLogs: { text: OTLP, name: 'otlp.ExportLogsServiceRequest', options: CAMEL },
} as const
export type MessageName = keyof typeof TYPES

const roots = new Map<string, protobuf.Root>()

export function messageType(message: MessageName): protobuf.Type {
  const { text, name, options } = TYPES[message]
  return (roots.get(text) ?? parse(text, options)).lookupType(name)
}

function parse(text: string, options: protobuf.IParseOptions): protobuf.Root {
  const { root } = protobuf.parse(text, options)
  root.resolveAll()
  roots.set(text, root)
  return root
}
