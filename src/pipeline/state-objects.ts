/** Objects of a full state or of a watch's changes, reduced and hashed; Lists are opened. */
import { createHash } from 'node:crypto'
import { parseTimeUs } from '../core/base/time.ts'
import { reduceObject } from '../core/cluster/reduce-object.ts'
import type { ReducedObject } from '../core/cluster/reduce-object.ts'
import { instanceKey } from '../store/read/select-cluster-state.ts'
import type { StoredObject } from '../store/write/save-cluster-state.ts'

/** An object that was added or changed (`set`: as it is afterwards) or deleted (as it was last) at a moment. */
export interface StateChange {
  readonly atUs: number
  readonly type: 'set' | 'deleted'
  readonly object: unknown
}

/** An object, or a part of the request, that could not be used. */
export interface StateProblem {
  /** Its place in `objects` or `changes`, after Lists were opened. */
  readonly object: number
  /** For example `Pod shop/web-0`. */
  readonly name: string
  readonly field: string
  readonly message: string
}

/** An object ready to be stored, and where it came from. */
export interface PlacedObject extends StoredObject {
  readonly place: number
  readonly shownName: string
}

export interface ReadObjects {
  readonly objects: readonly PlacedObject[]
  readonly ignored: number
  readonly problems: readonly StateProblem[]
  /** Kinds of which an object could not be used: that something is not among them does not say that it was not there. */
  readonly unusableKinds: ReadonlySet<string>
  /** Of all objects, whatever their order. */
  readonly digest: string
}

export interface ReadChanges extends ReadObjects {
  /** In order of time. */
  readonly changes: readonly { readonly object: PlacedObject; readonly change: StateChange }[]
}

/** Problems listed of one state; further ones are dropped. */
const MAX_PROBLEMS = 1_000

/** Of two objects of one instance the later counts. */
export function readState(given: readonly unknown[], atUs: number): ReadObjects {
  const read = new Reading()
  const byKey = new Map<string, PlacedObject>()
  for (const [place, object] of openLists(given).entries()) {
    const placed = read.object(object, place, atUs)
    if (placed !== undefined) byKey.set(placed.key, placed)
  }
  const objects = [...byKey.values()]
  return { objects, ignored: read.ignored, problems: read.problems, unusableKinds: read.unusableKinds, digest: hashOf(objects.map((o) => `${o.key}\n${o.digest}`).sort().join('\n')) }
}

export function readChanges(given: readonly StateChange[]): ReadChanges {
  const read = new Reading()
  const changes = given.flatMap((change, place) => {
    const object = read.object(change.object, place, change.atUs)
    return object === undefined ? [] : [{ object, change }]
  })
  changes.sort((a, b) => a.change.atUs - b.change.atUs)
  return { changes, objects: changes.map((c) => c.object), ignored: read.ignored, problems: read.problems, unusableKinds: read.unusableKinds, digest: '' }
}

class Reading {
  ignored = 0
  readonly problems: StateProblem[] = []
  readonly unusableKinds = new Set<string>()

  object(value: unknown, place: number, atUs: number): PlacedObject | undefined {
    const reduced = reduceObject(value, atUs)
    if (reduced === undefined) {
      this.ignored++
      return undefined
    }
    if (!('problems' in reduced)) return placedObject(reduced, place, atUs)
    const name = shownName(value)
    this.unusableKinds.add(name.split(' ', 1)[0] ?? '')
    for (const { field, message } of reduced.problems) if (this.problems.length < MAX_PROBLEMS) this.problems.push({ object: place, name, field, message })
    return undefined
  }
}

function placedObject(object: ReducedObject, place: number, atUs: number): PlacedObject {
  const { kind, namespace, name, instance, documentText, document } = object
  const { creationTimestamp } = document.metadata as { creationTimestamp?: string }
  const { finishedAt } = (document.status ?? {}) as { finishedAt?: string }
  return {
    kind, namespace, name, instance, documentText, place, key: instanceKey(object), face: hashOf(object.face), digest: hashOf(documentText),
    createdUs: Math.max(0, parseTimeUs(creationTimestamp ?? '') ?? atUs), finishedUs: finishedAt === undefined ? undefined : parseTimeUs(finishedAt),
    shownName: `${kind} ${namespace === '' ? '' : `${namespace}/`}${name}`,
  }
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

function shownName(value: unknown): string {
  const { kind, metadata } = (typeof value === 'object' && value !== null ? value : {}) as { kind?: unknown; metadata?: unknown }
  const { namespace, name } = (typeof metadata === 'object' && metadata !== null ? metadata : {}) as { namespace?: unknown; name?: unknown }
  const place = [namespace, name].filter((part) => typeof part === 'string' && part !== '').join('/')
  return `${typeof kind === 'string' ? kind.slice(0, 100) : 'object'}${place === '' ? '' : ` ${place.slice(0, 600)}`}`
}

/** Items of Lists in the place of the Lists; those of a typed list (PodList) get the kind that they leave out. Lists in lists are not opened. */
function openLists(given: readonly unknown[]): unknown[] {
  return given.flatMap((value): unknown[] => {
    const { kind, apiVersion, items } = (typeof value === 'object' && value !== null ? value : {}) as { kind?: unknown; apiVersion?: unknown; items?: unknown }
    if (typeof kind !== 'string' || !kind.endsWith('List') || !Array.isArray(items)) return [value]
    const itemKind = kind.slice(0, -'List'.length)
    if (itemKind === '') return items as unknown[]
    return (items as unknown[]).map((item) => (typeof item === 'object' && item !== null ? { ...item, kind: fieldOr(item, 'kind', itemKind), apiVersion: fieldOr(item, 'apiVersion', apiVersion) } : item))
  })
}

function fieldOr(item: object, field: string, fallback: unknown): unknown {
  return (item as Readonly<Record<string, unknown>>)[field] ?? fallback
}
