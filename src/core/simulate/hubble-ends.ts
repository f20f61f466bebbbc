import { compareText } from '../base/order.ts'
import type { Labels } from '../flow/end.ts'
import type { Endpoint, EndpointTable } from './endpoints.ts'
import type { ClusterPlan, PlannedPod } from './plan-cluster.ts'
import { hashText } from './random.ts'
import type { Topology } from './topology.ts'

/** JSON texts of the ends of Hubble records, serialised once. */
export interface HubbleEnds {
  /** By endpoint index, as the endpoint's own node reports it: with endpoint id and workload. */
  readonly local: readonly string[]
  /** By endpoint index, as other nodes report it. */
  readonly remote: readonly string[]
}

/**
 * Pod labels that Cilium's default filter keeps out of the identity (Cilium "identity-relevant labels"); the labels of
 * job names stay, so every run of a job is an identity of its own.
 */
const DROPPED_LABELS = new Set([
  'pod-template-hash', 'pod-template-generation', 'controller-revision-hash', 'controller-uid', 'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index', 'batch.kubernetes.io/controller-uid', 'batch.kubernetes.io/job-completion-index', 'etcd_node',
])
const DROPPED_PREFIX = /^(io\.kubernetes|kubernetes\.io|k8s\.io|beta\.kubernetes\.io|annotation)/

/** Numbers of reserved identities. */
const HOST = 1
const WORLD = 2
const REMOTE_NODE = 6
const KUBE_APISERVER = 7
const FIRST_CIDR_IDENTITY = 16_777_217

export function createHubbleEnds(world: { topology: Topology; cluster: ClusterPlan; endpoints: EndpointTable }, cluster: string): HubbleEnds {
  const namespaceLabels = new Map(world.topology.namespaces.map((n) => [n.name, n.labels]))
  const identities = new Map<string, number>()
  const local: string[] = []
  const remote: string[] = []
  for (const endpoint of world.endpoints.all) {
    const { pod } = endpoint
    if (pod === undefined) {
      local.push(reservedText(endpoint, true))
      remote.push(reservedText(endpoint, false))
      continue
    }
    const labels = ciliumLabels(pod, namespaceLabels.get(pod.workload.namespace) ?? {}, cluster)
    const key = labels.join('\n')
    const identity = identities.get(key) ?? 1000 + (hashText(`identity/${key}`) % 60_000)
    identities.set(key, identity)
    const text = podText(pod, { identity, labels, cluster })
    local.push(text.local)
    remote.push(text.remote)
  }
  return { local, remote }
}

function podText(pod: PlannedPod, about: { identity: number; labels: readonly string[]; cluster: string }): { local: string; remote: string } {
  const { kind, name } = pod.workload
  const id = 16 + (hashText(`id/${pod.name}`) % 4000)
  const body = `"identity":${about.identity},"cluster_name":${JSON.stringify(about.cluster)},"namespace":${JSON.stringify(pod.workload.namespace)},"labels":${
    JSON.stringify(about.labels)},"pod_name":${JSON.stringify(pod.name)}`
  const workloads = kind === 'Pod' ? '' : `,"workloads":[${JSON.stringify({ name, kind })}]`
  return { local: `{"ID":${id},${body}${workloads}}`, remote: `{${body}}` }
}

/** The identity's labels in Cilium's form, sorted: pod labels, namespace labels and Cilium's own. */
function ciliumLabels(pod: PlannedPod, namespaceLabels: Labels, cluster: string): string[] {
  const { namespace, serviceAccount } = pod.workload
  const kept = Object.entries(pod.labels).filter(([key]) => !DROPPED_LABELS.has(key) && !DROPPED_PREFIX.test(key))
  return [
    ...kept.map(([key, value]) => `k8s:${key}=${value}`),
    ...Object.entries(namespaceLabels).map(([key, value]) => `k8s:io.cilium.k8s.namespace.labels.${key}=${value}`),
    `k8s:io.cilium.k8s.policy.cluster=${cluster}`,
    `k8s:io.cilium.k8s.policy.serviceaccount=${serviceAccount}`,
    `k8s:io.kubernetes.pod.namespace=${namespace}`,
  ].sort(compareText)
}

/** Ends without a pod. One outside address in three carries a CIDR label, as after a policy named it. */
function reservedText(endpoint: Endpoint, isOwnNode: boolean): string {
  const text = (identity: number, ...labels: string[]): string => JSON.stringify({ identity, labels })
  if (endpoint.kind === 'kube-apiserver') {
    return isOwnNode ? text(HOST, 'reserved:host', 'reserved:kube-apiserver') : text(KUBE_APISERVER, 'reserved:kube-apiserver', 'reserved:remote-node')
  }
  if (endpoint.kind === 'node') return isOwnNode ? text(HOST, 'reserved:host') : text(REMOTE_NODE, 'reserved:remote-node')
  if (endpoint.fqdn === undefined || hashText(`cidr/${endpoint.ip}`) % 3 !== 0) return text(WORLD, 'reserved:world')
  const prefix = endpoint.ip.includes(':') ? 128 : 32
  return text(FIRST_CIDR_IDENTITY + endpoint.index, `cidr:${endpoint.ip.replaceAll(':', '-')}/${prefix}`, 'reserved:world')
}
