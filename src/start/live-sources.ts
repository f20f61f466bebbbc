/**
 * The live gRPC streams of one process, as configured: each reads for ever into the ingester of its cluster. One that cannot go on says why in the log
 * and in its readiness check; the others are not disturbed.
 */
import { AppError } from '../core/base/app-error.ts'
import { checkFlowFilters, namespaceFilters } from '../decode/protobuf/flow-filters.ts'
import type { Config } from '../config/settings.ts'
import type { Events, StreamState } from '../observe/events.ts'
import type { Logger } from '../observe/logger.ts'
import { countReport } from '../pipeline/count-report.ts'
import { ingestLive } from '../pipeline/ingest-live.ts'
import type { LiveStatus } from '../pipeline/ingest-live.ts'
import type { Ingesters } from '../pipeline/ingesters.ts'
import { goldmaneProtocol, hubbleProtocol } from '../pipeline/live-protocols.ts'
import type { LiveProtocol } from '../pipeline/live-protocols.ts'
import { createGoldmane } from '../sources/goldmane.ts'
import type { TlsMaterial } from '../sources/grpc-failure.ts'
import type { LiveStream } from '../sources/grpc-stream.ts'
import { createHubbleRelay } from '../sources/hubble-relay.ts'
import type { Database } from '../store/db/database.ts'
import { nowUs } from './clock.ts'
import { readPem } from './read-pem.ts'

export interface LiveSourcesOptions {
  readonly config: Config
  readonly ingesters: Ingesters
  readonly logger: Logger
  readonly events: Events
  /** A stream cannot go on: AppError with the next step, or a bug. */
  readonly onFailed?: (error: unknown) => void
}

export interface LiveSources {
  /** Names of the streams; none when none is configured. */
  readonly names: readonly string[]
  /** Ends all streams; what they brought by then is stored. */
  stop(): Promise<void>
  /** One per stream, for readiness. */
  checks(): readonly StreamCheck[]
}

export interface StreamCheck {
  /** Such as `hubble-relay:relay.kube-system:4245`. */
  readonly name: string
  readonly isReady: boolean
  readonly text: string
}

/** A stream may be without connection for this long before it counts as not ready: relays restart. */
const GRACE_US = 60_000_000

interface Configured {
  readonly protocol: LiveProtocol
  readonly address: string
  readonly cluster: string
  readonly stream: LiveStream
}

/** Starts all configured streams. AppError `usage` for settings that contradict each other, before anything is started. */
export async function startLiveSources(database: Database, options: LiveSourcesOptions): Promise<LiveSources> {
  const { config, ingesters } = options
  const configured = [...hubbleRelays(config), ...goldmanes(config)]
  const made = await Promise.all(configured.map(async (source) => ({ source, ingester: await ingesters.of(source.cluster) })))
  const stopping = new AbortController()
  const states = new Map<Configured, StreamState>()
  const onState = (source: Configured, state: StreamState): void => {
    states.set(source, state)
    const counts = { connected: 0, disconnected: 0, standby: 0, failed: 0 }
    for (const [other, one] of states) if (other.protocol.name === source.protocol.name) counts[one]++
    options.events.streamsChanged({ source: source.protocol.name, states: counts })
  }
  const running = made.map(({ source, ingester }) => startStream({ source, database, ingester, options, onState: (state) => onState(source, state) }, stopping.signal))
  return {
    names: running.map((one) => one.name),
    stop: async () => {
      stopping.abort()
      await Promise.all(running.map((one) => one.ended))
    },
    checks: () => running.map((one) => one.check()),
  }
}

interface StreamStart {
  readonly source: Configured
  readonly database: Database
  readonly ingester: Awaited<ReturnType<Ingesters['of']>>
  readonly options: LiveSourcesOptions
  readonly onState: (state: StreamState) => void
}

