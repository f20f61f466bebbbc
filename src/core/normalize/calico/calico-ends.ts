/**
 * The two ends of a Calico row. In: the names, labels and address that a row gives an end. Out: who that is.
 *
 * Invariants: a function of the row and of cluster state at its window; what is remembered only saves work. A pod is named by the row, never by an
 * address, but for addresses that Calico calls a network: there cluster state may know better (a node, a Service, a pod that Calico does not run).
 * Cost of a known pod: a lookup by its names and a comparison of its labels.
 */
import { UNVERIFIED_PRIVATE, type LabelQuality, type Labels, type WorkloadRef } from '../../flow/end.ts'
import type { Protocol, Rejection } from '../../flow/flow-record.ts'
import type { AddressInfo } from '../address-cache.ts'
import type { CoverageNotes } from '../coverage-notes.ts'
import { hashText, type TextHash } from '../digest.ts'
import type { EndResolver } from '../end-resolver.ts'
import { endOf, type End, type IdentityCache } from '../identity-cache.ts'
import { addLabel, charactersOf, checkLabelList } from '../label-list.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import type { Located } from '../orientation.ts'
import { deriveController, deriveWorkload } from '../pod-name.ts'
import { isStorable, wrongType } from '../problems.ts'
import type { CalicoFormat } from './calico-fields.ts'

/** Workload endpoint, host endpoint, network set, anything else; `unnamed`: the row does not tell, and its names do not either. */
export type CalicoType = 'wep' | 'hep' | 'ns' | 'net' | 'unnamed'

/** What a row says of one end. */
export interface CalicoEnd {
  readonly kind: 'said'
  /** How messages call it. */
  readonly prefix: 'source' | 'dest'
  readonly type: CalicoType
  /** '' for none, here and below. */
  readonly namespace: string
  /** The pod's name; '' when aggregated away. */
  readonly name: string
  /** Name of the aggregate: `web-7d4b9c6f58-*`, a pod, a host, a network set, `pub` or `pvt`. */
  readonly aggregate: string
  /** Unchecked `key=value` texts; `null`: the row has none. */
  readonly labels: readonly unknown[] | null
  address: AddressInfo
  port: number
  /** Who it is, once found and where no cluster state has a say; a reader that meets the same end again gives it again. */
  settled: End | undefined
}

/** Who an end is, and where. */
interface FoundEnd extends Located {
  readonly kind: 'found'
}

/** What both ends of a row share. */
interface CalicoWindow {
  readonly protocol: Protocol
  readonly firstAtUs: number
  readonly lastAtUs: number
  /** The node that reports; '' when unknown. */
  readonly host: string
}

/** The end of one set of names and labels. */
interface KnownEnd {
  readonly type: CalicoType
  readonly namespace: string
  readonly name: string
  readonly aggregate: string
  readonly labels: readonly unknown[] | null
  readonly end: End
  next: KnownEnd | undefined
}

/** Remembered ends. Larger: fewer label lists parsed; smaller: less memory. Past it everything is forgotten at once. */
const MAX_ENDS = 100_000
/** Characters of their labels, likewise. */
const MAX_CHARACTERS = 64 << 20
/** Ends kept under one name: of several namespaces, before and after a change of labels. */
const MAX_VARIANTS = 8
/** Labels that Calico adds to its own view of a pod. */
const SYNTHETIC = 'projectcalico.org/'

/** Turns ends of Calico rows into ends; remembers what it parsed. */
export class CalicoEnds {
  readonly #format: CalicoFormat
  readonly #cluster: string
  readonly #identities: IdentityCache
  readonly #resolver: EndResolver
  /** By the pod's name, else the aggregate's. */
  readonly #known = new Map<string, KnownEnd>()
  #count = 0
  #characters = 0

  constructor(format: CalicoFormat, { cluster, identities, resolver }: NormalizeContext) {
    this.#format = format
    this.#cluster = cluster
    this.#identities = identities
    this.#resolver = resolver
  }

