/** Versions of the identity map: which one a reading of the store used, and a new one where its content is new. */
import { createHash } from 'node:crypto'
import { canonicalJson } from '../core/base/order.ts'
import type { IdentityMapView } from '../core/flow/identity-map-view.ts'
import { DEFAULT_IGNORED_LABELS } from '../core/flow/label-rules.ts'
import type { IdentityMap } from '../core/flow/identity-map.ts'
import type { Database, Queryable } from '../store/db/database.ts'
import { findCluster } from '../store/read/select-clusters.ts'
import { selectIdentityMapVersions } from '../store/read/select-identity-map.ts'
import { saveIdentityMap } from '../store/write/save-identity-map.ts'

/** What makes two maps one version: rules and ignored keys. Reasons hold counts and examples that change with every new pod, so they do not count. */
export function contentDigest({ config, ignored }: IdentityMap): string {
  const content = { defaults: DEFAULT_IGNORED_LABELS, config, ignored: ignored.map(({ cluster, namespace, key, code }) => [cluster, namespace, key, code]) }
  return createHash('sha256').update(canonicalJson(content)).digest('hex')
}

/** The versions saved of a cluster, by content digest. */
export async function identityMapVersions(database: Queryable, clusterId: number): Promise<ReadonlyMap<string, number>> {
  return new Map((await selectIdentityMapVersions(database, clusterId)).map((v) => [v.contentDigest, v.version]))
}

/** Saves a map where its content is new; its version either way. */
export async function versionIdentityMap(database: Database, map: IdentityMap, options: { readonly cluster: string; readonly nowUs: number }): Promise<number> {
  const { id } = await findCluster(database, options.cluster)
  const document = JSON.stringify({ rules: map.config, ignored: map.ignored })
  return saveIdentityMap(database, { clusterId: id, createdAtUs: options.nowUs, contentDigest: contentDigest(map), document })
}

/** As documents show it: what is ignored in the cluster's own namespaces. */
export function identityMapView(map: IdentityMap, cluster: string, version: number | null): IdentityMapView {
  return { version, ignoredLabels: map.ignored.filter((i) => i.cluster === cluster).map(({ namespace, key, reason }) => ({ namespace, key, reason })) }
}