function startStream({ source, database, ingester, options, onState }: StreamStart, signal: AbortSignal): { name: string; ended: Promise<void>; check: () => StreamCheck } {
  const { logger, events, config, onFailed } = options
  const { protocol, address, cluster, stream } = source
  const name = `${protocol.name}:${address}`
  let status: LiveStatus | { readonly state: 'failed'; readonly text: string } = { state: 'disconnected', text: `${protocol.what} at ${address} is being connected.` }
  let readyUntilUs = nowUs() + GRACE_US
  const onStatus = (next: LiveStatus): void => {
    if (status.state !== 'disconnected' && next.state === 'disconnected') readyUntilUs = nowUs() + GRACE_US
    // The same failure again and again is told once.
    if (next.state !== status.state || next.text !== status.text) logger[next.state === 'disconnected' ? 'warn' : 'info']({ source: name, cluster }, next.text)
    status = next
    onState(next.state)
  }
  onState(status.state)
  const ended = ingestLive({
    database, ingester, protocol, address, stream, nowUs, silenceMs: config.streamSilenceMs, onStatus,
    onStored: (report) => {
      countReport(report, protocol.name, events)
      const { received, stored, duplicate, bytes } = report
      logger.debug({ source: name, received, stored, duplicate, bytes }, 'flows stored')
    },
    onCoverage: (noted) => {
      for (const { type, lost, node, detail } of noted) {
        events.coverageNoted({ type, events: 1, lost })
        logger.warn({ source: name, type, node, detail }, 'observation is incomplete')
      }
    },
  }, signal).catch((error: unknown) => {
    const text = error instanceof Error ? error.message : String(error)
    status = { state: 'failed', text }
    onState('failed')
    logger.error({ source: name, cluster, ...(error instanceof AppError ? {} : { error }) }, text)
    onFailed?.(error)
  })
  const isReady = (): boolean => status.state === 'connected' || status.state === 'standby' || (status.state === 'disconnected' && nowUs() < readyUntilUs)
  return { name, ended, check: () => ({ name, isReady: isReady(), text: status.text }) }
}

function hubbleRelays(config: Config): Configured[] {
  const { hubbleTls, hubbleCaFile, hubbleCertFile, hubbleKeyFile, hubbleServerName } = config
  const allow = [...checkFlowFilters(config.hubbleAllow, 'FLOWFENCE_HUBBLE_ALLOWLIST'), ...namespaceFilters(config.hubbleNamespaces)]
  const deny = checkFlowFilters(config.hubbleDeny, 'FLOWFENCE_HUBBLE_DENYLIST')
  const tls = { setting: 'FLOWFENCE_HUBBLE_RELAY', isOn: hubbleTls === 'on', ca: hubbleCaFile, cert: hubbleCertFile, key: hubbleKeyFile, serverName: hubbleServerName }
  return config.hubbleRelays.map(({ address, cluster = config.cluster }) => (
    { protocol: hubbleProtocol({ allow, deny }), address, cluster, stream: createHubbleRelay({ address, readTls: tlsReader(tls, address) }) }))
}

function goldmanes(config: Config): Configured[] {
  const { goldmaneTls, goldmaneCaFile, goldmaneCertFile, goldmaneKeyFile, goldmaneServerName } = config
  const tls = { setting: 'FLOWFENCE_GOLDMANE', isOn: goldmaneTls === 'on', ca: goldmaneCaFile, cert: goldmaneCertFile, key: goldmaneKeyFile, serverName: goldmaneServerName }
  return config.goldmanes.map(({ address, cluster = config.cluster }) => (
    { protocol: goldmaneProtocol(), address, cluster, stream: createGoldmane({ address, readTls: tlsReader(tls, address) }) }))
}

interface TlsSettings {
  readonly setting: string
  readonly isOn: boolean
  /** Files. */
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly serverName: string | undefined
}

/** Reads the files anew at each call. AppError `usage` for half of a configuration, or one without effect. */
function tlsReader({ setting, isOn, ca, cert, key, serverName }: TlsSettings, address: string): () => Promise<TlsMaterial | undefined> {
  if ((cert === undefined) !== (key === undefined)) throw new AppError('usage', `A client certificate needs both ${setting}_CERT_FILE and ${setting}_KEY_FILE; only one of them is set.`)
  if (!isOn && (ca ?? cert ?? serverName) !== undefined) {
    throw new AppError('usage', `${setting}_TLS is off, so ${setting}_CA_FILE, _CERT_FILE, _KEY_FILE and _SERVER_NAME have no effect. Unset them, or leave ${setting}_TLS on.`)
  }
  // A socket of this machine needs no TLS, and has none.
  if (!isOn || address.startsWith('unix:')) return () => Promise.resolve(undefined)
  return async () => ({
    ...(ca !== undefined && { ca: await readPem(`${setting}_CA_FILE`, ca) }),
    ...(cert !== undefined && { cert: await readPem(`${setting}_CERT_FILE`, cert) }),
    ...(key !== undefined && { key: await readPem(`${setting}_KEY_FILE`, key) }),
    ...(serverName !== undefined && { serverName }),
  })
}
