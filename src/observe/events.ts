/**
 * What happens, as named events; each counts in the metrics registry. Labels come from closed lists only, never from logs: no pod, address,
 * label value or path ever becomes one.
 *
 * Conservation is visible here too: received = stored + duplicate + rejected + ignored, per source and format.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'

/** Files are ingested by commands, which have no metrics. */
export type SourceKind = 'http' | 'hubble-relay' | 'goldmane' | 'kafka'

/** Types of coverage events, as in core/flow/flow-record.ts; those found from silence are told by the ingest status. */
export type CoverageType = 'lost-events' | 'node-status' | 'sampling' | 'aggregation' | 'missing-node' | 'gap'

/** Records of one format that one batch or body brought, by outcome. */
export interface RecordsCounted {
  readonly source: SourceKind
  readonly format: string
  readonly outcome: 'stored' | 'duplicate' | 'rejected' | 'ignored'
  /** Code of the rejection or reason of the ignore; '' otherwise. */
  readonly reason: string
  readonly records: number
}

export interface RequestServed {
  readonly method: string
  /** The route's pattern, or `unmatched`. */
  readonly route: string
  readonly status: number
  readonly seconds: number
}

/**
 * `key`: none or a wrong one. `client-certificate`: unknown authority or not valid now. `client-not-mapped`: of no cluster. `scope`: a credential for
 * ingest elsewhere. `tls`: no common ground in the handshake.
 */
export type RefusalReason = 'host' | 'origin' | 'key' | 'client-certificate' | 'client-not-mapped' | 'scope' | 'tls'

/** Kinds of credentials, never their names. */
export type PrincipalKind = 'local' | 'api-key' | 'ingest-key' | 'client-certificate'

/** `busy`: told to come again later. `refused`: wrong or too large. `failed`: not its fault. `left`: the client went away. */
export type BodyOutcome = 'ingested' | 'busy' | 'refused' | 'failed' | 'left'

/** A round of housekeeping over all clusters. */
export interface HouseKept {
  readonly folded: number
  readonly rolled: number
  readonly expired: number
  /** `undefined` while nobody receives flows. */
  readonly watermarkLagUs: number | undefined
  readonly failures: readonly HousekeepingStep[]
}

/** The Kafka consumer of this process: what it owns and how far it is behind. */
export interface KafkaObserved {
  readonly partitions: number
  /** Partitions that wait because enough of them is in memory. */
  readonly paused: number
  /** Records in the brokers that are not stored yet. */
  readonly lag: number
}

export type KafkaEvent = 'assigned' | 'revoked' | 'fenced' | 'reset' | 'records-lost' | 'connected' | 'connection' | 'database'

export type HousekeepingStep = 'fold' | 'roll-up' | 'expire-edges' | 'expire-coverage' | 'expire-digests' | 'expire-flows' | 'partitions'

/** `standby`: another process stores the stream. `failed`: trying again cannot help. */
export type StreamState = 'connected' | 'disconnected' | 'standby' | 'failed'

export interface Events {
  recordsCounted(event: RecordsCounted): void
  coverageNoted(event: { readonly type: CoverageType; readonly events: number; readonly lost: number }): void
  deadLettersCounted(event: { readonly kept: number; readonly notKept: number }): void
  /** What a limit of the cluster held back: identities, dead letters, node names. */
  limitHit(event: { readonly limit: 'identities' | 'dead-letters' | 'nodes'; readonly records: number }): void
  bodyIngested(event: { readonly bytes: number; readonly seconds: number }): void
  /** A pushed body was answered, whatever the answer. */
  bodyAnswered(event: { readonly principal: PrincipalKind; readonly outcome: BodyOutcome }): void
  /** Bodies being stored, and in line for it. */
  queueChanged(event: { readonly running: number; readonly waiting: number }): void
  /** What received bodies take. */
  spoolChanged(event: { readonly memoryBytes: number; readonly diskBytes: number }): void
  certificateLoaded(event: { readonly notAfterS: number }): void
  requestServed(event: RequestServed): void
  requestRefused(event: { readonly reason: RefusalReason }): void
  readinessChecked(event: { readonly isReady: boolean }): void
  houseKept(event: HouseKept): void
  kafkaObserved(event: KafkaObserved): void
  /** A live stream of a source came, went or gave up: how many are in each state now. */
  streamsChanged(event: { readonly source: 'hubble-relay' | 'goldmane'; readonly states: Readonly<Record<StreamState, number>> }): void
  kafkaNoticed(event: { readonly event: KafkaEvent }): void
}

