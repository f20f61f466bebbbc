import type { Request } from 'express'
import { formatTimeUs, parseTimeUs } from '../../../core/base/time.ts'
import { edgeOrderKey } from '../../../core/flow/edge-view.ts'
import type { EdgeView } from '../../../core/flow/edge-view.ts'
import type { TrafficEdge } from '../../../core/flow/traffic.ts'
import type { Workload } from '../../../core/flow/workloads.ts'
import { trafficEdgeView } from '../../../core/generate/accept.ts'
import { viewTraffic } from '../../../pipeline/observed-traffic.ts'
import type { ObservedTraffic } from '../../../pipeline/observed-traffic.ts'
import type { ApiContext } from '../context.ts'
import type { Endpoint } from '../endpoint.ts'
import { sendJson } from '../endpoint.ts'
import { pageOf, readPageRequest } from '../page.ts'
import type { PageRequest } from '../page.ts'
import { QueryReader } from '../query.ts'

interface Seen {
  readonly cluster: string
  readonly namespace: string | undefined
  readonly page: PageRequest
  readonly range: { readonly sinceUs?: number; readonly untilUs?: number }
  readonly window: { readonly since: string | null; readonly until: string | null }
  readonly workloads: readonly Workload[]
  readonly traffic: readonly TrafficEdge[]
}

/** `GET /api/v1/namespaces`, `/workloads`, `/edges`: what was observed in a range. */
export function trafficEndpoints(context: ApiContext): Endpoint[] {
  return [
    {
      method: 'GET', path: '/api/v1/namespaces', summary: 'namespaces seen, with their workloads and connections counted (cluster, since, until, limit, cursor)',
      handle: async (req, res) => {
        const seen = await read(req, context, { hasNamespace: false })
        sendJson(res, { cluster: seen.cluster, window: seen.window, ...pageOf(namespacesOf(seen), (n) => n.name, seen.page) })
      },
    },
    {
      method: 'GET', path: '/api/v1/workloads', summary: 'workloads seen, with their labels (cluster, namespace, since, until, limit, cursor)',
      handle: async (req, res) => {
        const seen = await read(req, context, { hasNamespace: true })
        const shown = seen.workloads.filter((w) => seen.namespace === undefined || w.namespace === seen.namespace)
        const page = pageOf(shown, (w) => w.key, seen.page)
        const counts = countEdges(seen.traffic)
        sendJson(res, { cluster: seen.cluster, window: seen.window, ...page, items: page.items.map((w) => workloadView(w, counts)) })
      },
    },
    {
      method: 'GET', path: '/api/v1/edges', summary: 'observed connections between workloads (cluster, namespace, since, until, limit, cursor)',
      handle: async (req, res) => {
        const seen = await read(req, context, { hasNamespace: true })
        const views = seen.traffic.flatMap((edge) => edgeViews(edge)).filter((e) => isIn(e, seen.namespace) && wasSeenIn(e, seen.range))
        sendJson(res, { cluster: seen.cluster, window: seen.window, ...pageOf(views, edgeOrderKey, seen.page) })
      },
    },
  ]
}

async function read(req: Request, context: ApiContext, options: { readonly hasNamespace: boolean }): Promise<Seen> {
  const query = new QueryReader(req)
  const cluster = query.text('cluster') ?? context.cluster
  const namespace = options.hasNamespace ? query.text('namespace') : undefined
  const range = query.range()
  const page = readPageRequest(query)
  query.done()
  const observed = await context.store.observe({ cluster, ...range })
  const { workloads, traffic } = viewTraffic(observed, cluster)
  return { cluster, namespace, page, range, window: windowOf(observed), workloads: workloads.workloads, traffic }
}

function windowOf({ sinceUs, untilUs }: ObservedTraffic): Seen['window'] {
  return { since: sinceUs === null ? null : formatTimeUs(sinceUs), until: untilUs === null ? null : formatTimeUs(untilUs) }
}

/** One view per outside address, one for an edge without any. */
function edgeViews(edge: TrafficEdge): EdgeView[] {
  if (edge.externals.length === 0) return [trafficEdgeView(edge, undefined)]
  return [...new Set(edge.externals.map((e) => e.ip))].map((ip) => trafficEdgeView(edge, ip))
}

function isIn(edge: EdgeView, namespace: string | undefined): boolean {
  return namespace === undefined || edge.from.namespace === namespace || edge.to.namespace === namespace
}

/** Outside addresses are stored per day, so those of the rest of the first and last day come along; they are left out here. */
function wasSeenIn(edge: EdgeView, { sinceUs, untilUs }: Seen['range']): boolean {
  return (untilUs === undefined || (parseTimeUs(edge.firstSeen) ?? 0) < untilUs) && (sinceUs === undefined || (parseTimeUs(edge.lastSeen) ?? Infinity) >= sinceUs)
}

interface NamespaceView {
  readonly name: string
  workloads: number
  /** Edges with an end in the namespace. */
  edges: number
}

function namespacesOf(seen: Seen): NamespaceView[] {
  const byName = new Map<string, NamespaceView>()
  const viewOf = (name: string): NamespaceView => {
    let view = byName.get(name)
    if (view === undefined) byName.set(name, view = { name, workloads: 0, edges: 0 })
    return view
  }
  for (const workload of seen.workloads) viewOf(workload.namespace).workloads++
  for (const { from, to } of seen.traffic) {
    const names = new Set([from, to].filter((p) => p.workload !== undefined).map((p) => p.identity.namespace))
    for (const name of names) viewOf(name).edges++
  }
  return [...byName.values()]
}

interface EdgeCounts {
  ingress: number
  egress: number
}

function countEdges(traffic: readonly TrafficEdge[]): ReadonlyMap<string, EdgeCounts> {
  const counts = new Map<string, EdgeCounts>()
  const add = (workload: Workload | undefined, direction: keyof EdgeCounts): void => {
    if (workload === undefined) return
    const entry = counts.get(workload.key) ?? { ingress: 0, egress: 0 }
    entry[direction]++
    counts.set(workload.key, entry)
  }
  for (const { from, to } of traffic) {
    add(from.workload, 'egress')
    add(to.workload, 'ingress')
  }
  return counts
}

function workloadView(workload: Workload, counts: ReadonlyMap<string, EdgeCounts>): unknown {
  return {
    cluster: workload.cluster, namespace: workload.namespace, workload: workload.ref, display: workload.display, labelSets: workload.labelSets,
    edges: counts.get(workload.key) ?? { ingress: 0, egress: 0 },
  }
}
