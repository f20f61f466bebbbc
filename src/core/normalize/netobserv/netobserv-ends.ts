/**
 * The ends of NetObserv records: what the enrichment names (pod, Service, node), else what cluster state knows of the address.
 *
 * Invariants: a pod on the host's network is its node (T10); a Service's address gives its backends only where state, or the record's own
 * translation, proves them (T8); the labels of pods come from state or are unknown (T16). Texts are stored only after they were checked.
 */
import { RecentMap } from '../../base/recent-map.ts'
import type { WorkloadRef } from '../../flow/end.ts'
import type { Protocol, Rejection } from '../../flow/flow-record.ts'
import type { AddressInfo } from '../address-cache.ts'
import type { EndResolver, NamedPod } from '../end-resolver.ts'
import type { Fields } from '../field-layouts.ts'
import type { End, IdentityCache } from '../identity-cache.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import type { Located } from '../orientation.ts'
import { deriveWorkload } from '../pod-name.ts'
import { readPort } from '../ports.ts'
import { isStorable, reject, shown, wrongType } from '../problems.ts'
import {
  ADDRESS, DESTINATION, HOST_IP, HOST_NAME, NAME, NAMESPACE, OWNER_NAME, OWNER_TYPE, PORT, PREFIXES, TRANSLATED, TYPE, type EndStart,
} from './netobserv-fields.ts'

/**
 * True where the record shows what the destination was translated to (feature PacketTranslation), and that is the pod behind a Service. The source's
 * translation is masquerading: the pod itself says more.
 */
export function isTranslated(fields: Fields): boolean {
  const address = fields[TRANSLATED + ADDRESS]
  if (address === undefined || address === null || address === '' || address === fields[DESTINATION + ADDRESS]) return false
  const before = fields[DESTINATION + TYPE]
  const port = fields[TRANSLATED + PORT]
  // Only of a Service: an answer to a masqueraded address is translated, too, and proves nothing.
  return before === 'Service' && fields[TRANSLATED + TYPE] !== 'Service' && port !== undefined && port !== null && port !== 0
}

/** The end at its address, before translation if it was a Service's. */
export interface PlacedEnd {
  readonly kind: 'placed'
  readonly located: Located
  /** The address of the packet; `located` has none for the backends of a Service. */
  readonly address: AddressInfo
  /** The port of the packet. */
  readonly port: number
  /** The packet's address is a Service's own: nothing opens connections from there. */
  readonly isVirtual: boolean
}

/** What all ends of a record share. */
export interface EndQuestion {
  readonly protocol: Protocol
  readonly atUs: number
  readonly isEnriched: boolean
}

/** A pod as records name it, remembered so that its next record costs two lookups. */
interface KnownPod extends NamedPod {
  readonly ownerType: unknown
  readonly ownerName: unknown
  /** Made of the names alone; used where state does not know the pod at the time. */
  end: End | undefined
}

/** What an address was last seen as: nearly always what it is in the next record, which then needs one lookup instead of three. */
interface Seen {
  readonly address: AddressInfo
  pod: KnownPod | undefined
}

/** Addresses of one of two generations. Larger: fewer of them are looked up again by address and by names; smaller: less memory. */
const MAX_SEEN = 50_000
/** Pods remembered. Larger: fewer names checked; smaller: less memory. Past it everything is forgotten at once. */
const MAX_PODS = 100_000

export class NetObservEnds {
  readonly #context: NormalizeContext
  readonly #resolver: EndResolver
  readonly #identities: IdentityCache
  /** namespace -> pod name -> pod. */
  readonly #pods = new Map<unknown, Map<unknown, KnownPod>>()
  #podCount = 0
  readonly #seen = new RecentMap<string, Seen>(MAX_SEEN)

  constructor(context: NormalizeContext) {
    this.#context = context
    this.#resolver = context.resolver
    this.#identities = context.identities
  }

