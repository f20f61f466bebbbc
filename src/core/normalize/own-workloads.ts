import type { FlowFormat, Ignored, Outcome } from '../flow/flow-record.ts'
import type { Identity } from '../flow/identity.ts'
import { ignored } from './problems.ts'

/**
 * The collector's own workloads (T25): the shipper of the logs, Kafka, flowfence itself. What they send each other grows with what is collected and
 * says nothing about the applications. A flow is left out only when both of its ends are own; what they exchange with others is real traffic.
 */
export class OwnWorkloads {
  readonly #cluster: string
  readonly #names: ReadonlySet<string>
  readonly #selves = new Map<FlowFormat, Ignored>()

  /** `names`: `namespace` or `namespace/workload`. */
  constructor(cluster: string, names: readonly string[]) {
    this.#cluster = cluster
    this.#names = new Set(names)
  }

  /** The outcome, or ignored `self`. */
  screen<T extends Outcome>(outcome: T): T | Ignored {
    if (this.#names.size === 0 || outcome.kind !== 'flow' || !this.#has(outcome.initiator) || !this.#has(outcome.responder)) return outcome
    const known = this.#selves.get(outcome.format)
    if (known !== undefined) return known
    const self = ignored(outcome.format, 'self')
    this.#selves.set(outcome.format, self)
    return self
  }

  #has({ kind, cluster, namespace, workload }: Identity): boolean {
    if (kind !== 'pod' || cluster !== this.#cluster) return false
    return this.#names.has(namespace) || (workload !== null && this.#names.has(`${namespace}/${workload.name}`))
  }
}
