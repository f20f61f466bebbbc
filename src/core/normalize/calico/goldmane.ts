import type { Outcome } from '../../flow/flow-record.ts'
import type { NormalizeContext, RecordReader } from '../normalize-context.ts'
import { reject, type RawObject } from '../problems.ts'

/** True for records of Calico Goldmane, in any of its JSON renderings. */
export function isGoldmane(record: RawObject): boolean {
  return record === undefined
}

export class GoldmaneReader implements RecordReader {
  readonly #context: NormalizeContext

  constructor(context: NormalizeContext) {
    this.#context = context
  }

  read(record: RawObject): Outcome {
    return reject('goldmane', 'unknown-format', `${this.#context.cluster} ${Object.keys(record).length}`)
  }
}
