/** Writes of cluster state. All of one cluster's writers take turns by `lockClusterState`; every change raises the head's revision. */
import type { Sighting, VersionEdits, VersionTimes } from '../../core/cluster/plan-versions.ts'
import type { Database, Transaction } from '../db/database.ts'

/** Advisory lock class; the second key is the cluster. */
const STATE_LOCK = 0x666c_0006
/** Rows per statement. More: fewer round trips; fewer: less memory for the parameters, a few KB each. */
const ROWS = 2_000
const KEPT_DAYS = 400

/** A reduced object with what the database adds: hashes and the key of its instance. */
export interface StoredObject extends Sighting {
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly instance: string
  readonly documentText: string
  /** When the object came to be, or when it was seen first. */
  readonly createdUs: number
}

/** SQL for microseconds as timestamptz; null stays null. */
function timeParameter(parameter: string): string {
  return `to_timestamp((${parameter})::bigint / 1000000.0)`
}

export async function lockClusterState(tx: Transaction, clusterId: number): Promise<void> {
  await tx.query('select pg_advisory_xact_lock($1, $2)', [STATE_LOCK, clusterId])
}

export async function writeVersionEdits(tx: Transaction, clusterId: number, edits: VersionEdits<StoredObject>): Promise<void> {
  // Copies first: they repeat documents as they were.
  for (const rows of slices(edits.copies)) await copyVersions(tx, clusterId, rows)
  for (const rows of slices(edits.times)) await updateTimes(tx, clusterId, rows)
  for (const rows of slices(edits.documents)) await updateDocuments(tx, clusterId, rows)
  for (const rows of slices(edits.inserts)) await insertVersions(tx, clusterId, rows)
}

function* slices<T>(rows: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < rows.length; at += ROWS) yield rows.slice(at, at + ROWS)
}

async function insertVersions(tx: Transaction, clusterId: number, rows: readonly VersionEdits<StoredObject>['inserts'][number][]): Promise<void> {
  const objects = rows.map((r) => r.sighting)
  await tx.query(
    `insert into cluster_state_versions (cluster_id, valid_from, confirmed_until, valid_to, holds_from, kind, namespace, name, instance, face, digest, document)
     select $1, ${timeParameter('from_us')}, ${timeParameter('until_us')}, ${timeParameter('ended_us')}, ${timeParameter('least(created_us, from_us)')},
       kind, namespace, name, instance, face, digest, document::jsonb
     from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])
       as rows (from_us, until_us, ended_us, created_us, kind, namespace, name, instance, face, digest, document)`,
    [
      clusterId, ...timeColumns(rows), objects.map((o) => o.createdUs), objects.map((o) => o.kind), objects.map((o) => o.namespace),
      objects.map((o) => o.name), objects.map((o) => o.instance), objects.map((o) => o.face), objects.map((o) => o.digest), objects.map((o) => o.documentText),
    ],
  )
}

async function copyVersions(tx: Transaction, clusterId: number, rows: readonly VersionEdits<StoredObject>['copies'][number][]): Promise<void> {
  await tx.query(
    `insert into cluster_state_versions (cluster_id, valid_from, confirmed_until, valid_to, holds_from, kind, namespace, name, instance, face, digest, document)
     select $1, ${timeParameter('from_us')}, ${timeParameter('until_us')}, ${timeParameter('ended_us')}, of.holds_from,
       of.kind, of.namespace, of.name, of.instance, of.face, of.digest, of.document
     from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) as rows (from_us, until_us, ended_us, of_id)
     join cluster_state_versions as of on of.cluster_id = $1 and of.id = rows.of_id`,
    [clusterId, ...timeColumns(rows), rows.map((r) => r.ofId)],
  )
}

