/**
 * Kubernetes objects reduced to what policies and flows need, in the shape of the objects themselves.
 *
 * In: an object of any kind. Out: the reduced document, its *face* (equal faces mean that nothing changed but a pod's progress) and the instance it
 * is; `undefined` for kinds that are not kept. Never kept: environment, annotations, managed fields, data of any kind. Of a pod's container statuses
 * only two times remain: `status.addressedAt`, when it provably had its address, and `status.finishedAt`, when its last container ended.
 */
import { ObjectReader } from '../base/object-reader.ts'
import type { FieldProblem } from '../base/object-reader.ts'
import { canonicalJson } from '../base/order.ts'
import { parseTimeUs } from '../base/time.ts'
import { buildSnapshot } from './build-snapshot.ts'
import type { StateDocument, StateKind } from './object-version.ts'
import { STATE_KINDS } from './object-version.ts'
import { TERMINATED_PHASES } from './read-object.ts'

type Plain = Readonly<Record<string, unknown>>

/** A document larger than this is refused: no object of the kinds kept comes near it. */
const MAX_DOCUMENT_CHARACTERS = 512 * 1024
const MAX_NAME_CHARACTERS = 253
const CLUSTER_WIDE: ReadonlySet<string> = new Set(['Namespace', 'Node'])

export interface ReducedObject {
  readonly kind: StateKind
  readonly namespace: string
  readonly name: string
  /** See `instanceOf`. */
  readonly instance: string
  readonly document: StateDocument
  /** Canonical JSON of the document. */
  readonly documentText: string
  readonly face: string
}

export type Reduction = ReducedObject | { readonly problems: readonly FieldProblem[] } | undefined

/** `atUs`: the moment of the state, which tells apart objects that have neither uid nor creation time. Throws nothing, whatever the object. */
export function reduceObject(value: unknown, atUs: number): Reduction {
  const reader = new ObjectReader()
  const object = reader.object(value, '')
  const kind = STATE_KINDS.find((k) => k === object.kind)
  if (kind === undefined && reader.problems.length === 0) return undefined
  if (kind === 'NetworkPolicy' && object.apiVersion !== 'networking.k8s.io/v1') return undefined
  const { problems } = buildSnapshot([value])
  const metadata = reader.object(object.metadata, 'metadata')
  const name = reader.text(metadata.name, 'metadata.name') ?? ''
  if (name === '') reader.add('metadata.name', 'Required value')
  if (name.length > MAX_NAME_CHARACTERS) reader.add('metadata.name', `must be no more than ${MAX_NAME_CHARACTERS} characters`)
  const found = [...problems, ...reader.problems]
  if (kind === undefined || found.length > 0) return { problems: found }
  const given = reader.text(metadata.namespace, 'metadata.namespace') ?? ''
  const namespace = CLUSTER_WIDE.has(kind) ? '' : given === '' ? 'default' : given
  const document = { apiVersion: object.apiVersion, kind, metadata: reduceMetadata(metadata, { kind, namespace, name }), ...reduceBody(kind, object, reader) }
  if (reader.problems.length > 0) return { problems: reader.problems }
  return finish({ kind, namespace, name, instance: instanceOf(metadata, name, atUs) }, document)
}

/** JSON.parse takes any depth, JSON.stringify does not; and jsonb takes neither NUL nor lone surrogates. */
function finish(of: Pick<ReducedObject, 'kind' | 'namespace' | 'name' | 'instance'>, document: Plain): Reduction {
  try {
    const documentText = canonicalJson(document)
    if (documentText.length > MAX_DOCUMENT_CHARACTERS) return { problems: [{ field: '', message: `Too large: more than ${MAX_DOCUMENT_CHARACTERS} characters` }] }
    if (/\\u0000|\\ud[89a-f]/i.test(documentText)) return { problems: [{ field: '', message: 'holds characters that cannot be stored' }] }
    return { ...of, document: JSON.parse(documentText) as StateDocument, documentText, face: faceOf(of.kind, document) }
  } catch {
    return { problems: [{ field: '', message: 'nested too deeply' }] }
  }
}

/**
 * The uid; without one, name and creation time; without both, name and moment of the state: then nothing says that the object of the next state is
 * the same one, and no claim spans the two.
 */
function instanceOf(metadata: Plain, name: string, atUs: number): string {
  if (typeof metadata.uid === 'string' && metadata.uid !== '') return metadata.uid.slice(0, 200)
  const createdUs = typeof metadata.creationTimestamp === 'string' ? parseTimeUs(metadata.creationTimestamp) : undefined
  return `${name}@${createdUs === undefined ? `state ${atUs}` : createdUs}`
}

function reduceMetadata(metadata: Plain, { kind, namespace, name }: { kind: StateKind; namespace: string; name: string }): Plain {
  const owners = Array.isArray(metadata.ownerReferences) ? (metadata.ownerReferences as unknown[]).filter(isPlain) : []
  const serviceName = isPlain(metadata.labels) ? metadata.labels[SERVICE_NAME_LABEL] : undefined
  return defined({
    name,
    namespace: namespace === '' ? undefined : namespace,
    uid: metadata.uid,
    labels: kind === 'EndpointSlice' ? defined({ [SERVICE_NAME_LABEL]: serviceName }) : isPlain(metadata.labels) ? metadata.labels : undefined,
    creationTimestamp: timeText(metadata.creationTimestamp),
    deletionTimestamp: timeText(metadata.deletionTimestamp),
    ownerReferences: owners.length === 0 ? undefined : owners.map((o) => defined({ kind: o.kind, name: o.name, controller: o.controller === true ? true : undefined })),
  })
}

