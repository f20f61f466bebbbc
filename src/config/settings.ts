/**
 * Every setting in one table: environment variable, default, unit, effect. README's table and the compose file are held to it.
 *
 * An empty variable counts as unset. Flags of a command win over variables.
 */
import { KAFKA_SETTINGS } from './kafka-settings.ts'
import { LIVE_SETTINGS } from './live-settings.ts'
import { RETENTION_SETTINGS } from './retention-settings.ts'
import type { Parse } from './setting-parsers.ts'
import { aliasList, apiKey, byteSize, cidrList, clusterName, databaseUrl, hostName, ingestClientList, ingestKeyList, oneOf, wholeNumber, workloadList } from './setting-parsers.ts'
import type { ClusterAlias } from './setting-parsers.ts'
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
  ingestKeys: {
    name: 'FLOWFENCE_INGEST_KEYS', parse: ingestKeyList, fallback: [] as ReturnType<typeof ingestKeyList>, defaultText: 'none',
    effect: 'Comma list of cluster=KEY: keys that may push flows of their cluster and nothing else, presented like FLOWFENCE_API_KEY. The binding wins over what records claim.',
  } satisfies Setting<ReturnType<typeof ingestKeyList>>,
  ingestClients: {
    name: 'FLOWFENCE_INGEST_CLIENTS', parse: ingestClientList, fallback: [] as ReturnType<typeof ingestClientList>, defaultText: 'none',
    effect: 'Comma list of IDENTITY=cluster: client certificates that may push flows of their cluster without a key, by common name, DNS name or URI, exactly. Needs FLOWFENCE_TLS_CLIENT_CA_FILE.',
  } satisfies Setting<ReturnType<typeof ingestClientList>>,
  host: {
    name: 'FLOWFENCE_HOST', parse: hostName, fallback: '127.0.0.1', defaultText: '127.0.0.1',
    effect: 'Address the service listens on. Anything but loopback is refused unless FLOWFENCE_API_KEY is set.',
  } satisfies Setting<string>,
  port: {
    name: 'FLOWFENCE_PORT', parse: wholeNumber(0, 65_535), fallback: 8080, defaultText: '8080',
    effect: 'TCP port the service listens on; 0 takes a free one.',
  } satisfies Setting<number>,
  tlsCertFile: {
    name: 'FLOWFENCE_TLS_CERT_FILE', parse: (text: string) => text, fallback: undefined, defaultText: 'none: plain HTTP',
    effect: 'PEM file of the certificate and its chain. With it FLOWFENCE_PORT speaks HTTPS only. It is read again when it changes; open connections go on.',
  } satisfies Setting<string | undefined>,
  tlsKeyFile: {
    name: 'FLOWFENCE_TLS_KEY_FILE', parse: (text: string) => text, fallback: undefined, defaultText: 'none',
    effect: 'PEM file of the private key of FLOWFENCE_TLS_CERT_FILE.',
  } satisfies Setting<string | undefined>,
  tlsClientCaFile: {
    name: 'FLOWFENCE_TLS_CLIENT_CA_FILE', parse: (text: string) => text, fallback: undefined, defaultText: 'none: no client certificates',
    effect: 'PEM file of the authorities that issue client certificates; those of FLOWFENCE_INGEST_CLIENTS may then push flows without a key.',
  } satisfies Setting<string | undefined>,
  tlsPort: {
    name: 'FLOWFENCE_TLS_PORT', parse: wholeNumber(0, 65_535), fallback: undefined, defaultText: 'none: HTTPS on FLOWFENCE_PORT',
    effect: 'TCP port for HTTPS beside plain HTTP on FLOWFENCE_PORT; 0 takes a free one.',
  } satisfies Setting<number | undefined>,
  cluster: {
    name: 'FLOWFENCE_CLUSTER', parse: clusterName, fallback: 'default', defaultText: 'default',
    effect: 'Name of the cluster whose flows are ingested and read; it wins over what the records claim.',
  } satisfies Setting<string>,
  clusterAliases: {
    name: 'FLOWFENCE_CLUSTER_ALIASES', parse: aliasList, fallback: [] as readonly ClusterAlias[], defaultText: 'none',
    effect: 'Comma list of names by which logs call a cluster, each as name=cluster. Topics, streams and credentials of a named cluster refuse records that say they are of another one (foreign-cluster).',
  } satisfies Setting<readonly ClusterAlias[]>,
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
    effect: 'Largest document in a request (manifests, cluster state) after decompression, in bytes or as 32MiB; larger ones get 413. Up to this much memory per request.',
  } satisfies Setting<number>,
  ingestBodyLimitBytes: {
    name: 'FLOWFENCE_INGEST_BODY_LIMIT', parse: byteSize(1024, 1024 * MIB), fallback: 256 * MIB, defaultText: '256MiB',
    effect: 'Largest body of flow records after decompression; larger ones get 413. Bodies over 1 MiB wait in files, so memory does not grow with it. One protobuf message or OTLP request: 16MiB at most.',
  } satisfies Setting<number>,
  ingestConcurrency: {
    name: 'FLOWFENCE_INGEST_CONCURRENCY', parse: wholeNumber(1, 64), fallback: 4, defaultText: '4',
    effect: 'Bodies stored at the same time (of those over 1 MiB two at most); further ones wait in line. More: more memory and database connections; fewer: longer waits.',
  } satisfies Setting<number>,
  ingestQueue: {
    name: 'FLOWFENCE_INGEST_QUEUE', parse: wholeNumber(1, 10_000), fallback: 64, defaultText: '64',
    effect: 'Received bodies that wait to be stored at most; beyond, clients get 429 with Retry-After. More: longer bursts are taken; fewer: clients hear sooner that they must slow down.',
  } satisfies Setting<number>,
  spoolDir: {
    name: 'FLOWFENCE_SPOOL_DIR', parse: (text: string) => text, fallback: undefined, defaultText: 'the system\'s folder for temporary files',
    effect: 'Folder where bodies over 1 MiB wait. Choose a disk: a folder in memory (tmpfs) costs memory.',
  } satisfies Setting<string | undefined>,
  spoolLimitBytes: {
    name: 'FLOWFENCE_SPOOL_LIMIT', parse: byteSize(MIB, 1024 * 1024 * MIB), fallback: 1024 * MIB, defaultText: '1GiB',
    effect: 'Bytes that waiting bodies may take in FLOWFENCE_SPOOL_DIR together; beyond, clients get 429.',
  } satisfies Setting<number>,
  requestTimeoutMs: {
    name: 'FLOWFENCE_REQUEST_TIMEOUT_MS', parse: wholeNumber(1000, 3_600_000), fallback: 120_000, defaultText: '120000',
    effect: 'Milliseconds a client has to send a whole request; slower ones are answered 408 and cut off.',
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
  ...RETENTION_SETTINGS,
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
  rawFlows: {
    name: 'FLOWFENCE_RAW_FLOWS', parse: oneOf<'on' | 'off'>(['on', 'off']), fallback: 'on', defaultText: 'on',
    effect: 'on: every flow is stored for FLOWFENCE_RETAIN_RAW_DAYS, about 90 bytes each, to be looked at and aggregated anew. off: only edge windows are stored; ingest is about twice as fast.',
  } satisfies Setting<'on' | 'off'>,
  decodeThreads: {
    name: 'FLOWFENCE_DECODE_THREADS', parse: wholeNumber(0, 64), fallback: undefined, defaultText: 'one less than the cores, at most 4',
    effect: 'Threads that decode large files, topics and bodies beside the one that stores; 0 decodes in place. More: more cores at work; fewer: less memory (about 60 MB each).',
  } satisfies Setting<number | undefined>,
  ...KAFKA_SETTINGS,
  ...LIVE_SETTINGS,
} as const

type Settings = typeof SETTINGS

/** The parsed settings; frozen. */
export type Config = {
  readonly [K in keyof Settings]: ReturnType<Settings[K]['parse']> | Settings[K]['fallback']
}
