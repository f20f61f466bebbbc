import type { Retention } from '../core/aggregate/retention.ts'
import type { RecommendationDocument } from '../core/generate/recommendation.ts'
import type { LabelRulesConfig } from '../core/flow/label-rules.ts'
import type { ApiStore, ReadinessCheck } from '../deliver/api/context.ts'
import type { Store } from '../deliver/cli/context.ts'
import { readIngestStatus } from '../pipeline/ingest-status.ts'
import { saveClusterState, summarizeState } from '../pipeline/cluster-state.ts'
import { followFiles } from '../pipeline/follow-files.ts'
import { createIngester } from '../pipeline/ingest.ts'
import type { IngesterOptions } from '../pipeline/ingest.ts'
import { ingestReceived } from '../pipeline/ingest-received.ts'
import type { Ingesters } from '../pipeline/ingesters.ts'
import { versionIdentityMap } from '../pipeline/identity-map.ts'
import { observeStore } from '../pipeline/observed-traffic.ts'
import { reaggregate } from '../pipeline/reaggregate.ts'
import { syncCluster, withoutBallast } from '../pipeline/sync.ts'
import type { Database } from '../store/db/database.ts'
import { findCluster } from '../store/read/select-clusters.ts'
import { countDeadLetters, selectDeadLetters } from '../store/read/select-dead-letters.ts'
import { selectRecommendation, selectRecommendations } from '../store/read/select-recommendations.ts'
import { ensureCluster } from '../store/write/ensure-cluster.ts'
import { saveRecommendation } from '../store/write/save-recommendation.ts'
import { nowUs } from './clock.ts'
import type { OpenedDatabase } from './open-database.ts'
import { readinessOf } from './readiness.ts'

/** The commands' view of an opened database. */
export function bindCliStore(opened: OpenedDatabase, { ingester: common, signal }: { ingester: Omit<IngesterOptions, 'cluster'> & { readonly retention: Retention }; signal: AbortSignal }): Store {
  const { database, migrations } = opened
  const { retention } = common
  return {
    migrations,
    close: () => opened.close(),
    observe: (query) => observeStore(database, query),
    versionIdentityMap: (cluster, map) => versionIdentityMap(database, map, { cluster, nowUs: nowUs() }),
    saveRecommendation: (cluster, document) => save(database, cluster, document),
    saveState: async ({ cluster, atUs, ...state }) => saveClusterState(database, await ensureCluster(database, cluster), { ...state, atUs: atUs ?? nowUs(), source: 'cluster-state' }),
    ingestFiles: async ({ paths, cluster, vouched, onProgress }) => {
      const ingester = await createIngester(database, { ...common, cluster, isAnyAge: true, vouched })
      return ingester.ingestFiles(paths, { onProgress, signal })
    },
    followFiles: async ({ cluster, ...request }) => {
      const onRetry = (error: unknown): void => request.onNotice(`The database failed and is tried again: ${error instanceof Error ? error.message : String(error)}`)
      const ingester = await createIngester(database, { ...common, cluster, isAnyAge: true, retry: { onRetry } })
      return followFiles(database, ingester, { ...request, nowUs, retention, signal })
    },
    replayLetters: async ({ cluster, reason, isBackfill }) => {
      const ingester = await createIngester(database, { ...common, cluster: (await findCluster(database, cluster)).name })
      return ingester.replayLetters({ reason, isBackfill, signal })
    },
    deadLetters: async ({ cluster, reason, limit }) => {
      const { id } = await findCluster(database, cluster)
      return { letters: await selectDeadLetters(database, { clusterId: id, reason, limit }), totals: await countDeadLetters(database, id, { reason }) }
    },
    reaggregate: (request) => reaggregate(database, {
      ...request, podCidrs: common.podCidrs, ownWorkloads: common.ownWorkloads, maxIdentities: common.limits?.identities, retention, nowUs, signal,
    }),
    sync: async ({ cluster, kubeconfig, context, onNotice, ...rest }) => {
      // The client's generated code takes half a second to load: only the command that needs it pays.
      const { watchCluster } = await import('../sources/kubernetes.ts')
      const events = watchCluster({
        nowUs, signal, reduce: withoutBallast, onNotice,
        ...(kubeconfig === undefined ? {} : { kubeconfig }), ...(context === undefined ? {} : { context }),
      })
      await syncCluster(database, await ensureCluster(database, cluster), events, rest)
    },
  }
}

async function save(database: Database, cluster: string, document: RecommendationDocument): Promise<void> {
  const { id } = await findCluster(database, cluster)
  await saveRecommendation(database, { clusterId: id, createdAtUs: nowUs(), schema: document.schema, document: JSON.stringify(document) })
}

/** The service's view of an opened database. Bodies go to the cluster of who sent them, cluster state to the service's own one. */
export function bindApiStore(
  database: Database, { ingesters, cluster: own }: { ingesters: Ingesters; cluster: string }, 
  { labelRules, signal, streamChecks }: { labelRules: LabelRulesConfig; signal: AbortSignal; streamChecks: () => readonly ReadinessCheck[] },
): ApiStore {
  const checkDatabase = readinessOf(database)
  return {
    observe: (query) => observeStore(database, { ...query, labelRules }),
    ingestBody: async ({ cluster, body, ...rest }) => ingestReceived(await ingesters.of(cluster), body, { ...rest, signal }),
    savedRecommendations: async ({ cluster, limit, before }) => selectRecommendations(database, { clusterId: (await findCluster(database, cluster)).id, limit, before }),
    savedRecommendation: async ({ cluster, id }) => selectRecommendation(database, { clusterId: (await findCluster(database, cluster)).id, id }),
    ingestStatus: async ({ cluster, ...query }) => readIngestStatus(database, { ...query, cluster: await findCluster(database, cluster), nowUs: nowUs() }),
    deadLetters: async ({ cluster, ...query }) => selectDeadLetters(database, { ...query, clusterId: (await findCluster(database, cluster)).id }),
    saveState: async (state) => saveClusterState(database, (await ingesters.of(own)).clusterId, { ...state, source: 'api' }),
    stateSummary: async () => summarizeState(database, (await ingesters.of(own)).clusterId),
    checkReadiness: async () => [...await checkDatabase(), ...streamChecks()],
  }
}
