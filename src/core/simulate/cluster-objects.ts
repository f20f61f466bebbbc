import { formatTimeUs } from '../base/time.ts'
import type { Labels } from '../flow/end.ts'
import type { ClusterPlan, PlannedNode, PlannedPod, PlannedService, SimulationRange } from './plan-cluster.ts'
import { hashText } from './random.ts'
import type { Topology, TopologyWorkload } from './topology.ts'

type KubernetesObject = Readonly<Record<string, unknown>>

const API_VERSIONS: Readonly<Record<string, string>> = {
  Deployment: 'apps/v1', ReplicaSet: 'apps/v1', StatefulSet: 'apps/v1', DaemonSet: 'apps/v1', CronJob: 'batch/v1', Job: 'batch/v1',
  StrimziPodSet: 'core.strimzi.io/v1beta2',
}
/** Finished jobs that a CronJob keeps (Kubernetes' successfulJobsHistoryLimit). */
const KEPT_JOBS = 3

/**
 * The Kubernetes objects at the end of the range, as `kubectl get` would list them: namespaces, nodes, controllers,
 * the pods that live then and the last finished job pods, services.
 */
export function clusterObjectsOf(topology: Topology, cluster: ClusterPlan, range: SimulationRange): KubernetesObject[] {
  const pods = podsAtEnd(cluster.pods, range)
  const objects = [
    ...namespacesOf(topology),
    ...cluster.nodes.map(nodeObject),
    ...topology.workloads.filter((w) => w.kind !== 'Pod').map((w) => workloadObject(w, cluster.podsOf.get(w.key) ?? [])),
    ...ownersOf(pods),
    ...pods.map((p) => podObject(p, cluster.nodes[p.nodeIndex] as PlannedNode, range)),
    kubernetesService(),
    ...cluster.services.map(serviceObject),
  ]
  return objects
}

function podsAtEnd(pods: readonly PlannedPod[], range: SimulationRange): PlannedPod[] {
  const living = pods.filter((p) => p.fromUs < range.endUs && p.untilUs >= range.endUs)
  const finished = pods.filter((p) => p.workload.kind === 'CronJob' && p.untilUs < range.endUs)
  const kept = finished.filter((p) => finished.filter((o) => o.workload === p.workload && o.fromUs > p.fromUs).length < KEPT_JOBS)
  return [...living, ...kept]
}

function metadata(kind: string, name: string, fields: { namespace?: string; labels?: Labels }): KubernetesObject {
  return {
    name,
    ...(fields.namespace === undefined ? {} : { namespace: fields.namespace }),
    uid: uidOf(kind, fields.namespace ?? '', name),
    ...(fields.labels === undefined || Object.keys(fields.labels).length === 0 ? {} : { labels: fields.labels }),
  }
}

/** A UUID that is a function of the object's name. */
function uidOf(kind: string, namespace: string, name: string): string {
  const hex = ['a', 'b', 'c', 'd'].map((part) => hashText(`${part}/${kind}/${namespace}/${name}`).toString(16).padStart(8, '0')).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
}

function namespacesOf(topology: Topology): KubernetesObject[] {
  const listed = new Set(topology.namespaces.map((n) => n.name))
  const always = ['default', 'kube-system'].filter((name) => !listed.has(name)).map((name) => ({ name, labels: {} }))
  return [...always, ...topology.namespaces].map((n) => ({
    apiVersion: 'v1', kind: 'Namespace',
    metadata: metadata('Namespace', n.name, { labels: { 'kubernetes.io/metadata.name': n.name, ...n.labels } }),
    status: { phase: 'Active' },
  }))
}

function nodeObject(node: PlannedNode): KubernetesObject {
  const labels = { 'kubernetes.io/hostname': node.name, 'kubernetes.io/os': 'linux', ...(node.isControlPlane ? { 'node-role.kubernetes.io/control-plane': '' } : {}) }
  return {
    apiVersion: 'v1', kind: 'Node',
    metadata: metadata('Node', node.name, { labels }),
    spec: { podCIDR: node.podCidrs[0], podCIDRs: node.podCidrs },
    status: { addresses: [{ type: 'InternalIP', address: node.ip }, { type: 'Hostname', address: node.name }] },
  }
}

function workloadObject(workload: TopologyWorkload, pods: readonly PlannedPod[]): KubernetesObject {
  const { kind, name, namespace, podLabels } = workload
  const template = { metadata: { labels: podLabels }, spec: podSpec(workload) }
  const spec = kind === 'CronJob'
    ? { jobTemplate: { spec: { template } } }
    : kind === 'Job'
      ? { template }
      : { selector: { matchLabels: podLabels }, ...(kind === 'DaemonSet' ? {} : { replicas: pods.filter((p) => p.untilUs === Infinity).length }), template }
  return { apiVersion: API_VERSIONS[kind] ?? 'v1', kind, metadata: metadata(kind, name, { namespace, labels: podLabels }), spec }
}

