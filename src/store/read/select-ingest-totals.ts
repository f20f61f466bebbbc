import type { Queryable } from '../db/database.ts'

/** How many records ended how. Conservation: the sum over outcomes is what was received. */
export interface IngestTotal {
  readonly cluster: string
  readonly source: string
  readonly format: string
  readonly outcome: 'stored' | 'duplicate' | 'rejected' | 'ignored'
  /** Code of the rejection or reason of the ignore; '' otherwise. */
  readonly reason: string
  readonly records: number
}

/** Totals since the beginning, by cluster, source, format, outcome and reason, in that order; of one cluster or of all. */
export async function selectIngestTotals(database: Queryable, clusterId?: number): Promise<IngestTotal[]> {
  const { rows } = await database.query<Omit<IngestTotal, 'records'> & { records: string }>(
    `select clusters.name as cluster, source, format, outcome, reason, sum(records) as records
     from ingest_totals join clusters on clusters.id = ingest_totals.cluster_id
     ${clusterId === undefined ? '' : 'where cluster_id = $1'}
     group by clusters.name, source, format, outcome, reason
     order by clusters.name collate "C", source collate "C", format collate "C", outcome collate "C", reason collate "C"`, clusterId === undefined ? [] : [clusterId],
  )
  return rows.map((row) => ({ ...row, records: Number(row.records) }))
}
