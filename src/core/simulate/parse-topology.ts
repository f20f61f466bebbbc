/**
 * Parses the input of `simulate`.
 *
 * In: parsed documents (one file, or workloads, services and edges apart). Out: a Topology whose every reference is
 * resolved, or all problems with the field that holds each. Invariants: every end of an edge exists, ports are
 * 1..65535, schedules and times parse. Leaves reading files to manifests/load-topology.ts. Cost: O(workloads + edges).
 */
import { TopologyReader, childField } from './topology-reader.ts'
import type { Fields } from './topology-reader.ts'
import type { TopologyContainer, TopologyEdge, TopologyEnd, TopologyResult, TopologyService, TopologyWorkload } from './topology.ts'

/** Parses and validates; several documents are read as one (workloads, services and edges may lie apart). */
export function parseTopology(documents: readonly unknown[]): TopologyResult {
  const reader = new TopologyReader()
  const roots = documents.map((d, i) => reader.fields(d, documents.length === 1 ? '' : `document ${i + 1}`)).filter((d) => d !== undefined)
  const items = (...keys: string[]): { fields: Fields; at: string }[] => roots.flatMap((root) => keys.flatMap((key) => reader.list(root, key)))
  const namespaces = items('namespaces').map(({ fields, at }) => ({ name: reader.name(fields, 'name', at), labels: reader.labels(fields, 'labels', at) }))
  const known: Known = { namespaces: new Set(namespaces.map((n) => n.name)), workloads: new Map(), services: new Set(), loss: 0 }
  for (const root of roots) known.loss = Math.max(known.loss, reader.share(root, 'loss', ''))
  const workloads = items('workloads', 'infrastructureWorkloads').map(({ fields, at }) => readWorkload(reader, known, fields, at))
  const services = items('services', 'infrastructureServices').map(({ fields, at }) => readService(reader, known, fields, at))
  const edges = items('edges', 'infrastructureEdges').map(({ fields, at }) => readEdge(reader, known, fields, at)).filter((e) => e !== undefined)
  if (namespaces.length === 0) reader.problem('namespaces', 'is missing or empty: list every namespace with its labels')
  if (workloads.length === 0) reader.problem('workloads', 'is missing or empty: list every workload with kind, name, namespace and podLabels')
  if (!roots.some((root) => root.values['edges'] !== undefined || root.values['infrastructureEdges'] !== undefined)) reader.problem('edges', 'is missing: list who calls whom')
  return reader.problems.length > 0 ? { problems: reader.problems } : { topology: { namespaces, workloads, services, edges } }
}

interface Known {
  readonly namespaces: ReadonlySet<string>
  readonly workloads: Map<string, TopologyWorkload>
  readonly services: Set<string>
  loss: number
}

function readNamespace(reader: TopologyReader, known: Known, fields: Fields, at: string): string {
  const namespace = reader.name(fields, 'namespace', at)
  if (namespace !== '' && !known.namespaces.has(namespace)) reader.problem(childField(at, 'namespace'), `namespace "${namespace}" is not listed under namespaces`)
  return namespace
}

function readWorkload(reader: TopologyReader, known: Known, fields: Fields, at: string): TopologyWorkload {
  const kind = reader.text(fields, 'kind', at) ?? ''
  const name = reader.name(fields, 'name', at)
  const namespace = readNamespace(reader, known, fields, at)
  const key = `${kind}/${namespace}/${name}`
  const workload: TopologyWorkload = {
    key, kind, namespace, name,
    podLabels: reader.labels(fields, 'podLabels', at),
    controllerLabels: reader.labels(fields, 'controllerLabels', at),
    serviceAccount: reader.optionalText(fields, 'serviceAccount', at) ?? 'default',
    hostNetwork: reader.flag(fields, 'hostNetwork', at),
    replicas: reader.optionalNumber(fields, 'replicas', at, { min: 0, max: 5000, isWhole: true }),
    schedule: reader.schedule(fields, 'schedule', at),
    containers: reader.list(fields, 'containers', at).map((c, i) => readContainer(reader, c.fields, { at: c.at, index: i })),
  }
  if (known.workloads.has(key)) reader.problem(at, `workload ${key} is listed twice`)
  known.workloads.set(key, workload)
  return workload
}

function readContainer(reader: TopologyReader, fields: Fields, place: { at: string; index: number }): TopologyContainer {
  return {
    name: reader.optionalText(fields, 'name', place.at) ?? `container-${place.index + 1}`,
    image: reader.optionalText(fields, 'image', place.at),
    ports: reader.list(fields, 'ports', place.at).map((p) => ({
      name: reader.optionalText(p.fields, 'name', p.at),
      port: reader.port(p.fields, 'containerPort', p.at),
      protocol: reader.protocol(p.fields, 'protocol', p.at),
    })),
  }
}

