import { UNVERIFIED_PRIVATE, type LabelQuality, type Labels, type WorkloadRef } from '../../flow/end.ts'
import type { Rejection } from '../../flow/flow-record.ts'
import { NO_ADDRESS, type AddressCache, type AddressInfo } from '../address-cache.ts'
import { readText } from './calico-fields.ts'
import { endOf, type End, type IdentityCache } from '../identity-cache.ts'
import { addLabel, checkLabelList, joinTexts } from '../label-list.ts'
import type { Located } from '../orientation.ts'
import { deriveController, deriveWorkload } from '../pod-name.ts'
import { readPort } from '../ports.ts'
import { isObject, reject, shown, wrongType, type RawObject } from '../problems.ts'

/** The names that one end goes by: the values of source_* or dest_*. */
interface Named {
  readonly type: string
  readonly namespace: string
  /** Pod name; '' when aggregated away. */
  readonly name: string
  /** Name of the aggregate: `web-7d4b9c6f58-*`, a pod, a host, a network set, `pub` or `pvt`. */
  readonly aggregate: string
}

/** Remembered ends. Larger: fewer label lists parsed; smaller: less memory. */
const MAX_ENDS = 100_000
/** Labels that Calico adds to its own view of a pod. */
const SYNTHETIC = 'projectcalico.org/'

/** Turns one end of a Calico flow log into an end; remembers what it parsed. */
export class CalicoEnds {
  readonly #cluster: string
  readonly #identities: IdentityCache
  readonly #addresses: AddressCache
  readonly #known = new Map<string, End>()

  constructor(cluster: string, identities: IdentityCache, addresses: AddressCache) {
    this.#cluster = cluster
    this.#identities = identities
    this.#addresses = addresses
  }

  /** `prefix` is `source` or `dest`. */
  read(record: RawObject, prefix: 'source' | 'dest'): Located | Rejection {
    const named = readNames(record, prefix)
    if ('code' in named) return named
    const address = this.#readAddress(`${prefix}_ip`, record[`${prefix}_ip`])
    if (address.kind === 'rejected') return address
    const port = readPort('calico-enterprise', `${prefix}_port`, record[`${prefix}_port`])
    if (typeof port !== 'number') return port
    const labels = record[`${prefix}_labels`]
    const end = this.#end(named, address, { field: `${prefix}_labels`, value: labels, host: record.host })
    if (end.kind === 'rejected') return end
    if (end.identity.kind !== 'external' || prefix === 'source') return { end, address, port, isService: false }
    // The API server is no pod: its address behind the Service is a node's, or a managed control plane's.
    if (record.dest_service_name === 'kubernetes' && record.dest_service_namespace === 'default') {
      return { end: this.#identities.special('kube-apiserver'), address, port, isService: false }
    }
    // Denied before translation (FORMATS 2.4): a Service's address is no outside and its port no pod's port (T8).
    const isService = isName(record.dest_service_name) && (address.isPrivate || named.aggregate === 'pvt')
    return isService ? { end: this.#identities.special('unknown'), address, port, isService } : { end, address, port, isService }
  }

  #readAddress(field: string, value: unknown): AddressInfo | Rejection {
    if (value === undefined || value === null || value === '' || value === '-') return NO_ADDRESS
    if (typeof value !== 'string') return wrongType('calico-enterprise', field, 'an IP address', value)
    return this.#addresses.get(value) ?? reject('calico-enterprise', 'bad-address', `${field}: ${shown(value)} is not an IP address`)
  }

  #end(named: Named, address: AddressInfo, labels: { field: string; value: unknown; host: unknown }): End | Rejection {
    switch (typeOf(named)) {
      case 'wep': return this.#labelled('pod', named, labels)
      case 'ns': return this.#labelled('networkset', named, labels)
      // A host endpoint is the pod's own node when it is the one that reports.
      case 'hep': return this.#identities.special(named.aggregate !== '' && named.aggregate === labels.host ? 'host' : 'node')
      case 'net':
        if (address.isPodLike) return this.#identities.special('unknown')
        return this.#identities.special('external', address.isPrivate || named.aggregate === 'pvt' ? UNVERIFIED_PRIVATE : '')
      default: return wrongType('calico-enterprise', labels.field.replace('_labels', '_type'), 'wep, hep, ns or net', named.type)
    }
  }

