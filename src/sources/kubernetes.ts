/**
 * Cluster state from a Kubernetes API server, read only: list everything, then watch for changes.
 *
 *   list all kinds (pages) ─► `full` ─► watch all kinds from the lists' versions ─► `changes` … ─┐
 *        ▲                                                                                       │ 410 Gone: changes were missed
 *        └───────────────────────────────────────────────────────────────────────────────────────┘
 *
 * Protocol: kubernetes.io/docs/reference/using-api/api-concepts (resource versions, bookmarks, chunked lists). Invariants: only GET is sent; after a
 * lost connection a watch goes on from the last version it saw; a version that the server no longer has leads to a new full list, never to silently
 * missed changes. `confirmedUntilUs` says up to when every kind was heard of, less a margin for delivery; changes are told once
 * it has passed them. Memory: one full list, then a bounded queue.
 */
import { IsomorphicFetchHttpLibrary, KubeConfig, RequestContext } from '@kubernetes/client-node'
import { AppError } from '../core/base/app-error.ts'

/** One object as the API server gives it. */
export type KubernetesObject = Readonly<Record<string, unknown>>

export interface ObjectChange {
  /** When the change was received, microseconds. */
  readonly atUs: number
  readonly type: 'set' | 'deleted'
  readonly object: KubernetesObject
}

export type ClusterEvent =
  | { readonly type: 'full'; readonly atUs: number; readonly objects: readonly KubernetesObject[]; readonly kinds: readonly string[] }
  | { readonly type: 'changes'; readonly changes: readonly ObjectChange[]; readonly confirmedUntilUs: number }

export interface ClusterWatchOptions {
  /** Default: KUBECONFIG, ~/.kube/config, else the service account of the pod. */
  readonly kubeconfig?: string
  readonly context?: string
  readonly nowUs: () => number
  readonly signal: AbortSignal
  /** Keeps of an object what is needed; called at once, so that what is not kept never accumulates. */
  readonly reduce: (object: KubernetesObject) => KubernetesObject
  /** Lost connections, kinds that may not be read. */
  readonly onNotice: (text: string) => void
  /** Changes are handed on this often. Larger: fewer transactions; smaller: later flows are resolved sooner. Default 2000. */
  readonly flushMs?: number
  /** What every kind was heard of earlier than this is told. Larger: safer with slow deliveries; smaller: earlier. Default 5 seconds. */
  readonly deliveryMarginUs?: number
  /** Longest wait between two attempts. Default 30000. */
  readonly maxBackoffMs?: number
}

interface Resource {
  readonly kind: string
  readonly apiVersion: string
  readonly path: string
  /** Without these no flow can be resolved. */
  readonly isNeeded: boolean
}

const RESOURCES: readonly Resource[] = [
  { kind: 'Namespace', apiVersion: 'v1', path: '/api/v1/namespaces', isNeeded: true },
  { kind: 'Node', apiVersion: 'v1', path: '/api/v1/nodes', isNeeded: true },
  { kind: 'Pod', apiVersion: 'v1', path: '/api/v1/pods', isNeeded: true },
  { kind: 'Service', apiVersion: 'v1', path: '/api/v1/services', isNeeded: true },
  { kind: 'EndpointSlice', apiVersion: 'discovery.k8s.io/v1', path: '/apis/discovery.k8s.io/v1/endpointslices', isNeeded: false },
  { kind: 'Deployment', apiVersion: 'apps/v1', path: '/apis/apps/v1/deployments', isNeeded: false },
  { kind: 'ReplicaSet', apiVersion: 'apps/v1', path: '/apis/apps/v1/replicasets', isNeeded: false },
  { kind: 'StatefulSet', apiVersion: 'apps/v1', path: '/apis/apps/v1/statefulsets', isNeeded: false },
  { kind: 'DaemonSet', apiVersion: 'apps/v1', path: '/apis/apps/v1/daemonsets', isNeeded: false },
  { kind: 'Job', apiVersion: 'batch/v1', path: '/apis/batch/v1/jobs', isNeeded: false },
  { kind: 'CronJob', apiVersion: 'batch/v1', path: '/apis/batch/v1/cronjobs', isNeeded: false },
  { kind: 'NetworkPolicy', apiVersion: 'networking.k8s.io/v1', path: '/apis/networking.k8s.io/v1/networkpolicies', isNeeded: false },
]