function readService(reader: TopologyReader, known: Known, fields: Fields, at: string): TopologyService {
  const name = reader.name(fields, 'name', at)
  const namespace = readNamespace(reader, known, fields, at)
  known.services.add(`${name}.${namespace}`)
  return {
    name, namespace,
    type: reader.optionalText(fields, 'type', at) ?? 'ClusterIP',
    labels: reader.labels(fields, 'labels', at),
    selector: reader.labels(fields, 'selector', at),
    isHeadless: reader.flag(fields, 'headless', at) || fields.values['clusterIP'] === 'None',
    ports: reader.list(fields, 'ports', at).map((p) => {
      const port = reader.port(p.fields, 'port', p.at)
      return {
        name: reader.optionalText(p.fields, 'name', p.at),
        port,
        targetPort: reader.targetPort(p.fields, 'targetPort', p.at) ?? port,
        protocol: reader.protocol(p.fields, 'protocol', p.at),
        nodePort: reader.optionalNumber(p.fields, 'nodePort', p.at, { min: 1, max: 65535, isWhole: true }),
      }
    }),
  }
}

function readEdge(reader: TopologyReader, known: Known, fields: Fields, at: string): TopologyEdge | undefined {
  const fromFields = reader.child(fields, 'from', at)
  const toFields = reader.child(fields, 'to', at)
  if (fromFields === undefined || toFields === undefined) return undefined
  const toAt = childField(at, 'to')
  const from = readEnd(reader, known, fromFields, childField(at, 'from'))
  const to = readEnd(reader, known, toFields, toAt)
  if (to?.type === 'kubelet') reader.problem(toAt, 'the kubelet only calls; to reach nodes write special: node')
  const port = reader.port(toFields, 'port', toAt)
  const via = readVia(reader, known, toFields, toAt)
  if (from === undefined || to === undefined) return undefined
  if (from.type !== 'workload' && to.type !== 'workload') reader.problem(at, 'neither end is a workload')
  return {
    id: reader.optionalText(fields, 'id', at) ?? at,
    category: reader.optionalText(fields, 'category', at) ?? '',
    from, to, port, via,
    protocol: reader.protocol(toFields, 'protocol', toAt),
    isConditional: reader.flag(fields, 'conditional', at),
    ratePerMinute: reader.optionalNumber(fields, 'ratePerMinute', at, { min: 0, max: 1_000_000, isWhole: false }),
    schedule: reader.schedule(fields, 'schedule', at),
    startsAt: reader.moment(fields, 'startsAt', at),
    endsAt: reader.moment(fields, 'endsAt', at),
    loss: Math.max(known.loss, reader.share(fields, 'loss', at)),
  }
}

function readEnd(reader: TopologyReader, known: Known, fields: Fields, at: string): TopologyEnd | undefined {
  const special = reader.optionalText(fields, 'special', at)
  if (special === 'kubelet' || special === 'node' || special === 'kube-apiserver') return { type: special }
  if (special !== undefined) {
    reader.problem(childField(at, 'special'), `"${special}" is not one of kubelet, node, kube-apiserver`)
    return undefined
  }
  const isExternal = reader.flag(fields, 'external', at) || fields.values['fqdn'] !== undefined
  if (isExternal) {
    const end = { type: 'external' as const, ip: reader.address(fields, 'ip', at), fqdn: reader.domain(fields, 'fqdn', at), cidr: reader.cidr(fields, 'cidr', at) }
    if (end.ip === undefined && end.fqdn === undefined && end.cidr === undefined) reader.problem(at, 'an external end needs ip, fqdn or cidr')
    return end
  }
  const key = `${reader.text(fields, 'kind', at) ?? ''}/${reader.text(fields, 'namespace', at) ?? ''}/${reader.text(fields, 'name', at) ?? ''}`
  const workload = known.workloads.get(key)
  if (workload === undefined) {
    reader.problem(at, `unknown end ${key}: no such workload; add it to workloads or infrastructureWorkloads`)
    return undefined
  }
  return { type: 'workload', workload }
}

function readVia(reader: TopologyReader, known: Known, to: Fields, toAt: string): TopologyEdge['via'] {
  const fields = to.values['via'] === undefined ? undefined : reader.child(to, 'via', toAt)
  if (fields === undefined) return undefined
  const at = childField(toAt, 'via')
  const service = reader.text(fields, 'service', at)
  if (service === undefined) return undefined
  if (!known.services.has(service)) reader.problem(childField(at, 'service'), `unknown service "${service}": write name.namespace of a listed service`)
  const dot = service.indexOf('.')
  return {
    name: service.slice(0, dot),
    namespace: service.slice(dot + 1),
    port: reader.optionalNumber(fields, 'servicePort', at, { min: 1, max: 65535, isWhole: true }),
    portName: reader.optionalText(fields, 'servicePortName', at),
  }
}
