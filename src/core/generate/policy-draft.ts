import type { EdgeView } from '../flow/edge-view.ts'
import type { Protocol } from '../flow/flow-record.ts'
import { PROTOCOLS } from '../flow/flow-record.ts'
import type { Workload } from '../flow/workloads.ts'
import type { Direction } from '../policy/network-policy.ts'
import type { PortSet } from '../sets/port-set.ts'
import type { ExactSelector } from './select-workload.ts'

/** Ports per protocol; an absent protocol admits nothing. */
export type PortCells = ReadonlyMap<Protocol, PortSet>

export type PeerDraft =
  | { readonly kind: 'pods'; readonly workload: Workload; readonly selector: ExactSelector }
  | { readonly kind: 'cidr'; readonly cidr: string }

/** The product peers x ports. */
export interface RuleDraft {
  readonly peers: readonly PeerDraft[]
  readonly ports: PortCells
  readonly evidence: readonly EdgeView[]
}

/** One policy of one workload. A direction that is absent is not isolated. */
export interface PolicyDraft {
  readonly name: string
  readonly workload: Workload
  readonly selector: ExactSelector
  readonly rules: ReadonlyMap<Direction, readonly RuleDraft[]>
}

function selectorObject(selector: ExactSelector): Record<string, unknown> {
  return {
    ...(Object.keys(selector.matchLabels).length > 0 ? { matchLabels: { ...selector.matchLabels } } : {}),
    ...(selector.matchIn.length > 0
      ? { matchExpressions: selector.matchIn.map((t) => ({ key: t.key, operator: 'In', values: [...t.values] })) } : {}),
  }
}

/** A peer as Kubernetes prints it: a pod of another namespace always carries a namespaceSelector. */
export function peerObject(peer: PeerDraft, namespace: string): Record<string, unknown> {
  if (peer.kind === 'cidr') return { ipBlock: { cidr: peer.cidr } }
  const podSelector = selectorObject(peer.selector)
  if (peer.workload.namespace === namespace) return { podSelector }
  return { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': peer.workload.namespace } }, podSelector }
}

/** Contiguous ports become one entry with endPort. */
function portObjects(ports: PortCells): Record<string, unknown>[] {
  const objects: Record<string, unknown>[] = []
  for (const protocol of PROTOCOLS) {
    for (const { start, end } of ports.get(protocol)?.intervals ?? []) {
      objects.push({ protocol, port: start, ...(end > start ? { endPort: end } : {}) })
    }
  }
  return objects
}

function ruleObject(rule: RuleDraft, direction: Direction, namespace: string): Record<string, unknown> {
  return { [direction === 'ingress' ? 'from' : 'to']: rule.peers.map((p) => peerObject(p, namespace)), ports: portObjects(rule.ports) }
}

/** The NetworkPolicy object; keys in Kubernetes' own order, policyTypes always stated. */
export function draftToObject(draft: PolicyDraft): Record<string, unknown> {
  const directions = (['ingress', 'egress'] as const).filter((d) => draft.rules.has(d))
  const { workload } = draft
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: {
      name: draft.name,
      namespace: workload.namespace,
      labels: { 'app.kubernetes.io/managed-by': 'flowfence' },
      ...(workload.ref === null ? {} : { annotations: { 'flowfence.dev/workload': `${workload.ref.kind}/${workload.ref.name}` } }),
    },
    spec: {
      podSelector: selectorObject(draft.selector),
      ...Object.fromEntries(directions.map((d) => [d, (draft.rules.get(d) ?? []).map((r) => ruleObject(r, d, workload.namespace))])),
      policyTypes: directions.map((d) => (d === 'ingress' ? 'Ingress' : 'Egress')),
    },
  }
}
