import { RecentMap } from '../../base/recent-map.ts'
import type { EndKind, WorkloadRef } from '../../flow/end.ts'
import type { Protocol, Rejection } from '../../flow/flow-record.ts'
import type { AddressInfo } from '../address-cache.ts'
import type { EndResolver } from '../end-resolver.ts'
import { endOf, type End, type IdentityCache } from '../identity-cache.ts'
import { charactersOf, checkLabelList, joinTexts, readCiliumLabels, type CiliumLabels } from '../label-list.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import type { Located } from '../orientation.ts'
import { deriveWorkload } from '../pod-name.ts'
import { isObject, isStorable, wrongType, type RawObject } from '../problems.ts'

/** What an endpoint is, as far as its labels, names and identity number tell. `world` and `nobody` need the address to decide. */
export interface Classified {
  readonly kind: 'classified'
  readonly decision: 'end' | 'world' | 'nobody'
  /** Meaningful when `decision` is `end`. */
  readonly end: End
  /** A pod that the record names and describes: `locate` has nothing to add, but for a pod of another cluster. */
  readonly isSettled: boolean
  /** Cilium's name of the cluster the endpoint says it is in, or ''. */
  readonly cluster: string
  /** It has labels, and none says where it is from: not written by Cilium. */
  readonly isRaw: boolean
  // What it was made from, to recognise the next record of the same pod by comparing instead of parsing.
  readonly labels: readonly string[] | null
  readonly workloadKind: string
  readonly workloadName: string
  readonly clusterName: unknown
  next: Classified | null
  /** The same end as a pod of another cluster. */
  foreign: End | null
}

/** What `locate` is asked with, beside the end and its address. */
export interface Place {
  readonly port: number
  readonly protocol: Protocol
  readonly atUs: number
  /** The record calls the end by a Service's name. */
  readonly isService: boolean
  /** The packet was not translated yet: a private address may be a Service's although the record names none. */
  readonly isUntranslated: boolean
  /** The record proves that this end opened the connection, or leaves open who did: it is no Service then. */
  readonly isInitiator: boolean
  /** Cilium's name of this cluster, when the two ends are in different ones; else ''. */
  readonly local: string
}

/** Variants of one pod name that are kept: with and without workload, before and after a change of labels. */
const MAX_VARIANTS = 6
/**
 * Pods of one of the two generations that are remembered, and so many ends without a name. Larger: fewer label lists parsed; smaller: less memory.
 */
const MAX_PODS = 200_000
/** Characters of their labels, likewise: pods have a few hundred, but a hostile log writes half a million on each. */
const MAX_CHARACTERS = 128 << 20

/** What an end without a name counts beside its labels, in characters: so that as many are kept as pods. */
const NAMELESS_OVERHEAD = MAX_CHARACTERS / MAX_PODS

const NO_LABELS: readonly string[] = []
const NO_CILIUM_LABELS: CiliumLabels = readCiliumLabels(NO_LABELS)
/** Order of precedence: an API server on a node is an API server (FORMATS: classify by label set, not by number). */
const RESERVED: readonly (readonly [string, EndKind | 'world'])[] = [
  [' kube-apiserver ', 'kube-apiserver'], [' ingress ', 'ingress'], [' health ', 'health'], [' host ', 'host'], [' remote-node ', 'node'],
  [' world ', 'world'], [' world-ipv4 ', 'world'], [' world-ipv6 ', 'world'],
]

/** Turns Hubble endpoints into ends; remembers pods, so that a known pod costs a comparison of its labels. */
export class HubbleEnds {
  readonly #identities: IdentityCache
  readonly #resolver: EndResolver
  readonly #cluster: string
  /** namespace -> pod name -> variants; of what was not asked for during a whole generation nothing is kept. */
  #pods = new Map<string, Map<string, Classified>>()
  #oldPods = new Map<string, Map<string, Classified>>()
  readonly #nameless = new RecentMap<string, Classified>(MAX_CHARACTERS)
  #podCount = 0
  #podCharacters = 0

