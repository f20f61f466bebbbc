import type { Outcome } from '../../flow/flow-record.ts'
import type { LineReader, NormalizeContext } from '../normalize-context.ts'

export class AntreaLineReader implements LineReader {
  readonly #context: NormalizeContext

  constructor(context: NormalizeContext) {
    this.#context = context
  }

  read(line: string): Outcome | undefined {
    return line === this.#context.cluster ? undefined : undefined
  }
}
