import type { FlowFormat, Rejection } from '../flow/flow-record.ts'
import { reject, shown } from './problems.ts'

/** Cilium's name of a cluster that was given none: it claims nothing. */
const UNNAMED = 'default'
/** Distinct claims remembered; hostile input cannot grow it. */
const MAX_CLAIMS = 1_000

/**
 * What records say about the cluster they come from, against the one that their source is bound to: a credential, topic or stream of one cluster must not
 * bring flows that say they are another one's. Where the source is not bound (a file that a person names), nothing is refused.
 */
export class ClusterClaims {
  readonly #cluster: string
  readonly #isBound: boolean
  readonly #names: ReadonlySet<string>
  readonly #refused = new Map<string, Rejection>()

  /** `aliases`: what the cluster's own records may call it beside `cluster`. */
  constructor(cluster: string, options: { readonly isBound: boolean; readonly aliases: readonly string[] }) {
    this.#cluster = cluster
    this.#isBound = options.isBound
    this.#names = new Set([cluster, UNNAMED, '', ...options.aliases])
  }

  /** `undefined` for a claim that is none, or of the bound cluster. */
  refusal(format: FlowFormat, claim: unknown): Rejection | undefined {
    if (!this.#isBound || typeof claim !== 'string' || this.#names.has(claim)) return undefined
    const key = `${format} ${claim}`
    const known = this.#refused.get(key)
    if (known !== undefined) return known
    const detail = `the record is of cluster ${shown(claim)}, its source is bound to ${shown(this.#cluster)}; if that is its name in the logs, add it to FLOWFENCE_CLUSTER_ALIASES`
    const refused = reject(format, 'foreign-cluster', detail)
    if (this.#refused.size >= MAX_CLAIMS) this.#refused.clear()
    this.#refused.set(key, refused)
    return refused
  }
}