async function updateTimes(tx: Transaction, clusterId: number, rows: readonly VersionEdits<StoredObject>['times'][number][]): Promise<void> {
  await tx.query(
    `update cluster_state_versions as versions
     set valid_from = ${timeParameter('from_us')}, confirmed_until = ${timeParameter('until_us')}, valid_to = ${timeParameter('ended_us')},
       holds_from = least(holds_from, ${timeParameter('from_us')})
     from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) as rows (from_us, until_us, ended_us, of_id)
     where versions.cluster_id = $1 and versions.id = rows.of_id`,
    [clusterId, ...timeColumns(rows), rows.map((r) => r.id)],
  )
}

/** The later document counts; of two moments at which a pod had its address the earlier one stays, which a restart hides from the later document. */
async function updateDocuments(tx: Transaction, clusterId: number, rows: readonly VersionEdits<StoredObject>['documents'][number][]): Promise<void> {
  const addressedAt = `'{status,addressedAt}'`
  await tx.query(
    `update cluster_state_versions as versions
     set face = rows.face, digest = rows.digest, document = case
       when versions.face <> rows.face or versions.document #> ${addressedAt} is null then rows.document::jsonb
       else jsonb_set(rows.document::jsonb, ${addressedAt}, to_jsonb(least(versions.document #>> ${addressedAt}, rows.document::jsonb #>> ${addressedAt})))
     end
     from unnest($2::bigint[], $3::text[], $4::text[], $5::text[]) as rows (of_id, face, digest, document)
     where versions.cluster_id = $1 and versions.id = rows.of_id`,
    [clusterId, rows.map((r) => r.id), rows.map((r) => r.sighting.face), rows.map((r) => r.sighting.digest), rows.map((r) => r.sighting.documentText)],
  )
}

function timeColumns(rows: readonly VersionTimes[]): [number[], (number | null)[], (number | null)[]] {
  return [rows.map((r) => r.seenFromUs), rows.map((r) => r.seenUntilUs), rows.map((r) => r.endedUs)]
}

export interface NewSpan {
  readonly source: string
  readonly atUs: number
  readonly objects: number
  readonly isComplete: boolean
  readonly digest: string
}

export async function insertSpan(tx: Transaction, clusterId: number, span: NewSpan): Promise<void> {
  await tx.query(
    `insert into cluster_state_spans (cluster_id, source, covered_from, covered_until, objects, is_complete, digest)
     values ($1, $2, ${timeParameter('$3')}, ${timeParameter('$3')}, $4, $5, $6)`,
    [clusterId, span.source, span.atUs, span.objects, span.isComplete, span.digest],
  )
}

/** Lets the span that starts at `fromUs` reach `untilUs` at least. */
export async function extendSpan(tx: Transaction, clusterId: number, fromUs: number, untilUs: number): Promise<void> {
  await tx.query(
    `update cluster_state_spans set covered_until = greatest(covered_until, ${timeParameter('$3')})
     where cluster_id = $1 and covered_from = ${timeParameter('$2')}`, [clusterId, fromUs, untilUs],
  )
}

/** Moves the head forward (never back), and raises its revision when anything but the head changed. */
export async function advanceHead(tx: Transaction, clusterId: number, to: { readonly confirmedUntilUs: number; readonly hasChanges: boolean }): Promise<void> {
  await tx.query(
    `insert into cluster_state_heads as heads (cluster_id, confirmed_until, revision) values ($1, ${timeParameter('$2')}, 1)
     on conflict (cluster_id) do update set confirmed_until = greatest(heads.confirmed_until, excluded.confirmed_until), revision = heads.revision + $3::integer`,
    [clusterId, to.confirmedUntilUs, to.hasChanges ? 1 : 0],
  )
}

/** Forgets versions and moments that ended more than 400 days ago, of all clusters. Days of flows are kept as long. */
export async function deleteExpiredClusterState(database: Database, nowUs: number): Promise<void> {
  const before = [nowUs - KEPT_DAYS * 86_400_000_000]
  await database.query(`delete from cluster_state_versions where confirmed_until < ${timeParameter('$1')}`, before)
  await database.query(`delete from cluster_state_spans where covered_until < ${timeParameter('$1')}`, before)
}
