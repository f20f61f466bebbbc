import { isAntrea } from './antrea/antrea.ts'
import { isAwsVpcCni } from './aws/aws.ts'
import { isGoldmane } from './calico/goldmane.ts'
import { isForeignObject } from './foreign-log.ts'
import { isGke } from './gke/gke.ts'
import { isNetObserv } from './netobserv/netobserv.ts'
import { isObject, type RawObject } from './problems.ts'

/** How a record is written. `hubble-control`: about the observation, not a flow. `foreign-log`: a program's own log line. */
export type RecordShape =
  | 'hubble-wrapped' | 'hubble-bare' | 'hubble-control' | 'calico-enterprise' | 'goldmane' | 'netobserv' | 'antrea' | 'gke' | 'aws-vpc-cni' | 'foreign-log' | 'unknown'

const CONTROL_KEYS = ['lost_events', 'lostEvents', 'node_status', 'nodeStatus', 'agent_event', 'agentEvent', 'debug_event', 'debugEvent']

/** Tells the format of one record by the presence of keys, never by versions: sources mix formats and producers change them. */
export function detectShape(record: RawObject): RecordShape {
  const { flow } = record
  if (flow === undefined) return detectFlat(record)
  if (isObject(flow) && (flow.verdict ?? flow.l4 ?? flow.IP) !== undefined && !isGoldmane(record)) return 'hubble-wrapped'
  // A shipper may call its own facts `flow`, or nest the record of another format under that key: then it is an envelope.
  const shape = detectFlat(record)
  if (shape !== 'unknown' && shape !== 'foreign-log') return shape
  return isObject(flow) && flow.flow === undefined && OTHERS.has(detectFlat(flow)) ? 'unknown' : 'hubble-wrapped'
}

/** Formats whose records a shipper may nest under the key `flow`. */
const OTHERS: ReadonlySet<RecordShape> = new Set(['calico-enterprise', 'goldmane', 'netobserv', 'antrea', 'gke', 'aws-vpc-cni'])

/** The shape by the record's own keys, but for `flow`. */
function detectFlat(record: RawObject): RecordShape {
  if (isCalicoEnterprise(record)) return 'calico-enterprise'
  if (isBareFlow(record)) return 'hubble-bare'
  if (isGoldmane(record)) return 'goldmane'
  if (isNetObserv(record)) return 'netobserv'
  if (isAntrea(record)) return 'antrea'
  if (isGke(record)) return 'gke'
  if (isAwsVpcCni(record)) return 'aws-vpc-cni'
  if (CONTROL_KEYS.some((key) => record[key] !== undefined)) return 'hubble-control'
  return isForeignObject(record) ? 'foreign-log' : 'unknown'
}

function isBareFlow(record: RawObject): boolean {
  if (!isObject(record.IP) && !isObject(record.l4)) return false
  return record.verdict !== undefined || record.l4 !== undefined || record.Type !== undefined
}

function isCalicoEnterprise(record: RawObject): boolean {
  if (record.source_name_aggr !== undefined && record.dest_name_aggr !== undefined) return true
  const hasTypes = record.source_type !== undefined || record.dest_type !== undefined
  return hasTypes && record.start_time !== undefined && record.action !== undefined && record.reporter !== undefined
}

/** True for a record of a known format, which is read as it is and never unwrapped, whatever other keys a shipper added to it. */
export function isNative(record: RawObject): boolean {
  const shape = detectShape(record)
  return shape !== 'unknown' && shape !== 'foreign-log'
}
