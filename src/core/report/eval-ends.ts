/**
 * Describes observed identities to the evaluator, with what is certain about their labels.
 *
 * A label that is absent from an identity is certainly absent when the log carries all labels; for Cilium's identity-relevant
 * subset when the cluster's other identities show that the key is relevant there; else when a better described pod of the same
 * workload and labels says so, and only for keys in which pods of one workload do not differ. Cost: O(identities x labels) to build, O(1) to ask.
 */
import { compareText } from '../base/order.ts'
import type { ClusterSnapshot, SnapshotPod } from '../cluster/snapshot.ts'
import type { EvalEnd, NamedPort } from '../evaluate/eval-end.ts'
import { endView } from '../flow/edge-view.ts'
import { UNVERIFIED_PRIVATE } from '../flow/end.ts'
import type { Labels } from '../flow/end.ts'
import type { Identity } from '../flow/identity.ts'
import { labelsKey } from '../flow/identity.ts'
import type { LabelRules } from '../flow/label-rules.ts'
import { collectRelevantKeys } from '../flow/workloads.ts'
import type { WorkloadIndex } from '../flow/workloads.ts'
import type { AddressProblem } from '../generate/accept.ts'
import { parseAddress } from '../sets/address.ts'
import { AddressSet, parseCidr } from '../sets/cidr.ts'

export interface EndContext {
  readonly workloads: WorkloadIndex
  readonly rules: LabelRules
  readonly snapshot: ClusterSnapshot | undefined
  readonly addressProblem: AddressProblem
  /** Networks in which pods were seen, as CIDR text. */
  readonly podNetworks: readonly string[]
}

/** Gives the evaluator's ends for an identity. Several: it is one of them and nobody knows which, because the log left its labels out. */
export type DescribeEnds = (identity: Identity, address?: string) => readonly EvalEnd[]

export function createEndDescriber(context: EndContext): DescribeEnds {
  const relevantKeys = collectRelevantKeys(context.workloads.workloads)
  const podAddresses = AddressSet.fromCidrs([...context.podNetworks.flatMap((text) => parseCidr(text) ?? []), ...(context.snapshot?.nodes ?? []).flatMap((n) => n.podCidrs)])
  // The evaluator remembers what it found out by end, so that equal ends must be one object.
  const cache = new Map<string, readonly EvalEnd[]>()
  return (identity, address) => {
    const key = identity.kind === 'pod' ? identity.key : `${identity.key}\u0000${address ?? ''}`
    let ends = cache.get(key)
    if (ends === undefined) {
      ends = identity.kind === 'pod' ? describePod(identity, { context, relevantKeys, podAddresses }) : [classEnd(identity, address, context.addressProblem)]
      cache.set(key, ends)
    }
    return ends
  }
}

/** An address that may be a pod nobody could name is judged as an unknown pod, one that may be a node as a node. */
function classEnd(identity: Identity, address: string | undefined, addressProblem: AddressProblem): EvalEnd {
  const ip = address === undefined || address === '' ? undefined : parseAddress(address)
  const name = identity.kind === 'external' ? (ip?.text ?? 'an outside address') : identity.kind
  const problem = identity.kind === 'external' && ip !== undefined ? addressProblem(ip.text, identity.name === UNVERIFIED_PRIVATE) : undefined
  const kind = problem === undefined ? identity.kind : problem === 'may-be-pod' || problem === 'unknown-workload' ? 'unknown' : 'node'
  return {
    kind, namespace: identity.namespace, labels: {}, labelsComplete: () => kind !== 'unknown', namespaceLabels: {},
    namespaceLabelsComplete: false, ips: ip === undefined ? [] : [ip], namedPorts: [], hostNetwork: false, display: name,
  }
}

interface Known {
  readonly context: EndContext
  readonly relevantKeys: ReadonlySet<string>
  readonly podAddresses: AddressSet
}

