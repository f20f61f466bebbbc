import type { Outcome } from '../../flow/flow-record.ts'
import type { NormalizeContext, RecordReader } from '../normalize-context.ts'
import { reject, type RawObject } from '../problems.ts'

/** True for records of NetObserv, enriched or as the agent writes them. */
export function isNetObserv(record: RawObject): boolean {
  return record === undefined
}

export class NetObservReader implements RecordReader {
  readonly #context: NormalizeContext

  constructor(context: NormalizeContext) {
    this.#context = context
  }

  read(record: RawObject): Outcome {
    return reject('netobserv', 'unknown-format', `${this.#context.cluster} ${Object.keys(record).length}`)
  }
}