export interface Metrics {
  readonly events: Events
  readonly contentType: string
  /** The Prometheus text exposition. */
  render(): Promise<string>
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
const FORMATS = new Set(['hubble', 'calico-enterprise', 'goldmane', 'netobserv', 'antrea', 'gke', 'aws-vpc-cni', 'unread'])

export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'flowfence_' })
  return { events: createEvents(registry), contentType: registry.contentType, render: () => registry.metrics() }
}

function createEvents(registry: Registry): Events {
  const registers = [registry]
  const received = new Counter({ name: 'flowfence_ingest_records_received_total', help: 'Records received, after unwrapping.', labelNames: ['source', 'format'], registers })
  const counted = new Counter({
    name: 'flowfence_ingest_records_total', help: 'Records by outcome: stored, duplicate, rejected (reason), ignored (reason).',
    labelNames: ['source', 'format', 'outcome', 'reason'], registers,
  })
  const coverage = new Counter({ name: 'flowfence_ingest_coverage_events_total', help: 'Signs of incomplete observation in what was ingested.', labelNames: ['type'], registers })
  const lost = new Counter({ name: 'flowfence_ingest_events_lost_total', help: 'Events that the logs themselves say were lost.', registers })
  const letters = new Counter({ name: 'flowfence_ingest_dead_letters_total', help: 'Rejected records: kept as dead letters, or counted only.', labelNames: ['kept'], registers })
  const limits = new Counter({ name: 'flowfence_ingest_limited_records_total', help: 'Records that met a limit of the cluster.', labelNames: ['limit'], registers })
  const bytes = new Counter({ name: 'flowfence_ingest_body_bytes_total', help: 'Bytes of ingested request bodies, decompressed.', registers })
  const bodySeconds = new Histogram({
    name: 'flowfence_ingest_body_seconds', help: 'Time from the first byte of a body to its commit.', buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 120], registers,
  })
  const bodies = new Counter({
    name: 'flowfence_ingest_bodies_total', help: 'Pushed bodies by kind of credential: ingested, busy (429), refused (other 4xx), failed (5xx), left (the client went away).',
    labelNames: ['principal', 'outcome'], registers,
  })
  const queue = new Gauge({ name: 'flowfence_ingest_queue_bodies', help: 'Pushed bodies that are being stored (running) or in line for it (waiting).', labelNames: ['state'], registers })
  const spool = new Gauge({ name: 'flowfence_ingest_spool_bytes', help: 'What received bodies take until they are stored.', labelNames: ['place'], registers })
  const notAfter = new Gauge({ name: 'flowfence_tls_certificate_not_after_seconds', help: 'When the certificate in use ends, seconds since 1970; 0 without TLS.', registers })
  const streams = new Gauge({ name: 'flowfence_ingest_streams', help: 'Live gRPC streams by state: connected, disconnected, standby (another process stores it), failed (needs a person).', labelNames: ['source', 'state'], registers })
  const requests = new Counter({ name: 'flowfence_http_requests_total', help: 'Requests answered.', labelNames: ['method', 'route', 'status'], registers })
  const requestSeconds = new Histogram({
    name: 'flowfence_http_request_seconds', help: 'Time to answer a request.', labelNames: ['route'], buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 60], registers,
  })
  const refused = new Counter({ name: 'flowfence_http_refused_total', help: 'Requests refused: foreign Host header, foreign Origin, missing or wrong key or client certificate, or a credential for ingest elsewhere.', labelNames: ['reason'], registers })
  const ready = new Gauge({ name: 'flowfence_ready', help: '1 when the last readiness check passed.', registers })
  const units = new Counter({ name: 'flowfence_housekeeping_units_total', help: 'Windows joined, hours and days rolled up, hours and days expired.', labelNames: ['step'], registers })
  const failures = new Counter({ name: 'flowfence_housekeeping_failures_total', help: 'Steps of housekeeping that failed; each is tried again a minute later.', labelNames: ['step'], registers })
  const lag = new Gauge({ name: 'flowfence_rollup_lag_seconds', help: 'How far rollups may be behind the clock, of the slowest cluster that receives flows.', registers })
  return {
    recordsCounted({ source, format, outcome, reason, records }) {
      const shown = FORMATS.has(format) ? format : 'unknown'
      received.inc({ source, format: shown }, records)
      counted.inc({ source, format: shown, outcome, reason }, records)
    },
    coverageNoted(event) {
      coverage.inc({ type: event.type }, event.events)
      lost.inc(event.lost)
    },
    deadLettersCounted(event) {
      letters.inc({ kept: 'yes' }, event.kept)
      letters.inc({ kept: 'no' }, event.notKept)
    },
    limitHit: ({ limit, records }) => limits.inc({ limit }, records),
    bodyIngested(event) {
      bytes.inc(event.bytes)
      bodySeconds.observe(event.seconds)
    },
    bodyAnswered: ({ principal, outcome }) => bodies.inc({ principal, outcome }),
    queueChanged({ running, waiting }) {
      queue.set({ state: 'running' }, running)
      queue.set({ state: 'waiting' }, waiting)
    },
    spoolChanged({ memoryBytes, diskBytes }) {
      spool.set({ place: 'memory' }, memoryBytes)
      spool.set({ place: 'disk' }, diskBytes)
    },
    certificateLoaded: ({ notAfterS }) => notAfter.set(notAfterS),
    requestServed({ method, route, status, seconds }) {
      requests.inc({ method: METHODS.has(method) ? method : 'other', route, status: String(status) })
      requestSeconds.observe({ route }, seconds)
    },
    streamsChanged({ source, states }) {
      for (const [state, count] of Object.entries(states)) streams.set({ source, state }, count)
    },
    requestRefused: ({ reason }) => refused.inc({ reason }),
    readinessChecked: ({ isReady }) => ready.set(isReady ? 1 : 0),
    ...createKafkaEvents(registers),
    houseKept(event) {
      units.inc({ step: 'folded' }, event.folded)
      units.inc({ step: 'rolled' }, event.rolled)
      units.inc({ step: 'expired' }, event.expired)
      for (const step of event.failures) failures.inc({ step })
      lag.set((event.watermarkLagUs ?? 0) / 1e6)
    },
  }
}

function createKafkaEvents(registers: Registry[]): Pick<Events, 'kafkaObserved' | 'kafkaNoticed'> {
  const kafkaPartitions = new Gauge({ name: 'flowfence_kafka_partitions', help: 'Partitions that this process owns: reading, or paused because enough of them is in memory.', labelNames: ['state'], registers })
  const kafkaLag = new Gauge({ name: 'flowfence_kafka_lag_records', help: 'Records of the partitions of this process that are not stored yet.', registers })
  const kafkaEvents = new Counter({ name: 'flowfence_kafka_events_total', help: 'Joined groups (connected), assignments, fencings, resets, lost records, broken connections, waits for the database.', labelNames: ['event'], registers })
  return {
    kafkaObserved(event) {
      kafkaPartitions.set({ state: 'reading' }, event.partitions - event.paused)
      kafkaPartitions.set({ state: 'paused' }, event.paused)
      kafkaLag.set(event.lag)
    },
    kafkaNoticed: ({ event }) => kafkaEvents.inc({ event }),
  }
}
