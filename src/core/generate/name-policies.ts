import { compareText } from '../base/order.ts'
import type { Workload } from '../flow/workloads.ts'

const MAX_NAME_LENGTH = 253

/**
 * Names of the workloads' policies: `<workload>-<kind>`, so that a Deployment and a StatefulSet of one name do not
 * collide. Names that would be cut, altered or shared get a suffix from the workload's own key; so a name never depends on other workloads
 * except where two would be equal.
 */
export function namePolicies(workloads: readonly Workload[]): Map<string, string> {
  const plain = workloads.map((w) => ({ workload: w, name: plainName(w) }))
  const uses = new Map<string, number>()
  for (const { workload, name } of plain) {
    const place = `${workload.namespace}/${name}`
    uses.set(place, (uses.get(place) ?? 0) + 1)
  }
  return new Map(plain.map(({ workload, name }) => {
    const isExact = name === rawName(workload) && name.length <= MAX_NAME_LENGTH
    const isUnique = uses.get(`${workload.namespace}/${name}`) === 1
    if (isExact && isUnique) return [workload.key, name]
    return [workload.key, `${name.slice(0, MAX_NAME_LENGTH - 9).replace(/[^a-z0-9]+$/, '')}-${textHash(workload.key)}`]
  }))
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
