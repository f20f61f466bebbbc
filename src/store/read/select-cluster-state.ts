/** Reads of cluster state. */
import type { CoverageSpan, ObjectVersion, StateDocument } from '../../core/cluster/object-version.ts'
import type { StoredVersion } from '../../core/cluster/plan-versions.ts'
import type { Queryable } from '../db/database.ts'
import { timeParameter, timeUs } from '../db/time-columns.ts'

export interface StateHead {
  readonly confirmedUntilUs: number
  /** Rises with every change of objects and full state; not when a watch only confirms. */
  readonly revision: number
}

/** `undefined` when nothing was stored. */
export async function selectStateHead(database: Queryable, clusterId: number): Promise<StateHead | undefined> {
  const { rows } = await database.query<{ until_us: string, revision: string }>(
    `select ${timeUs('confirmed_until')} as until_us, revision from cluster_state_heads where cluster_id = $1`, [clusterId],
  )
  const row = rows[0]
  return row === undefined ? undefined : { confirmedUntilUs: Number(row.until_us), revision: Number(row.revision) }
}

export interface StateSpan extends CoverageSpan {
  readonly source: string
  readonly objects: number
  readonly isComplete: boolean
  readonly digest: string
}

/** In order of time. */
export async function selectStateSpans(database: Queryable, clusterId: number): Promise<StateSpan[]> {
  const { rows } = await database.query<{ source: string, from_us: string, until_us: string, objects: number, is_complete: boolean, digest: string }>(
    `select source, ${timeUs('covered_from')} as from_us, ${timeUs('covered_until')} as until_us, objects, is_complete, digest
     from cluster_state_spans where cluster_id = $1 order by covered_from`, [clusterId],
  )
  return rows.map((r) => ({ source: r.source, fromUs: Number(r.from_us), untilUs: Number(r.until_us), objects: r.objects, isComplete: r.is_complete, digest: r.digest }))
}

interface VersionRow {
  readonly id: string
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly instance: string
  readonly face: string
  readonly digest: string
  readonly from_us: string
  readonly until_us: string | null
  readonly ended_us: string | null
}

const TIMES = `${timeUs('valid_from')} as from_us, ${timeUs('confirmed_until')} as until_us, ${timeUs('valid_to')} as ended_us`
const HEADS = `id, kind, namespace, instance, face, digest, ${TIMES}`

/** Kind, namespace and instance: one object from its creation to its deletion. */
export function instanceKey(of: { readonly kind: string; readonly namespace: string; readonly instance: string }): string {
  return `${of.kind}\n${of.namespace}\n${of.instance}`
}

/** All versions that go on. */
export async function selectOpenVersions(database: Queryable, clusterId: number): Promise<StoredVersion[]> {
  const { rows } = await database.query<VersionRow>(
    `select ${HEADS} from cluster_state_versions where cluster_id = $1 and confirmed_until is null order by id`, [clusterId],
  )
  return rows.map(storedVersion)
}

/** All versions of instances, each in order of time. */
export async function selectVersionsOf(database: Queryable, clusterId: number, instances: readonly string[]): Promise<Map<string, StoredVersion[]>> {
  const { rows } = await database.query<VersionRow>(
    `select ${HEADS} from cluster_state_versions where cluster_id = $1 and instance = any($2::text[]) order by valid_from, id`, [clusterId, instances],
  )
  const byKey = new Map<string, StoredVersion[]>()
  for (const row of rows) {
    const version = storedVersion(row)
    const list = byKey.get(version.key)
    if (list === undefined) byKey.set(version.key, [version])
    else list.push(version)
  }
  return byKey
}

function storedVersion(row: VersionRow): StoredVersion {
  return { id: row.id, key: instanceKey(row), face: row.face, digest: row.digest, ...timesOf(row) }
}

function timesOf(row: VersionRow): Pick<ObjectVersion, 'seenFromUs' | 'seenUntilUs' | 'endedUs'> {
  const number = (text: string | null): number | null => (text === null ? null : Number(text))
  return { seenFromUs: Number(row.from_us), seenUntilUs: number(row.until_us), endedUs: number(row.ended_us) }
}

export interface VersionQuery {
  readonly clusterId: number
  /** Instances that may have been there at any time in [sinceUs, untilUs]; with all of their versions. */
  readonly sinceUs?: number | undefined
  readonly untilUs?: number | undefined
  /** Only this kind. */
  readonly kind?: string
}

/** Versions with their documents. `sinceUs` must be a known moment, because what was seen last before one may have been there after it. */
export async function selectVersions(database: Queryable, query: VersionQuery): Promise<ObjectVersion[]> {
  const { rows } = await database.query<VersionRow & { document: StateDocument }>(
    `with wanted as (
       select distinct kind, namespace, instance from cluster_state_versions
       where cluster_id = $1 and ($2::bigint is null or confirmed_until is null or confirmed_until >= ${timeParameter('$2')})
         and ($3::bigint is null or holds_from <= ${timeParameter('$3')}) and ($4::text is null or kind = $4)
     )
     select id, versions.kind, versions.namespace, versions.name, versions.instance, face, digest, document, ${TIMES}
     from cluster_state_versions as versions join wanted using (kind, namespace, instance)
     where cluster_id = $1 order by valid_from, id`,
    [query.clusterId, query.sinceUs ?? null, query.untilUs ?? null, query.kind ?? null],
  )
  return rows.map((row) => ({ kind: row.kind, namespace: row.namespace, name: row.name, instance: row.instance, document: row.document, ...timesOf(row) }))
}

/** Documents of what is known to have been so at a moment and came to be before another one, in the order of kind, namespace and name. */
export async function selectDocumentsAt(database: Queryable, clusterId: number, at: { readonly momentUs: number; readonly existedUs: number }): Promise<StateDocument[]> {
  const { rows } = await database.query<{ document: StateDocument }>(
    `select document from cluster_state_versions
     where cluster_id = $1 and valid_from <= ${timeParameter('$2')} and (confirmed_until is null or confirmed_until >= ${timeParameter('$2')})
       and holds_from <= ${timeParameter('$3')}
     order by kind collate "C", namespace collate "C", name collate "C", id`, [clusterId, at.momentUs, at.existedUs],
  )
  return rows.map((row) => row.document)
}

export interface StateCounts {
  /** Objects that go on, by kind. */
  readonly objects: Record<string, number>
  /** All versions kept. */
  readonly versions: number
}

export async function selectStateCounts(database: Queryable, clusterId: number): Promise<StateCounts> {
  const { rows } = await database.query<{ kind: string, open: string, versions: string }>(
    `select kind, count(*) filter (where confirmed_until is null) as open, count(*) as versions
     from cluster_state_versions where cluster_id = $1 group by kind order by kind collate "C"`, [clusterId],
  )
  return {
    objects: Object.fromEntries(rows.filter((r) => r.open !== '0').map((r) => [r.kind, Number(r.open)])),
    versions: rows.reduce((sum, r) => sum + Number(r.versions), 0),
  }
}