  constructor({ cluster, identities, resolver }: NormalizeContext) {
    this.#cluster = cluster
    this.#identities = identities
    this.#resolver = resolver
  }

  /** `field` is `source` or `destination`. */
  classify(field: string, endpoint: unknown): Classified | Rejection {
    if (endpoint === undefined || endpoint === null) return this.#fresh(field, {})
    if (!isObject(endpoint)) return wrongType('hubble', field, 'an object', endpoint)
    const { pod_name: pod, namespace, labels } = endpoint
    if (typeof pod === 'string' && pod !== '' && typeof namespace === 'string' && namespace !== '') return this.#pod(field, endpoint, namespace, pod)
    // The namespace may stand in the labels alone, where a field mask drops the field: still a pod of its own.
    if (typeof pod === 'string' && pod !== '') return namespace === undefined || namespace === null || namespace === '' ? this.#pod(field, endpoint, '', pod) : this.#fresh(field, endpoint)
    // Without a pod name the labels are all there is: nodes, the world, and pods of Cilium before 1.10.
    if (!Array.isArray(labels) || labels.length === 0 || endpoint.workloads !== undefined) return this.#fresh(field, endpoint)
    const isPlain = labels.length === 1 && namespace === undefined
    const key = joinTexts(isPlain ? labels : [namespace ?? '', ...(labels as unknown[])])
    if (key === undefined) return this.#fresh(field, endpoint)
    const known = this.#nameless.get(key)
    if (known !== undefined && matches(known, endpoint)) return known
    const made = this.#fresh(field, endpoint)
    if (made.kind === 'rejected') return made
    this.#nameless.set(key, made, NAMELESS_OVERHEAD + 2 * key.length)
    return made
  }

