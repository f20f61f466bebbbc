import { AppError } from '../../core/base/app-error.ts'
import type { Identity } from '../../core/flow/identity.ts'
import { storableKey, storableText } from '../db/copy.ts'
import type { Queryable } from '../db/database.ts'
import { identityId } from './identity-id.ts'

/**
 * Makes identities known. An id that exists with another key (a collision of 64-bit hashes, or a damaged row) stops the batch:
 * AppError `internal`; two workloads are never merged silently. Rows are inserted in id order, so that batches which bring the
 * same new identities wait for each other instead of deadlocking.
 */
export async function insertIdentities(database: Queryable, clusterId: number, identities: readonly Identity[]): Promise<void> {
  if (identities.length === 0) return
  const ids = identities.map((identity) => identityId(identity).text)
  const keys = identities.map((identity) => identity.key)
  await database.query(
    `insert into identities (cluster_id, id, key, kind, namespace, name, workload_kind, workload_name, label_quality, labels)
     select $1, id, key, kind, namespace, name, workload_kind, workload_name, label_quality, labels::jsonb
     from unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
       as new_rows (id, key, kind, namespace, name, workload_kind, workload_name, label_quality, labels)
     order by id
     on conflict do nothing`,
    [
      clusterId, ids, keys, identities.map((i) => i.kind), identities.map((i) => storableKey(i.namespace)), identities.map((i) => storableText(i.name)),
      identities.map((i) => storableText(i.workload?.kind ?? '')), identities.map((i) => storableText(i.workload?.name ?? '')),
      identities.map((i) => i.labelQuality), identities.map(storableLabels),
    ],
  )
  const { rows } = await database.query<{ id: string, stored: string, given: string }>(
    `select stored.id, stored.key as stored, given.key as given
     from unnest($2::bigint[], $3::text[]) as given (id, key) join identities as stored on stored.cluster_id = $1 and stored.id = given.id
     where stored.key <> given.key limit 1`,
    [clusterId, ids, keys],
  )
  const collision = rows[0]
  if (collision === undefined) return
  throw new AppError('internal', `Two identities have the id ${collision.id}: ${collision.stored} and ${collision.given}. Nothing of this batch was stored; please report it.`)
}

/** JSON text that jsonb accepts: the raw labels are in the key, this copy is for people and filters. */
function storableLabels(identity: Identity): string {
  return JSON.stringify(Object.fromEntries(Object.entries(identity.labels).map(([key, value]) => [storableText(key), storableText(value)])))
}

/** Notes the networks in which pod addresses were seen. */
export async function insertPodNetworks(database: Queryable, clusterId: number, networks: readonly string[]): Promise<void> {
  if (networks.length === 0) return
  await database.query(
    `insert into pod_networks (cluster_id, network)
     select $1, network from unnest($2::text[]) as networks (network) order by network on conflict do nothing`,
    [clusterId, networks],
  )
}
