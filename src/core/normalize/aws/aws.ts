import type { Outcome } from '../../flow/flow-record.ts'
import { InstantParser } from '../instant.ts'
import type { NormalizeContext, RecordReader } from '../normalize-context.ts'
import { reject, shown, type RawObject } from '../problems.ts'
import { awsTextAt, emptyFields, MESSAGE_START, readCloudWatch, readMessage } from './aws-fields.ts'
import { AwsFlows } from './aws-flow.ts'
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

  constructor(context: NormalizeContext) {
    this.#flows = new AwsFlows(context)
  }

  read(record: RawObject): Outcome {
    const text = textOf(record)
    if (typeof text !== 'string') return reject('aws-vpc-cni', 'wrong-type', `msg: expected a text, got ${shown(text)}`)
    this.#readFields(record, text)
    const screened = this.#flows.screen(this.#fields)
    if (screened !== undefined) return screened
    const time = record.ts ?? record.timestamp ?? record.time ?? record['@timestamp']
    if (time === undefined || time === null) return reject('aws-vpc-cni', 'missing-field', 'ts: absent, and no timestamp')
    const problem = readLoggedTime(time, this.#instant)
    if (problem !== '') return reject('aws-vpc-cni', problem, `ts: ${shown(time)} is no usable time`)
    return this.#flows.record(this.#fields, this.#instant)
  }

  #readFields(record: RawObject, text: string): void {
    const fields = this.#fields
    if (awsTextAt(text, 0) === 'cloudwatch') return readCloudWatch(text, 0, fields)
    if (text.length > MESSAGE_START.length + 2) return readMessage(text, 0, fields)
    // The first generation has a key for each field.
    fields.sourceIp = record['Src IP']
    fields.sourcePort = record['Src Port']
    fields.destinationIp = record['Dest IP']
    fields.destinationPort = record['Dest Port']
    fields.protocol = record.Proto
    fields.verdict = record.Verdict
    fields.direction = record.Direction
    fields.tier = record.Tier
    fields.node = ''
  }
}
