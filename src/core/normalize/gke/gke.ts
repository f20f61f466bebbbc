import type { Outcome } from '../../flow/flow-record.ts'
import type { NormalizeContext, RecordReader } from '../normalize-context.ts'
import { reject, type RawObject } from '../problems.ts'

/** True for records of GKE Dataplane V2 policy logging. */
export function isGke(record: RawObject): boolean {
  return record === undefined
}

export class GkeReader implements RecordReader {
  readonly #context: NormalizeContext

  constructor(context: NormalizeContext) {
    this.#context = context
  }

  read(record: RawObject): Outcome {
    return reject('gke', 'unknown-format', `${this.#context.cluster} ${Object.keys(record).length}`)
  }
}
