import { compareText, groupedBy, sortedBy } from '../base/order.ts'
import type { Workload } from '../flow/workloads.ts'
import { LAYER_NAMES } from './namespace-layers.ts'

const MAX_NAME_LENGTH = 253

/**
 * Names of the workloads' policies: `<workload>-<kind>`, so that a Deployment and a StatefulSet of one name do not
 * collide. Names that would be cut, altered, shared or taken for a namespace layer get a suffix from the workload's own kind and name, or labels
 * where nothing names it; so a name never depends on other workloads except where two would be equal.
 */
export function namePolicies(workloads: readonly Workload[]): Map<string, string> {
  const names = new Map<string, string>()
  for (const members of groupedBy(workloads, (w) => w.namespace).values()) nameMembers(sortedBy(members, (w) => w.key), names)
  return names
}

/** From the plainest to the safest; each workload takes the first that no other one of its namespace would take as well. */
const WAYS: readonly ((w: Workload) => string | undefined)[] = [
  (w) => (plainName(w) === rawName(w) && rawName(w).length <= MAX_NAME_LENGTH ? plainName(w) : undefined),
  (w) => suffixed(plainName(w), textHash(w.ref === null ? w.key : `${w.namespace}\u0000${w.ref.kind}\u0000${w.ref.name}`)),
  (w) => suffixed(plainName(w), textHash(w.key)),
]

function nameMembers(members: readonly Workload[], names: Map<string, string>): void {
  const taken = new Set(LAYER_NAMES)
  let left = members
  for (const way of WAYS) {
    const offers = left.map((workload) => ({ workload, name: way(workload) }))
    const uses = new Map<string | undefined, number>()
    for (const { name } of offers) uses.set(name, (uses.get(name) ?? 0) + 1)
    const settled = offers.filter(({ name }) => name !== undefined && uses.get(name) === 1 && !taken.has(name))
    for (const { workload, name } of settled) {
      names.set(workload.key, name as string)
      taken.add(name as string)
    }
    left = left.filter((w) => !names.has(w.key))
  }
  for (const workload of left) {
    let n = 2
    while (taken.has(suffixed(plainName(workload), `${textHash(workload.key)}-${n}`))) n++
    const name = suffixed(plainName(workload), `${textHash(workload.key)}-${n}`)
    names.set(workload.key, name)
    taken.add(name)
  }
}

function suffixed(name: string, suffix: string): string {
  return `${name.slice(0, MAX_NAME_LENGTH - suffix.length - 1).replace(/[^a-z0-9]+$/, '')}-${suffix}`
}

function rawName(workload: Workload): string {
  if (workload.ref !== null) return `${workload.ref.name}-${workload.ref.kind.toLowerCase()}`
  const labels = workload.labelSets[0] ?? {}
  const values = Object.keys(labels).sort(compareText).map((k) => labels[k] as string)
  return `${(values[0] ?? '') === '' ? 'pods' : (values[0] as string)}-pods`
}

/** DNS-1123 subdomain characters only: a name from a log may hold anything. */
function plainName(workload: Workload): string {
  const name = rawName(workload).toLowerCase().replace(/[^a-z0-9.-]+/g, '-').replace(/[.-]*\.[.-]*/g, '.').replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '')
  return name === '' ? 'workload' : name
}

/** 32-bit FNV-1a in hexadecimal: a short stable suffix, not a safeguard. */
function textHash(text: string): string {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0')
}
