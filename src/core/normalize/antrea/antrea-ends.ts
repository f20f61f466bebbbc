/**
 * The ends of Antrea's records: pods with the labels of the record itself, pods that only have a name, addresses.
 *
 * Invariants: labels are a JSON object in a text; '' and `null` mean that the exporter left them out, `{}` that the pod has none. Labels that are
 * malformed reject the record: its other texts cannot be trusted either.
 */
import type { Labels } from '../../flow/end.ts'
import type { Protocol, Rejection } from '../../flow/flow-record.ts'
import type { Identity } from '../../flow/identity.ts'
import type { AddressInfo } from '../address-cache.ts'
import { endOf, type End, type IdentityCache } from '../identity-cache.ts'
import { checkLabelList } from '../label-list.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import type { Located } from '../orientation.ts'
import { deriveWorkload } from '../pod-name.ts'
import { readPort } from '../ports.ts'
import { isObject, isStorable, reject, shown, wrongType } from '../problems.ts'

/** One end's values, unchecked. */
export interface RawEnd {
  /** How the format calls its fields: `sourcePod` + `Name`, `SrcPod` + `Name`. */
  readonly prefix: string
  readonly addressName: string
  readonly portName: string
  readonly address: unknown
  readonly port: unknown
  readonly pod: unknown
  readonly namespace: unknown
  readonly labels: unknown
}

export interface EndQuestion {
  readonly protocol: Protocol
  readonly atUs: number
  /** Where the end is, as far as the flow type tells. */
  readonly place: 'inside' | 'outside' | 'unknown'
  /** Text address of the Service that was dialled, at the destination. */
  readonly serviceIp: unknown
  readonly isApiServer: boolean
}

/** A pod as its records name it. */
export interface KnownPod {
  readonly namespace: string
  readonly name: string
  readonly workload: null
  readonly labels: unknown
  /** With the record's labels; `null` where it has none. */
  readonly labelled: End | null
  /** Made of the name alone; used where state does not know the pod at the time. */
  named: End | undefined
  /** The record's labels under the controller that state knows, and the identity that state gave. */
  controlled: { readonly by: Identity; readonly end: End } | undefined
}

/** Pods remembered. Larger: fewer label texts parsed; smaller: less memory. Past it everything is forgotten at once. */
const MAX_PODS = 100_000
/** Characters of their labels' texts, likewise. */
const MAX_CHARACTERS = 64 << 20
/** Longer label texts are refused unparsed: 256 labels of full length are 100,000 characters. */
const MAX_LABELS_TEXT = 262_144

export class AntreaEnds {
  readonly #context: NormalizeContext
  readonly #identities: IdentityCache
  /** namespace -> pod name -> pod. */
  readonly #pods = new Map<unknown, Map<unknown, KnownPod>>()
  #podCount = 0
  #characters = 0

  constructor(context: NormalizeContext) {
    this.#context = context
    this.#identities = context.identities
  }

  locate(raw: RawEnd, question: EndQuestion): Located | Rejection {
    const address = this.#readAddress(raw.addressName, raw.address)
    if (address.kind === 'rejected') return address
    const port = readPort('antrea', raw.portName, raw.port)
    if (typeof port !== 'number') return port
    if (raw.pod === undefined || raw.pod === '' || raw.pod === null) return this.#unnamed(raw, address, { port, question })
    const pod = this.pod(raw)
    if ('code' in pod) return pod
    return { end: this.podEnd(pod, question.atUs), address, port, isService: false }
  }

