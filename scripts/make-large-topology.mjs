/**
 * Writes examples/large-200.yaml to stdout: 200 invented workloads in 20 namespaces, always the same bytes.
 *
 * The shape follows measured applications (22 real ones, 386 workloads): nearly half of the workloads call nobody, half of
 * the others one or two, a few very many; a third is called by nobody and a handful of hubs takes most calls; one edge in
 * eight leaves its namespace; one Service port in ten differs from the pod's; one Service in six is headless; 58 % of
 * the ports have names; a little more than one infrastructure edge (DNS, probe, API server, scrape) for each edge.
 * Run: node scripts/make-large-topology.mjs > examples/large-200.yaml
 */
const WORKLOADS = 200
/** Workloads per namespace: a few large ones, many small. */
const SIZES = [30, 22, 16, 14, 12, 11, 10, 10, 9, 9, 8, 8, 7, 7, 6, 6, 5, 4, 3, 3]
const NAMESPACES = ['accounts', 'analytics', 'billing', 'booking', 'chat', 'content', 'delivery', 'fleet', 'identity', 'inventory',
  'loyalty', 'media', 'messaging', 'pricing', 'reports', 'returns', 'search', 'support', 'tracking', 'warehouse']
const ROLES = ['api', 'worker', 'web', 'gateway', 'db', 'cache', 'queue', 'indexer', 'scheduler', 'sync']
/** Fan-out by cumulative share; beyond the last, a hub caller. */
const FAN_OUT = [[0.446, 0], [0.62, 1], [0.75, 2], [0.83, 3], [0.9, 5], [0.95, 8], [0.99, 16]]
/** Draws that look outside the namespace; more than the share of edges, because repeated draws count once. */
const CROSS_NAMESPACE = 0.04
const PORTS = [8080, 8080, 8080, 9000, 3000, 50051, 8443, 7070]
const STORE_PORTS = { db: 5432, cache: 6379, queue: 5672 }

let state = 20260101
function next() {
  state = (state + 0x6d2b79f5) >>> 0
  let t = state
  t = Math.imul(t ^ (t >>> 15), t | 1)
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}
const int = (n) => Math.floor(next() * n)
const pick = (items) => items[int(items.length)]

/** Flow-style YAML on one line. */
function inline(value) {
  if (Array.isArray(value)) return `[${value.map(inline).join(', ')}]`
  if (value !== null && typeof value === 'object') return `{ ${Object.entries(value).filter(([, v]) => v !== undefined).map(([k, v]) => `${k}: ${inline(v)}`).join(', ')} }`
  return typeof value === 'string' && /^[A-Za-z][A-Za-z0-9./_-]*$/.test(value) ? value : JSON.stringify(value)
}
const list = (key, items) => `${key}:\n${items.map((item) => `- ${inline(item)}\n`).join('')}`

function makeWorkload(namespace, index) {
  const role = ROLES[index % ROLES.length]
  const draw = next()
  const isStore = role in STORE_PORTS
  const kind = isStore && draw < 0.35 ? 'StatefulSet' : draw > 0.985 ? 'DaemonSet' : role === 'sync' && draw < 0.3 ? 'CronJob' : 'Deployment'
  const name = `${namespace}-${role}${index < ROLES.length ? '' : `-${Math.floor(index / ROLES.length) + 1}`}`
  const port = isStore ? STORE_PORTS[role] : pick(PORTS)
  const hasPort = kind !== 'CronJob' && next() > 0.06
  const portName = next() < 0.58 ? (isStore ? role : port === 50051 ? 'grpc' : 'http') : undefined
  const style = next()
  const version = `${1 + int(4)}.${int(20)}.${int(9)}`
  const podLabels = style < 0.6 ? { app: name, version: `v${version}` }
    : style < 0.9
      ? { 'app.kubernetes.io/name': role, 'app.kubernetes.io/instance': name, 'app.kubernetes.io/part-of': namespace, 'app.kubernetes.io/version': version, 'app.kubernetes.io/managed-by': 'Helm', 'helm.sh/chart': `${role}-${version}` }
      : { app: name, component: role, release: namespace, tier: isStore ? 'data' : 'service' }
  return {
    kind, name, namespace, schedule: kind === 'CronJob' ? '*/15 * * * *' : undefined,
    replicas: kind === 'Deployment' ? 1 + int(3) : kind === 'StatefulSet' ? 1 + int(2) : undefined,
    podLabels, port, portName, hasPort, isStore,
  }
}

