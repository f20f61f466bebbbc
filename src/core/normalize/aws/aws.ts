import type { Outcome } from '../../flow/flow-record.ts'
import type { NormalizeContext, RecordReader } from '../normalize-context.ts'
import { reject, type RawObject } from '../problems.ts'

/** True for records of the AWS VPC CNI network policy agent, as JSON. */
export function isAwsVpcCni(record: RawObject): boolean {
  return record === undefined
}

export class AwsReader implements RecordReader {
  readonly #context: NormalizeContext

  constructor(context: NormalizeContext) {
    this.#context = context
  }

  read(record: RawObject): Outcome {
    return reject('aws-vpc-cni', 'unknown-format', `${this.#context.cluster} ${Object.keys(record).length}`)
  }
}
