/**
 * A local API server that speaks list and watch as Kubernetes does: chunked lists with continue tokens, watches from a resource version, bookmarks,
 * 410 Gone for versions that are no longer kept. Every request is recorded; anything but GET is answered 405.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'

export type KubeObject = Record<string, unknown> & { kind: string; metadata: Record<string, unknown> & { name: string; namespace?: string } }

const PLURALS: Readonly<Record<string, string>> = {
  Namespace: '/api/v1/namespaces', Node: '/api/v1/nodes', Pod: '/api/v1/pods', Service: '/api/v1/services',
  EndpointSlice: '/apis/discovery.k8s.io/v1/endpointslices', Deployment: '/apis/apps/v1/deployments', ReplicaSet: '/apis/apps/v1/replicasets',
  StatefulSet: '/apis/apps/v1/statefulsets', DaemonSet: '/apis/apps/v1/daemonsets', Job: '/apis/batch/v1/jobs', CronJob: '/apis/batch/v1/cronjobs',
  NetworkPolicy: '/apis/networking.k8s.io/v1/networkpolicies',
}

interface WatchEvent {
  readonly path: string
  readonly version: number
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly object: KubeObject
}

interface Watcher {
  readonly path: string
  readonly response: ServerResponse
}

export class KubeApiServer {
  readonly requests: string[] = []
  readonly methods = new Set<string>()
  readonly token = 'a-token-of-the-test'
  /** Status for a path, in place of the real answer. */
  readonly refusals = new Map<string, number>()
  #version = 100
  #oldest = 0
  #objects = new Map<string, KubeObject>()
  #events: WatchEvent[] = []
  #watchers = new Set<Watcher>()
  readonly #server = createServer((request, response) => this.#answer(request, response))

  async start(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  async stop(): Promise<void> {
    this.dropWatches()
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  /** Writes a kubeconfig for this server and returns its path. */
  writeKubeconfig(path: string, token = this.token): string {
    const { port } = this.#server.address() as AddressInfo
    writeFileSync(path, JSON.stringify({
      apiVersion: 'v1', kind: 'Config', 'current-context': 'test',
      clusters: [{ name: 'test', cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'test', user: { token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    }))
    return path
  }

  get watching(): number {
    return this.#watchers.size
  }

  set(object: KubeObject): void {
    const key = keyOf(object)
    const type = this.#objects.has(key) ? 'MODIFIED' : 'ADDED'
    const stored = this.#versioned(object)
    this.#objects.set(key, stored)
    this.#emit(type, stored)
  }

  delete(kind: string, namespace: string, name: string): void {
    const key = `${kind}/${namespace}/${name}`
    const object = this.#objects.get(key)
    if (object === undefined) throw new Error(`no ${key}`)
    this.#objects.delete(key)
    this.#emit('DELETED', this.#versioned(object))
  }

  /** Sends a bookmark on every open watch. */
  bookmark(): void {
    for (const { path, response } of this.#watchers) {
      const kind = Object.entries(PLURALS).find(([, p]) => p === path)?.[0] ?? ''
      write(response, { type: 'BOOKMARK', object: { kind, metadata: { resourceVersion: String(this.#version) } } })
    }
  }

  /** Cuts every open watch in the middle, as a proxy that restarts does. */
  dropWatches(): void {
    for (const { response } of this.#watchers) response.destroy()
    this.#watchers.clear()
  }

  /** Forgets the past: watches from older versions are Gone. */
  compact(): void {
    this.#oldest = this.#version
    this.#events = []
  }

  #versioned(object: KubeObject): KubeObject {
    this.#version++
    return { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } }
  }

  #emit(type: WatchEvent['type'], object: KubeObject): void {
    const event: WatchEvent = { path: PLURALS[object.kind] ?? '', version: this.#version, type, object: itemOf(object) }
    this.#events.push(event)
    for (const watcher of this.#watchers) if (watcher.path === event.path) write(watcher.response, { type, object: event.object })
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://localhost')
    this.requests.push(`${url.pathname}${url.search}`)
    this.methods.add(request.method ?? '')
    const refused = request.headers.authorization !== `Bearer ${this.token}` ? 401 : request.method !== 'GET' ? 405 : this.refusals.get(url.pathname)
    if (refused !== undefined) return fail(response, refused, `refused with ${refused}`)
    if (!Object.values(PLURALS).includes(url.pathname)) return fail(response, 404, 'no such resource')
    if (url.searchParams.get('watch') === 'true') this.#watch(url, response)
    else this.#list(url, response)
  }

  #list(url: URL, response: ServerResponse): void {
    const items = [...this.#objects.values()].filter((o) => PLURALS[o.kind] === url.pathname).map(itemOf)
    const limit = Number(url.searchParams.get('limit') ?? items.length)
    const [from, version] = (url.searchParams.get('continue') ?? `0@${this.#version}`).split('@').map(Number) as [number, number]
    if (version < this.#oldest) return fail(response, 410, 'The provided continue parameter is too old')
    const rest = items.length - from - limit
    const metadata = { resourceVersion: String(version), ...(rest > 0 ? { continue: `${from + limit}@${version}`, remainingItemCount: rest } : {}) }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ kind: 'List', metadata, items: items.slice(from, from + limit) }))
  }

  #watch(url: URL, response: ServerResponse): void {
    const since = Number(url.searchParams.get('resourceVersion'))
    response.writeHead(200, { 'content-type': 'application/json' })
    if (since < this.#oldest) {
      write(response, { type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' } })
      response.end()
      return
    }
    const watcher = { path: url.pathname, response }
    this.#watchers.add(watcher)
    response.on('close', () => this.#watchers.delete(watcher))
    response.flushHeaders()
    for (const event of this.#events) if (event.path === url.pathname && event.version > since) write(response, { type: event.type, object: event.object })
  }
}

function keyOf(object: KubeObject): string {
  return `${object.kind}/${object.metadata.namespace ?? ''}/${object.metadata.name}`
}

/** Items of lists and events of core kinds come without kind and apiVersion in lists. */
function itemOf(object: KubeObject): KubeObject {
  return { ...object }
}

function write(response: ServerResponse, event: unknown): void {
  response.write(`${JSON.stringify(event)}\n`)
}

function fail(response: ServerResponse, code: number, message: string): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify({ kind: 'Status', code, message }))
}