  #pod(field: string, endpoint: RawObject, namespace: string, pod: string): Classified | Rejection {
    const first = this.#pods.get(namespace)?.get(pod) ?? this.#promoted(namespace, pod)
    let variants = 0
    for (let entry = first ?? null; entry !== null; entry = entry.next) {
      if (matches(entry, endpoint)) return entry
      variants++
    }
    const made = this.#fresh(field, endpoint)
    if (made.kind === 'rejected') return made
    if (variants > 0 && variants < MAX_VARIANTS) made.next = first ?? null
    this.#keep(namespace, pod, made)
    return made
  }

  /** The pod of the old generation, now of the young one. */
  #promoted(namespace: string, pod: string): Classified | undefined {
    const known = this.#oldPods.get(namespace)?.get(pod)
    if (known !== undefined) this.#keep(namespace, pod, known)
    return known
  }

  #keep(namespace: string, pod: string, variants: Classified): void {
    let characters = 0
    for (let entry: Classified | null = variants; entry !== null; entry = entry.next) characters += charactersOf(entry.labels)
    if (this.#podCount >= MAX_PODS || this.#podCharacters + characters > MAX_CHARACTERS) {
      this.#oldPods = this.#pods
      this.#pods = new Map()
      this.#podCount = 0
      this.#podCharacters = 0
    }
    const byName = this.#pods.get(namespace) ?? new Map<string, Classified>()
    this.#pods.set(namespace, byName)
    byName.set(pod, variants)
    this.#podCount++
    this.#podCharacters += characters
  }

  /** Classifies without looking at what is remembered. */
  #fresh(field: string, endpoint: RawObject): Classified | Rejection {
    const problem = checkEndpoint(field, endpoint)
    if (problem !== null) return problem
    const list = Array.isArray(endpoint.labels) ? (endpoint.labels as readonly string[]) : null
    const cilium = list === null || list.length === 0 ? NO_CILIUM_LABELS : readCiliumLabels(list)
    const workload = firstWorkload(endpoint)
    const end = this.#decide(endpoint, cilium, list)
    return {
      kind: 'classified',
      decision: typeof end === 'string' ? end : 'end',
      end: typeof end === 'string' ? this.#identities.special('unknown') : end,
      isSettled: typeof end !== 'string' && end.identity.kind === 'pod' && end.identity.labelQuality !== 'none',
      cluster: textOf(endpoint.cluster_name) || cilium.cluster,
      isRaw: list !== null && list.length > 0 && list.every(hasNoSource),
      labels: list,
      workloadKind: workload?.kind ?? '',
      workloadName: workload?.name ?? '',
      clusterName: endpoint.cluster_name,
      next: null,
      foreign: null,
    }
  }

  #decide(endpoint: RawObject, cilium: CiliumLabels, list: readonly string[] | null): End | 'world' | 'nobody' {
    if (cilium.reserved !== ' ') {
      for (const [name, kind] of RESERVED) {
        if (cilium.reserved.includes(name)) return kind === 'world' ? kind : this.#identities.special(kind)
      }
    }
    if (cilium.isCidr) return 'world'
    const namespace = textOf(endpoint.namespace) || cilium.namespace
    if (namespace !== '') return this.#podEnd(endpoint, cilium, { namespace, hasLabels: list !== null && list.length > 0 && cilium.reserved === ' ' })
    // Unmanaged, starting up, or labels without a namespace: somebody's pod, but whose?
    if (cilium.reserved !== ' ' || (list !== null && list.length > 0)) return this.#identities.special('unknown')
    return this.#byNumber(endpoint.identity)
  }

  #podEnd(endpoint: RawObject, cilium: CiliumLabels, known: { namespace: string; hasLabels: boolean }): End {
    const pod = textOf(endpoint.pod_name)
    const logged = firstWorkload(endpoint)
    const workload = logged ?? (pod === '' ? null : deriveWorkload(pod))
    const isNamed = workload !== null && workload.kind !== 'Pod'
    return endOf(this.#identities.intern({
      kind: 'pod',
      cluster: this.#cluster,
      namespace: known.namespace,
      labels: cilium.labels,
      namespaceLabels: cilium.namespaceLabels,
      labelQuality: known.hasLabels ? 'identity-subset' : 'none',
      workload,
      workloadEvidence: logged !== null ? 'record' : workload === null ? 'none' : 'pod-name',
      name: !isNamed && Object.keys(cilium.labels).length === 0 ? pod : '',
    }), pod)
  }

  /** Without labels and names the identity number is all there is; numbers from 256 on mean nothing elsewhere. */
  #byNumber(identity: unknown): End | 'world' | 'nobody' {
    if (typeof identity !== 'number' || identity === 0) return 'nobody'
    switch (identity) {
      case 1: return this.#identities.special('host')
      case 2: case 9: case 10: return 'world'
      case 4: return this.#identities.special('health')
      case 6: return this.#identities.special('node')
      case 7: return this.#identities.special('kube-apiserver')
      case 8: return this.#identities.special('ingress')
      default: break
    }
    const scope = identity >>> 24
    return scope === 1 ? 'world' : this.#identities.special(scope === 2 ? 'node' : 'unknown')
  }

  /**
   * The end with its address, and the one place where cluster state has a say. A pod that the record names is that pod, whatever its address;
   * state only adds labels where the record has none. A well-known address is what it is, whatever its labels. An end without a name is whoever held
   * the address at that moment (T15), where state knows. Without an answer an outside label on an address of a pod, or on a Service's address before
   * translation (ClusterIPs may be public addresses, too), is no outside (T8, T15), and without any identity a private address may be anything.
   */
  locate(found: Classified, address: AddressInfo, at: Place): Located {
    const { port } = at
    const isForeign = at.local !== '' && found.cluster !== at.local
    if (found.decision === 'end') {
      const { kind, labelQuality } = found.end.identity
      if (kind === 'pod') return { end: isForeign ? this.#foreign(found) : labelQuality === 'none' ? this.#described(found.end, at.atUs) : found.end, address, port, isService: false }
      if (kind !== 'unknown' && address.role === '') return { end: found.end, address, port, isService: false }
    }
    if (address.role !== '') return { end: this.#identities.special('external', address.role), address, port, isService: false }
    const known = isForeign || address.text === '' ? undefined : this.#resolver.known(address, at)
    if (known !== undefined) return known
    if (found.decision === 'end') return { end: found.end, address, port, isService: false }
    const isNobody = found.decision === 'nobody'
    const isService = at.isService || (at.isUntranslated && address.isPrivate)
    const isPodLike = address.isPodLike || isService || (isNobody && (address.isPrivate || address.text === ''))
    return { end: this.#identities.special(isPodLike ? 'unknown' : 'external'), address, port, isService }
  }

  /** A pod without labels in the record, as state knew it. */
  #described(end: End, atUs: number): End {
    return end.pod === '' ? end : this.#resolver.knownPod(end.identity.namespace, end.pod, atUs) ?? end
  }

  /** The same pod, in another cluster of the mesh. */
  #foreign(found: Classified): End {
    // Another cluster must never pass for the one this source is bound to.
    const cluster = found.cluster === this.#cluster ? `clustermesh:${found.cluster}` : found.cluster
    found.foreign ??= endOf(this.#identities.intern({ ...found.end.identity, cluster }), found.end.pod)
    return found.foreign
  }
}

/** Cilium writes where every label is from (`k8s:app=web`); Retina writes the pod's own (`app=web`). */
function hasNoSource(label: string): boolean {
  const colon = label.indexOf(':')
  const equals = label.indexOf('=')
  return colon < 0 || (equals >= 0 && equals < colon)
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** True when a remembered end was made from the same facts. */
function matches(entry: Classified, endpoint: RawObject): boolean {
  if (entry.clusterName !== endpoint.cluster_name || !sameLabels(entry.labels, endpoint.labels)) return false
  const { identity, pod_name: pod, workloads } = endpoint
  // Neither tells remembered ends apart: labels and names do. But one of a wrong type is refused, whoever came before.
  if (identity !== undefined && identity !== null && typeof identity !== 'number') return false
  if (pod !== undefined && pod !== null && typeof pod !== 'string') return false
  if (workloads === undefined || (Array.isArray(workloads) && workloads.length === 0)) return entry.workloadName === ''
  const first: unknown = Array.isArray(workloads) ? workloads[0] : undefined
  return isObject(first) && first.name === entry.workloadName && first.kind === entry.workloadKind
}

function sameLabels(known: readonly string[] | null, labels: unknown): boolean {
  if (!Array.isArray(labels)) return known === null && (labels === undefined || labels === null)
  if (known === null || known.length !== labels.length) return false
  for (let i = 0; i < known.length; i++) if (known[i] !== labels[i]) return false
  return true
}

/** The first workload of a checked endpoint, when it is named. */
function firstWorkload(endpoint: RawObject): WorkloadRef | null {
  const first: unknown = Array.isArray(endpoint.workloads) ? endpoint.workloads[0] : undefined
  if (!isObject(first)) return null
  const name = textOf(first.name)
  return name === '' ? null : { kind: textOf(first.kind) || 'Workload', name }
}

const TEXT_FIELDS = ['namespace', 'pod_name', 'cluster_name'] as const

function checkEndpoint(field: string, endpoint: RawObject): Rejection | null {
  for (const name of TEXT_FIELDS) {
    const problem = checkText(`${field}.${name}`, endpoint[name])
    if (problem !== null) return problem
  }
  const { identity, labels, workloads } = endpoint
  if (identity !== undefined && identity !== null && typeof identity !== 'number') return wrongType('hubble', `${field}.identity`, 'a number', identity)
  if (labels !== undefined && labels !== null) {
    const problem = checkLabelList('hubble', `${field}.labels`, labels)
    if (problem !== null) return problem
  }
  if (workloads === undefined || workloads === null) return null
  if (!Array.isArray(workloads)) return wrongType('hubble', `${field}.workloads`, 'an array', workloads)
  const first: unknown = workloads[0]
  if (first === undefined) return null
  if (!isObject(first)) return wrongType('hubble', `${field}.workloads[0]`, 'an object', first)
  return checkText(`${field}.workloads[0].name`, first.name) ?? checkText(`${field}.workloads[0].kind`, first.kind)
}

function checkText(field: string, value: unknown): Rejection | null {
  if (value === undefined || value === null) return null
  return typeof value === 'string' && isStorable(value) ? null : wrongType('hubble', field, 'a name', value)
}