  /** The end whose values start at `at`; those from `other` on tell whether a node is the pod's own. */
  place(fields: Fields, at: EndStart, other: EndStart, question: EndQuestion): PlacedEnd | Rejection {
    const seen = this.#see(fields, at)
    if ('code' in seen) return seen
    const { address } = seen
    const port = readEndPort(fields, at)
    if (typeof port !== 'number') return port
    const asked: Asked = { fields, at, other, seen, address, port, question }
    const type = fields[at + TYPE] ?? typeByNames(fields, at)
    if (type === 'Pod') return this.#placePod(asked)
    if (type === 'Service') return this.#placeService(asked)
    if (type === 'Node') return placed(asked, this.#node(asked))
    if (type === undefined) return this.#placeUnnamed(asked)
    // Other types (there are none in 2026) are somebody's, but whose?
    return typeof type === 'string' ? placed(asked, this.#identities.special('unknown')) : wrongType('netobserv', nameOf(at, 'K8S_Type'), 'a text', type)
  }

  #see(fields: Fields, at: EndStart): Seen | Rejection {
    const text = fields[at + ADDRESS]
    const known = typeof text === 'string' ? this.#seen.get(text) : undefined
    if (known !== undefined) return known
    const address = this.#readAddress(fields, at)
    if (address.kind === 'rejected') return address
    const seen: Seen = { address, pod: undefined }
    if (typeof text === 'string' && text.length <= 64) this.#seen.set(text, seen)
    return seen
  }

  #readAddress(fields: Fields, at: EndStart): AddressInfo | Rejection {
    const address = fields[at + ADDRESS]
    if (typeof address === 'string' && address !== '') {
      return this.#context.addresses.get(address) ?? reject('netobserv', 'bad-address', `${nameOf(at, 'Addr')}: ${shown(address)} is not an IP address`)
    }
    if (address === undefined || address === null || address === '') return reject('netobserv', 'missing-field', `${nameOf(at, 'Addr')}: absent`)
    return wrongType('netobserv', nameOf(at, 'Addr'), 'an IP address', address)
  }

  #placePod(asked: Asked): PlacedEnd | Rejection {
    const { fields, at, question } = asked
    if (fields[at + HOST_IP] !== undefined && fields[at + HOST_IP] === fields[at + ADDRESS]) return placed(asked, this.#node(asked))
    const pod = this.#podSeen(asked)
    if ('code' in pod) return pod
    if (pod.namespace === '' || (pod.name === '' && pod.workload === null)) return placed(asked, this.#identities.special('unknown'))
    const known = pod.name === '' ? undefined : this.#resolver.knownPod(pod.namespace, pod.name, question.atUs)
    if (known !== undefined) return placed(asked, known)
    pod.end ??= this.#resolver.pod(pod, question.atUs)
    return placed(asked, pod.end)
  }

  #placeUnnamed(asked: Asked): PlacedEnd {
    const { fields, at, other, address, port, question } = asked
    const otherHost = fields[other + HOST_IP]
    if (otherHost !== undefined && otherHost === fields[at + ADDRESS]) return placed(asked, this.#identities.special('host'))
    const { protocol, atUs, isEnriched } = question
    const located = this.#resolver.address(address, { port, protocol, atUs, privateIs: isEnriched ? 'outside' : 'unknown' })
    return { kind: 'placed', located, address, port, isVirtual: located.isService || located.address !== address }
  }

  #placeService({ fields, at, address, port, question }: Asked): PlacedEnd {
    const isApiServer = fields[at + NAME] === 'kubernetes' && fields[at + NAMESPACE] === 'default'
    const located = isApiServer
      ? { end: this.#identities.special('kube-apiserver'), address, port, isService: true }
      : this.#resolver.service(address, { port, protocol: question.protocol, atUs: question.atUs })
    // A load balancer's public address can also be what a cluster sends from.
    return { kind: 'placed', located, address, port, isVirtual: address.isPrivate }
  }

  /** The pod's own node, or another one. */
  #node({ fields, at, other }: Asked): End {
    const ip = fields[at + HOST_IP]
    const name = fields[at + HOST_NAME]
    const isSame = (ip !== undefined && ip !== '' && ip === fields[other + HOST_IP]) || (name !== undefined && name !== '' && name === fields[other + HOST_NAME])
    return this.#identities.special(isSame ? 'host' : 'node')
  }

