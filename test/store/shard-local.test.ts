/**
 * Whether flowfence's tables can be distributed over several servers by cluster_id (docs/scaling.md): the product runs, every statement that it sends is
 * noted, and the planner tells which shards each one would touch.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Database } from '../../src/store/db/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { recordStatements, sendingLines } from '../support/recorded-statements.ts'
import type { Statements } from '../support/recorded-statements.ts'
import { runWholeProduct } from '../support/whole-product.ts'
import { columnsOf, shardUse } from '../support/shard-analysis.ts'
import type { ShardUse } from '../support/shard-analysis.ts'

/** Statements that may touch all shards, each with its reason. `starts`: how the text begins, spaces joined. */
const NOT_LOCAL: readonly { readonly file: string; readonly starts: string; readonly why: string }[] = [
  { file: 'read/select-ingest-totals.ts', starts: 'select clusters.name as cluster', why: 'the counts of all clusters at once, for people; of one cluster the same statement is local' },
  ...['content_digests', 'rejections', 'ingest_batches'].map((table) => (
    { file: 'write/delete-expired.ts', starts: `delete from ${table} where`, why: 'expiry by the clock of the store, once a minute; shards need not agree' })),
  ...['cluster_state_versions', 'cluster_state_spans'].map((table) => (
    { file: 'write/save-cluster-state.ts', starts: `delete from ${table} where`, why: 'expiry by the clock of the store, once a minute; shards need not agree' })),
  ...['create table flows_', 'lock table flows_default in', 'with moved as (delete from flows_default where', 'alter table flows attach partition'].map((starts) => (
    { file: 'write/ensure-flow-partitions.ts', starts, why: 'a partition is made for all clusters, once a day' })),
  ...['lock table only flows in', 'drop table flows_'].map((starts) => (
    { file: 'write/expire-flows.ts', starts, why: 'a partition is dropped for all clusters, once a day' })),
]

/**
 * Files with statements that write rows made of rows which they delete: they stay with one cluster, but Citus carries the rows through the coordinator.
 * All of them are housekeeping and re-aggregation: once per window, hour or day.
 */
const CARRY_ROWS = ['write/ensure-flow-partitions.ts', 'write/expire-levels.ts', 'write/fold-edge-windows.ts', 'write/replace-day.ts', 'write/rollup-edges.ts']

/** Tables that every server holds whole: read everywhere, written a few times. */
const WHOLE = ['clusters', 'schema_migrations']

/** Numbers given out by one counter for all clusters. That they rise is relied on within a cluster only, and only for what one server gives out. */
const COUNTED = ['cluster_state_versions.id', 'recommendations.id', 'rejections.id']

interface Judged extends ShardUse {
  readonly line: string
  readonly text: string
}

let database: Database
let statements: Statements
let columns: ReadonlyMap<string, readonly string[]>
const judged: Judged[] = []
const folder = mkdtempSync(join(tmpdir(), 'flowfence-shards-'))

const flat = (text: string): string => text.replaceAll(/\s+/g, ' ').trim()