/** ReplicaSets and Jobs between workloads and their pods. */
function ownersOf(pods: readonly PlannedPod[]): KubernetesObject[] {
  const seen = new Set<string>()
  const owners: KubernetesObject[] = []
  for (const pod of pods) {
    const { kind, namespace, name, podLabels } = pod.workload
    if (pod.owner === undefined || seen.has(`${namespace}/${pod.owner}`)) continue
    seen.add(`${namespace}/${pod.owner}`)
    const ownerKind = kind === 'CronJob' ? 'Job' : 'ReplicaSet'
    const spec = ownerKind === 'Job' ? {} : { selector: { matchLabels: { ...podLabels, 'pod-template-hash': pod.labels['pod-template-hash'] } } }
    owners.push({
      apiVersion: API_VERSIONS[ownerKind], kind: ownerKind,
      metadata: { ...metadata(ownerKind, pod.owner, { namespace, labels: pod.labels }), ownerReferences: [ownerReference(kind, namespace, name)] },
      spec,
    })
  }
  return owners
}

function ownerReference(kind: string, namespace: string, name: string): KubernetesObject {
  return { apiVersion: API_VERSIONS[kind] ?? 'v1', kind, name, uid: uidOf(kind, namespace, name), controller: true, blockOwnerDeletion: true }
}

function podSpec(workload: TopologyWorkload): KubernetesObject {
  return {
    serviceAccountName: workload.serviceAccount,
    ...(workload.hostNetwork ? { hostNetwork: true } : {}),
    containers: workload.containers.map((c) => ({
      name: c.name,
      ...(c.image === undefined ? {} : { image: c.image }),
      ports: c.ports.map((p) => ({ ...(p.name === undefined ? {} : { name: p.name }), containerPort: p.port, protocol: p.protocol })),
    })),
  }
}

function podObject(pod: PlannedPod, node: PlannedNode, range: SimulationRange): KubernetesObject {
  const { kind, namespace, name } = pod.workload
  const owner = pod.owner === undefined ? (kind === 'Pod' ? undefined : ownerReference(kind, namespace, name)) : ownerReference(kind === 'CronJob' ? 'Job' : 'ReplicaSet', namespace, pod.owner)
  const startUs = Number.isFinite(pod.fromUs) ? pod.fromUs : range.startUs - 86_400_000_000
  const ips = pod.ip6 === undefined ? [pod.ip] : [pod.ip, pod.ip6]
  return {
    apiVersion: 'v1', kind: 'Pod',
    metadata: {
      ...metadata('Pod', pod.name, { namespace, labels: pod.labels }),
      creationTimestamp: formatTimeUs(Math.floor(startUs / 1_000_000) * 1_000_000),
      ...(owner === undefined ? {} : { ownerReferences: [owner] }),
    },
    spec: { nodeName: node.name, ...podSpec(pod.workload) },
    status: { phase: pod.untilUs >= range.endUs ? 'Running' : 'Succeeded', hostIP: node.ip, podIP: pod.ip, podIPs: ips.map((ip) => ({ ip })) },
  }
}

function kubernetesService(): KubernetesObject {
  return {
    apiVersion: 'v1', kind: 'Service',
    metadata: metadata('Service', 'kubernetes', { namespace: 'default', labels: { component: 'apiserver', provider: 'kubernetes' } }),
    spec: { type: 'ClusterIP', clusterIP: '10.96.0.1', clusterIPs: ['10.96.0.1'], ports: [{ name: 'https', port: 443, targetPort: 6443, protocol: 'TCP' }] },
  }
}

function serviceObject({ service, clusterIp }: PlannedService): KubernetesObject {
  return {
    apiVersion: 'v1', kind: 'Service',
    metadata: metadata('Service', service.name, { namespace: service.namespace, labels: service.labels }),
    spec: {
      type: service.type, clusterIP: clusterIp, clusterIPs: [clusterIp],
      ...(Object.keys(service.selector).length === 0 ? {} : { selector: service.selector }),
      ports: service.ports.map((p) => ({
        ...(p.name === undefined ? {} : { name: p.name }), port: p.port, targetPort: p.targetPort, protocol: p.protocol,
        ...(p.nodePort === undefined ? {} : { nodePort: p.nodePort }),
      })),
    },
  }
}
