/**
 *  full state (folder, PUT, list) ─┐
 *                                  ├─► reduce ─► versions of objects with validity ─► store ─► ClusterHistory, asked with each flow's time
 *  changes (watch) ────────────────┘
 *
 * In: Kubernetes objects as the API server gives them (an item of a typed list needs its `kind` and `apiVersion` filled in). Out: StateReport; a
 * ClusterHistory. Invariants: the same state at the same time changes nothing; states and changes may come in any order; writers take turns per cluster.
 * Only what policies and flows need is kept: no env, annotations, Secrets or ConfigMaps.
 */
import { AppError } from '../core/base/app-error.ts'
import { formatTimeUs } from '../core/base/time.ts'
import { buildHistory } from '../core/cluster/build-history.ts'
import type { GrowingHistory, HistoryOptions } from '../core/cluster/build-history.ts'
import type { ObjectVersion } from '../core/cluster/object-version.ts'
import { buildSnapshot } from '../core/cluster/build-snapshot.ts'
import { joinSpans, momentsAround, noEdits, planDeleted, planNewestState, planOlderState, planSet } from '../core/cluster/plan-versions.ts'
import type { StoredVersion, VersionEdits } from '../core/cluster/plan-versions.ts'
import type { ClusterSnapshot } from '../core/cluster/snapshot.ts'
import { withRetry, withTransaction } from '../store/db/database.ts'
import type { Database, Queryable, Transaction } from '../store/db/database.ts'
import {
  selectDocumentsAt, selectOpenVersions, selectStateCounts, selectStateHead, selectStateSpans, selectVersions, selectVersionsOf,
} from '../store/read/select-cluster-state.ts'
import type { StateCounts, StateHead, StateSpan } from '../store/read/select-cluster-state.ts'
import { advanceHead, extendSpan, insertSpan, lockClusterState, writeVersionEdits } from '../store/write/save-cluster-state.ts'
import { readChanges, readState } from './state-objects.ts'
import type { PlacedObject, ReadObjects, StateChange, StateProblem } from './state-objects.ts'

/** Everything there was in the cluster at one moment: what is not among the objects was not there. */
export interface FullState {
  readonly atUs: number
  /** Objects of any kind, or Lists of them; kinds that say nothing to policies or flows are passed over. */
  readonly objects: readonly unknown[]
  /** Who says so, for people: `cluster-state`, `api`, `sync`. */
  readonly source: string
  /** True when parts of the input could not be read at all: who knows what they held. */
  readonly hasUnread?: boolean
}

/** What a watch saw since the full state that its source saved first. */
export interface StateChanges {
  readonly changes: readonly StateChange[]
  /** Everything up to this moment is told: between the source's full state and it, what did not change stayed as it was. */
  readonly confirmedUntilUs: number
  /** The source of the full state that the watch continues. */
  readonly source: string
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
  /** True when exactly this was stored before, or a watch covers the moment already: nothing was changed. */
  readonly isKnown: boolean
  readonly problems: readonly StateProblem[]
}

/** Spans in which everything was known, and the last moment that anything is known of. */
export type Confirmed = Pick<HistoryOptions, 'spans' | 'headUs'>

export interface HistoryRange {
  readonly sinceUs?: number
  readonly untilUs?: number
}

/** Kinds without which a missing address may be something that was not told. */
const COMPLETE_KINDS = ['Namespace', 'Node', 'Pod', 'Service']
/** PostgreSQL's and Date's times are exact far beyond; no cluster is older or younger. */
const FIRST_US = 946_684_800_000_000
const LAST_US = 4_102_444_800_000_000