const workloads = NAMESPACES.flatMap((namespace, n) => Array.from({ length: SIZES[n] }, (_, i) => makeWorkload(namespace, i)))
const callable = workloads.filter((w) => w.hasPort)
const inNamespace = (namespace) => callable.filter((w) => w.namespace === namespace)
/** A third of the workloads is never called; what is left is called by a weight that falls like one over its rank. */
const weights = new Map()
for (const w of callable) weights.set(w, next() < 0.36 && !w.isStore ? 0 : 1 / (1 + int(callable.length)))
function weighted(items) {
  const total = items.reduce((sum, w) => sum + weights.get(w), 0)
  let at = next() * total
  for (const w of items) {
    at -= weights.get(w)
    if (at < 0) return w
  }
  return items.at(-1)
}

const services = callable.filter((w) => weights.get(w) > 0 || next() < 0.5).map((w) => ({
  name: w.name, namespace: w.namespace, headless: w.kind === 'StatefulSet' || next() < 0.12 ? true : undefined,
  selector: Object.fromEntries(Object.entries(w.podLabels).filter(([k]) => !/version|chart|managed-by/.test(k))),
  ports: [{ name: w.portName ?? 'main', port: next() < 0.1 ? 80 : w.port, targetPort: w.portName ?? w.port }],
}))
const serviceOf = new Map(services.map((s) => [`${s.namespace}/${s.name}`, s]))
const endOf = (w) => ({ kind: w.kind, namespace: w.namespace, name: w.name })
function targetOf(w) {
  const service = serviceOf.get(`${w.namespace}/${w.name}`)
  const via = service === undefined ? undefined : { service: `${service.name}.${service.namespace}`, servicePort: service.ports[0].port, servicePortName: service.ports[0].name }
  return { ...endOf(w), port: w.port, protocol: 'TCP', via }
}

const edges = []
for (const caller of workloads) {
  if (caller.isStore) continue
  const draw = next()
  const fanOut = FAN_OUT.find(([share]) => draw < share)?.[1] ?? 30
  const called = new Set()
  const local = inNamespace(caller.namespace)
  for (let i = 0; i < fanOut * 4 && called.size < fanOut; i++) {
    const callee = next() < CROSS_NAMESPACE ? weighted(callable) : weighted(local)
    if (callee === caller || callee === undefined || weights.get(callee) === 0) continue
    called.add(callee)
  }
  for (const callee of called) edges.push({ from: endOf(caller), to: targetOf(callee), ratePerMinute: pick([0.5, 1, 2, 4, 6, 12]) })
  if (next() < 0.04) edges.push({ from: endOf(caller), to: { external: true, fqdn: `api.${caller.name}.example`, port: 443, protocol: 'TCP' }, ratePerMinute: 1 })
}

