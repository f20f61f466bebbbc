import { parseIdentityKey } from '../../core/flow/identity.ts'
import type { Identity } from '../../core/flow/identity.ts'
import type { Queryable } from '../db/database.ts'

/** Parsed identities by key: each key is parsed once, and equal ones are one object. Bounded by what is stored: FLOWFENCE_MAX_IDENTITIES per cluster. */
const interned = new Map<string, Identity>()

function intern(key: string): Identity {
  let identity = interned.get(key)
  if (identity === undefined) {
    identity = parseIdentityKey(key)
    interned.set(key, identity)
  }
  return identity
}

/** The identities of a cluster with these ids (signed decimal text), by id. */
export async function selectIdentitiesById(database: Queryable, clusterId: number, ids: readonly string[]): Promise<Map<string, Identity>> {
  const { rows } = await database.query<{ id: string, key: string }>(
    'select id, key from identities where cluster_id = $1 and id = any($2::bigint[])', [clusterId, ids],
  )
  return new Map(rows.map((row) => [row.id, intern(row.key)]))
}

/** All identities a cluster was ever seen with, in key order. */
export async function selectIdentities(database: Queryable, clusterId: number): Promise<Identity[]> {
  const { rows } = await database.query<{ key: string }>('select key from identities where cluster_id = $1 order by key collate "C"', [clusterId])
  return rows.map((row) => intern(row.key))
}

/** Networks (/24, /64) in which pod addresses were seen, sorted. */
export async function selectPodNetworks(database: Queryable, clusterId: number): Promise<string[]> {
  const { rows } = await database.query<{ network: string }>('select network from pod_networks where cluster_id = $1 order by network collate "C"', [clusterId])
  return rows.map((row) => row.network)
}
