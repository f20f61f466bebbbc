/** Versions of objects, read once and indexed by what is asked of them; the parts of a history (build-history.ts). */
import { ObjectReader } from '../base/object-reader.ts'
import type { Labels, WorkloadRef } from '../flow/end.ts'
import type { AddressHolder, HistoryPod } from './cluster-history.ts'
import type { CoverageSpan, ObjectVersion } from './object-version.ts'
import { ownerKey, resolveWorkload } from './owner.ts'
import type { OwnerReference } from './owner.ts'
import { createdUs, endOf, podLooks, possibleEndOf } from './pod-lives.ts'
import type { AddressSpan, PodLook } from './pod-lives.ts'
import { readNodeAddresses, readOwner, readServiceAddresses } from './read-object.ts'
import { readContainerPorts, readServicePorts } from './read-ports.ts'
import type { ContainerPort, ServicePort } from './snapshot.ts'
import { NAMESPACE_NAME_LABEL } from './snapshot.ts'
import { Timeline, UNKNOWN } from './timeline.ts'
import type { Claim } from './timeline.ts'

type Plain = Readonly<Record<string, unknown>>

/** The first moment after `timeUs` at which everything was known; Infinity when there is none. `spans` ascend and do not overlap. */
export function nextCovered(spans: readonly CoverageSpan[], timeUs: number): number {
  let low = 0
  let high = spans.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((spans[middle] as CoverageSpan).untilUs <= timeUs) low = middle + 1
    else high = middle
  }
  const span = spans[low]
  return span === undefined ? Infinity : Math.max(span.fromUs, timeUs + 1)
}

/** One look of a pod; what it is at a moment depends on its namespace's labels then. */
export class PodEntry {
  readonly instance: string
  readonly look: PodLook
  readonly #namespaces: NamespaceIndex
  readonly #base: Omit<HistoryPod, 'namespaceLabels'>
  /** The answer of the last time, which is almost always the next one too. */
  #last: { readonly kind: 'pod'; readonly pod: HistoryPod } | undefined

  constructor(look: PodLook, instance: string, index: { namespaces: NamespaceIndex; workload: WorkloadRef | null }) {
    const reader = new ObjectReader()
    const metadata = reader.object(look.document.metadata, 'metadata')
    const spec = reader.object(look.document.spec, 'spec')
    this.look = look
    this.instance = instance
    this.#namespaces = index.namespaces
    this.#base = {
      namespace: reader.text(metadata.namespace, '') ?? 'default',
      name: reader.text(metadata.name, '') ?? '',
      labels: reader.texts(metadata.labels, ''),
      workload: index.workload,
      hostNetwork: spec.hostNetwork === true,
      nodeName: reader.text(spec.nodeName, '') ?? '',
      ports: readContainerPorts(spec, 'spec', reader),
    }
  }

  get hostNetwork(): boolean {
    return this.#base.hostNetwork
  }

  get nodeName(): string {
    return this.#base.nodeName
  }

  get labels(): Labels {
    return this.#base.labels
  }

  get ports(): readonly ContainerPort[] {
    return this.#base.ports
  }

  holderAt(timeUs: number): { readonly kind: 'pod'; readonly pod: HistoryPod } {
    const namespaceLabels = this.#namespaces.labelsAt(this.#base.namespace, timeUs)
    const last = this.#last
    if (last !== undefined && last.pod.namespaceLabels === namespaceLabels) return last
    return this.#last = { kind: 'pod', pod: { ...this.#base, namespaceLabels } }
  }
}

/** Labels of namespaces over time. */
export class NamespaceIndex {
  readonly #timelines = new Map<string, Timeline<Labels>>()

  constructor(instances: readonly (readonly ObjectVersion[])[], spans: readonly CoverageSpan[]) {
    const claims = new Map<string, Claim<Labels>[]>()
    for (const versions of instances) {
      const name = (versions[0] as ObjectVersion).name
      const own = versionClaims(versions, spans, (version): Labels => ({
        ...new ObjectReader().texts(plainOf(version.document.metadata).labels, ''), [NAMESPACE_NAME_LABEL]: name,
      }))
      listIn(claims, name).push(...own)
    }
    for (const [name, of] of claims) this.#timelines.set(name, new Timeline(of))
  }

  labelsAt(name: string, timeUs: number): Labels | null {
    const labels = this.#timelines.get(name)?.at(timeUs)
    return labels === undefined || labels === UNKNOWN ? null : labels
  }
}

/** Claims of the versions of one object: the first holds from its creation, and between two different ones nobody knows. */
export function versionClaims<T>(versions: readonly ObjectVersion[], spans: readonly CoverageSpan[], valueOf: (version: ObjectVersion) => T): Claim<T>[] {
  return versions.map((version, i) => {
    const fromUs = i === 0 ? createdUs(version) : version.seenFromUs
    const possibleUntilUs = possibleEndOf(version, versions[i + 1], (timeUs) => nextCovered(spans, timeUs))
    return { holder: version.instance, value: valueOf(version), fromUs, certainUs: fromUs, untilUs: endOf(version), possibleUntilUs }
  })
}

