/**
 * ClusterHistory from versions of objects.
 *
 * In: versions as stored (any order), the spans in which everything was known, and the last moment that anything says something about. Out: answers to
 * "who was this then", by the rules of timeline.ts, pod-lives.ts and service-backends.ts. Invariants: never the holder of another moment; a moment
 * after `headUs` has no answer. Cost: O(n log n) once, O(log n) per question, memory linear in the versions.
 */
import { ObjectReader } from '../base/object-reader.ts'
import { canonicalJson } from '../base/order.ts'
import { parseTimeUs } from '../base/time.ts'
import type { Protocol } from '../flow/flow-record.ts'
import { parseAddress } from '../sets/address.ts'
import type { Address } from '../sets/address.ts'
import type { Cidr } from '../sets/cidr.ts'
import type { AddressHolder, ClusterHistory, HistoryPod, ServiceBackends } from './cluster-history.ts'
import type { CoverageSpan, ObjectVersion } from './object-version.ts'
import { readPodCidrs } from './read-object.ts'
import { reduceObject } from './reduce-object.ts'
import type { ReducedObject } from './reduce-object.ts'
import { BackendIndex } from './service-backends.ts'
import {
  listIn, NamespaceIndex, nextCovered, nodeAddressClaims, ownerIndex, plainOf, podAddressClaims, podEntries, PodEntry, serviceAddressClaims,
} from './state-index.ts'
import type { HolderValue, ServiceEntry } from './state-index.ts'
import { Timeline, UNKNOWN } from './timeline.ts'
import type { Claim } from './timeline.ts'

export interface HistoryOptions {
  /** Spans in which everything was known, ascending and disjoint. */
  readonly spans: readonly CoverageSpan[]
  /** The last moment that anything is known of; -Infinity when nothing is. */
  readonly headUs: number
  /** A person vouches for the state: it holds at all times, so every claim is certain. */
  readonly isVouched?: boolean
}

const UNKNOWN_HOLDER: AddressHolder = { kind: 'unknown' }
const NOBODY: AddressHolder = { kind: 'nobody' }
/** Addresses without any claim whose networks are remembered. More: fewer checks with many outside peers; about 100 bytes each. */
const KEPT_ADDRESSES = 100_000

/** A history that learns that nothing changed for a while longer, without being built anew. */
export interface GrowingHistory extends ClusterHistory {
  confirm(known: Pick<HistoryOptions, 'spans' | 'headUs'>): void
}

export function buildHistory(versions: readonly ObjectVersion[], options: HistoryOptions): GrowingHistory {
  return new StateHistory(versions, options)
}

/**
 * The history of a state without times, for which a person vouches: every object was there from its creation on, for ever; terminated pods until
 * their end, and those that do not tell it never. Of two objects of one name and kind the later counts; unusable ones are left out.
 */
export function vouchedHistory(objects: readonly unknown[]): ClusterHistory {
  const reduced = objects.map((o) => reduceObject(o, 0)).filter((o): o is ReducedObject => o !== undefined && !('problems' in o))
  const byName = new Map(reduced.map((o) => [`${o.kind}\n${o.namespace}\n${o.name}`, o]))
  const versions = [...byName.values()].flatMap((object): ObjectVersion[] => {
    const { kind, namespace, name, instance, document } = object
    const status = plainOf(document.status)
    const isTerminated = kind === 'Pod' && (status.phase === 'Succeeded' || status.phase === 'Failed')
    const endedUs = isTerminated ? parseTimeUs(typeof status.finishedAt === 'string' ? status.finishedAt : '') : null
    if (endedUs === undefined) return []
    const hasCreation = typeof plainOf(document.metadata).creationTimestamp === 'string'
    return [{ kind, namespace, name, instance, document, seenFromUs: hasCreation ? Infinity : -Infinity, seenUntilUs: null, endedUs }]
  })
  return new StateHistory(versions, { spans: [{ fromUs: -Infinity, untilUs: Infinity }], headUs: Infinity, isVouched: true })
}

