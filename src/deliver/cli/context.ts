import type { Readable } from 'node:stream'
import type { RecommendationDocument } from '../../core/generate/recommendation.ts'
import type { IdentityMap } from '../../core/flow/identity-map.ts'
import type { ReaggregateReport } from '../../core/report/reaggregation.ts'
import type { StateReport } from '../../pipeline/cluster-state.ts'
import type { FollowRun } from '../../pipeline/follow-files.ts'
import type { IngestProgress } from '../../pipeline/ingest.ts'
import type { IngestReport } from '../../pipeline/ingest-report.ts'
import type { ReplayReport } from '../../pipeline/replay-letters.ts'
import type { ObservedTraffic } from '../../pipeline/observed-traffic.ts'
import type { ReaggregateOptions } from '../../pipeline/reaggregate.ts'
import type { SyncOptions } from '../../pipeline/sync.ts'
import type { DeadLetter, DeadLetterTotals } from '../../store/read/select-dead-letters.ts'
import type { IngestTotal } from '../../store/read/select-ingest-totals.ts'
import type { Output } from './output.ts'

/** The database as commands use it: pipeline functions bound to one connection by the composition root. */
export interface Store {
  /** Names of the migrations that ran when it was opened. */
  readonly migrations: readonly string[]
  observe(query: { readonly cluster: string; readonly sinceUs?: number; readonly untilUs?: number }): Promise<ObservedTraffic>
  /** The version of an identity map; saves it where its content is new. */
  versionIdentityMap(cluster: string, map: IdentityMap): Promise<number>
  saveRecommendation(cluster: string, document: RecommendationDocument): Promise<void>
  ingestFiles(request: { readonly paths: readonly string[]; readonly cluster: string; /** Objects of a cluster state for which the caller vouches. */ readonly vouched?: readonly unknown[]; readonly onProgress: (progress: IngestProgress) => void }): Promise<IngestReport>
  /** Follows logs until the signal. */
  followFiles(request: { readonly patterns: readonly string[]; readonly cluster: string; readonly onNotice: (text: string) => void }): Promise<FollowRun>
  /** Stores a full cluster state, of now unless told. */
  saveState(state: { readonly cluster: string; readonly atUs: number | undefined; readonly objects: readonly unknown[]; readonly hasUnread?: boolean }): Promise<StateReport>
  /** Reads dead letters again; see pipeline/replay-letters.ts. */
  replayLetters(request: LetterRequest & { readonly isBackfill: boolean }): Promise<ReplayReport>
  /** The newest dead letters, and how many there are. */
  deadLetters(request: LetterRequest & { readonly limit: number }): Promise<{ readonly letters: readonly DeadLetter[]; readonly totals: DeadLetterTotals }>
  /** Rebuilds edges from raw flows; see pipeline/reaggregate.ts. */
  reaggregate(request: Pick<ReaggregateOptions, 'cluster' | 'sinceUs' | 'untilUs' | 'isDryRun' | 'labelRules' | 'onProgress'>): Promise<ReaggregateReport>
  /** Stores what an API server tells until the signal. */
  sync(request: SyncRequest): Promise<void>
  close(): Promise<void>
}

export interface SyncRequest extends SyncOptions {
  readonly cluster: string
  readonly kubeconfig?: string
  readonly context?: string
  readonly onNotice: (text: string) => void
}

/** Dead letters of a cluster; of one reason, or of all. */
export interface LetterRequest {
  readonly cluster: string
  readonly reason: string | undefined
}

export interface ServeRequest {
  readonly host?: string
  readonly port?: number
}

export interface DemoRequest {
  /** 0 takes a free one. */
  readonly port: number
  readonly cluster: string
}

/** A database and a running service in a temporary folder. */
export interface Demo {
  /** Place for files; removed by `close`. */
  readonly folder: string
  readonly url: string
  ingestFiles(paths: readonly string[], onProgress: (progress: IngestProgress) => void): Promise<IngestReport>
  /** What became of everything ingested so far. */
  totals(): Promise<readonly IngestTotal[]>
  observe(): Promise<ObservedTraffic>
  close(): Promise<void>
}

/** What the composition root gives to the commands. */
export interface CliContext {
  readonly version: string
  readonly output: Output
  readonly stdin: Readable
  readonly settings: { readonly cluster: string; readonly labelRules: string | undefined; readonly podCidrs: readonly string[]; readonly ownWorkloads: readonly string[] }
  /** Folder of the examples that come with the program. */
  readonly examples: string
  readonly nowUs: () => number
  /** Aborted by the first Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal
  /** Opens the database and brings its schema up to date. */
  openStore(): Promise<Store>
  /** Runs the service until the signal. */
  serve(request: ServeRequest): Promise<void>
  /** Reads the configured streams until the signal. AppError `usage` when none is configured. */
  ingestStreams(): Promise<void>
  openDemo(request: DemoRequest): Promise<Demo>
}