function describePod(identity: Identity, known: Known): EvalEnd[] {
  const { context } = known
  const workload = context.workloads.of(identity)
  const members = workload?.identities ?? [identity]
  // Without labels in the log, the pod is one of its workload's label sets; without those, nothing is known.
  const described = identity.labelQuality === 'none' ? members.filter((m) => m.labelQuality !== 'none') : [identity]
  const sources = described.length > 0 ? described : [identity]
  return sources.map((source) => podEnd(source, members, { ...known, display: workload?.display ?? endText(identity), merged: workload?.namespaceLabels ?? {} }))
}

function podEnd(source: Identity, members: readonly Identity[], { context, relevantKeys, podAddresses, display, merged }: Known & { readonly display: string; readonly merged: Labels }): EvalEnd {
  const pods = snapshotPods(context.snapshot, source)
  const namespace = context.snapshot?.namespaces.get(source.namespace)
  return {
    kind: 'pod',
    namespace: source.namespace,
    labels: source.labels,
    labelsComplete: knowsAbsence(source, members, { rules: context.rules, relevantKeys }),
    // Formats that say nothing of namespaces borrow what all others agree on; what is not among it stays unknown.
    namespaceLabels: namespace?.isComplete === true ? namespace.labels : { ...merged, ...source.namespaceLabels },
    namespaceLabelsComplete: namespace?.isComplete === true || Object.keys(source.namespaceLabels).length > 0,
    ips: pods.flatMap((p) => p.ips),
    // Every record of such a log names the pod's address; Calico's aggregates leave it out.
    ...(source.labelQuality === 'intersection' || podAddresses.isEmpty ? {} : { possibleAddresses: podAddresses }),
    namedPorts: agreedPorts(pods),
    hostNetwork: false,
    display,
  }
}

/**
 * Is a key that the source lacks certainly absent? A pod with the same identity labels may say so in its place, unless pods of one
 * workload differ in that key: by the label rules (pod name, version, hash), or because one of them was seen with it.
 */
function knowsAbsence(source: Identity, members: readonly Identity[], known: Pick<Known, 'relevantKeys'> & { readonly rules: LabelRules }): (key: string) => boolean {
  if (source.labelQuality === 'full') return () => true
  const { rules, relevantKeys } = known
  const ownLabels = labelsKey(rules.identityLabels(source))
  const alike = members.filter((m) => labelsKey(rules.identityLabels(m)) === ownLabels)
  const tells = (m: Identity, key: string): boolean => m.labelQuality === 'full' || (m.labelQuality === 'identity-subset' && relevantKeys.has(key))
  return (key) => tells(source, key) || (rules.isIdentityKey(source, key) && alike.some((m) => tells(m, key)) && !alike.some((m) => Object.hasOwn(m.labels, key)))
}

/** The named ports that all of the pods declare; `undefined` where there is no pod or they disagree, as during a rollout. */
function agreedPorts(pods: readonly SnapshotPod[]): readonly NamedPort[] | undefined {
  const [first, ...others] = pods.map(namedPorts)
  if (first === undefined) return undefined
  const key = (ports: readonly NamedPort[]): string => ports.map((p) => `${p.name}\u0000${p.protocol}\u0000${p.port}`).sort(compareText).join('\u0001')
  return others.every((ports) => key(ports) === key(first)) ? first : undefined
}

function namedPorts(pod: SnapshotPod): NamedPort[] {
  return pod.ports.flatMap(({ name, containerPort, protocol }) => (name === undefined ? [] : [{ name, port: containerPort, protocol }]))
}

/** Pods of the snapshot that carry the identity's labels: they tell its named ports. */
function snapshotPods(snapshot: ClusterSnapshot | undefined, identity: Identity): SnapshotPod[] {
  if (snapshot === undefined || Object.keys(identity.labels).length === 0) return []
  return snapshot.pods.filter((p) => p.namespace === identity.namespace && !p.hostNetwork && includesLabels(p.labels, identity.labels))
}

function includesLabels(labels: Labels, part: Labels): boolean {
  return Object.entries(part).every(([k, v]) => labels[k] === v)
}

function endText(identity: Identity): string {
  const view = endView(identity)
  return view.workload === undefined ? `${view.namespace ?? ''}/${view.name ?? '?'}` : `${view.namespace ?? ''}/${view.workload.name} (${view.workload.kind})`
}