const coredns = { kind: 'Deployment', namespace: 'kube-system', name: 'coredns' }
const prometheus = { kind: 'StatefulSet', namespace: 'monitoring', name: 'prometheus' }
const ingress = { kind: 'Deployment', namespace: 'ingress', name: 'ingress-controller' }
const infrastructure = []
for (const name of new Set(edges.map((e) => e.from.name))) {
  const from = edges.find((e) => e.from.name === name).from
  infrastructure.push({ category: 'dns', from, to: { ...coredns, port: 53, portName: 'dns', protocol: 'UDP', via: { service: 'kube-dns.kube-system', servicePort: 53, servicePortName: 'dns' } }, ratePerMinute: 2 })
  if (next() < 0.3) infrastructure.push({ category: 'dns', conditional: true, from, to: { ...coredns, port: 53, portName: 'dns-tcp', protocol: 'TCP', via: { service: 'kube-dns.kube-system', servicePort: 53, servicePortName: 'dns-tcp' } }, ratePerMinute: 0.2 })
}
for (const w of callable) if (next() < 0.6) infrastructure.push({ category: 'kubelet-probe', from: { special: 'kubelet' }, to: { ...endOf(w), port: w.port, protocol: 'TCP' }, ratePerMinute: 2 })
for (const w of callable) if (next() < 0.16) infrastructure.push({ category: 'prometheus-scrape', from: prometheus, to: { ...endOf(w), port: w.port, protocol: 'TCP' }, ratePerMinute: 1 })
for (const w of workloads) if (next() < 0.15) infrastructure.push({ category: 'kube-apiserver', from: endOf(w), to: { special: 'kube-apiserver', port: 6443, protocol: 'TCP' }, ratePerMinute: 1 })
const entries = callable.filter((w) => /-(web|gateway)(-\d)?$/.test(w.name))
for (const w of entries) infrastructure.push({ category: 'ingress-controller', from: ingress, to: targetOf(w), ratePerMinute: 6 })
infrastructure.push({ category: 'external-ingress', from: { external: true, cidr: '0.0.0.0/0' }, to: { ...ingress, port: 443, protocol: 'TCP' }, ratePerMinute: 30 })

const namespaceOf = (name) => ({ name, labels: { 'kubernetes.io/metadata.name': name, team: NAMESPACES.includes(name) ? `team-${name}` : 'platform' } })
const published = workloads.map(({ kind, name, namespace, schedule, replicas, podLabels, port, portName, hasPort }) => ({
  kind, name, namespace, schedule, replicas, podLabels,
  // One port in forty is used without being declared.
  containers: [{ name: 'main', ports: hasPort && next() > 0.025 ? [{ name: portName, containerPort: port }] : [] }],
}))
const infrastructureWorkloads = [
  { ...coredns, replicas: 3, podLabels: { 'k8s-app': 'kube-dns' }, containers: [{ name: 'coredns', ports: [{ name: 'dns', containerPort: 53, protocol: 'UDP' }, { name: 'dns-tcp', containerPort: 53 }] }] },
  { ...prometheus, replicas: 1, podLabels: { 'app.kubernetes.io/name': 'prometheus', 'app.kubernetes.io/instance': 'main' }, containers: [{ name: 'prometheus', ports: [{ name: 'web', containerPort: 9090 }] }] },
  { ...ingress, replicas: 2, podLabels: { 'app.kubernetes.io/name': 'ingress-controller', 'app.kubernetes.io/component': 'controller' }, containers: [{ name: 'controller', ports: [{ name: 'https', containerPort: 443 }] }] },
]
const kubeDns = { name: 'kube-dns', namespace: 'kube-system', selector: { 'k8s-app': 'kube-dns' }, ports: [{ name: 'dns', port: 53, targetPort: 53, protocol: 'UDP' }, { name: 'dns-tcp', port: 53, targetPort: 53 }] }

process.stdout.write(`# ${WORKLOADS} invented workloads in ${NAMESPACES.length} namespaces with ${edges.length} edges and ${infrastructure.length} infrastructure edges: the size of a company's cluster, for
# \`flowfence simulate --topology examples/large-200.yaml\` and the benches. Written by scripts/make-large-topology.mjs
# from the shape of measured applications (fan-out, hubs, crossing namespaces, ports); change the script, not this file.
${list('namespaces', [...NAMESPACES, 'kube-system', 'monitoring', 'ingress'].map(namespaceOf))}${list('workloads', published)}${
  list('infrastructureWorkloads', infrastructureWorkloads)}${list('services', [...services, kubeDns])}${list('edges', edges)}${list('infrastructureEdges', infrastructure)}`)