  #podSeen({ fields, at, seen }: Asked): KnownPod | Rejection {
    const last = seen.pod
    if (last !== undefined && last.name === fields[at + NAME] && last.namespace === fields[at + NAMESPACE] && last.ownerName === fields[at + OWNER_NAME] &&
      last.ownerType === fields[at + OWNER_TYPE]) return last
    const pod = this.#pod(fields, at)
    if (!('code' in pod)) seen.pod = pod
    return pod
  }

  #pod(fields: Fields, at: EndStart): KnownPod | Rejection {
    const namespace = fields[at + NAMESPACE]
    const name = fields[at + NAME]
    const known = this.#pods.get(namespace)?.get(name)
    if (known !== undefined && known.ownerName === fields[at + OWNER_NAME] && known.ownerType === fields[at + OWNER_TYPE]) return known
    const made = readPod(fields, at)
    if ('code' in made) return made
    if (this.#podCount >= MAX_PODS) {
      this.#pods.clear()
      this.#podCount = 0
    }
    const byName = this.#pods.get(namespace) ?? new Map<unknown, KnownPod>()
    this.#pods.set(namespace, byName)
    byName.set(name, made)
    this.#podCount++
    return made
  }
}

/** One end in question. */
interface Asked {
  readonly fields: Fields
  readonly at: EndStart
  readonly other: EndStart
  readonly seen: Seen
  readonly address: AddressInfo
  readonly port: number
  readonly question: EndQuestion
}

function placed({ address, port }: Asked, end: End): PlacedEnd {
  return { kind: 'placed', located: { end, address, port, isService: false }, address, port, isVirtual: false }
}

/** The key of an end's value, for messages. */
function nameOf(at: EndStart, key: string): string {
  return `${PREFIXES[at / DESTINATION] ?? ''}${key}`
}

function readEndPort(fields: Fields, at: EndStart): number | Rejection {
  const port = fields[at + PORT]
  return typeof port === 'number' && port > 0 && port <= 65_535 && Number.isInteger(port) ? port : readPort('netobserv', nameOf(at, 'Port'), port)
}

/** Where a pipeline filtered the type away, the other names tell. */
function typeByNames(fields: Fields, at: EndStart): 'Node' | 'Service' | 'Pod' | undefined {
  const owner = fields[at + OWNER_TYPE]
  if (owner === 'Node' || owner === 'Service') return owner
  return fields[at + NAME] === undefined && fields[at + OWNER_NAME] === undefined ? undefined : 'Pod'
}

function readPod(fields: Fields, at: EndStart): KnownPod | Rejection {
  const texts: string[] = []
  for (const [key, place] of [['Namespace', NAMESPACE], ['Name', NAME], ['OwnerType', OWNER_TYPE], ['OwnerName', OWNER_NAME]] as const) {
    const value = fields[at + place]
    if (value === undefined || value === null) texts.push('')
    else if (typeof value === 'string' && isStorable(value)) texts.push(value)
    else return wrongType('netobserv', nameOf(at, `K8S_${key}`), 'a name', value)
  }
  const [namespace = '', name = '', ownerType = '', ownerName = ''] = texts
  const workload = ownerType === '' || ownerName === '' ? null : workloadOf(name, { kind: ownerType, name: ownerName })
  return { namespace, name, workload, ownerType: fields[at + OWNER_TYPE], ownerName: fields[at + OWNER_NAME], end: undefined }
}

/** The owner as FLP found it. Where it stopped at the controller in between (ReplicaSet, Job), the pod's name may tell what made that: `null`. */
function workloadOf(podName: string, owner: WorkloadRef): WorkloadRef | null {
  if (owner.kind !== 'ReplicaSet' && owner.kind !== 'Job') return owner
  const derived = deriveWorkload(podName)
  const isMade = owner.kind === 'ReplicaSet' ? derived.kind === 'Deployment' : derived.kind === 'CronJob'
  return isMade && owner.name.startsWith(`${derived.name}-`) ? null : owner
}
