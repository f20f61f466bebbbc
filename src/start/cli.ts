/** Entry point: settings, logger, signals, then the command line. Composes everything and holds no logic. */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { AppError } from '../core/base/app-error.ts'
import { loadConfig } from '../config/load-config.ts'
import type { Config } from '../config/settings.ts'
import { requireKeyOrLoopback } from '../deliver/api/server.ts'
import type { CliContext, ServeRequest } from '../deliver/cli/context.ts'
import { EXIT } from '../deliver/cli/exit-codes.ts'
import { createOutput } from '../deliver/cli/output.ts'
import type { Output } from '../deliver/cli/output.ts'
import { runCli } from '../deliver/cli/program.ts'
import { escapeText } from '../deliver/render/escape-text.ts'
import { createLogger } from '../observe/logger.ts'
import type { Logger } from '../observe/logger.ts'
import { bindCliStore } from './bind-store.ts'
import { nowUs } from './clock.ts'
import { openDemo } from './demo.ts'
import { openMigrated } from './open-database.ts'
import type { OpenedDatabase } from './open-database.ts'
import { ingesterOptions } from './ingester-options.ts'
import { startService } from './serve.ts'
import type { ServiceOptions } from './serve.ts'
import { hasStreams } from './streams.ts'
import { retentionOf } from './limits.ts'
import { aborted, installShutdown } from './shutdown.ts'
import type { Shutdown } from './shutdown.ts'

/** A person waits for a command; a service waits for its database to come up. */
const COMMAND_PATIENCE_MS = 5_000
const SERVICE_PATIENCE_MS = 60_000

/** Runs one command line (without node and script); sets the process's exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  const output = createOutput(process)
  const { config, problems, warnings } = loadConfig(process.env)
  for (const warning of warnings) output.note(`flowfence: ${escapeText(warning)}`)
  // Help must be readable whatever the environment holds.
  const usable = config ?? (asksForHelp(argv) ? loadConfig({}).config : undefined)
  if (usable === undefined) {
    for (const problem of problems) output.note(`flowfence: ${escapeText(problem)}`)
    process.exitCode = EXIT.unusable
    return
  }
  const shutdown = installShutdown(output.note)
  try {
    process.exitCode = await runCli(argv, createContext(usable, output, shutdown))
  } finally {
    shutdown.dispose()
  }
}

function asksForHelp(argv: readonly string[]): boolean {
  return argv.some((arg) => ['help', '--help', '-h', '--version', '-V'].includes(arg))
}

function createContext(config: Config, output: Output, shutdown: Shutdown): CliContext {
  const version = (createRequire(import.meta.url)('../../package.json') as { version: string }).version
  const logger = (fallback: 'info' | 'warn'): Logger => createLogger({
    level: config.logLevel ?? fallback, secrets: [config.apiKey, config.databaseUrl, ...config.ingestKeys.map(({ key }) => key)].flatMap((s) => (s === undefined ? [] : [s.reveal()])),
  })
  const open = (commandLogger: Logger, patienceMs: number): Promise<OpenedDatabase> => openMigrated({
    databaseUrl: config.databaseUrl, folder: config.dataDir, maxConnections: config.databaseConnections, logger: commandLogger, patienceMs,
    onProgress: (text) => output.note(`${text} …`),
  })
  const { signal } = shutdown
  return {
    version, output, signal, nowUs,
    stdin: process.stdin,
    settings: { cluster: config.cluster, labelRules: config.labelRules, podCidrs: config.podCidrs, ownWorkloads: config.ownWorkloads },
    examples: fileURLToPath(new URL('../../examples', import.meta.url)),
    openStore: async () => bindCliStore(await open(logger('warn'), COMMAND_PATIENCE_MS), { ingester: { ...ingesterOptions(config), retention: retentionOf(config) }, signal }),
    serve: async (request) => {
      const serviceConfig = withFlags(config, request)
      // Before a database is started for nothing; the server checks again.
      requireKeyOrLoopback(serviceConfig.host, serviceConfig.apiKey !== undefined)
      const serviceLogger = logger('info')
      await serveUntil(signal, await open(serviceLogger, SERVICE_PATIENCE_MS), { config: serviceConfig, version, logger: serviceLogger })
    },
    ingestStreams: async () => {
      if (!hasStreams(config)) throw new AppError('usage', 'Name at least one flow log, or - for standard input; or set FLOWFENCE_KAFKA_TOPICS, FLOWFENCE_HUBBLE_RELAY or FLOWFENCE_GOLDMANE to read streams.')
      requireKeyOrLoopback(config.host, config.apiKey !== undefined)
      const serviceLogger = logger('info')
      await serveUntil(signal, await open(serviceLogger, SERVICE_PATIENCE_MS), { config, version, logger: serviceLogger }, true)
    },
    openDemo: (request) => openDemo(request, { config, version, logger: logger('warn'), shutdown, output }),
  }
}

function withFlags(config: Config, { host, port }: ServeRequest): Config {
  return Object.freeze({ ...config, ...(host === undefined ? {} : { host }), ...(port === undefined ? {} : { port }) })
}

/** `isReplica`: there for the streams, so that it ends when one of them cannot go on. */
async function serveUntil(signal: AbortSignal, opened: OpenedDatabase, options: ServiceOptions, isReplica = false): Promise<void> {
  const failed = new AbortController()
  let failure: Error | undefined
  const onFailed = (error: unknown): void => {
    failure ??= error instanceof Error ? error : new Error(String(error))
    failed.abort()
  }
  try {
    const service = await startService(opened.database, { ...options, ...(isReplica && { onFailed }) })
    await aborted(AbortSignal.any([signal, failed.signal]))
    await service.stop()
    // Reading had begun, so nothing is wrong with the command line: exit code 1, whatever the streams call it.
    if (failure !== undefined) throw failure instanceof AppError ? new AppError('unavailable', failure.message, { cause: failure }) : failure
  } finally {
    await opened.close()
  }
}
