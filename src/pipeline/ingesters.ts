import type { Database } from '../store/db/database.ts'
import { createIngester } from './ingest.ts'
import type { Ingester, IngesterOptions } from './ingest.ts'

/** What logs call a cluster beside its name. */
export interface ClusterAlias {
  readonly alias: string
  readonly cluster: string
}

/**
 * The ingesters of one process, one per cluster, shared by everything that stores flows: HTTP push, topics and live streams. Two of
 * one cluster would each judge duplicates by what they remember alone.
 */
export interface Ingesters {
  /** The cluster's ingester, made at its first use. Throws what the database throws; the next call tries again. */
  of(cluster: string): Promise<Ingester>
}

/** Makes nothing yet. The schema must be migrated before `of` is called. */
export function createIngesters(database: Database, options: Omit<IngesterOptions, 'cluster' | 'isBound' | 'clusterAliases'> & { readonly aliases?: readonly ClusterAlias[] }): Ingesters {
  const { aliases = [], ...common } = options
  const byCluster = new Map<string, Promise<Ingester>>()
  return {
    of(cluster) {
      const known = byCluster.get(cluster)
      if (known !== undefined) return known
      // A cluster that nobody named says nothing against what records claim.
      const made = createIngester(database, {
        ...common, cluster, isBound: cluster !== 'default', clusterAliases: aliases.filter((a) => a.cluster === cluster).map((a) => a.alias),
      })
      byCluster.set(cluster, made)
      made.catch(() => byCluster.delete(cluster))
      return made
    },
  }
}
