import { isObject, type RawObject } from './problems.ts'

/** Objects nested deeper carry nothing that is read. */
const MAX_DEPTH = 3
/** Never read, and possibly large. */
const SKIPPED = new Set(['l7', 'extensions', 'labels', 'Summary'])

/**
 * True when a flow may be written with lowerCamel keys, as plain protojson does: only then it lacks both of the keys that exporters always
 * write, so this costs common records two reads.
 */
export function mayBeCamel(flow: RawObject): boolean {
  return flow.event_type === undefined || flow.node_name === undefined
}

/** A copy with lowerCamel keys written in snake_case; the same object when it has none. */
export function snakeKeys(value: RawObject, depth = MAX_DEPTH): RawObject {
  let changed = false
  const copy: Record<string, unknown> = {}
  for (const key of Object.keys(value)) {
    const own = value[key]
    const renamed = /[a-z][A-Z]/.test(key) ? key.replace(/([a-z])([A-Z])/g, (_, a: string, b: string) => `${a}_${b.toLowerCase()}`) : key
    const inner = depth > 0 && isObject(own) && !SKIPPED.has(key) ? snakeKeys(own, depth - 1) : own
    if (renamed !== key || inner !== own) changed = true
    if (key === '__proto__' || (renamed !== key && value[renamed] !== undefined)) continue
    copy[renamed] = inner
  }
  return changed ? copy : value
}