class StateHistory implements GrowingHistory {
  #options: HistoryOptions
  readonly #addresses = new Map<string, Timeline<HolderValue>>()
  readonly #services = new Map<string, Timeline<ServiceEntry>>()
  /** By namespace and name. */
  readonly #pods = new Map<string, Map<string, Timeline<PodEntry>>>()
  readonly #backends: BackendIndex
  readonly #podCidrs: readonly Cidr[]
  readonly #podNetworks: ReadonlySet<string>
  readonly #isPodNetwork = new Map<string, boolean>()

  constructor(versions: readonly ObjectVersion[], options: HistoryOptions) {
    this.#options = options
    const { spans } = options
    const kinds = instancesByKind(versions)
    const namespaces = new NamespaceIndex(kinds.get('Namespace') ?? [], spans)
    const owners = ownerIndex(versions)
    const nodes = kinds.get('Node') ?? []
    const entries = (kinds.get('Pod') ?? []).map((of) => ({ namespace: (of[0] as ObjectVersion).namespace, name: (of[0] as ObjectVersion).name, own: podEntries(of, { namespaces, owners, spans }) }))
    this.#indexAddresses(entries.flatMap((e) => e.own), nodes, kinds.get('Service') ?? [])
    this.#indexPods(entries)
    const byNamespace = new Map<string, PodEntry[]>()
    for (const { namespace, own } of entries) listIn(byNamespace, namespace).push(...own)
    this.#backends = new BackendIndex(byNamespace, kinds.get('EndpointSlice') ?? [], { spans, findPod: (namespace, name, atUs) => this.#entryNamed(namespace, name, atUs) })
    this.#podNetworks = new Set(options.isVouched === true ? entries.flatMap((e) => e.own).filter((e) => !e.hostNetwork).flatMap(networksOf) : [])
    this.#podCidrs = nodes.flat().flatMap(({ document }) => readPodCidrs(plainOf(document.spec), new ObjectReader()))
  }

  confirm(known: Pick<HistoryOptions, 'spans' | 'headUs'>): void {
    this.#options = { ...this.#options, ...known }
  }