/** Objects a page. Larger: fewer requests; smaller: less memory on both sides. */
const PAGE = 500
/** A bookmark comes about every minute: a connection that is silent for longer is dead. */
const SILENCE_MS = 150_000
/** A change may still be on its way to us while a later bookmark of another kind has arrived. */
const DELIVERY_MARGIN_US = 5_000_000
const MIN_BACKOFF_MS = 500
/** Changes of one flush; then the watches wait. */
const MAX_QUEUED = 5_000
/** Changes that wait until every kind was heard of; more, and listing everything again is cheaper. */
const MAX_WAITING = 100_000

/** The server no longer has the version asked for: changes were missed. */
class Gone extends Error {}

/**
 * Events until the signal. Throws AppError `usage` for a configuration that cannot work, `unavailable` when the server refuses the credentials or the
 * right to read pods, namespaces, nodes or services; everything else is tried again, with a notice.
 */
export async function* watchCluster(options: ClusterWatchOptions): AsyncGenerator<ClusterEvent, void> {
  const client = new Client(loadConfig(options), options)
  let backoffMs = MIN_BACKOFF_MS
  while (!options.signal.aborted) {
    try {
      const { event, versions } = await listAll(client, options)
      backoffMs = MIN_BACKOFF_MS
      yield event
      yield* watchAll(client, { ...options, versions, listedAtUs: event.atUs })
    } catch (error) {
      if (options.signal.aborted) return
      if (error instanceof AppError) throw error
      options.onNotice(error instanceof Gone ? `${error.message}; listing everything again` : `${messageOf(error)}; trying again in ${Math.ceil(backoffMs / 1000)} s`)
      await pause(backoffMs, options.signal)
      backoffMs = Math.min(backoffMs * 2, options.maxBackoffMs ?? 30_000)
    }
  }
}

function loadConfig({ kubeconfig, context }: ClusterWatchOptions): KubeConfig {
  const config = new KubeConfig()
  try {
    if (kubeconfig === undefined) config.loadFromDefault()
    else config.loadFromFile(kubeconfig)
  } catch (error) {
    throw new AppError('usage', `The kubeconfig ${kubeconfig ?? '(default)'} cannot be read: ${firstLine(messageOf(error))}. Give one with --kubeconfig.`)
  }
  if (context !== undefined) {
    const known = config.getContexts().map((c) => c.name)
    if (!known.includes(context)) throw new AppError('usage', `The kubeconfig has no context "${context}". It has: ${known.join(', ') || 'none'}.`)
    config.setCurrentContext(context)
  }
  const cluster = config.getCurrentCluster()
  if (cluster === null) throw new AppError('usage', 'The kubeconfig names no cluster. Choose one with --context, or pass --kubeconfig FILE.')
  if (!cluster.server.startsWith('https:') && !cluster.skipTLSVerify) {
    throw new AppError('usage', `The API server's address ${cluster.server} is not https. Where that is meant (a local proxy), set insecure-skip-tls-verify: true for it in the kubeconfig.`)
  }
  return config
}

/** Without the excerpt that a YAML error carries, and without the cause: lines of a kubeconfig hold tokens. */
function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? ''
}

/** GET requests to the API server with the credentials of the kubeconfig. */
class Client {
  readonly #config: KubeConfig
  readonly #http = new IsomorphicFetchHttpLibrary()
  readonly #signal: AbortSignal

  constructor(config: KubeConfig, { signal }: ClusterWatchOptions) {
    this.#config = config
    this.#signal = signal
  }

