/**
 * The pods behind a service's port and the one pod port that all of them serve it on, or nothing.
 *
 * EndpointSlices decide where the state holds any of the service: their port is the pods' port, their targets are the pods. Else the selector decides,
 * over every pod of the namespace that may have been there: pods that another moment may have taken away count too, so that one that does not fit
 * makes the answer `undefined`. Cost: the namespace's looks, once per moment at which anything of the namespace changes (the answer is remembered).
 */
import { ObjectReader } from '../base/object-reader.ts'
import type { Labels } from '../flow/end.ts'
import type { Protocol } from '../flow/flow-record.ts'
import type { HistoryPod, ServiceBackends } from './cluster-history.ts'
import type { CoverageSpan, ObjectVersion } from './object-version.ts'
import type { PodEntry, ServiceEntry } from './state-index.ts'
import { listIn, plainOf, versionClaims } from './state-index.ts'
import { SERVICE_NAME_LABEL } from './reduce-object.ts'
import { lastAtOrBefore, Timeline, UNKNOWN } from './timeline.ts'

interface Slice {
  /** By protocol and port name; NaN where a port has no number. */
  readonly ports: ReadonlyMap<string, number>
  readonly targets: readonly (SliceTarget | undefined)[]
}

interface SliceTarget {
  readonly namespace: string
  readonly name: string
  readonly uid: string | undefined
}

/** A pod's entry by name at a moment. */
export type FindPod = (namespace: string, name: string, atUs: number) => PodEntry | undefined

interface NamespaceState {
  readonly pods: PodEntry[]
  /** Slices of each service. */
  readonly slices: Map<string, Timeline<Slice>[]>
  /** Every moment at which an answer may change; sorted at first use. */
  changes: number[]
  isSorted: boolean
}

/** Answers kept per service port. More: less work when old and new flows alternate. */
const KEPT_ANSWERS = 64

export class BackendIndex {
  readonly #namespaces = new Map<string, NamespaceState>()
  readonly #answers = new WeakMap<ServiceEntry, Map<string, ServiceBackends | null>>()
  readonly #findPod: FindPod

  constructor(pods: ReadonlyMap<string, PodEntry[]>, slices: readonly (readonly ObjectVersion[])[], options: { spans: readonly CoverageSpan[]; findPod: FindPod }) {
    this.#findPod = options.findPod
    for (const [namespace, entries] of pods) {
      const state = this.#state(namespace)
      for (const entry of entries) {
        state.pods.push(entry)
        const { fromUs, untilUs, addresses } = entry.look
        state.changes.push(fromUs, untilUs, ...addresses.flatMap((a) => [a.possibleFromUs, a.fromUs, a.untilUs, a.possibleUntilUs]))
      }
    }
    for (const versions of slices) this.#addSlices(versions, options.spans)
  }

  /** `entry` is the service as it was at that moment. */
  find(entry: ServiceEntry, port: number, protocol: Protocol, atUs: number): ServiceBackends | undefined {
    const state = this.#state(entry.namespace)
    const key = `${epochOf(state, atUs)} ${port} ${protocol}`
    let answers = this.#answers.get(entry)
    if (answers === undefined) this.#answers.set(entry, answers = new Map<string, ServiceBackends | null>())
    const known = answers.get(key)
    if (known !== undefined) return known ?? undefined
    const found = this.#search(state, entry, { port, protocol, atUs })
    if (answers.size >= KEPT_ANSWERS) answers.clear()
    answers.set(key, found ?? null)
    return found
  }