/** Controllers of controllers. One that had several owners under one name is left out: the naming rules decide. */
export function ownerIndex(versions: readonly ObjectVersion[]): ReadonlyMap<string, OwnerReference> {
  const owners = new Map<string, OwnerReference | undefined>()
  for (const { kind, namespace, name, document } of versions) {
    if (kind === 'Pod') continue
    const owner = readOwner(plainOf(document.metadata), new ObjectReader())
    if (owner === undefined) continue
    const key = ownerKey(kind, namespace, name)
    const known = owners.get(key)
    const isSame = !owners.has(key) || (known?.kind === owner.kind && known.name === owner.name)
    owners.set(key, isSame ? owner : undefined)
  }
  return new Map([...owners].flatMap(([key, owner]) => (owner === undefined ? [] : [[key, owner] as const])))
}

/** The looks of one pod. */
export function podEntries(versions: readonly ObjectVersion[], index: {
  readonly namespaces: NamespaceIndex; readonly owners: ReadonlyMap<string, OwnerReference>; readonly spans: readonly CoverageSpan[]
}): PodEntry[] {
  const { namespace, instance } = versions[0] as ObjectVersion
  return podLooks(versions, (timeUs) => nextCovered(index.spans, timeUs)).map((look) => {
    const reader = new ObjectReader()
    const metadata = plainOf(look.document.metadata)
    const workload = resolveWorkload(readOwner(metadata, reader), namespace, reader.texts(metadata.labels, ''), index.owners)
    return new PodEntry(look, instance, { namespaces: index.namespaces, workload })
  })
}

/** What a claim of an address stands for. */
export type HolderValue = PodEntry | AddressHolder

export function podAddressClaims(entry: PodEntry): { ip: string; claim: Claim<HolderValue> }[] {
  const { hostNetwork, nodeName, instance, look } = entry
  // Without a node's name nothing can be said of the address it shares.
  if (hostNetwork && nodeName === '') return []
  const holder = hostNetwork ? `node ${nodeName}` : `pod ${instance} ${look.fromUs}`
  const value: HolderValue = hostNetwork ? { kind: 'node', node: nodeName } : entry
  return look.addresses.map(({ ip, ...span }: AddressSpan) => ({ ip, claim: { holder, value, ...span } }))
}

export function nodeAddressClaims(versions: readonly ObjectVersion[], spans: readonly CoverageSpan[]): { ip: string; claim: Claim<HolderValue> }[] {
  return versionClaims(versions, spans, (v) => v).flatMap(({ value: version, ...claim }) => {
    const value: AddressHolder = { kind: 'node', node: version.name }
    const addresses = readNodeAddresses(plainOf(version.document.status), new ObjectReader())
    // Not sooner certain than seen: its address may have been another machine's while that one was being replaced.
    return addresses.map((a) => ({ ip: a.text, claim: { ...claim, certainUs: version.seenFromUs, holder: `node ${version.name}`, value } }))
  })
}

/** One version of a service. */
export interface ServiceEntry {
  readonly namespace: string
  readonly name: string
  readonly selector: Labels | null
  readonly ports: readonly ServicePort[]
}

export function serviceEntry({ namespace, name, document }: ObjectVersion): ServiceEntry {
  const reader = new ObjectReader()
  const spec = plainOf(document.spec)
  const selector = spec.selector === undefined ? null : reader.texts(spec.selector, '')
  return { namespace, name, selector, ports: readServicePorts(spec, reader) }
}

/** A cluster address is given out anew only after its service is gone, so it is certain from the creation. */
export function serviceAddressClaims(versions: readonly ObjectVersion[], spans: readonly CoverageSpan[]): { ip: string; claim: Claim<HolderValue>; service: Claim<ServiceEntry> }[] {
  return versionClaims(versions, spans, serviceEntry).flatMap((service, i) => {
    const version = versions[i] as ObjectVersion
    const value: AddressHolder = { kind: 'service', namespace: version.namespace, name: version.name }
    const addresses = readServiceAddresses(plainOf(version.document.spec), new ObjectReader())
    return addresses.map((a) => ({ ip: a.text, service, claim: { ...service, holder: `service ${version.instance}`, value } }))
  })
}

export function listIn<K, T>(lists: Map<K, T[]>, key: K): T[] {
  const known = lists.get(key)
  if (known !== undefined) return known
  const list: T[] = []
  lists.set(key, list)
  return list
}

export function plainOf(value: unknown): Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Plain) : {}
}
