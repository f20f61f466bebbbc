import { ObjectReader } from '../base/object-reader.ts'
import type { FieldProblem } from '../base/object-reader.ts'
import { sortedBy } from '../base/order.ts'
import { ownerKey, resolveWorkload } from './owner.ts'
import type { OwnerReference } from './owner.ts'
import { TERMINATED_PHASES, readNodeAddresses, readOwner, readPodCidrs, readPodIps, readServiceAddresses } from './read-object.ts'
import { readContainerPorts, readServicePorts } from './read-ports.ts'
import { NAMESPACE_NAME_LABEL } from './snapshot.ts'
import type { ClusterSnapshot, SnapshotNamespace, SnapshotNode, SnapshotPod, SnapshotService, SnapshotWorkload } from './snapshot.ts'

type Plain = Readonly<Record<string, unknown>>

/** A problem of one of the objects given, by its place in the list. */
export interface SnapshotProblem extends FieldProblem {
  readonly object: number
}

export interface BuiltSnapshot {
  readonly snapshot: ClusterSnapshot
  readonly problems: readonly SnapshotProblem[]
}

/** Controllers whose pod templates are read. */
const TEMPLATE_KINDS = new Set(['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'ReplicationController', 'Job', 'CronJob', 'DeploymentConfig', 'Rollout'])

interface Draft {
  readonly namespaces: Map<string, SnapshotNamespace>
  readonly nodes: Map<string, SnapshotNode>
  readonly pods: Map<string, PodDraft>
  readonly services: Map<string, SnapshotService>
  readonly workloads: Map<string, SnapshotWorkload>
  readonly owners: Map<string, OwnerReference>
}

interface PodDraft extends Omit<SnapshotPod, 'workload'> {
  readonly owner: OwnerReference | undefined
}

/**
 * Builds a snapshot from Kubernetes objects; kinds that say nothing to policies (EndpointSlice, ConfigMap, ...) are passed over.
 * An object with a problem is left out and reported, the others stay. Of two objects of one name the later counts.
 */
export function buildSnapshot(objects: readonly unknown[]): BuiltSnapshot {
  const draft: Draft = { namespaces: new Map(), nodes: new Map(), pods: new Map(), services: new Map(), workloads: new Map(), owners: new Map() }
  const problems: SnapshotProblem[] = []
  for (const [index, object] of objects.entries()) {
    const reader = new ObjectReader()
    const add = readObject(object, reader)
    if (reader.problems.length > 0) problems.push(...reader.problems.map((p) => ({ object: index, ...p })))
    else add?.(draft)
  }
  return { snapshot: finish(draft), problems }
}

type Addition = (draft: Draft) => void

function readObject(value: unknown, reader: ObjectReader): Addition | undefined {
  const object = reader.object(value, '')
  const kind = reader.text(object.kind, 'kind') ?? ''
  const isKnown = kind === 'Namespace' || kind === 'Node' || kind === 'Pod' || kind === 'Service' || TEMPLATE_KINDS.has(kind)
  if (!isKnown) return undefined
  const metadata = reader.object(object.metadata, 'metadata')
  const name = reader.text(metadata.name, 'metadata.name') ?? ''
  if (name === '') reader.add('metadata.name', 'Required value')
  switch (kind) {
    case 'Namespace': return readNamespace(metadata, name, reader)
    case 'Node': return readNode(object, metadata, name, reader)
    case 'Pod': return readPod(object, metadata, name, reader)
    case 'Service': return readService(object, metadata, name, reader)
    default: return readWorkload(object, metadata, name, reader)
  }
}

function namespaceOf(metadata: Plain, reader: ObjectReader): string {
  const namespace = reader.text(metadata.namespace, 'metadata.namespace') ?? ''
  return namespace === '' ? 'default' : namespace
}

function readNamespace(metadata: Plain, name: string, reader: ObjectReader): Addition {
  const labels = { ...reader.texts(metadata.labels, 'metadata.labels'), [NAMESPACE_NAME_LABEL]: name }
  return (draft) => draft.namespaces.set(name, { labels, isComplete: true })
}

function readNode(object: Plain, metadata: Plain, name: string, reader: ObjectReader): Addition {
  const spec = reader.object(object.spec, 'spec')
  const status = reader.object(object.status, 'status')
  const addresses = readNodeAddresses(status, reader)
  const podCidrs = readPodCidrs(spec, reader)
  const labels = reader.texts(metadata.labels, 'metadata.labels')
  return (draft) => draft.nodes.set(name, { name, labels, addresses, podCidrs })
}

function readPod(object: Plain, metadata: Plain, name: string, reader: ObjectReader): Addition {
  const spec = reader.object(object.spec, 'spec')
  const status = reader.object(object.status, 'status')
  const namespace = namespaceOf(metadata, reader)
  const pod: PodDraft = {
    namespace,
    name,
    labels: reader.texts(metadata.labels, 'metadata.labels'),
    ips: readPodIps(status, reader),
    hostNetwork: spec.hostNetwork === true,
    nodeName: reader.text(spec.nodeName, 'spec.nodeName') ?? '',
    phase: reader.text(status.phase, 'status.phase') ?? '',
    ports: readContainerPorts(spec, 'spec', reader),
    owner: readOwner(metadata, reader),
  }
  return (draft) => draft.pods.set(`${namespace}\u0000${name}`, pod)
}

function readService(object: Plain, metadata: Plain, name: string, reader: ObjectReader): Addition {
  const spec = reader.object(object.spec, 'spec')
  const namespace = namespaceOf(metadata, reader)
  const service: SnapshotService = {
    namespace,
    name,
    type: reader.text(spec.type, 'spec.type') ?? 'ClusterIP',
    selector: spec.selector === undefined || spec.selector === null ? null : reader.texts(spec.selector, 'spec.selector'),
    clusterIps: readServiceAddresses(spec, reader),
    ports: readServicePorts(spec, reader),
  }
  return (draft) => draft.services.set(`${namespace}\u0000${name}`, service)
}

function readWorkload(object: Plain, metadata: Plain, name: string, reader: ObjectReader): Addition {
  const kind = String(object.kind)
  const namespace = namespaceOf(metadata, reader)
  const outer = reader.object(object.spec, 'spec')
  const spec = kind === 'CronJob' ? reader.object(reader.object(outer.jobTemplate, 'spec.jobTemplate').spec, 'spec.jobTemplate.spec') : outer
  const template = reader.object(spec.template, 'spec.template')
  const owner = readOwner(metadata, reader)
  const workload: SnapshotWorkload = {
    namespace,
    kind,
    name,
    templateLabels: reader.texts(reader.object(template.metadata, 'spec.template.metadata').labels, 'spec.template.metadata.labels'),
    selector: readSelector(spec.selector, reader),
    ports: readContainerPorts(reader.object(template.spec, 'spec.template.spec'), 'spec.template.spec', reader),
    isOwned: owner !== undefined,
  }
  return (draft) => {
    draft.workloads.set(ownerKey(kind, namespace, name), workload)
    if (owner !== undefined) draft.owners.set(ownerKey(kind, namespace, name), owner)
  }
}

/** matchLabels of a selector without expressions; a ReplicationController's selector is the labels themselves. */
function readSelector(value: unknown, reader: ObjectReader): Readonly<Record<string, string>> | null {
  const selector = reader.object(value, 'spec.selector')
  if (reader.list(selector.matchExpressions, 'spec.selector.matchExpressions').length > 0) return null
  const isWrapped = typeof selector.matchLabels === 'object' && selector.matchLabels !== null
  const labels = isWrapped ? reader.texts(selector.matchLabels, 'spec.selector.matchLabels') : reader.texts(selector, 'spec.selector')
  return Object.keys(labels).length === 0 ? null : labels
}

function finish(draft: Draft): ClusterSnapshot {
  const pods = [...draft.pods.values()].filter((pod) => !TERMINATED_PHASES.has(pod.phase)).map(({ owner, ...pod }): SnapshotPod => ({
    ...pod, workload: resolveWorkload(owner, pod.namespace, pod.labels, draft.owners),
  }))
  const named = [...pods, ...draft.services.values(), ...draft.workloads.values()].map((o) => o.namespace)
  for (const name of named) {
    if (!draft.namespaces.has(name)) draft.namespaces.set(name, { labels: { [NAMESPACE_NAME_LABEL]: name }, isComplete: false })
  }
  const place = (o: { namespace: string; name: string }): string => `${o.namespace}\u0000${o.name}`
  return {
    namespaces: new Map(sortedBy(draft.namespaces, ([name]) => name)),
    nodes: sortedBy(draft.nodes.values(), (n) => n.name),
    pods: sortedBy(pods, place),
    services: sortedBy(draft.services.values(), place),
    workloads: sortedBy(draft.workloads.values(), (w) => `${place(w)}\u0000${w.kind}`),
  }
}
