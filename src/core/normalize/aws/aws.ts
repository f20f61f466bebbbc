import type { Outcome } from '../../flow/flow-record.ts'
import { InstantParser } from '../instant.ts'
import type { RecordReader } from '../normalize-context.ts'
import { reject, shown, type RawObject } from '../problems.ts'
import { awsTextAt, emptyFields, MESSAGE_START, readCloudWatch, readMessage, type AwsFields } from './aws-fields.ts'
import type { AwsFlows } from './aws-flow.ts'
import { readLoggedTime } from './aws-time.ts'

/** The text of a log line: the agent's own key, or where shippers put a line that is no JSON. */
function textOf(record: RawObject): unknown {
  return record.msg ?? record.message ?? record.log
}

/**
 * True for records of the AWS VPC CNI network policy agent, as JSON: `{"ts":…,"msg":"Flow Info: …"}` in its three generations, or an object that
 * wraps one of its text lines as `{"timestamp":…,"message":"Node: …;SIP: …"}` (CloudWatch events).
 */
export function isAwsVpcCni(record: RawObject): boolean {
  const text = textOf(record)
  return typeof text === 'string' && awsTextAt(text, 0) !== undefined
}

/** Reads the agent's JSON lines of all generations and wrapped text lines. */
export class AwsReader implements RecordReader {
  readonly #flows: AwsFlows
  readonly #instant = new InstantParser()
  readonly #fields = emptyFields()

  constructor(flows: AwsFlows) {
    this.#flows = flows
  }

  read(record: RawObject): Outcome {
    const text = textOf(record)
    if (typeof text !== 'string') return reject('aws-vpc-cni', 'wrong-type', `msg: expected a text, got ${shown(text)}`)
    readFields(record, text, this.#fields)
    const screened = this.#flows.screen(this.#fields)
    if (screened !== undefined) return screened
    const time = timeOf(record)
    if (time === undefined || time === null) return reject('aws-vpc-cni', 'missing-field', 'ts: absent, and no timestamp')
    const problem = readLoggedTime(time, this.#instant)
    if (problem !== '') return reject('aws-vpc-cni', problem, `ts: ${shown(time)} is no usable time`)
    return this.#flows.record(this.#fields, this.#instant)
  }
}

/** The fields and the time of a record, unchecked; the time is `undefined` when the record is not the agent's, or has none. */
export function readAwsRecord(record: RawObject, into: AwsFields): unknown {
  const text = textOf(record)
  if (!isAwsVpcCni(record) || typeof text !== 'string') return undefined
  readFields(record, text, into)
  return timeOf(record)
}

function timeOf(record: RawObject): unknown {
  return record.ts ?? record.timestamp ?? record.time ?? record['@timestamp']
}

function readFields(record: RawObject, text: string, into: AwsFields): void {
  if (awsTextAt(text, 0) === 'cloudwatch') return readCloudWatch(text, 0, into)
  if (text.length > MESSAGE_START.length + 2) return readMessage(text, 0, into)
  // The first generation has a key for each field.
  into.sourceIp = record['Src IP']
  into.sourcePort = record['Src Port']
  into.destinationIp = record['Dest IP']
  into.destinationPort = record['Dest Port']
  into.protocol = record.Proto
  into.verdict = record.Verdict
  into.direction = record.Direction
  into.tier = record.Tier
  into.node = ''
}
