import { buildSnapshot } from '../core/cluster/build-snapshot.ts'
import type { ClusterSnapshot } from '../core/cluster/snapshot.ts'
import type { NetworkPolicy } from '../core/policy/network-policy.ts'
import { readManifests } from './load-manifests.ts'
import type { ReadOptions } from './load-manifests.ts'
import type { LoadedObject, ManifestError } from './manifest.ts'
import { collectPolicies } from './load-policies.ts'

export interface LoadedSnapshot {
  readonly snapshot: ClusterSnapshot
  /** All objects that could be read, Lists opened. */
  readonly objects: readonly unknown[]
  readonly inputErrors: readonly ManifestError[]
  /** NetworkPolicies found among the objects. */
  readonly policies: readonly NetworkPolicy[]
}

/** Reads cluster state from files of Kubernetes objects or Lists, as `kubectl get ... -o yaml` writes them. */
export async function loadSnapshot(paths: readonly string[], options: ReadOptions = {}): Promise<LoadedSnapshot> {
  const manifests = await readManifests(paths, options)
  const objects = manifests.objects.map((o) => o.object)
  const { snapshot, problems } = buildSnapshot(objects)
  const { policies, inputErrors } = collectPolicies(manifests)
  const errors = problems.map((p): ManifestError => {
    const source = manifests.objects[p.object] as LoadedObject
    const { kind, metadata } = source.object as { kind: string; metadata?: { name?: unknown } }
    const name = typeof metadata?.name === 'string' ? ` ${metadata.name}` : ''
    return { file: source.file, line: source.lineOf(p.field), message: `document ${source.document}: ${kind}${name}: ${p.field}: ${p.message}; the object is left out` }
  })
  return { snapshot, objects, inputErrors: [...inputErrors, ...errors], policies }
}
