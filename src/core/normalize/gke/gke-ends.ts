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

/** A pod as the log names it; remembered with all that was checked of it, so that a known pod costs a lookup and comparisons. */
interface Named {
  readonly pod: NamedPod
  /** Where state does not know it. */
  readonly end: End
  readonly hash: TextHash
  /** The checked object. */
  readonly value: RawObject
}

/** Pods remembered. Past it everything is forgotten at once. */
const MAX_PODS = 100_000
const NOTHING: TextHash = { a: 0, b: 0 }
const TEXT_FIELDS = ['pod_name', 'pod_namespace', 'namespace', 'node_name', 'workload_kind', 'workload_name', 'instance'] as const

/** Turns `src` and `dest` into ends: a pod by its name, a node by its name, anything else by its address. */
export class GkeEnds {
  readonly #context: Pick<NormalizeContext, 'resolver' | 'identities'>
  /** namespace -> pod name. */
  readonly #pods = new Map<string, Map<string, Named>>()
  #podCount = 0
  /** The pod last seen with an address: mostly the one that has it still, found without hashing names. */
  readonly #byAddress = new Map<AddressInfo, Named>()
  /** Of the end read last: tells pods of one address apart in digests. */
  name: TextHash = NOTHING

  constructor(context: Pick<NormalizeContext, 'resolver' | 'identities'>) {
    this.#context = context
  }

  /** `field` is `src` or `dest`. */
  read(field: string, value: unknown, question: Question): Located | Rejection {
    this.name = NOTHING
    if (value !== undefined && value !== null && !isObject(value)) return wrongType('gke', field, 'an object', value)
    const { address, port } = question
    if (!isObject(value)) return this.#context.resolver.address(address, { ...question, privateIs: 'outside' })
    const known = this.#known(value, address)
    if (known !== undefined) return this.#locate(known, question)
    for (const name of TEXT_FIELDS) {
      const text = value[name]
      if (text !== undefined && text !== null && (typeof text !== 'string' || !isStorable(text))) return wrongType('gke', `${field}.${name}`, 'a name', text)
    }
    if (isNamed(value.pod_name)) {
      const namespace = namespaceOf(value)
      if (namespace === '') return reject('gke', 'missing-field', `${field}.pod_namespace: absent`)
      return this.#locate(this.#remember(value, namespace, value.pod_name), question)
    }
    if (isNamed(value.node_name) || value.workload_kind === 'Node') {
      const kind = isNamed(value.node_name) && value.node_name === question.localNode ? 'host' : 'node'
      return { end: this.#context.identities.special(kind), address, port, isService: false }
    }
    return this.#context.resolver.address(address, { ...question, privateIs: 'outside' })
  }

  #locate({ pod, end, hash }: Named, { address, port, atUs }: Question): Located {
    this.name = hash
    return { end: this.#context.resolver.knownPod(pod.namespace, pod.name, atUs) ?? end, address, port, isService: false }
  }

  #known(value: RawObject, address: AddressInfo): Named | undefined {
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

  #remember(value: RawObject, namespace: string, name: string): Named {
    if (this.#podCount >= MAX_PODS) {
      this.#pods.clear()
      this.#byAddress.clear()
      this.#podCount = 0
    }
    const byName = this.#pods.get(namespace) ?? new Map<string, Named>()
    this.#pods.set(namespace, byName)
    const pod: NamedPod = { namespace, name, workload: workloadOf(value) }
    const named: Named = { pod, end: this.#context.resolver.namedOnly(pod), hash: hashText(`${namespace}\n${name}`), value: checkedPart(value) }
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
