/**
 * Hubble flows that hubble-otel flattened into paths (`l4.TCP.destination_port`, `source.labels.0`), back to the nested form. The schema says where
 * a path ends and what its value is, since in a FlatStringMap all of them are text, and labels' keys contain dots themselves.
 */
import protobuf from 'protobufjs'
import type { RawObject } from '../../core/normalize/problems.ts'
import { isObject } from '../../core/normalize/problems.ts'
import { messageType } from '../protobuf/schemas.ts'

const LABELS = 'labels'
/** Elements of one list: an index beyond it is no list that Hubble writes. */
const MAX_INDEX = 1000
const WRAPPERS = new Set(['BoolValue', 'Int32Value', 'UInt32Value'])

type Target = Record<string, unknown>

/** The flow of a flat map, or why it is none. `labelsAreMaps`: a label's key is the end of its path, not an index. */
export function flowOfPaths(paths: RawObject | undefined, labelsAreMaps: boolean): RawObject | string {
  const flow: Target = {}
  for (const [path, value] of Object.entries(paths ?? {})) {
    const problem = place(flow, path, value, labelsAreMaps)
    if (problem !== '') return problem
  }
  return Object.keys(flow).length === 0 ? 'the map has no field of a flow' : listLabels(flow)
}

/** Labels written as a map, back to `key=value`. The flow is the caller's own. */
export function listLabels(flow: RawObject): RawObject {
  for (const end of [flow.source, flow.destination]) {
    if (!isObject(end) || !isObject(end[LABELS])) continue
    const target = end as Target
    target[LABELS] = Object.entries(end[LABELS]).map(([key, value]) => (value === '' ? key : `${key}=${String(value)}`))
  }
  return flow
}

/** Puts one value where its path says; '' or why it cannot. Unknown fields are left out. */
function place(flow: Target, path: string, value: unknown, labelsAreMaps: boolean): string {
  const parts = path.split('.')
  let type = messageType('hubbleFlow')
  let target = flow
  for (let i = 0; i < parts.length; i++) {
    const name = parts[i] as string
    const field = Object.hasOwn(type.fields, name) ? type.fields[name] : undefined
    if (field === undefined) return ''
    const isLast = i === parts.length - 1
    const message = field.resolvedType instanceof protobuf.Type && !isScalarMessage(field.resolvedType) ? field.resolvedType : undefined
    if (field.repeated && !isLast) {
      if (name === LABELS && labelsAreMaps) {
        // Without a prototype any key is a key.
        const labels = (target[name] ??= Object.create(null)) as Target
        labels[parts.slice(i + 1).join('.')] = value
        return ''
      }
      const index = Number(parts[++i])
      if (!(Number.isInteger(index) && index >= 0 && index < MAX_INDEX)) return `${path}: no index of a list`
      const items = ownList(target, name)
      if (message === undefined) {
        items[index] = scalar(field, value)
        return ''
      }
      target = (items[index] ??= {}) as Target
      type = message
    } else if (isLast) {
      // Beside the labels' own paths the map writes them once more as a whole.
      if (!(name === LABELS && labelsAreMaps)) target[name] = Array.isArray(value) ? value : scalar(field, value)
    } else if (message === undefined) {
      return `${path}: ${name} has no fields`
    } else {
      target = own(target, name)
      type = message
    }
  }
  return ''
}

function isScalarMessage(type: protobuf.Type): boolean {
  return type.name === 'Timestamp' || WRAPPERS.has(type.name)
}

function own(target: Target, name: string): Target {
  if (!isObject(target[name])) target[name] = {}
  return target[name] as Target
}

function ownList(target: Target, name: string): unknown[] {
  if (!Array.isArray(target[name])) target[name] = []
  return target[name] as unknown[]
}

/** A value as its field's type: in a FlatStringMap numbers, enumerations and truth values are text. */
function scalar(field: protobuf.Field, value: unknown): unknown {
  if (typeof value !== 'string') return value
  if (field.type === 'string' || field.type === 'uint64' || field.resolvedType instanceof protobuf.Type) {
    return field.type.endsWith('BoolValue') ? value === 'true' : value
  }
  if (field.type === 'bool') return value === 'true'
  return /^\d{1,10}$/.test(value) ? Number(value) : value
}
