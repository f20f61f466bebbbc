/**
 * Hubble's flow filters as people write them: JSON with the names of the protobuf schema, as in Cilium's `hubble-export-allowlist` and as
 * `hubble observe --print-raw-filters` prints. Protobuf libraries skip what they do not know, and a filter with a misspelt key would let everything
 * through: here each key and value is checked.
 */
import protobuf from 'protobufjs'
import { AppError } from '../../core/base/app-error.ts'
import { isObject } from '../../core/normalize/problems.ts'
import { messageType } from './schemas.ts'

/** One filter: all of its fields must match; of several values of a field any. */
export type FlowFilter = Readonly<Record<string, unknown>>

/** Flows of which either end is a pod of the namespace. */
export function namespaceFilters(namespaces: readonly string[]): FlowFilter[] {
  if (namespaces.length === 0) return []
  const pods = namespaces.map((namespace) => `${namespace}/`)
  return [{ source_pod: pods }, { destination_pod: pods }]
}

/** The filters, with keys and values as the schema wants them. AppError `usage` names the setting and the key or value that is wrong. */
export function checkFlowFilters(filters: readonly unknown[], setting: string): FlowFilter[] {
  return filters.map((filter) => {
    const checked = checkMessage(filter, messageType('flowFilter'), setting)
    // Hubble takes an empty filter for one that every flow passes.
    if (Object.keys(checked).length === 0) throw new AppError('usage', `${setting} holds an empty filter, which every flow would pass. Name at least one field, such as {"verdict":["DROPPED"]}.`)
    return checked
  })
}

function checkMessage(value: unknown, type: protobuf.Type, where: string): FlowFilter {
  if (!isObject(value)) throw new AppError('usage', `${where} must hold JSON objects, such as {"source_pod":["shop/"]}.`)
  return Object.fromEntries(Object.entries(value).map(([key, part]) => {
    const field = type.fields[key] ?? type.fields[key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)]
    if (field === undefined) throw new AppError('usage', `${where}: "${key}" is no field of ${type.name}. It has: ${Object.keys(type.fields).join(', ')}.`)
    const at = `${where}: ${field.name}`
    if (field.repeated && !Array.isArray(part)) throw new AppError('usage', `${at} must be a list, such as ["…"].`)
    return [field.name, field.repeated ? (part as readonly unknown[]).map((one) => checkValue(one, field, at)) : checkValue(part, field, at)]
  }))
}

function checkValue(value: unknown, field: protobuf.Field, at: string): unknown {
  const { resolvedType } = field
  if (resolvedType instanceof protobuf.Type) return checkMessage(value, resolvedType, at)
  if (resolvedType instanceof protobuf.Enum) {
    const number = typeof value === 'string' ? resolvedType.values[value] : value
    if (Number.isInteger(number)) return number
    throw new AppError('usage', `${at}: ${JSON.stringify(value)} is not known. Use one of ${Object.keys(resolvedType.values).join(', ')}, or its number.`)
  }
  const wanted = SCALARS[field.type] ?? 'number'
  // protojson writes 64-bit integers as text.
  if (typeof value === wanted || (field.type === 'uint64' && typeof value === 'string' && /^\d+$/.test(value))) return value
  throw new AppError('usage', `${at} takes ${wanted === 'boolean' ? 'true or false' : `a ${wanted}`}, not ${JSON.stringify(value)}.`)
}

const SCALARS: Readonly<Record<string, 'string' | 'boolean'>> = { string: 'string', bool: 'boolean' }
