import { parseNetworkPolicy } from '../core/policy/parse-network-policy.ts'
import type { NetworkPolicy } from '../core/policy/network-policy.ts'
import { NETWORK_POLICY_API_VERSION, policyId } from '../core/policy/network-policy.ts'
import { canonicalPolicy, policyToObject } from '../core/policy/print-network-policy.ts'
import { readManifests } from './load-manifests.ts'
import type { ReadOptions } from './load-manifests.ts'
import type { LoadedObject, ManifestError, Manifests } from './manifest.ts'

export interface LoadedPolicies {
  /** In reading order. */
  readonly policies: readonly NetworkPolicy[]
  readonly inputErrors: readonly ManifestError[]
}

export interface LoadPoliciesOptions extends ReadOptions {
  /** Namespace of policies that name none; `default` unless told. */
  readonly defaultNamespace?: string
}

/** Reads every NetworkPolicy of the paths. What cannot be evaluated is in `inputErrors`, never silently left out. */
export async function loadPolicies(paths: readonly string[], options: LoadPoliciesOptions = {}): Promise<LoadedPolicies> {
  const manifests = await readManifests(paths, options)
  const loaded = collectPolicies(manifests, options.defaultNamespace)
  if (loaded.policies.length > 0 || loaded.inputErrors.length > 0 || paths.length === 0) return loaded
  return { policies: [], inputErrors: [{ file: paths.join(', '), message: 'no NetworkPolicy found: check that the path holds objects of kind NetworkPolicy' }] }
}

/** The policies among objects that were read; of two that differ under one name the later counts, as when both are applied. */
export function collectPolicies({ objects, inputErrors }: Manifests, defaultNamespace?: string): LoadedPolicies {
  const errors: ManifestError[] = [...inputErrors]
  const byId = new Map<string, { policy: NetworkPolicy; source: LoadedObject }>()
  for (const source of objects) {
    if (!isPolicyLike(source.object)) continue
    const parsed = isNetworkPolicy(source.object) ? parseNetworkPolicy(source.object, defaultNamespace === undefined ? {} : { defaultNamespace }) : undefined
    if (parsed === undefined) errors.push(notEvaluated(source))
    else if ('problems' in parsed) errors.push(...parsed.problems.map((p) => problemError(source, p.field, p.message)))
    else {
      const id = policyId(parsed.policy)
      const earlier = byId.get(id)
      if (earlier !== undefined && policyText(earlier.policy) === policyText(parsed.policy)) continue
      if (earlier !== undefined) errors.push(duplicateError(source, earlier.source, id))
      byId.delete(id)
      byId.set(id, { policy: parsed.policy, source })
    }
  }
  return { policies: [...byId.values()].map((entry) => entry.policy), inputErrors: errors }
}

/** Equal for policies of equal meaning and metadata. */
function policyText(policy: NetworkPolicy): string {
  return JSON.stringify(policyToObject(canonicalPolicy(policy)))
}

function group(object: LoadedObject['object']): string {
  return String(object.apiVersion).split('/')[0] ?? ''
}

function isNetworkPolicy(object: LoadedObject['object']): boolean {
  return object.kind === 'NetworkPolicy' && object.apiVersion === NETWORK_POLICY_API_VERSION
}

/** Kinds that allow or deny traffic: any ...NetworkPolicy, and the authorization policies of service meshes. */
function isPolicyLike(object: LoadedObject['object']): boolean {
  const kind = String(object.kind)
  return kind.endsWith('NetworkPolicy') || kind === 'AuthorizationPolicy'
}

function notEvaluated(source: LoadedObject): ManifestError {
  const { apiVersion, kind } = source.object
  const hint = kind === 'NetworkPolicy' && group(source.object) === 'extensions' ? `: this version is no longer served, use ${NETWORK_POLICY_API_VERSION}` : ''
  return locatedError(source, `${String(kind)} (${String(apiVersion)}) is not evaluated yet${hint}; its effect is not part of the result`)
}

function problemError(source: LoadedObject, field: string, message: string): ManifestError {
  return { ...locatedError(source, `${field === '' ? '' : `${field}: `}${message}`), line: source.lineOf(field) }
}

function duplicateError(source: LoadedObject, earlier: LoadedObject, id: string): ManifestError {
  return locatedError(source, `${id} is defined again (first in ${earlier.file}, document ${earlier.document}); the later one is evaluated, remove one of them`)
}

function locatedError(source: LoadedObject, message: string): ManifestError {
  const metadata = source.object.metadata as { name?: unknown; namespace?: unknown } | null | undefined
  const place = [metadata?.namespace, metadata?.name].filter((part) => typeof part === 'string' && part !== '').join('/')
  const object = `${String(source.object.kind)}${place === '' ? '' : ` ${place}`}`
  return { file: source.file, line: source.lineOf(''), message: `document ${source.document}: ${object}: ${message}` }
}