beforeAll(async () => {
  ({ database } = await createTestDatabase())
  const recorded = recordStatements(database)
  statements = recorded.statements
  await runWholeProduct(recorded.database, folder)
  columns = await columnsOf(database)
  for (const [line, texts] of statements) {
    for (const text of texts) judged.push({ line, text: flat(text), ...await shardUse(database, text, columns) })
  }
}, 120_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

const fileOf = (line: string): string => line.replace(/:\d+$/, '')
const isListed = ({ line, text }: Judged) => (known: typeof NOT_LOCAL[number]): boolean => known.file === fileOf(line) && text.startsWith(known.starts)

describe('statements', () => {
  test('every line of src/store that sends one was seen to send it: what is new is run by test/support/whole-product.ts', () => {
    expect(sendingLines().filter((line) => !statements.has(line))).toEqual([])
  })

  test('each stays with one cluster, except those that are listed here with their reasons', () => {
    const strays = judged.filter((one) => one.problems.length > 0)
    expect(strays.filter((one) => !NOT_LOCAL.some(isListed(one))).map(({ line, problems, text }) => `${line}: ${problems.join('; ')}: ${text}`)).toEqual([])
    expect(NOT_LOCAL.filter((known) => !strays.some((one) => isListed(one)(known)))).toEqual([])
  })

  test('only housekeeping and re-aggregation make rows of rows that they delete', () => {
    expect([...new Set(judged.filter((one) => one.carriesRows).map((one) => fileOf(one.line)))].sort()).toEqual(CARRY_ROWS)
  })

  test.each([
    ['select count(*) from flows', ['flows is not held to one cluster']],
    ['select count(*) from identities where cluster_id = $1 or id = $2', ['identities is not held to one cluster']],
    ['select count(*) from identities where cluster_id = $1 and namespace = any (select namespace from identities where kind = $2)', ['identities is not held to one cluster']],
    ['select count(*) from edge_hours join identities using (cluster_id) where edge_hours.cluster_id = $1', []],
    ['select count(*) from edge_hours join identities on id = initiator_id where edge_hours.cluster_id = $1', ['identities is not held to one cluster']],
    ['select count(*) from edge_hours, identities where edge_hours.cluster_id = $1 and identities.cluster_id = $2', ['several clusters: $1, $2']],
    ['insert into pod_networks (cluster_id, network) values ($1, $2)', []],
    ['insert into pod_networks (cluster_id, network) select cluster_id + 1, network from pod_networks where cluster_id = $1', ['pod_networks is not held to one cluster']],
    ['update positions set next = $1 where source = $2', ['positions is not held to one cluster']],
    ['copy flows (last_at, flows) from stdin', ['rows are copied without cluster_id']],
    ['vacuum flows', ['not a statement on rows']],
  ])('the judge of these tests: %s', async (text, problems) => {
    expect((await shardUse(database, text, columns)).problems).toEqual(problems)
  })
})

describe('the schema', () => {
  const distributed = (): string[] => [...columns].filter(([, names]) => names.includes('cluster_id')).map(([table]) => table)

  test('every table has the column, but for those that each server holds whole', () => {
    expect([...columns.keys()].filter((table) => !distributed().includes(table))).toEqual(WHOLE)
  })

  test('it is of one type everywhere and never null, so that the rows of a cluster lie together', async () => {
    const { rows } = await database.query(
      `select distinct format_type(atttypid, atttypmod) as type, attnotnull as required from pg_attribute
       where attname = 'cluster_id' and attrelid in (select oid from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace)`)
    expect(rows).toEqual([{ type: 'integer', required: true }])
  })

  test('what is unique is so within a cluster', async () => {
    const { rows } = await database.query<{ name: string }>(
      `select indexrelid::regclass::text as name from pg_index where indisunique and indrelid::regclass::text = any ($1::text[])
         and not exists (select from pg_attribute where attrelid = indrelid and attname = 'cluster_id' and attnum = any (indkey))`, [distributed()])
    expect(rows).toEqual([])
  })

  test('no foreign key and no trigger reaches over to another cluster', async () => {
    const { rows } = await database.query(`select conrelid::regclass::text, pg_get_constraintdef(oid) from pg_constraint where contype = 'f'
      union all select tgrelid::regclass::text, tgname from pg_trigger where not tgisinternal`)
    expect(rows).toEqual([])
  })

  test('counters that run over all clusters are known', async () => {
    const { rows } = await database.query<{ name: string }>(
      `select attrelid::regclass::text || '.' || attname as name from pg_attribute
       where attidentity <> '' and attrelid::regclass::text = any ($1::text[]) order by 1`, [distributed()])
    expect(rows.map((row) => row.name)).toEqual(COUNTED)
  })
})