/** Stores a full state. AppError `conflict` when another state of the same moment is stored, `usage` for an unusable time, `input-unusable` without any usable object. */
export async function saveClusterState(database: Database, clusterId: number, state: FullState): Promise<StateReport> {
  requireTime(state.atUs)
  const read = readState(state.objects, state.atUs)
  if (read.objects.length === 0) {
    const first = read.problems[0]
    throw new AppError('input-unusable', first === undefined ? 'The cluster state holds no object of a kind that is kept.' : `The cluster state holds no usable object: ${first.name}: ${first.field === '' ? '' : `${first.field}: `}${first.message}.`)
  }
  return withRetry(() => withTransaction(database, async (tx) => {
    await lockClusterState(tx, clusterId)
    const edits = await planState(tx, clusterId, state, read)
    if (edits === undefined) return reportOf(state.atUs, read, { ...noEdits(), unchanged: read.objects.length }, true)
    await writeVersionEdits(tx, clusterId, edits)
    const kinds = new Set(read.objects.map((o) => o.kind))
    await insertSpan(tx, clusterId, {
      source: state.source, atUs: state.atUs, objects: read.objects.length, isComplete: state.hasUnread !== true && isWhole(kinds, read.unusableKinds), digest: read.digest,
    })
    await advanceHead(tx, clusterId, { confirmedUntilUs: state.atUs, hasChanges: true })
    return reportOf(state.atUs, read, edits, false)
  }))
}

/** True when every kind is there that may hold an address, and all of it could be used; `object`: something that told no kind. */
function isWhole(kinds: ReadonlySet<string>, unusable: ReadonlySet<string>): boolean {
  return !unusable.has('object') && COMPLETE_KINDS.every((kind) => kinds.has(kind) && !unusable.has(kind))
}

/** `undefined` when the moment is covered already. */
async function planState(tx: Transaction, clusterId: number, { atUs }: FullState, { objects, digest }: ReadObjects): Promise<VersionEdits<PlacedObject> | undefined> {
  const spans = await selectStateSpans(tx, clusterId)
  const covering = spans.find((s) => s.fromUs <= atUs && atUs <= s.untilUs)
  if (covering !== undefined && covering.fromUs === covering.untilUs && covering.digest !== digest) {
    throw new AppError('conflict', `Another cluster state of ${formatTimeUs(atUs)} is stored already. Say when this one was taken.`)
  }
  if (covering !== undefined) return undefined
  const head = await selectStateHead(tx, clusterId)
  const stored = await versionsOf(tx, clusterId, objects)
  if (head !== undefined && atUs <= head.confirmedUntilUs) return planOlderState(objects, stored, { atUs, ...momentsAround(spans, atUs) })
  const deleted = new Map([...stored].flatMap(([key, versions]) => {
    const endedUs = versions.at(-1)?.endedUs ?? null
    return endedUs === null ? [] : [[key, endedUs] as const]
  }))
  return planNewestState(objects, await selectOpenVersions(tx, clusterId), { atUs, headUs: head?.confirmedUntilUs ?? atUs, deleted })
}

function versionsOf(tx: Queryable, clusterId: number, objects: readonly PlacedObject[]): Promise<Map<string, StoredVersion[]>> {
  return selectVersionsOf(tx, clusterId, [...new Set(objects.map((o) => o.instance))])
}

/** Stores what a watch saw. AppError `conflict` when its source saved no full state before. Idempotent; changes may overlap earlier ones. */
export async function applyStateChanges(database: Database, clusterId: number, { changes, confirmedUntilUs, source }: StateChanges): Promise<StateReport> {
  requireTime(confirmedUntilUs)
  for (const { atUs } of changes) {
    requireTime(atUs)
    if (atUs > confirmedUntilUs) throw new AppError('usage', `A change of ${formatTimeUs(atUs)} is later than ${formatTimeUs(confirmedUntilUs)}, up to which everything is told.`)
  }
  const read = readChanges(changes)
  return withRetry(() => withTransaction(database, async (tx) => {
    await lockClusterState(tx, clusterId)
    const span = (await selectStateSpans(tx, clusterId)).findLast((s) => s.source === source)
    if (span === undefined) throw new AppError('conflict', `"${source}" saved no full state before. Save one first, then what changed since.`)
    const total = noEdits<PlacedObject>()
    // One after the other: a change builds upon the rows of the one before.
    for (const { object, change } of read.changes) {
      const versions = (await versionsOf(tx, clusterId, [object])).get(object.key) ?? []
      const edits = change.type === 'set' ? planSet(object, versions, change.atUs) : planDeleted(object, versions, change.atUs)
      await writeVersionEdits(tx, clusterId, edits)
      addEdits(total, edits)
    }
    await extendSpan(tx, clusterId, span.fromUs, confirmedUntilUs)
    const hasChanges = total.added + total.changed + total.ended > 0
    await advanceHead(tx, clusterId, { confirmedUntilUs, hasChanges })
    return reportOf(confirmedUntilUs, read, total, !hasChanges)
  }))
}

