import type { FlowFormat, Rejection } from '../flow/flow-record.ts'
import type { ClusterClaims } from './cluster-claims.ts'
import { hashText, type TextHash } from './digest.ts'
import { isStorable, wrongType } from './problems.ts'

/** The reporting node. */
export interface NodeName {
  readonly kind: 'node'
  /** Without the cluster's name; '' when the record does not tell. */
  readonly name: string
  /** Cilium's name of the cluster, when written as `cluster/node`; else ''. */
  readonly cluster: string
  readonly hash: TextHash
}

/** No node is told. */
export const NO_NODE: NodeName = { kind: 'node', name: '', cluster: '', hash: { a: 0, b: 0 } }
/** Larger than any cluster; hostile input cannot grow it. */
const MAX_NODES = 20_000

/** Reads node names, remembering them. */
export class NodeNames {
  readonly #format: FlowFormat
  readonly #field: string
  readonly #claims: ClusterClaims | undefined
  readonly #known = new Map<string, NodeName | Rejection>()

  /** `field` is how the format calls it; `claims` where a node's name may tell its cluster. */
  constructor(format: FlowFormat, field: string, claims?: ClusterClaims) {
    this.#format = format
    this.#field = field
    this.#claims = claims
  }

  read(value: unknown): NodeName | Rejection {
    if (value === undefined || value === null || value === '') return NO_NODE
    if (typeof value !== 'string') return wrongType(this.#format, this.#field, 'a node name', value)
    const known = this.#known.get(value)
    if (known !== undefined) return known
    if (!isStorable(value)) return wrongType(this.#format, this.#field, 'a node name', value)
    const slash = value.indexOf('/')
    const cluster = slash < 0 ? '' : value.slice(0, slash)
    const node = this.#claims?.refusal(this.#format, cluster) ?? { kind: 'node', name: value.slice(slash + 1), cluster, hash: hashText(value) } as const
    if (this.#known.size >= MAX_NODES) this.#known.clear()
    this.#known.set(value, node)
    return node
  }
}