/** The label that ties an EndpointSlice to its service. */
export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name'

function reduceBody(kind: StateKind, object: Plain, reader: ObjectReader): Plain {
  const spec = reader.object(object.spec, 'spec')
  const status = reader.object(object.status, 'status')
  switch (kind) {
    case 'Namespace': return {}
    case 'Node': return { spec: pick(spec, ['podCIDR', 'podCIDRs']), status: { addresses: status.addresses } }
    case 'Pod': return { spec: { ...pick(spec, ['hostNetwork', 'nodeName']), ...reduceContainers(spec) }, status: reducePodStatus(status) }
    case 'Service': return { spec: pick(spec, ['type', 'selector', 'clusterIP', 'clusterIPs', 'ports']) }
    case 'EndpointSlice': return { ...pick(object, ['addressType', 'ports']), endpoints: reduceEndpoints(object, reader) }
    case 'NetworkPolicy': return { spec }
    case 'CronJob': return { spec: { jobTemplate: { spec: reduceTemplate(plainOf(plainOf(spec.jobTemplate).spec)) } } }
    default: return { spec: reduceTemplate(spec) }
  }
}

function reduceTemplate(spec: Plain): Plain {
  const template = plainOf(spec.template)
  return defined({ selector: spec.selector, template: { metadata: pick(plainOf(template.metadata), ['labels']), spec: reduceContainers(plainOf(template.spec)) } })
}

/** Ports only, and what tells a sidecar from a container that ends before the others start. */
function reduceContainers(spec: Plain): Plain {
  const ports = (list: unknown): Plain[] => listOf(list).filter((c) => listOf(c.ports).length > 0)
    .map((c) => defined({ restartPolicy: c.restartPolicy, ports: listOf(c.ports).map((p) => pick(p, ['name', 'containerPort', 'protocol'])) }))
  const sidecars = ports(listOf(spec.initContainers).filter((c) => c.restartPolicy === 'Always'))
  return defined({ containers: ports(spec.containers), initContainers: sidecars.length === 0 ? undefined : sidecars })
}

function reducePodStatus(status: Plain): Plain {
  const isTerminated = typeof status.phase === 'string' && TERMINATED_PHASES.has(status.phase)
  return defined({
    ...pick(status, ['phase', 'podIP', 'podIPs']),
    startTime: timeText(status.startTime),
    addressedAt: addressedAt(status),
    finishedAt: isTerminated ? finishedAt(status) : undefined,
  })
}

/**
 * When the pod provably had its address: when its network was set up (condition PodReadyToStartContainers), else when the first of its containers that
 * never restarted started. Before, it cannot have sent anything. `undefined` when the status does not tell.
 */
function addressedAt(status: Plain): string | undefined {
  const ready = listOf(status.conditions).find((c) => c.type === 'PodReadyToStartContainers' && c.status === 'True')
  if (ready !== undefined && timeText(ready.lastTransitionTime) !== undefined) return timeText(ready.lastTransitionTime)
  const starts = [...listOf(status.initContainerStatuses), ...listOf(status.containerStatuses)].filter((c) => c.restartCount === 0).flatMap((c) => {
    const state = plainOf(c.state)
    return timeText(plainOf(state.running).startedAt) ?? timeText(plainOf(state.terminated).startedAt) ?? []
  })
  return starts.reduce<string | undefined>((first, start) => (first === undefined || timeOf(start) < timeOf(first) ? start : first), undefined)
}

/** The end of the last container, when all of them are known to have ended. */
function finishedAt(status: Plain): string | undefined {
  const containers = listOf(status.containerStatuses)
  const ends = containers.map((c) => timeText(plainOf(plainOf(c.state).terminated).finishedAt))
  if (ends.length === 0 || ends.includes(undefined)) return undefined
  return (ends as string[]).reduce((last, end) => (timeOf(end) > timeOf(last) ? end : last))
}

function reduceEndpoints(object: Plain, reader: ObjectReader): Plain[] {
  const endpoints = reader.list(object.endpoints, 'endpoints').map((item, i) => reader.object(item, `endpoints[${i}]`))
  const reduced = endpoints.map((e) => defined({ addresses: e.addresses, targetRef: isPlain(e.targetRef) ? pick(e.targetRef, ['kind', 'namespace', 'name', 'uid']) : undefined }))
  return reduced.map((e) => [canonicalJson(e), e] as const).sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([, e]) => e)
}

/** What must be equal for two sightings to be one version: everything but the progress of a pod within one way of holding its address. */
function faceOf(kind: StateKind, document: Plain): string {
  const metadata = { ...plainOf(document.metadata), deletionTimestamp: undefined }
  if (kind !== 'Pod') return canonicalJson({ ...document, metadata })
  const { podIP, podIPs, phase } = plainOf(document.status)
  return canonicalJson({ ...document, metadata, status: { podIP, podIPs, isTerminated: typeof phase === 'string' && TERMINATED_PHASES.has(phase) } })
}

function timeText(value: unknown): string | undefined {
  return typeof value === 'string' && parseTimeUs(value) !== undefined ? value : undefined
}

function timeOf(text: string): number {
  return parseTimeUs(text) ?? 0
}

function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function plainOf(value: unknown): Plain {
  return isPlain(value) ? value : {}
}

function listOf(value: unknown): Plain[] {
  return Array.isArray(value) ? (value as unknown[]).filter(isPlain) : []
}

function pick(object: Plain, keys: readonly string[]): Plain {
  return defined(Object.fromEntries(keys.map((key) => [key, object[key]])))
}

function defined(object: Plain): Plain {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined && value !== null))
}