function requireTime(atUs: number): void {
  if (Number.isSafeInteger(atUs) && atUs >= FIRST_US && atUs <= LAST_US) return
  throw new AppError('usage', 'The time of a cluster state must lie between the years 2000 and 2100.')
}

function addEdits(total: VersionEdits<PlacedObject>, edits: VersionEdits<PlacedObject>): void {
  for (const count of ['added', 'changed', 'ended', 'unchanged'] as const) total[count] += edits[count]
  total.refused.push(...edits.refused)
}

function reportOf(atUs: number, read: ReadObjects, edits: VersionEdits<PlacedObject>, isKnown: boolean): StateReport {
  const objects: Record<string, number> = {}
  for (const { kind } of read.objects) objects[kind] = (objects[kind] ?? 0) + 1
  const refused = edits.refused.map(({ sighting, endedUs }): StateProblem => ({
    object: sighting.place, name: sighting.shownName, field: 'metadata.uid', message: `was deleted at ${formatTimeUs(endedUs)}; the object is left out`,
  }))
  const { added, changed, ended, unchanged } = edits
  return { atUs, objects, ignored: read.ignored, added, changed, ended, unchanged, isKnown, problems: [...read.problems, ...refused] }
}

/** Who was who in a range of time; without bounds, in all that is stored. Memory is linear in the versions of that range. */
export async function loadHistory(database: Queryable, clusterId: number, range: HistoryRange = {}): Promise<GrowingHistory> {
  const { versions, confirmed } = await loadVersions(database, clusterId, range)
  return buildHistory(versions, confirmed)
}

/** What a history is built from: the versions that say something about a range, and how far they are confirmed. */
export async function loadVersions(database: Queryable, clusterId: number, range: HistoryRange = {}): Promise<{ versions: ObjectVersion[]; confirmed: Confirmed }> {
  const { spans, headUs } = await loadConfirmed(database, clusterId)
  const { sinceUs } = range
  const known = sinceUs === undefined ? undefined : spans.findLast((s) => s.fromUs <= sinceUs)
  const fromUs = sinceUs === undefined ? undefined : known === undefined ? FIRST_US : Math.min(known.untilUs, sinceUs)
  const versions = await selectVersions(database, { clusterId, sinceUs: fromUs, untilUs: range.untilUs })
  return { versions, confirmed: { spans, headUs } }
}

/** Up to when, and in which spans, the stored state is known. */
export async function loadConfirmed(database: Queryable, clusterId: number): Promise<Confirmed> {
  const head = await selectStateHead(database, clusterId)
  const spans = joinSpans((await selectStateSpans(database, clusterId)).filter((s) => s.isComplete))
  return { spans, headUs: head?.confirmedUntilUs ?? -Infinity }
}

/**
 * The cluster as it was at a moment: by the last known moment before, or, when nothing is known that long ago, by the first one after, without what
 * came to be in between. `undefined` when no state is stored.
 */
export async function loadSnapshotAt(database: Queryable, clusterId: number, atUs: number): Promise<ClusterSnapshot | undefined> {
  const spans = await selectStateSpans(database, clusterId)
  const [first] = spans
  if (first === undefined) return undefined
  const momentUs = spans.reduce((latest, s) => (s.fromUs <= atUs ? Math.max(latest, Math.min(s.untilUs, atUs)) : latest), first.fromUs)
  return buildSnapshot(await selectDocumentsAt(database, clusterId, { momentUs, existedUs: Math.max(atUs, FIRST_US) })).snapshot
}

/** How far the state is known, and of what. */
export async function summarizeState(database: Queryable, clusterId: number): Promise<{ head: StateHead | undefined; spans: StateSpan[] } & StateCounts> {
  const head = await selectStateHead(database, clusterId)
  return { head, spans: await selectStateSpans(database, clusterId), ...await selectStateCounts(database, clusterId) }
}