  source(end: CalicoEnd, window: CalicoWindow): FoundEnd | Rejection {
    switch (end.type) {
      case 'net': return this.#network(end, window)
      // A host endpoint is the pod's own node when it is the one that reports.
      case 'hep': return found(this.#identities.special(end.aggregate !== '' && end.aggregate === window.host ? 'host' : 'node'), end)
      case 'unnamed': return found(this.#fromState(end, window) ?? this.#identities.special('unknown'), end)
      default: {
        if (end.settled !== undefined) return found(end.settled, end)
        const named = this.#named(end, window)
        if (named.kind === 'rejected') return named
        if (end.labels !== null) end.settled = named
        return found(named, end)
      }
    }
  }

  /** Like `source`; the Service that was called says more. */
  destination(end: CalicoEnd, window: CalicoWindow, service: { readonly namespace: unknown; readonly name: unknown }): FoundEnd | Rejection {
    const located = this.source(end, window)
    if (located.kind === 'rejected' || end.type === 'wep' || end.type === 'ns') return located
    const { address, port, isService } = located
    const { kind } = located.end.identity
    const isNoPod = kind === 'external' || kind === 'node' || kind === 'host' || isService
    if (!isNoPod) return located
    // The API server is no pod: its address behind the Service is a node's, or a managed control plane's.
    if (service.name === 'kubernetes' && service.namespace === 'default') return { kind: 'found', end: this.#identities.special('kube-apiserver'), address, port, isService }
    // Denied before translation (FORMATS 2.4): a Service's address is no outside and its port no pod's port (T8).
    if (kind !== 'external' || !isName(service.name) || !(address.isPrivate || end.aggregate === 'pvt')) return located
    return { kind: 'found', end: this.#identities.special('unknown'), address, port, isService: true }
  }

  #network(end: CalicoEnd, { protocol, firstAtUs, lastAtUs }: CalicoWindow): FoundEnd {
    const { address, port } = end
    if (address.text === '') return found(this.#identities.special('external', end.aggregate === 'pvt' ? UNVERIFIED_PRIVATE : ''), end)
    const located = this.#resolver.address(address, { port, protocol, atUs: lastAtUs, privateIs: 'outside' })
    const { identity, pod } = located.end
    if (identity.kind === 'external' && identity.name === '' && end.aggregate === 'pvt') return found(this.#identities.special('external', UNVERIFIED_PRIVATE), end)
    if (identity.kind !== 'pod' || located.address.text === '' || firstAtUs === lastAtUs) {
      return { kind: 'found', end: located.end, address: located.address, port: located.port, isService: located.isService }
    }
    // Calico knows no pod at this address: one that state knows must have held it during the whole window, or it is the next owner (T15).
    const before = this.#resolver.address(address, { port, protocol, atUs: firstAtUs, privateIs: 'outside' }).end
    return found(before.identity.key === identity.key && before.pod === pod ? located.end : this.#identities.special('unknown'), end)
  }

  #named(end: CalicoEnd, window: CalicoWindow): End | Rejection {
    // Labels and controller of a pod whose row has none are what cluster state knew at the time (T16).
    const fromState = end.labels === null ? this.#fromState(end, window) : undefined
    if (fromState !== undefined) return fromState
    const key = end.name === '' ? end.aggregate : end.name
    const first = this.#known.get(key)
    let variants = 0
    for (let known = first; known !== undefined; known = known.next) {
      if (isSame(known, end)) return known.end
      variants++
    }
    const made = this.#make(end)
    if (made.kind === 'rejected') return made
    const { type, namespace, name, aggregate, labels } = end
    const characters = charactersOf(labels)
    if (this.#count >= MAX_ENDS || this.#characters + characters > MAX_CHARACTERS) {
      this.#known.clear()
      this.#count = 0
      this.#characters = 0
    }
    // Aggregates of one identity are told apart by their names.
    const distinct: End = { ...made, hash: hashText(`${made.identity.key}\n${made.pod}\n${namespace}\n${aggregate}`) }
    this.#known.set(key, { type, namespace, name, aggregate, labels, end: distinct, next: this.#count > 0 && variants < MAX_VARIANTS ? first : undefined })
    this.#count++
    this.#characters += characters
    return distinct
  }

  #fromState({ labels, name, namespace, aggregate, type }: CalicoEnd, { firstAtUs, lastAtUs }: CalicoWindow): End | undefined {
    const pod = name !== '' ? name : aggregate.includes('*') ? '' : aggregate
    if (type === 'ns' || labels?.length === 0 || pod === '' || namespace === '') return undefined
    return this.#resolver.knownPod(namespace, pod, lastAtUs) ?? this.#resolver.knownPod(namespace, pod, firstAtUs)
  }

  #make(end: CalicoEnd): End | Rejection {
    const { prefix, namespace, name, aggregate } = end
    for (const [field, text] of [['namespace', namespace], ['name', name], [this.#format === 'goldmane' ? 'name' : 'name_aggr', aggregate]] as const) {
      if (!isStorable(text)) return wrongType(this.#format, `${prefix}_${field}`, 'a text', text)
    }
    const problem = end.labels === null ? null : checkLabelList(this.#format, `${prefix}_labels`, end.labels)
    if (problem !== null) return problem
    const list = end.labels as readonly string[] | null
    if (end.type === 'ns') return this.#networkSetEnd(end, list)
    if (namespace === '' || (name === '' && aggregate === '' && list === null)) return this.#identities.special('unknown')
    return this.#podEnd(end, list)
  }

  #podEnd(end: CalicoEnd, list: readonly string[] | null): End {
    const workload = workloadOf(end)
    const labels = labelsOf(list)
    const quality: LabelQuality = list === null ? 'none' : end.name === '' ? 'intersection' : 'full'
    const isNamed = workload !== null && workload.kind !== 'Pod'
    return endOf(this.#identities.intern({
      kind: 'pod', cluster: this.#cluster, namespace: end.namespace, labels, namespaceLabels: {}, labelQuality: quality, workload,
      workloadEvidence: workload === null ? 'none' : 'pod-name',
      name: !isNamed && Object.keys(labels).length === 0 ? end.name || end.aggregate : '',
    }), end.name)
  }

  #networkSetEnd(end: CalicoEnd, list: readonly string[] | null): End {
    return endOf(this.#identities.intern({
      kind: 'networkset', cluster: this.#cluster, namespace: end.namespace, labels: labelsOf(list), namespaceLabels: {},
      labelQuality: list === null ? 'none' : 'full', workload: null, workloadEvidence: 'none', name: end.aggregate || end.name,
    }), '')
  }
}

/** What the row says of an end as a hash, after it was found; cluster state has no part in it. */
export function saidHash(end: CalicoEnd): TextHash {
  if (end.settled !== undefined) return end.settled.hash
  return hashText(`${end.type}\n${end.namespace}\n${end.name}\n${end.aggregate}`)
}

/** An end at the address and port that its row gives. */
function found(who: End, { address, port }: CalicoEnd): FoundEnd {
  return { kind: 'found', end: who, address, port, isService: false }
}

/** Level 2 and up lose outside addresses, level 3 destination ports; what else they drop (pod names, pod addresses, source ports) no policy needs. */
export function noteAggregation(coverage: CoverageNotes, ends: { readonly from: CalicoEnd; readonly to: CalicoEnd }, { lastAtUs, host }: CalicoWindow): void {
  const { from, to } = ends
  if (to.port === 0) coverage.note('aggregation', lastAtUs, host, 'Calico aggregation level 3: destination ports are missing')
  else if ((from.type === 'net' && from.address.text === '') || (to.type === 'net' && to.address.text === '')) {
    coverage.note('aggregation', lastAtUs, host, 'Calico aggregation level 2: outside addresses are missing')
  }
}

/** A list, or none; not why there is no list. */
export function isLabelList(value: readonly unknown[] | null | Rejection): value is readonly unknown[] | null {
  return value === null || Array.isArray(value)
}

/** A pod's full name says most; else the prefix that the aggregate's pods share; an aggregate without `*` is one pod that nobody controls. */
function workloadOf({ name, aggregate }: CalicoEnd): WorkloadRef | null {
  if (aggregate.endsWith('-*')) return name === '' ? deriveController(aggregate.slice(0, -2)) : deriveWorkload(name)
  if (aggregate === '' || aggregate.includes('*')) return name === '' ? null : deriveWorkload(name)
  return { kind: 'Pod', name: aggregate }
}

function labelsOf(list: readonly string[] | null): Labels {
  const labels: Record<string, string> = {}
  for (const text of list ?? []) if (!text.startsWith(SYNTHETIC)) addLabel(labels, text)
  return labels
}

/** The lists are of one aggregate, hence nearly always of one length and order. */
function isSame(known: KnownEnd, end: CalicoEnd): boolean {
  // Without a pod's name the aggregate's is the key that both were found by.
  if (known.type !== end.type || known.name !== end.name || known.namespace !== end.namespace || (end.name !== '' && known.aggregate !== end.aggregate)) return false
  const a = known.labels
  const b = end.labels
  if (a === b) return true
  if (a === null || b === null) return false
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && value !== '-'
}
