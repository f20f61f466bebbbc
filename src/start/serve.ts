/** Composition of the service: database, ingester, API, housekeeping. Used by `serve` and by the demo. */
import { tmpdir } from 'node:os'
import { Readable } from 'node:stream'
import { DEFAULT_LABEL_RULES } from '../core/flow/label-rules.ts'
import { createApp } from '../deliver/api/app.ts'
import { checkSpoolFolder } from '../deliver/api/body-spool.ts'
import { startListeners } from '../deliver/api/listeners.ts'
import { checkAccess } from '../deliver/api/principal.ts'
import type { RunningServer } from '../deliver/api/server.ts'
import { loadLabelRules } from '../manifests/load-label-rules.ts'
import { readManifests } from '../manifests/load-manifests.ts'
import type { ManifestError } from '../manifests/manifest.ts'
import { loadPolicies } from '../manifests/load-policies.ts'
import { createMetrics } from '../observe/events.ts'
import type { Logger } from '../observe/logger.ts'
import { createIngesters } from '../pipeline/ingesters.ts'
import type { Ingesters } from '../pipeline/ingesters.ts'
import type { Ingester } from '../pipeline/ingest.ts'
import type { Database } from '../store/db/database.ts'
import type { Config } from '../config/settings.ts'
import { bindApiStore } from './bind-store.ts'
import { nowUs } from './clock.ts'
import { startHousekeeping } from './housekeeping.ts'
import { ingesterOptions } from './ingester-options.ts'
import { retentionOf } from './limits.ts'
import { startStreams } from './streams.ts'
import type { Streams } from './streams.ts'

export interface ServiceOptions {
  readonly config: Config
  readonly version: string
  readonly logger: Logger
  /** A stream cannot go on. The service does; without it, nothing more happens than a log line and a failed readiness check. */
  readonly onFailed?: (error: unknown) => void
}

export interface Service {
  readonly server: RunningServer
  /** HTTPS on a port of its own. */
  readonly tlsServer: RunningServer | undefined
  readonly ingester: Ingester
  /** Of all clusters that credentials, topics and streams are bound to. */
  readonly ingesters: Ingesters
  stop(): Promise<void>
}

/** How long running requests may take to end after the first Ctrl-C. */
const GRACE_MS = 15_000
/** Shorter than clients wait: they hear 503 and try again. */
const DATABASE_PATIENCE_MS = 15_000

export async function startService(database: Database, { config, version, logger, onFailed }: ServiceOptions): Promise<Service> {
  const access = {
    cluster: config.cluster, apiKey: config.apiKey?.reveal(), clients: config.ingestClients,
    ingestKeys: config.ingestKeys.map(({ cluster, key }) => ({ cluster, key: key.reveal() })),
  }
  checkAccess(access)
  const spool = { folder: config.spoolDir ?? tmpdir(), diskBytes: config.spoolLimitBytes }
  await checkSpoolFolder(spool.folder)
  const labelRules = config.labelRules === undefined ? DEFAULT_LABEL_RULES : await loadLabelRules(config.labelRules)
  const common = ingesterOptions(config)
  const ingesters = createIngesters(database, {
    ...common, aliases: config.clusterAliases,
    retry: { giveUpAfterMs: DATABASE_PATIENCE_MS, onRetry: (error, delayMs) => logger.warn({ reason: String(error), delayMs }, 'the database failed; trying again') },
  })
  const ingester = await ingesters.of(config.cluster)
  const metrics = createMetrics()
  const stopping = new AbortController()
  let streams: Streams | undefined
  const app = createApp({
    version, logger, access, cluster: config.cluster, metrics,
    store: bindApiStore(database, { ingesters, cluster: config.cluster }, { labelRules, signal: stopping.signal, streamChecks: () => streams?.checks() ?? [] }),
    readPolicies: readManifestText, readObjects: readObjectText, nowUs,
    bodyLimitBytes: config.bodyLimitBytes, ingestBodyLimitBytes: config.ingestBodyLimitBytes, ingestConcurrency: config.ingestConcurrency, ingestQueue: config.ingestQueue,
    spool,
  })
  const listeners = await startListeners({
    host: config.host, port: config.port, tlsPort: config.tlsPort, hasApiKey: access.apiKey !== undefined, requestTimeoutMs: config.requestTimeoutMs, logger, events: metrics.events,
    tls: { certFile: config.tlsCertFile, keyFile: config.tlsKeyFile, clientCaFile: config.tlsClientCaFile, hasClients: access.clients.length > 0 },
  }, app)
  logger.info({ url: listeners.main.url, tlsUrl: listeners.tls?.url, cluster: config.cluster, needsKey: access.apiKey !== undefined }, 'listening')
  try {
    streams = await startStreams(database, { config, ingesters, logger, events: metrics.events, ...(onFailed !== undefined && { onFailed }) })
  } catch (error) {
    await listeners.stop(0)
    throw error
  }
  const housekeeping = startHousekeeping(database, { retention: retentionOf(config), logger, events: metrics.events })
  return {
    server: listeners.main, tlsServer: listeners.tls, ingester, ingesters,
    stop: async () => {
      // All at once: each may take its time where the database or the brokers do not answer, and together they must end before they are killed.
      const answered = listeners.stop(GRACE_MS).then(() => stopping.abort())
      await Promise.all([answered, streams?.stop(), housekeeping.stop()])
      await common.decodePool.close()
      logger.info('stopped')
    },
  }
}

async function readManifestText(text: Buffer): ReturnType<typeof loadPolicies> {
  const { policies, inputErrors } = await loadPolicies(['-'], { stdin: Readable.from([text]) })
  return { policies, inputErrors: inputErrors.map((e) => ({ ...e, file: 'body' })) }
}

async function readObjectText(text: Buffer): Promise<{ objects: unknown[]; inputErrors: readonly ManifestError[] }> {
  const { objects, inputErrors } = await readManifests(['-'], { stdin: Readable.from([text]) })
  return { objects: objects.map((o) => o.object), inputErrors: inputErrors.map((e) => ({ ...e, file: 'body' })) }
}