  #addSlices(versions: readonly ObjectVersion[], spans: readonly CoverageSpan[]): void {
    const { namespace, document } = versions[0] as ObjectVersion
    const service = plainOf(plainOf(document.metadata).labels)[SERVICE_NAME_LABEL]
    if (typeof service !== 'string') return
    const state = this.#state(namespace)
    const timeline = new Timeline(versionClaims(versions, spans, (v) => readSlice(v, namespace)))
    listIn(state.slices, service).push(timeline)
    for (const start of timeline.starts) state.changes.push(start)
  }

  #search(state: NamespaceState, entry: ServiceEntry, of: { port: number; protocol: Protocol; atUs: number }): ServiceBackends | undefined {
    const ports = entry.ports.filter((p) => p.port === of.port && p.protocol === of.protocol)
    const [port] = ports
    if (port === undefined || ports.length > 1) return undefined
    const slices = state.slices.get(entry.name)
    if (slices !== undefined) return this.#bySlices(slices, `${of.protocol} ${port.name ?? ''}`, of.atUs)
    return entry.selector === null || Object.keys(entry.selector).length === 0 ? undefined : bySelector(state, entry.selector, { target: port.targetPort, ...of })
  }

  #bySlices(timelines: readonly Timeline<Slice>[], portKey: string, atUs: number): ServiceBackends | undefined {
    const pods = new Map<PodEntry, HistoryPod>()
    let port: number | undefined
    for (const timeline of timelines) {
      const slice = timeline.at(atUs)
      if (slice === UNKNOWN) return undefined
      if (slice === undefined || slice.targets.length === 0) continue
      const own = slice.ports.get(portKey)
      if (own === undefined || !(own > 0) || (port !== undefined && own !== port)) return undefined
      port = own
      for (const target of slice.targets) {
        const found = target === undefined ? undefined : this.#findPod(target.namespace, target.name, atUs)
        if (found === undefined || (target?.uid !== undefined && target.uid !== found.instance)) return undefined
        pods.set(found, found.holderAt(atUs).pod)
      }
    }
    return port === undefined || pods.size === 0 ? undefined : { pods: [...pods.values()], port }
  }

  #state(namespace: string): NamespaceState {
    let state = this.#namespaces.get(namespace)
    if (state === undefined) this.#namespaces.set(namespace, state = { pods: [], slices: new Map(), changes: [], isSorted: false })
    return state
  }
}

function epochOf(state: NamespaceState, atUs: number): number {
  if (!state.isSorted) {
    state.changes = [...new Set(state.changes)].sort((a, b) => a - b)
    state.isSorted = true
  }
  return lastAtOrBefore(state.changes, atUs)
}

function bySelector(state: NamespaceState, selector: Labels, of: { target: number | string; protocol: Protocol; atUs: number }): ServiceBackends | undefined {
  const pods: HistoryPod[] = []
  let port: number | undefined
  const wanted = Object.entries(selector)
  for (const entry of state.pods) {
    if (!mayBeThere(entry, of.atUs) || !wanted.every(([key, value]) => entry.labels[key] === value)) continue
    const own = typeof of.target === 'number' ? of.target : entry.ports.find((p) => p.name === of.target && p.protocol === of.protocol)?.containerPort
    if (own === undefined || (port !== undefined && own !== port)) return undefined
    port = own
    pods.push(entry.holderAt(of.atUs).pod)
  }
  return port === undefined ? undefined : { pods, port }
}

function mayBeThere({ look }: PodEntry, atUs: number): boolean {
  return look.addresses.some((a) => Math.min(a.possibleFromUs, a.fromUs) <= atUs && atUs < Math.max(a.untilUs, a.possibleUntilUs))
}

function readSlice({ document }: ObjectVersion, namespace: string): Slice {
  const reader = new ObjectReader()
  const ports = new Map<string, number>()
  for (const item of reader.list(document.ports, 'ports')) {
    const { name, port, protocol } = plainOf(item)
    ports.set(`${typeof protocol === 'string' ? protocol : 'TCP'} ${typeof name === 'string' ? name : ''}`, typeof port === 'number' ? port : NaN)
  }
  const targets = reader.list(document.endpoints, 'endpoints').map((item): SliceTarget | undefined => {
    const target = plainOf(plainOf(item).targetRef)
    if (target.kind !== 'Pod' || typeof target.name !== 'string') return undefined
    return { namespace: typeof target.namespace === 'string' ? target.namespace : namespace, name: target.name, uid: typeof target.uid === 'string' ? target.uid : undefined }
  })
  return { ports, targets }
}
