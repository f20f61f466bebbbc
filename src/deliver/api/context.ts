import type { NetworkPolicy } from '../../core/policy/network-policy.ts'
import type { InputError } from '../../core/report/check-document.ts'
import type { Metrics } from '../../observe/events.ts'
import type { Logger } from '../../observe/logger.ts'
import type { StateReport } from '../../pipeline/cluster-state.ts'
import type { BodyKind, ReceivedBody } from '../../pipeline/ingest-received.ts'
import type { IngestReport } from '../../pipeline/ingest-report.ts'
import type { IngestStatus } from '../../pipeline/ingest-status.ts'
import type { ObservedTraffic } from '../../pipeline/observed-traffic.ts'
import type { DeadLetter, DeadLetterFilter } from '../../store/read/select-dead-letters.ts'
import type { StateHead, StateSpan } from '../../store/read/select-cluster-state.ts'
import type { Recommendation, RecommendationHead } from '../../store/read/select-recommendations.ts'
import type { Access } from './principal.ts'

/** A check that `/readyz` makes. */
export interface ReadinessCheck {
  /** `database`, `migrations`, `kafka`, or the kind of a live stream. */
  readonly name: string
  readonly isReady: boolean
  /** For people; never holds a secret. */
  readonly text: string
}

/** The database as the API uses it: pipeline and read functions bound to one connection pool by the composition root. */
export interface ApiStore {
  observe(query: { readonly cluster: string; readonly sinceUs?: number; readonly untilUs?: number }): Promise<ObservedTraffic>
  /** Stores one body under a cluster; the same body again changes nothing. */
  ingestBody(body: { readonly cluster: string; readonly body: ReceivedBody; readonly isBackfill: boolean; readonly kind: BodyKind }): Promise<IngestReport>
  savedRecommendations(query: { readonly cluster: string; readonly limit: number; readonly before: string | undefined }): Promise<RecommendationHead[]>
  savedRecommendation(query: { readonly cluster: string; readonly id: string }): Promise<Recommendation | undefined>
  ingestStatus(query: { readonly cluster: string; readonly sinceUs?: number; readonly untilUs?: number; readonly limit: number }): Promise<IngestStatus>
  deadLetters(query: DeadLetterFilter & { readonly cluster: string; readonly limit: number; readonly before: string | undefined }): Promise<DeadLetter[]>
  /** Stores a full cluster state; see pipeline/cluster-state.ts. */
  saveState(state: { readonly atUs: number; readonly objects: readonly unknown[]; readonly hasUnread?: boolean }): Promise<StateReport>
  stateSummary(): Promise<StateSummary>
  checkReadiness(): Promise<readonly ReadinessCheck[]>
}

/** How far cluster state is known. */
export interface StateSummary {
  /** `undefined` when nothing is stored. */
  readonly head: StateHead | undefined
  /** In order of time. */
  readonly spans: readonly StateSpan[]
  /** Objects that go on, by kind. */
  readonly objects: Readonly<Record<string, number>>
  readonly versions: number
}

export interface ReadPolicies {
  (text: Buffer): Promise<{ readonly policies: readonly NetworkPolicy[]; readonly inputErrors: readonly InputError[] }>
}

export interface ApiContext {
  readonly version: string
  /** The service's own cluster: what is read, and what the full key pushes. */
  readonly cluster: string
  readonly store: ApiStore
  /** Manifests as YAML or JSON text. */
  readonly readPolicies: ReadPolicies
  /** Any Kubernetes objects as YAML or JSON text. */
  readonly readObjects: (text: Buffer) => Promise<{ readonly objects: readonly unknown[]; readonly inputErrors: readonly InputError[] }>
  readonly nowUs: () => number
  readonly metrics: Metrics
  readonly logger: Logger
  /** Of documents, which are held in memory. */
  readonly bodyLimitBytes: number
  /** Of flow records, which are not. */
  readonly ingestBodyLimitBytes: number
  readonly ingestConcurrency: number
  /** Bodies that wait to be stored at most. */
  readonly ingestQueue: number
  /** Where bodies wait that are not small. */
  readonly spool: { readonly folder: string; readonly diskBytes: number }
  readonly access: Access
}

