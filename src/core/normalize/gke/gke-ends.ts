import type { WorkloadRef } from '../../flow/end.ts'
import type { Protocol, Rejection } from '../../flow/flow-record.ts'
import type { AddressInfo } from '../address-cache.ts'
import { hashText, type TextHash } from '../digest.ts'
import type { NamedPod } from '../end-resolver.ts'
import type { End } from '../identity-cache.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import type { Located } from '../orientation.ts'
import { deriveController } from '../pod-name.ts'
import { isObject, isStorable, reject, wrongType, type RawObject } from '../problems.ts'

interface Question {
  readonly address: AddressInfo
  readonly port: number
  readonly protocol: Protocol
  readonly atUs: number
  /** The node that reported, where this end may be that node itself; else ''. */
  readonly localNode: string
}

/** What a record says of an end, checked. Where that is, is told by `GkeEnds.locate` for each record anew: it depends on the time and the reporting node. */
export type GkeEnd = GkePod | GkeNode | GkeAddress

/** A pod as the log names it; remembered with all that was checked of it, so that a known pod costs a lookup and comparisons. */
interface GkePod {
  readonly kind: 'pod'
  /** Tells pods of one address apart in digests. */
  readonly hash: TextHash
  readonly pod: NamedPod
  /** Where state does not know it. */
  readonly end: End
  /** The checked object. */
  readonly value: RawObject
}

interface GkeNode {
  readonly kind: 'node'
  readonly hash: TextHash
  /** '' when the record only says that it is one. */
  readonly name: string
}

/** Nothing names it. */
interface GkeAddress {
  readonly kind: 'address'
  readonly hash: TextHash
}

/** Pods remembered. Past it everything is forgotten at once. */
const MAX_PODS = 100_000
const NOTHING: TextHash = { a: 0, b: 0 }
const TEXT_FIELDS = ['pod_name', 'pod_namespace', 'namespace', 'node_name', 'workload_kind', 'workload_name', 'instance'] as const

const ADDRESS_ONLY: GkeAddress = { kind: 'address', hash: NOTHING }

/** Turns `src` and `dest` into ends: a pod by its name, a node by its name, anything else by its address. */
export class GkeEnds {
  readonly #context: Pick<NormalizeContext, 'resolver' | 'identities'>
  /** namespace -> pod name. */
  readonly #pods = new Map<string, Map<string, GkePod>>()
  #podCount = 0
  /** The pod last seen with an address: mostly the one that has it still, found without hashing names. */
  readonly #byAddress = new Map<AddressInfo, GkePod>()

  constructor(context: Pick<NormalizeContext, 'resolver' | 'identities'>) {
    this.#context = context
  }

  /** `field` is `src` or `dest`. Depends on the value alone; the address only saves searching. */
  read(field: string, value: unknown, address: AddressInfo): GkeEnd | Rejection {
    if (!isObject(value)) return value === undefined || value === null ? ADDRESS_ONLY : wrongType('gke', field, 'an object', value)
    const known = this.#known(value, address)
    if (known !== undefined) return known
    for (const name of TEXT_FIELDS) {
      const text = value[name]
      if (text !== undefined && text !== null && (typeof text !== 'string' || !isStorable(text))) return wrongType('gke', `${field}.${name}`, 'a name', text)
    }
    if (isNamed(value.pod_name)) {
      const namespace = namespaceOf(value)
      if (namespace === '') return reject('gke', 'missing-field', `${field}.pod_namespace: absent`)
      return this.#remember(value, namespace, value.pod_name)
    }
    if (isNamed(value.node_name)) return { kind: 'node', hash: NOTHING, name: value.node_name }
    return value.workload_kind === 'Node' ? { kind: 'node', hash: NOTHING, name: '' } : ADDRESS_ONLY
  }

  locate(end: GkeEnd, question: Question): Located {
    const { address, port, atUs, localNode } = question
    if (end.kind === 'address') return this.#context.resolver.address(address, { ...question, privateIs: 'outside' })
    if (end.kind === 'pod') return { end: this.#context.resolver.knownPod(end.pod.namespace, end.pod.name, atUs) ?? end.end, address, port, isService: false }
    return { end: this.#context.identities.special(end.name !== '' && end.name === localNode ? 'host' : 'node'), address, port, isService: false }
  }

  #known(value: RawObject, address: AddressInfo): GkePod | undefined {
    const here = this.#byAddress.get(address)
    if (here !== undefined && isSame(here.value, value)) return here
    const namespace = value.pod_namespace ?? value.namespace
    if (typeof namespace !== 'string' || typeof value.pod_name !== 'string') return undefined
    const known = this.#pods.get(namespace)?.get(value.pod_name)
    if (known === undefined || !isSame(known.value, value)) return undefined
    if (this.#byAddress.size >= MAX_PODS) this.#byAddress.clear()
    this.#byAddress.set(address, known)
    return known
  }

  #remember(value: RawObject, namespace: string, name: string): GkePod {
    if (this.#podCount >= MAX_PODS) {
      this.#pods.clear()
      this.#byAddress.clear()
      this.#podCount = 0
    }
    const byName = this.#pods.get(namespace) ?? new Map<string, GkePod>()
    this.#pods.set(namespace, byName)
    const pod: NamedPod = { namespace, name, workload: workloadOf(value) }
    const named: GkePod = { kind: 'pod', hash: hashText(`${namespace}\n${name}`), pod, end: this.#context.resolver.namedOnly(pod), value: checkedPart(value) }
    if (!byName.has(name)) this.#podCount++
    byName.set(name, named)
    return named
  }
}

/** What of an end is read, without what else a hostile record may hold. */
function checkedPart({ pod_name, pod_namespace, namespace, node_name, workload_kind, workload_name, instance }: RawObject): RawObject {
  return { pod_name, pod_namespace, namespace, node_name, workload_kind, workload_name, instance }
}

/** All that is read is the same: then it was checked before, and what a record gives never depends on what came before. */
function isSame(a: RawObject, b: RawObject): boolean {
  return a.pod_name === b.pod_name && a.workload_name === b.workload_name && a.pod_namespace === b.pod_namespace && a.namespace === b.namespace &&
    a.workload_kind === b.workload_kind && a.node_name === b.node_name && a.instance === b.instance
}

function isNamed(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function namespaceOf(value: RawObject): string {
  return isNamed(value.pod_namespace) ? value.pod_namespace : isNamed(value.namespace) ? value.namespace : ''
}

/** The pod's owner as logged: the direct one, so a ReplicaSet stands for its Deployment. `null` when it names none. */
function workloadOf(value: RawObject): WorkloadRef | null {
  const { workload_kind: kind, workload_name: name } = value
  if (!isNamed(kind) || !isNamed(name) || kind === 'Pod' || kind === 'Node') return null
  if (kind !== 'ReplicaSet' && kind !== 'Job') return { kind, name }
  const controller = deriveController(name)
  const isExpected = controller.kind === (kind === 'ReplicaSet' ? 'Deployment' : 'CronJob')
  return isExpected ? controller : { kind, name }
}
