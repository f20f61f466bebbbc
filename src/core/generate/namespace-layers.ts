/**
 * Namespace layers (DESIGN.md §3.5): default-deny per direction, and DNS for everybody where egress is denied by default.
 *
 * A layer is emitted only for a direction in which every known workload of the namespace has a policy with accepted evidence:
 * otherwise it would cut off a workload that was merely silent. Layers are marked `declared`; what they admit beyond the evidence is listed as a widening.
 */
import { compareText, sortedBy } from '../base/order.ts'
import type { Workload } from '../flow/workloads.ts'
import type { Direction } from '../policy/network-policy.ts'
import { DNS_PORT } from './cover-cells.ts'
import { peerObject } from './policy-draft.ts'
import type { PeerDraft, PolicyDraft } from './policy-draft.ts'

/** Names that layers have in every namespace; no workload's policy may have one. */
export const LAYER_NAMES: ReadonlySet<string> = new Set(['default-deny-ingress', 'default-deny-egress', 'allow-dns'])

export interface NamespaceLayer {
  readonly namespace: string
  readonly direction: Direction
  readonly objects: readonly Record<string, unknown>[]
  /** Workloads that everybody in the namespace may ask for DNS; only with the egress layer. */
  readonly dnsServers: readonly Workload[]
}

export function layerNamespaces(drafts: readonly PolicyDraft[], known: readonly Workload[]): NamespaceLayer[] {
  const namespaces = [...new Set(drafts.map((d) => d.workload.namespace))].sort(compareText)
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
  const allow = layerObject(namespace, 'allow-dns', {
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

/** The pods that workloads of the namespace were seen asking for DNS over UDP. */
function dnsPeers(drafts: readonly PolicyDraft[]): PodsPeer[] {
  const peers = new Map<string, PodsPeer>()
  for (const draft of drafts) {
    for (const rule of draft.rules.get('egress') ?? []) {
      if (rule.ports.get('UDP')?.has(DNS_PORT) !== true) continue
      for (const peer of rule.peers) if (peer.kind === 'pods') peers.set(peer.workload.key, peer)
    }
  }
  return sortedBy(peers.values(), (p) => p.workload.key)
}
