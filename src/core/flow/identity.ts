import { compareText } from '../base/order.ts'
import type { EndKind, LabelQuality, Labels, WorkloadEvidence, WorkloadRef } from './end.ts'

/**
 * A raw identity: what one end of a record said about itself at flow time, before any label rule. Edges are keyed by
 * raw identities, so that policies can be judged against the labels as they were and label rules may change later;
 * `core/flow/workloads.ts` groups raw identities into workloads when edges are read.
 *
 * Addresses and pod names are not part of it. Equal `key`s mean equal identities.
 */
export interface Identity {
  readonly kind: EndKind
  readonly cluster: string
  /** '' unless kind is `pod` (or a namespaced network set). */
  readonly namespace: string
  /** Pod labels with the source prefix stripped, CNI-synthetic labels removed, keys in code-unit order. */
  readonly labels: Labels
  /** Labels of the namespace as far as the record told; `kubernetes.io/metadata.name` is implied, not stored. */
  readonly namespaceLabels: Labels
  readonly labelQuality: LabelQuality
  readonly workload: WorkloadRef | null
  readonly workloadEvidence: WorkloadEvidence
  /** Network set name; for a pod without labels its own name; '' otherwise. */
  readonly name: string
  /** Canonical text of everything above. */
  readonly key: string
  /** Unique among the identities that one process ever made; never stored. */
  readonly index: number
}

export type IdentityFields = Omit<Identity, 'key' | 'index'>

let nextIndex = 0

/** Canonical text of a label set: keys in code-unit order. */
export function labelsKey(labels: Labels): string {
  const keys = Object.keys(labels).sort(compareText)
  return keys.map((k) => `${JSON.stringify(k)}:${JSON.stringify(labels[k])}`).join(',')
}

function sortedLabels(labels: Labels): Labels {
  const keys = Object.keys(labels)
  if (keys.every((k, i) => i === 0 || (keys[i - 1] as string) < k)) return labels
  const sorted: Record<string, string> = {}
  for (const k of keys.sort(compareText)) sorted[k] = labels[k] as string
  return sorted
}

/** Canonical text of an identity's fields: JSON of a fixed-order array; parse with `parseIdentityKey`. */
export function identityKey(f: IdentityFields): string {
  return JSON.stringify([
    f.kind, f.cluster, f.namespace, f.name, f.labelQuality, f.workloadEvidence,
    f.workload === null ? null : [f.workload.kind, f.workload.name],
    sortedLabels(f.labels), sortedLabels(f.namespaceLabels),
  ])
}

/** Builds an identity. Call it once per distinct end (cache the result): it serialises the labels. */
export function createIdentity(fields: IdentityFields): Identity {
  return {
    kind: fields.kind,
    cluster: fields.cluster,
    namespace: fields.namespace,
    labels: sortedLabels(fields.labels),
    namespaceLabels: sortedLabels(fields.namespaceLabels),
    labelQuality: fields.labelQuality,
    workload: fields.workload,
    workloadEvidence: fields.workloadEvidence,
    name: fields.name,
    key: identityKey(fields),
    index: nextIndex++,
  }
}

type KeyParts = [
  EndKind, string, string, string, LabelQuality, WorkloadEvidence, [string, string] | null, Labels, Labels,
]

/** The inverse of `identityKey`: used when identities come back from the store. */
export function parseIdentityKey(key: string): Identity {
  const [kind, cluster, namespace, name, labelQuality, workloadEvidence, workload, labels, namespaceLabels] = JSON.parse(key) as KeyParts
  return createIdentity({
    kind, cluster, namespace, name, labelQuality, workloadEvidence, labels, namespaceLabels,
    workload: workload === null ? null : { kind: workload[0], name: workload[1] },
  })
}

/** An identity that another thread made, as one of this process' own. */
export function adoptIdentity(identity: Identity): Identity {
  return { ...identity, index: nextIndex++ }
}
