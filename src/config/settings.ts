/**
 * Every setting in one table: environment variable, default, unit, effect. README's table and the compose file are held to it.
 *
 * An empty variable counts as unset. Flags of a command win over variables.
 */
import type { Parse } from './setting-parsers.ts'
import { apiKey, byteSize, cidrList, clusterName, databaseUrl, hostName, oneOf, wholeNumber, workloadList } from './setting-parsers.ts'
import type { Secret } from './secret.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export interface Setting<T> {
  readonly name: string
  readonly parse: Parse<T>
  readonly fallback: T
  /** How the default reads in documentation. */
  readonly defaultText: string
  readonly effect: string
}

const MIB = 1024 ** 2

export const SETTINGS = {
  databaseUrl: {
    name: 'DATABASE_URL', parse: databaseUrl, fallback: undefined, defaultText: 'an embedded PostgreSQL in the data folder',
    effect: 'PostgreSQL 14 or later to store flows in, as postgres://user:password@host:5432/database.',
  } satisfies Setting<Secret | undefined>,
  apiKey: {
    name: 'FLOWFENCE_API_KEY', parse: apiKey, fallback: undefined, defaultText: 'none: only this machine may connect',
    effect: 'Key that every client of the service must present (Authorization: Bearer KEY, or X-API-Key: KEY). Needed to listen on anything but loopback.',
  } satisfies Setting<Secret | undefined>,
  host: {
    name: 'FLOWFENCE_HOST', parse: hostName, fallback: '127.0.0.1', defaultText: '127.0.0.1',
    effect: 'Address the service listens on. Anything but loopback is refused unless FLOWFENCE_API_KEY is set.',
  } satisfies Setting<string>,
  port: {
    name: 'FLOWFENCE_PORT', parse: wholeNumber(0, 65_535), fallback: 8080, defaultText: '8080',
    effect: 'TCP port the service listens on; 0 takes a free one.',
  } satisfies Setting<number>,
  cluster: {
    name: 'FLOWFENCE_CLUSTER', parse: clusterName, fallback: 'default', defaultText: 'default',
    effect: 'Name of the cluster whose flows are ingested and read; it wins over what the records claim.',
  } satisfies Setting<string>,
  dataDir: {
    name: 'FLOWFENCE_DATA_DIR', parse: (text: string) => text, fallback: '.flowfence', defaultText: '.flowfence',
    effect: 'Folder of the embedded PostgreSQL; not used when DATABASE_URL is set.',
  } satisfies Setting<string>,
  logLevel: {
    name: 'FLOWFENCE_LOG_LEVEL', parse: oneOf<LogLevel>(['debug', 'info', 'warn', 'error', 'silent']), fallback: undefined, defaultText: 'info for serve, warn for other commands',
    effect: 'Least severe log line to write: debug, info, warn, error or silent.',
  } satisfies Setting<LogLevel | undefined>,
  bodyLimitBytes: {
    name: 'FLOWFENCE_BODY_LIMIT', parse: byteSize(1024, 1024 * MIB), fallback: 32 * MIB, defaultText: '32MiB',
    effect: 'Largest request body after decompression, in bytes or as 32MiB; larger ones get 413. Up to this much memory per body that is ingested at the same time.',
  } satisfies Setting<number>,
  ingestConcurrency: {
    name: 'FLOWFENCE_INGEST_CONCURRENCY', parse: wholeNumber(1, 64), fallback: 4, defaultText: '4',
    effect: 'Bodies ingested at the same time; further ones wait in line. More: more memory and database connections; fewer: longer waits.',
  } satisfies Setting<number>,
  requestTimeoutMs: {
    name: 'FLOWFENCE_REQUEST_TIMEOUT_MS', parse: wholeNumber(1000, 3_600_000), fallback: 120_000, defaultText: '120000',
    effect: 'Milliseconds a client has to send a whole request; slower ones are cut off.',
  } satisfies Setting<number>,
  podCidrs: {
    name: 'FLOWFENCE_POD_CIDRS', parse: cidrList, fallback: [] as readonly string[], defaultText: 'none',
    effect: 'Comma list of networks in which pods live: an address in them that no record names is an unknown pod, never an outside address.',
  } satisfies Setting<readonly string[]>,
  maxIdentities: {
    name: 'FLOWFENCE_MAX_IDENTITIES', parse: wholeNumber(1, 10_000_000), fallback: 200_000, defaultText: '200000',
    effect: 'Distinct identities (label sets) stored per cluster. Beyond, flows of new ones are rejected as too-many-identities and known ones go on. More: room for larger clusters; fewer: a source that invents labels fills less disk and memory.',
  } satisfies Setting<number>,
  maxDeadLettersPerMinute: {
    name: 'FLOWFENCE_MAX_DEAD_LETTERS_PER_MINUTE', parse: wholeNumber(0, 1_000_000), fallback: 1_000, defaultText: '1000',
    effect: 'Rejected records kept as dead letters per cluster and minute, up to 4 KiB each; beyond, they are only counted. More: more that can be read again; fewer: a source of garbage fills less disk.',
  } satisfies Setting<number>,
  maxNodes: {
    name: 'FLOWFENCE_MAX_NODES', parse: wholeNumber(1, 1_000_000), fallback: 10_000, defaultText: '10000',
    effect: 'Distinct names of reporting nodes kept per cluster, to notice when one falls silent; flows of further ones are stored without counting for a node.',
  } satisfies Setting<number>,
  ownWorkloads: {
    name: 'FLOWFENCE_OWN_WORKLOADS', parse: workloadList, fallback: [] as readonly string[], defaultText: 'none',
    effect: 'Comma list of the collector\'s own workloads (shippers, Kafka, flowfence), each as namespace or namespace/workload: what they send each other is ignored.',
  } satisfies Setting<readonly string[]>,
  labelRules: {
    name: 'FLOWFENCE_LABEL_RULES', parse: (text: string) => text, fallback: undefined, defaultText: 'the built-in rules',
    effect: 'YAML file that says which label keys tell workloads apart, for all namespaces and for single ones (docs/label-rules.md).',
  } satisfies Setting<string | undefined>,
  databaseConnections: {
    name: 'FLOWFENCE_DATABASE_CONNECTIONS', parse: wholeNumber(2, 200), fallback: 10, defaultText: '10',
    effect: 'Connections to PostgreSQL at most. More: more requests at once; fewer: less memory on the server (about 10 MB each).',
  } satisfies Setting<number>,
} as const

type Settings = typeof SETTINGS

/** The parsed settings; frozen. */
export type Config = {
  readonly [K in keyof Settings]: ReturnType<Settings[K]['parse']> | Settings[K]['fallback']
}