  holderOf(ip: string, atUs: number): AddressHolder {
    if (atUs > this.#options.headUs) return UNKNOWN_HOLDER
    const found = this.#addresses.get(ip)?.at(atUs)
    if (found === UNKNOWN) return UNKNOWN_HOLDER
    if (found instanceof PodEntry) return found.holderAt(atUs)
    if (found !== undefined) return found
    return this.#isCovered(atUs) && !this.isInPodNetwork(ip) ? NOBODY : UNKNOWN_HOLDER
  }

  podNamed(namespace: string, name: string, atUs: number): HistoryPod | undefined {
    return this.#entryNamed(namespace, name, atUs)?.holderAt(atUs).pod
  }

  backendsOf(serviceIp: string, port: number, protocol: Protocol, atUs: number): ServiceBackends | undefined {
    if (atUs > this.#options.headUs) return undefined
    const service = this.#services.get(serviceIp)?.at(atUs)
    return service === undefined || service === UNKNOWN ? undefined : this.#backends.find(service, port, protocol, atUs)
  }

  #entryNamed(namespace: string, name: string, atUs: number): PodEntry | undefined {
    if (atUs > this.#options.headUs) return undefined
    const found = this.#pods.get(namespace)?.get(name)?.at(atUs)
    return found === UNKNOWN ? undefined : found
  }

  #isCovered(atUs: number): boolean {
    return nextCovered(this.#options.spans, atUs - 1) === atUs
  }

  /**
   * Inside a network of pods, an address that is no pod's now was, or will be, one: a node's pod networks, and beside a pod's own address (/24, /64)
   * where a person vouches for a state that may lack pods which ended before it was taken.
   */
  isInPodNetwork(ip: string): boolean {
    const known = this.#isPodNetwork.get(ip)
    if (known !== undefined) return known
    const address = parseAddress(ip)
    const isInside = address === undefined || this.#podNetworks.has(networkOf(address))
      || this.#podCidrs.some((c) => c.family === address.family && c.start <= address.value && address.value <= c.end)
    if (this.#isPodNetwork.size >= KEPT_ADDRESSES) this.#isPodNetwork.clear()
    this.#isPodNetwork.set(ip, isInside)
    return isInside
  }

  #indexAddresses(pods: readonly PodEntry[], nodes: readonly (readonly ObjectVersion[])[], services: readonly (readonly ObjectVersion[])[]): void {
    const { spans, isVouched = false } = this.#options
    const claims = new Map<string, Claim<HolderValue>[]>()
    const serviceClaims = new Map<string, Claim<ServiceEntry>[]>()
    const add = (ip: string, claim: Claim<HolderValue>): void => {
      const vouchedUs = claim.possibleFromUs ?? claim.fromUs
      listIn(claims, ip).push(isVouched ? { ...claim, fromUs: vouchedUs, certainUs: vouchedUs } : claim)
    }
    for (const pod of pods) for (const { ip, claim } of podAddressClaims(pod)) add(ip, claim)
    for (const node of nodes) for (const { ip, claim } of nodeAddressClaims(node, spans)) add(ip, claim)
    for (const versions of services) {
      for (const { ip, claim, service } of serviceAddressClaims(versions, spans)) {
        add(ip, claim)
        listIn(serviceClaims, ip).push(service)
      }
    }
    for (const [ip, of] of claims) this.#addresses.set(ip, new Timeline(of))
    for (const [ip, of] of serviceClaims) this.#services.set(ip, new Timeline(of))
  }

  #indexPods(entries: readonly { readonly namespace: string; readonly name: string; readonly own: readonly PodEntry[] }[]): void {
    const claims = new Map<string, Map<string, Claim<PodEntry>[]>>()
    for (const { namespace, name, own } of entries) {
      let byName = claims.get(namespace)
      if (byName === undefined) claims.set(namespace, byName = new Map<string, Claim<PodEntry>[]>())
      for (const entry of own) {
        const { fromUs, untilUs } = entry.look
        listIn(byName, name).push({ holder: `${entry.instance} ${fromUs}`, value: entry, fromUs, certainUs: fromUs, untilUs, possibleUntilUs: untilUs })
      }
    }
    for (const [namespace, byName] of claims) this.#pods.set(namespace, new Map([...byName].map(([name, of]) => [name, new Timeline(of)])))
  }
}

function networksOf({ look }: PodEntry): string[] {
  return look.addresses.map((a) => parseAddress(a.ip)).filter((a) => a !== undefined).map(networkOf)
}

function networkOf({ family, value }: Address): string {
  return `${family} ${value >> (family === 4 ? 8n : 64n)}`
}

/** Versions of each instance in order of time, by kind. */
function instancesByKind(versions: readonly ObjectVersion[]): Map<string, ObjectVersion[][]> {
  const instances = new Map<string, ObjectVersion[]>()
  for (const version of versions) listIn(instances, `${version.kind}\n${version.namespace}\n${version.name}\n${version.instance}`).push(version)
  const byKind = new Map<string, ObjectVersion[][]>()
  for (const of of instances.values()) listIn(byKind, (of[0] as ObjectVersion).kind).push(joinEqual(of.sort((a, b) => a.seenFromUs - b.seenFromUs)))
  return byKind
}

/** Sightings of one instance with equal content are one version: it existed in between, even where a state lacked it. */
function joinEqual(versions: ObjectVersion[]): ObjectVersion[] {
  if (versions.length === 1) return versions
  const joined: { version: ObjectVersion; text: string }[] = []
  for (const version of versions) {
    const text = canonicalJson(version.document)
    const last = joined.at(-1)
    if (last?.text === text) last.version = { ...version, seenFromUs: last.version.seenFromUs }
    else joined.push({ version, text })
  }
  return joined.map((j) => j.version)
}
