import type { Outcome } from '../../flow/flow-record.ts'
import type { NormalizeContext, RecordReader } from '../normalize-context.ts'
import { reject, type RawObject } from '../problems.ts'

/** True for records of Antrea and Theia. */
export function isAntrea(record: RawObject): boolean {
  return record === undefined
}

export class AntreaReader implements RecordReader {
  readonly #context: NormalizeContext

  constructor(context: NormalizeContext) {
    this.#context = context
  }

  read(record: RawObject): Outcome {
    return reject('antrea', 'unknown-format', `${this.#context.cluster} ${Object.keys(record).length}`)
  }
}