  /** The body of a 200; AppError or Gone or Error otherwise. `signal` ends it early. */
  async get(path: string, query: Readonly<Record<string, string>>, signal: AbortSignal = this.#signal): Promise<ReadableStream<Uint8Array>> {
    const url = new URL((this.#config.getCurrentCluster()?.server ?? '').replace(/\/$/, '') + path)
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    const request = new RequestContext(url.toString(), 'GET')
    request.setHeaderParam('accept', 'application/json')
    request.setSignal(signal)
    await this.#config.applySecurityAuthentication(request)
    const response = await this.#http.send(request).toPromise()
    const body = response.body as unknown as { stream(): ReadableStream<Uint8Array>; text(): Promise<string> }
    if (response.httpStatusCode === 200) return body.stream()
    const text = (await body.text()).slice(0, 500)
    throw statusError(response.httpStatusCode, path, statusMessage(text))
  }
}

function statusError(status: number, path: string, message: string): Error {
  if (status === 410) return new Gone(`the server no longer has the version asked for of ${path}`)
  return new StatusError(status, `GET ${path} answered ${status}${message === '' ? '' : `: ${message}`}`)
}

class StatusError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

function statusMessage(text: string): string {
  try {
    const status: unknown = JSON.parse(text)
    return isObject(status) && typeof status.message === 'string' ? status.message : ''
  } catch {
    return text.replace(/\s+/g, ' ').trim()
  }
}

interface Listed {
  readonly event: Extract<ClusterEvent, { type: 'full' }>
  /** Resource version to watch from, by resource. */
  readonly versions: ReadonlyMap<Resource, string>
}

/** Lists every kind. The state counts for the moment before the first request: an object listed later was created, or still there, by then or after. */
async function listAll(client: Client, options: ClusterWatchOptions): Promise<Listed> {
  const atUs = options.nowUs()
  const objects: KubernetesObject[] = []
  const versions = new Map<Resource, string>()
  for (const resource of RESOURCES) {
    try {
      versions.set(resource, await listKind(client, resource, (object) => objects.push(options.reduce(object))))
    } catch (error) {
      if (!(error instanceof StatusError) || ![401, 403, 404].includes(error.status)) throw error
      if (resource.isNeeded || error.status === 401) throw refusal(resource, error)
      options.onNotice(error.status === 403 ? `${resource.kind} may not be read and is left out (${error.message})` : `the cluster has no ${resource.kind}`)
    }
  }
  return { event: { type: 'full', atUs, objects, kinds: [...versions.keys()].map((r) => r.kind) }, versions }
}

function refusal(resource: Resource, error: StatusError): AppError {
  const step = error.status === 401
    ? 'Log in again, or give a kubeconfig with valid credentials.'
    : `Grant the verbs get, list and watch on ${resource.path.split('/').at(-1) ?? resource.kind} in all namespaces (docs/sync.md has the ClusterRole).`
  return new AppError('unavailable', `${error.message}. ${step}`, { cause: error })
}

/** Reads all pages; returns the version of the list. A page that has expired (410) starts the list again through the caller. */
async function listKind(client: Client, resource: Resource, add: (object: KubernetesObject) => void): Promise<string> {
  let token = ''
  for (;;) {
    const text = await new Response(await client.get(resource.path, { limit: String(PAGE), ...(token === '' ? {} : { continue: token }) })).text()
    const list: unknown = JSON.parse(text)
    if (!isObject(list) || !Array.isArray(list.items) || !isObject(list.metadata)) throw new Error(`GET ${resource.path} answered something that is no list`)
    for (const item of list.items) if (isObject(item)) add(named(resource, item))
    token = typeof list.metadata.continue === 'string' ? list.metadata.continue : ''
    if (token === '') return typeof list.metadata.resourceVersion === 'string' ? list.metadata.resourceVersion : ''
  }
}

/** Items of a list lack their kind. */
function named({ kind, apiVersion }: Resource, object: KubernetesObject): KubernetesObject {
  return { ...object, apiVersion, kind }
}

interface WatchOptions extends ClusterWatchOptions {
  readonly versions: ReadonlyMap<Resource, string>
  readonly listedAtUs: number
}

/** Watches every listed kind at once; ends by throwing Gone, or when the signal comes. */
async function* watchAll(client: Client, options: WatchOptions): AsyncGenerator<ClusterEvent, void> {
  const stop = new AbortController()
  const signal = AbortSignal.any([options.signal, stop.signal])
  const queue = new ChangeQueue()
  const marginUs = options.deliveryMarginUs ?? DELIVERY_MARGIN_US
  const watches = [...options.versions].map(([resource, version]) => new ResourceWatch({ client, resource, queue, signal, options }, version))
  const running = Promise.all(watches.map((watch) => watch.run()))
  let failure: Error | undefined
  running.catch((error: unknown) => {
    failure = error instanceof Error ? error : new Error(messageOf(error))
    stop.abort()
  })
  try {
    // Nothing is told before everything up to it is: else the state would hold moments that mix new and old.
    let waiting: ObjectChange[] = []
    let confirmedUs = options.listedAtUs
    while (!signal.aborted) {
      await pause(options.flushMs ?? 2000, signal)
      waiting.push(...queue.take())
      if (waiting.length > MAX_WAITING) throw new Gone(`${waiting.length} changes wait for the word of a silent kind`)
      const confirmedUntilUs = Math.min(...watches.map((w) => w.heardAtUs)) - marginUs
      if (confirmedUntilUs <= confirmedUs) continue
      const changes = waiting.filter((change) => change.atUs <= confirmedUntilUs)
      waiting = waiting.filter((change) => change.atUs > confirmedUntilUs)
      confirmedUs = confirmedUntilUs
      yield { type: 'changes', changes, confirmedUntilUs }
    }
  } finally {
    stop.abort()
    queue.close()
    await running.catch(() => undefined)
  }
  if (failure !== undefined && !options.signal.aborted) throw failure
}

/** Changes on their way to the store. */
class ChangeQueue {
  #changes: ObjectChange[] = []
  #roomWaiters: (() => void)[] = []

  /** Waits while too many are queued: the API server keeps the rest. */
  async push(change: ObjectChange): Promise<void> {
    while (this.#changes.length >= MAX_QUEUED) await new Promise<void>((resolve) => this.#roomWaiters.push(resolve))
    this.#changes.push(change)
  }

  take(): ObjectChange[] {
    const changes = this.#changes
    this.#changes = []
    this.close()
    return changes
  }

  /** Lets everyone go who waits. */
  close(): void {
    for (const wake of this.#roomWaiters.splice(0)) wake()
  }
}

interface WatchContext {
  readonly client: Client
  readonly resource: Resource
  readonly queue: ChangeQueue
  readonly signal: AbortSignal
  readonly options: WatchOptions
}

/** One kind's watch, over as many connections as it takes. */
class ResourceWatch {
  /** When the server last said that we have everything up to now. */
  heardAtUs: number
  readonly #context: WatchContext
  #version: string

  constructor(context: WatchContext, version: string) {
    this.#context = context
    this.#version = version
    this.heardAtUs = context.options.listedAtUs
  }

  /** Ends with the signal; throws Gone when the version is too old, AppError when the right to watch is taken away. */
  async run(): Promise<void> {
    const { signal, options, resource } = this.#context
    let backoffMs = MIN_BACKOFF_MS
    while (!signal.aborted) {
      const startedAt = performance.now()
      try {
        await this.#connect()
      } catch (error) {
        if (signal.aborted) return
        if (error instanceof Gone) throw error
        if (error instanceof StatusError && [401, 403].includes(error.status)) throw refusal(resource, error)
        options.onNotice(`the watch of ${resource.kind} broke (${messageOf(error)}); connecting again`)
      }
      // A connection that lasted was fine; one that ends at once must not become a storm.
      backoffMs = performance.now() - startedAt > 10_000 ? MIN_BACKOFF_MS : Math.min(backoffMs * 2, options.maxBackoffMs ?? 30_000)
      await pause(backoffMs, signal)
    }
  }

  /** One connection, to its end. */
  async #connect(): Promise<void> {
    const { client, resource, signal } = this.#context
    const silence = new AbortController()
    let timer = setTimeout(() => silence.abort(), SILENCE_MS)
    try {
      const stream = await client.get(resource.path, { watch: 'true', allowWatchBookmarks: 'true', resourceVersion: this.#version }, AbortSignal.any([signal, silence.signal]))
      for await (const line of linesOf(stream)) {
        clearTimeout(timer)
        timer = setTimeout(() => silence.abort(), SILENCE_MS)
        await this.#event(line)
      }
    } finally {
      clearTimeout(timer)
    }
  }

  async #event(line: string): Promise<void> {
    const { resource, queue, options } = this.#context
    const event: unknown = JSON.parse(line)
    if (!isObject(event) || !isObject(event.object)) throw new Error('an event that is none')
    const { type, object } = event as { type: unknown; object: KubernetesObject }
    if (type === 'ERROR') throw statusError(typeof object.code === 'number' ? object.code : 0, resource.path, typeof object.message === 'string' ? object.message : '')
    const atUs = options.nowUs()
    if (type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED') {
      await queue.push({ atUs, type: type === 'DELETED' ? 'deleted' : 'set', object: options.reduce(named(resource, object)) })
    } else if (type !== 'BOOKMARK') {
      return
    }
    const version = isObject(object.metadata) ? object.metadata.resourceVersion : undefined
    if (typeof version === 'string') this.#version = version
    this.heardAtUs = atUs
  }
}

/** An event may not be longer: etcd's limit is 1.5 MiB. */
const MAX_LINE = 16 * 1024 * 1024

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true })
    let start = 0
    for (let newline = rest.indexOf('\n'); newline >= 0; newline = rest.indexOf('\n', start)) {
      const line = rest.slice(start, newline)
      start = newline + 1
      if (line.trim() !== '') yield line
    }
    rest = rest.slice(start)
    if (rest.length > MAX_LINE) throw new Error('an event longer than any object')
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
    if (signal.aborted) done()
  })
}

function isObject(value: unknown): value is KubernetesObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // fetch hides the reason in its cause.
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