  #readAddress(field: string, value: unknown): AddressInfo | Rejection {
    if (typeof value === 'string' && value !== '') return this.#context.addresses.get(value) ?? reject('antrea', 'bad-address', `${field}: ${shown(value)} is not an IP address`)
    if (value === undefined || value === null || value === '') return reject('antrea', 'missing-field', `${field}: absent`)
    return wrongType('antrea', field, 'an IP address', value)
  }

  podEnd(pod: KnownPod, atUs: number): End {
    if (pod.namespace === '') return this.#identities.special('unknown')
    const known = this.#context.resolver.knownPod(pod.namespace, pod.name, atUs)
    if (known !== undefined) return pod.labelled === null ? known : this.#controlledEnd(pod, pod.labelled, known.identity)
    if (pod.labelled !== null) return pod.labelled
    pod.named ??= this.#context.resolver.pod(pod, atUs)
    return pod.named
  }

  /** Labels are the record's own; the controller, which records never name, is what state says. */
  #controlledEnd(pod: KnownPod, labelled: End, by: Identity): End {
    if (pod.controlled?.by === by) return pod.controlled.end
    const { workload, workloadEvidence, namespaceLabels } = by
    const end = by.kind !== 'pod' || workload === null ? labelled : endOf(this.#identities.intern({ ...labelled.identity, workload, workloadEvidence, namespaceLabels }), pod.name)
    pod.controlled = { by, end }
    return end
  }

  #unnamed(raw: RawEnd, address: AddressInfo, { port, question }: { port: number; question: EndQuestion }): Located {
    const { protocol, atUs, place, serviceIp, isApiServer } = question
    if (isApiServer) return { end: this.#identities.special('kube-apiserver'), address, port, isService: serviceIp === raw.address }
    // Not translated: the Service's own address (kube-proxy without AntreaProxy).
    if (serviceIp !== undefined && serviceIp !== '' && serviceIp === raw.address) return this.#context.resolver.service(address, { port, protocol, atUs })
    const located = this.#context.resolver.address(address, { port, protocol, atUs, privateIs: place === 'outside' ? 'outside' : 'unknown' })
    // The agent knows the pod networks: what it calls inside is a pod whose name the other node would tell.
    if (place === 'inside' && located.end.identity.kind === 'external' && address.role === '') return { ...located, end: this.#identities.special('unknown') }
    return located
  }

  /** The pod that these texts name, checked. */
  pod(raw: RawEnd): KnownPod | Rejection {
    const known = this.#pods.get(raw.namespace)?.get(raw.pod)
    if (known !== undefined && known.labels === raw.labels) return known
    const made = this.#make(raw)
    if ('code' in made) return made
    // Label objects are never the same twice.
    if (typeof raw.labels === 'object' && raw.labels !== null) return made
    const characters = typeof raw.labels === 'string' ? raw.labels.length : 0
    if (this.#podCount >= MAX_PODS || this.#characters + characters > MAX_CHARACTERS) {
      this.#pods.clear()
      this.#podCount = 0
      this.#characters = 0
    }
    const byName = this.#pods.get(raw.namespace) ?? new Map<unknown, KnownPod>()
    this.#pods.set(raw.namespace, byName)
    byName.set(raw.pod, made)
    this.#podCount++
    this.#characters += characters
    return made
  }

  #make({ prefix, namespace, pod, labels }: RawEnd): KnownPod | Rejection {
    if (typeof pod !== 'string' || !isStorable(pod)) return wrongType('antrea', `${prefix}Name`, 'a name', pod)
    if (namespace !== undefined && namespace !== null && (typeof namespace !== 'string' || !isStorable(namespace))) return wrongType('antrea', `${prefix}Namespace`, 'a name', namespace)
    const read = readLabels(`${prefix}Labels`, labels)
    if (read !== null && 'code' in read) return read
    const place = namespace ?? ''
    return { namespace: place, name: pod, workload: null, labels, labelled: read === null || place === '' ? null : this.#labelledEnd(place, pod, read.labels), named: undefined, controlled: undefined }
  }

  #labelledEnd(namespace: string, name: string, labels: Labels): End {
    const workload = deriveWorkload(name)
    return endOf(this.#identities.intern({
      kind: 'pod', cluster: this.#context.cluster, namespace, labels, namespaceLabels: {}, labelQuality: 'full', workload, workloadEvidence: 'pod-name',
      name: workload.kind === 'Pod' && Object.keys(labels).length === 0 ? name : '',
    }), name)
  }
}

/** Labels as JSON text or as an object; `null` when the record has none. */
function readLabels(field: string, value: unknown): { readonly labels: Labels } | null | Rejection {
  if (value === undefined || value === null || value === '' || value === 'null') return null
  const object = typeof value === 'string' ? parseLabels(value) : value
  if (!isObject(object)) return wrongType('antrea', field, 'labels as a JSON object', value)
  const texts: string[] = []
  const labels: Record<string, string> = {}
  for (const key of Object.keys(object)) {
    const label = object[key]
    if (typeof label !== 'string') return wrongType('antrea', `${field}.${key}`, 'a text', label)
    texts.push(`${key}=${label}`)
    if (key !== '__proto__') labels[key] = label
  }
  return checkLabelList('antrea', field, texts) ?? { labels }
}

function parseLabels(text: string): unknown {
  if (text.length > MAX_LABELS_TEXT) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