  #labelled(kind: 'pod' | 'networkset', named: Named, labels: { field: string; value: unknown }): End | Rejection {
    const list = readList(labels.field, labels.value)
    if (list !== null && 'code' in list) return list
    const key = joinTexts([kind, named.namespace, named.name, named.aggregate, ...(list === null ? [] : ['labels', ...list])])
    const known = key === undefined ? undefined : this.#known.get(key)
    if (known !== undefined) return known
    const problem = list === null ? null : checkLabelList('calico-enterprise', labels.field, list)
    if (problem !== null) return problem
    if (kind === 'pod' && named.namespace === '') return this.#identities.special('unknown')
    const end = kind === 'pod' ? this.#podEnd(named, list) : this.#networkSetEnd(named, list)
    if (this.#known.size >= MAX_ENDS) this.#known.clear()
    if (key !== undefined) this.#known.set(key, end)
    return end
  }

  #podEnd(named: Named, list: readonly string[] | null): End {
    const workload = workloadOf(named)
    const labels = labelsOf(list)
    const quality: LabelQuality = list === null ? 'none' : named.name === '' ? 'intersection' : 'full'
    const isNamed = workload !== null && workload.kind !== 'Pod'
    return endOf(this.#identities.intern({
      kind: 'pod', cluster: this.#cluster, namespace: named.namespace, labels, namespaceLabels: {}, labelQuality: quality, workload,
      workloadEvidence: workload === null ? 'none' : 'pod-name',
      name: !isNamed && Object.keys(labels).length === 0 ? named.name || named.aggregate : '',
    }), named.name)
  }

  #networkSetEnd(named: Named, list: readonly string[] | null): End {
    return endOf(this.#identities.intern({
      kind: 'networkset', cluster: this.#cluster, namespace: named.namespace, labels: labelsOf(list), namespaceLabels: {},
      labelQuality: list === null ? 'none' : 'full', workload: null, workloadEvidence: 'none', name: named.aggregate || named.name,
    }), '')
  }
}

/** The type, or what the names say where a fragment lacks it. */
function typeOf(named: Named): string {
  if (named.type !== '') return named.type
  if (named.aggregate === 'pub' || named.aggregate === 'pvt') return 'net'
  return named.namespace === '' ? '' : 'wep'
}

/** A pod's full name says most; else the prefix that the aggregate's pods share; an aggregate without `*` is one pod that nobody controls. */
function workloadOf(named: Named): WorkloadRef | null {
  const { name, aggregate } = named
  if (aggregate.endsWith('-*')) return name === '' ? deriveController(aggregate.slice(0, -2)) : deriveWorkload(name)
  if (aggregate === '' || aggregate.includes('*')) return name === '' ? null : deriveWorkload(name)
  return { kind: 'Pod', name: aggregate }
}

function labelsOf(list: readonly string[] | null): Labels {
  const labels: Record<string, string> = {}
  for (const text of list ?? []) if (!text.startsWith(SYNTHETIC)) addLabel(labels, text)
  return labels
}

/** The label list inside `{"labels": [...]}`; `null` when the row has none. */
function readList(field: string, value: unknown): readonly string[] | null | Rejection {
  if (value === undefined || value === null) return null
  if (!isObject(value)) return wrongType('calico-enterprise', field, 'an object with labels', value)
  const list = value.labels
  if (list === undefined || list === null) return null
  return Array.isArray(list) ? (list as readonly string[]) : wrongType('calico-enterprise', `${field}.labels`, 'an array of texts', list)
}

function readNames(record: RawObject, prefix: string): Named | Rejection {
  const values: string[] = []
  for (const part of ['type', 'namespace', 'name', 'name_aggr']) {
    const text = readText(`${prefix}_${part}`, record[`${prefix}_${part}`])
    if (typeof text !== 'string') return text
    values.push(text)
  }
  const [type = '', namespace = '', name = '', aggregate = ''] = values
  return { type, namespace, name, aggregate }
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && value !== '-'
}
