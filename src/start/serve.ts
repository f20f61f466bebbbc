/** Composition of the service: database, ingester, API, housekeeping. Used by `serve` and by the demo. */
import { Readable } from 'node:stream'
import { DEFAULT_LABEL_RULES } from '../core/flow/label-rules.ts'
import { createApp } from '../deliver/api/app.ts'
import { startServer } from '../deliver/api/server.ts'
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
import { retain } from '../pipeline/retain.ts'
import type { Database } from '../store/db/database.ts'
import type { Config } from '../config/settings.ts'
import { bindApiStore } from './bind-store.ts'
import { nowUs } from './clock.ts'
import { limitsOf } from './limits.ts'

export interface ServiceOptions {
  readonly config: Config
  readonly version: string
  readonly logger: Logger
}

export interface Service {
  readonly server: RunningServer
  readonly ingester: Ingester
  /** Of all clusters that credentials, topics and streams are bound to. */
  readonly ingesters: Ingesters
  stop(): Promise<void>
}

/** Folding is due a minute after the last one ended. More often: fewer rows to read; more seldom: less work for the database. */
const HOUSEKEEPING_MS = 60_000
/** How long running requests may take to end after the first Ctrl-C. */
const GRACE_MS = 15_000
/** Shorter than clients wait: they hear 503 and try again. */
const DATABASE_PATIENCE_MS = 15_000

export async function startService(database: Database, { config, version, logger }: ServiceOptions): Promise<Service> {
  const apiKey = config.apiKey?.reveal()
  const labelRules = config.labelRules === undefined ? DEFAULT_LABEL_RULES : await loadLabelRules(config.labelRules)
  const ingesters = createIngesters(database, {
    podCidrs: config.podCidrs, ownWorkloads: config.ownWorkloads, limits: limitsOf(config), nowUs,
    retry: { giveUpAfterMs: DATABASE_PATIENCE_MS, onRetry: (error, delayMs) => logger.warn({ reason: String(error), delayMs }, 'the database failed; trying again') },
  })
  const ingester = await ingesters.of(config.cluster)
  let port = 0
  const app = createApp({
    version, logger, apiKey, cluster: config.cluster, metrics: createMetrics(),
    store: bindApiStore(database, { ingesters, cluster: config.cluster }, { maxBodyBytes: config.bodyLimitBytes, labelRules }),
    readPolicies: readManifestText, readObjects: readObjectText, nowUs,
    bodyLimitBytes: config.bodyLimitBytes, ingestConcurrency: config.ingestConcurrency, port: () => port,
  })
  const server = await startServer({ host: config.host, port: config.port, hasApiKey: apiKey !== undefined, requestTimeoutMs: config.requestTimeoutMs }, app)
  port = server.port
  logger.info({ url: server.url, cluster: config.cluster, needsKey: apiKey !== undefined }, 'listening')
  const housekeeping = startHousekeeping(database, ingester.clusterId, logger)
  return {
    server, ingester, ingesters,
    stop: async () => {
      await server.stop(GRACE_MS)
      await housekeeping.stop()
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

function startHousekeeping(database: Database, clusterId: number, logger: Logger): { stop(): Promise<void> } {
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()
  const schedule = (): void => {
    timer = setTimeout(() => {
      running = retain(database, clusterId, nowUs())
        .catch((error: unknown) => logger.warn({ reason: String(error) }, 'housekeeping failed; it is tried again in a minute'))
        .finally(() => { if (timer !== undefined) schedule() })
    }, HOUSEKEEPING_MS)
    timer.unref()
  }
  schedule()
  return {
    stop: async () => {
      clearTimeout(timer)
      timer = undefined
      await running
    },
  }
}
