/**
 *  full state (folder, PUT, list) ─┐
 *                                  ├─► reduce ─► versions of objects with validity ─► store ─► ClusterHistory, asked with each flow's time
 *  changes (watch) ────────────────┘
 *
 * In: Kubernetes objects as the API server gives them (an item of a typed list needs its `kind` filled in). Out: StateReport; a ClusterHistory.
 * Invariants: the same state at the same time changes nothing; states and changes may come in any order; writers take turns per cluster.
 * Only what policies and flows need is kept: no env, annotations, Secrets or ConfigMaps.
 */
import type { ClusterHistory } from '../core/cluster/cluster-history.ts'
import type { Database } from '../store/db/database.ts'

/** Everything there was in the cluster at one moment: what is not among the objects was not there. */
export interface FullState {
  readonly atUs: number
  /** Objects of any kind, or Lists of them; kinds that say nothing to policies or flows are passed over. */
  readonly objects: readonly unknown[]
  /** Who says so, for people: `cluster-state`, `api`, `sync`. */
  readonly source: string
}

/** An object that was added or changed (`set`: as it is afterwards) or deleted (as it was last) at a moment. */
export interface StateChange {
  readonly atUs: number
  readonly type: 'set' | 'deleted'
  readonly object: unknown
}

/** What a watch saw since the full state that its source saved first. */
export interface StateChanges {
  readonly changes: readonly StateChange[]
  /** Everything up to this moment is told: between the source's full state and it, what did not change stayed as it was. */
  readonly confirmedUntilUs: number
  /** The source of the full state that the watch continues. */
  readonly source: string
}

/** An object, or a part of the request, that could not be used. */
export interface StateProblem {
  /** Its place in `objects` or `changes`, after Lists were opened. */
  readonly object: number
  /** For example `Pod shop/web-0`. */
  readonly name: string
  readonly field: string
  readonly message: string
}

export interface StateReport {
  readonly atUs: number
  /** Usable objects by kind. */
  readonly objects: Readonly<Record<string, number>>
  /** Objects of kinds that are not kept. */
  readonly ignored: number
  readonly added: number
  readonly changed: number
  /** Objects that were there before and are not any more. */
  readonly ended: number
  readonly unchanged: number
  /** True when exactly this was stored before, or the moment is covered by a watch already: nothing was changed. */
  readonly isKnown: boolean
  readonly problems: readonly StateProblem[]
}

export interface HistoryRange {
  readonly sinceUs?: number
  readonly untilUs?: number
}

/** Stores a full state. AppError `conflict` when another state of the same moment is stored, `usage` for an unusable time. */
export function saveClusterState(database: Database, clusterId: number, state: FullState): Promise<StateReport> {
  return Promise.reject(new Error(`not there yet: ${String(database)} ${clusterId} ${state.source}`))
}

/** Stores what a watch saw. AppError `conflict` when its source saved no full state before. Idempotent; changes may overlap earlier ones. */
export function applyStateChanges(database: Database, clusterId: number, changes: StateChanges): Promise<StateReport> {
  return Promise.reject(new Error(`not there yet: ${String(database)} ${clusterId} ${changes.source}`))
}

/** Who was who in a range of time; without bounds, in all that is stored. Memory is linear in the versions of that range. */
export function loadHistory(database: Database, clusterId: number, range: HistoryRange = {}): Promise<ClusterHistory> {
  return Promise.reject(new Error(`not there yet: ${String(database)} ${clusterId} ${JSON.stringify(range)}`))
}
