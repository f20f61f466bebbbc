/**
 * Namespace layers (DESIGN.md §3.5): default-deny per direction, and DNS for everybody where egress is denied by default.
 *
 * A layer is emitted only for a direction in which every known workload of the namespace has a policy with accepted evidence:
 * otherwise it would cut off a workload that was merely silent; never for kube-system unless asked for, because much of what runs
 * there is silent for long. Layers are marked `declared`; what they admit beyond the evidence is listed as a widening.
 */
import { compareText, sortedBy } from '../base/order.ts'
import type { Workload } from '../flow/workloads.ts'
import type { Direction } from '../policy/network-policy.ts'
import { DNS_PORT } from './accept.ts'
import { peerObject } from './policy-draft.ts'
import type { PeerDraft, PolicyDraft } from './policy-draft.ts'

/** Name of the layer that lets everybody ask for DNS. */
export const ALLOW_DNS = 'allow-dns'

/** Names that layers have in every namespace; no workload's policy may have one. */
export const LAYER_NAMES: ReadonlySet<string> = new Set(['default-deny-ingress', 'default-deny-egress', ALLOW_DNS])

export interface NamespaceLayer {
  readonly namespace: string
  readonly direction: Direction
  readonly objects: readonly Record<string, unknown>[]
  /** Workloads that everybody in the namespace may ask for DNS; only with the egress layer. */
  readonly dnsServers: readonly Workload[]
}

/** The cluster's own namespace. */
const SYSTEM_NAMESPACE = 'kube-system'

/** `requested`: the namespace that was asked for, if one was. */
export function layerNamespaces(drafts: readonly PolicyDraft[], known: readonly Workload[], requested?: string): NamespaceLayer[] {
  const namespaces = [...new Set(drafts.map((d) => d.workload.namespace))].filter((n) => n !== SYSTEM_NAMESPACE || n === requested).sort(compareText)
  const draftOf = new Map(drafts.map((d) => [d.workload.key, d]))
  return namespaces.flatMap((namespace) => {
    const members = known.filter((w) => w.namespace === namespace)
    return (['ingress', 'egress'] as const)
      .filter((direction) => members.every((w) => draftOf.get(w.key)?.rules.has(direction) === true))
      .map((direction) => buildLayer(namespace, direction, members.flatMap((w) => draftOf.get(w.key) ?? [])))
  })
}

function buildLayer(namespace: string, direction: Direction, drafts: readonly PolicyDraft[]): NamespaceLayer {
  const policyType = direction === 'ingress' ? 'Ingress' : 'Egress'
  const deny = layerObject(namespace, `default-deny-${direction}`, { podSelector: {}, policyTypes: [policyType] })
  const dns = direction === 'egress' ? dnsPeers(drafts) : []
  if (dns.length === 0) return { namespace, direction, objects: [deny], dnsServers: [] }
  const allow = layerObject(namespace, ALLOW_DNS, {
    podSelector: {},
    egress: [{
      to: dns.map((peer) => peerObject(peer, namespace)),
      ports: [{ protocol: 'TCP', port: DNS_PORT }, { protocol: 'UDP', port: DNS_PORT }],
    }],
    policyTypes: [policyType],
  })
  return { namespace, direction, objects: [deny, allow], dnsServers: dns.map((peer) => peer.workload) }
}

function layerObject(namespace: string, name: string, spec: Record<string, unknown>): Record<string, unknown> {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: {
      name, namespace,
      labels: { 'app.kubernetes.io/managed-by': 'flowfence' },
      annotations: { 'flowfence.dev/layer': 'declared' },
    },
    spec,
  }
}

type PodsPeer = Extract<PeerDraft, { kind: 'pods' }>

/**
 * The pods that workloads of the namespace were seen asking for DNS over UDP: those of the cluster, and others that every
 * workload which asks for DNS asks. What only some of them ask is not for everybody.
 */
function dnsPeers(drafts: readonly PolicyDraft[]): PodsPeer[] {
  const asked = drafts.map(askedForDns).filter((peers) => peers.size > 0)
  const peers = new Map(asked.flatMap((own) => [...own]))
  const isForAll = (p: PodsPeer): boolean => p.workload.namespace === SYSTEM_NAMESPACE || asked.every((own) => own.has(p.workload.key))
  return sortedBy([...peers.values()].filter(isForAll), (p) => p.workload.key)
}

function askedForDns(draft: PolicyDraft): Map<string, PodsPeer> {
  const rules = (draft.rules.get('egress') ?? []).filter((r) => (['UDP', 'TCP'] as const).every((protocol) => r.ports.get(protocol)?.has(DNS_PORT)))
  return new Map(rules.flatMap((r) => r.peers).flatMap((peer) => (peer.kind === 'pods' ? [[peer.workload.key, peer] as const] : [])))
}
