/**
 * Decides whether a statement would touch one shard only, were every table distributed by cluster_id: the planner itself is asked which rows of which
 * table it reads and writes. As Citus does, a scan counts as pinned when its conditions, those that follow from joins included, fix cluster_id to a
 * parameter; other than Citus nothing has to be installed.
 */
import type { Database } from '../../src/store/db/database.ts'

export interface ShardUse {
  /** Why more than one shard is touched, in words; empty for a statement of one shard. */
  readonly problems: readonly string[]
  /** What it writes comes from rows that it deletes or changes: Citus carries those through the coordinator. */
  readonly carriesRows: boolean
}

interface PlanNode {
  readonly 'Node Type': string
  readonly 'Operation'?: string
  readonly 'Relation Name'?: string
  readonly 'Parent Relationship'?: string
  readonly 'Output'?: readonly string[]
  readonly 'Plans'?: readonly PlanNode[]
  readonly 'Index Cond'?: string
  readonly 'Recheck Cond'?: string
  readonly 'TID Cond'?: string
  readonly 'Filter'?: string
}

const READS_OR_WRITES = /^\s*(?:select|with|insert|update|delete|declare)\b/
/** Rows of what was declared, which is looked at itself; settings of the session. */
const TOUCHES_NOTHING = /^\s*(?:fetch|close|set)\b/

/** Columns by table, in their order; partitions are tables, too. */
export async function columnsOf(database: Database): Promise<ReadonlyMap<string, readonly string[]>> {
  const { rows } = await database.query<{ name: string; columns: string[] }>(
    `select relname as name, array_agg(attname::text order by attnum) as columns from pg_class join pg_attribute on attrelid = pg_class.oid
     where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and attnum > 0 and not attisdropped group by relname order by relname`,
  )
  return new Map(rows.map((row) => [row.name, row.columns]))
}

export async function shardUse(database: Database, text: string, columns: ReadonlyMap<string, readonly string[]>): Promise<ShardUse> {
  const copy = /^copy (\w+) \(([^)]*)\) from/.exec(text)
  if (copy !== null) return { problems: copy[2]?.split(', ').includes('cluster_id') === true ? [] : ['rows are copied without cluster_id'], carriesRows: false }
  if (TOUCHES_NOTHING.test(text)) return { problems: [], carriesRows: false }
  if (!READS_OR_WRITES.test(text)) return { problems: ['not a statement on rows'], carriesRows: false }
  const { rows } = await database.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(`explain (generic_plan, verbose, costs off, format json) ${ofTables(text)}`)
  const plan = rows[0]?.['QUERY PLAN'][0].Plan
  if (plan === undefined) throw new Error('no plan')
  const problems: string[] = []
  const pins = new Set<string>()
  for (const node of nodesOf(plan)) {
    const table = node['Relation Name']
    if (table === undefined || columns.get(table)?.includes('cluster_id') !== true) continue
    const pin = node['Node Type'] === 'ModifyTable' ? pinOfWrite(node, columns.get(table) ?? []) : pinOfScan(node)
    if (pin === undefined) problems.push(`${table.replace(/^flows_(?:\d{8}|default)$/, 'flows')} is not held to one cluster`)
    else if (pin !== '') pins.add(pin)
  }
  if (pins.size > 1) problems.push(`several clusters: ${[...pins].sort().join(', ')}`)
  return { problems: [...new Set(problems)], carriesRows: carriesRows(plan) }
}

/** A query as the planner takes it: without its cursor, and of the default partition where one of a day has expired since. */
function ofTables(text: string): string {
  return text.replace(/^declare .* for\s/, '').replaceAll(/\bflows_\d{8}\b/g, 'flows_default')
}

function* nodesOf(node: PlanNode): Generator<PlanNode> {
  yield node
  for (const child of node.Plans ?? []) yield* nodesOf(child)
}

/** The parameter that cluster_id of all rows of a scan equals. */
function pinOfScan(node: PlanNode): string | undefined {
  for (const condition of [node['Index Cond'], node['Recheck Cond'], node['TID Cond'], node.Filter]) {
    const pin = condition === undefined ? undefined : pinOfCondition(condition)
    if (pin !== undefined) return pin
  }
  return undefined
}

function pinOfCondition(condition: string): string | undefined {
  const branches = split(condition, ' OR ')
  if (branches.length > 1) {
    const [first, ...others] = branches.map(pinOfCondition)
    return others.every((other) => other === first) ? first : undefined
  }
  const parts = split(condition, ' AND ')
  if (parts.length > 1) return parts.map(pinOfCondition).find((pin) => pin !== undefined)
  return /^(?:"?\w+"?\.)?cluster_id = \(?(\$\d+)\)?(?:::integer)?$/.exec(parts[0] ?? '')?.[1]
}

/** The parameter that cluster_id of all new rows equals; '' where it comes from rows that were read, or where rows stay where they are. */
function pinOfWrite(node: PlanNode, columns: readonly string[]): string | undefined {
  if (node.Operation !== 'Insert') return ''
  const rows = node.Plans?.find((child) => child['Parent Relationship'] !== 'InitPlan')
  const value = rows?.Output?.[columns.indexOf('cluster_id')] ?? ''
  if (/^(?:"?[\w*]+"?\.)?cluster_id$/.test(value)) return ''
  if (!value.startsWith('"*SELECT*".')) return parameterIn(value)
  // A column without a name of its own: the parameter among what the subquery gives.
  const given = (rows?.Plans ?? []).flatMap((child) => child.Output ?? []).map(parameterIn).filter((parameter) => parameter !== undefined)
  return given.length === 1 ? given[0] : undefined
}

function parameterIn(value: string): string | undefined {
  return /^\(?(\$\d+)\)?(?:::integer)?$/.exec(value)?.[1]
}

/** The parts of a condition between operators outside of parentheses; the condition without its own parentheses where there is none. */
function split(condition: string, operator: string): string[] {
  const inner = isWrapped(condition) ? condition.slice(1, -1) : condition
  const parts: string[] = []
  let [depth, from] = [0, 0]
  for (let at = 0; at < inner.length; at++) {
    if (inner[at] === '(') depth++
    else if (inner[at] === ')') depth--
    else if (depth === 0 && inner.startsWith(operator, at)) {
      parts.push(inner.slice(from, at))
      from = at + operator.length
    }
  }
  return [...parts, inner.slice(from)]
}

/** Whether the first parenthesis closes at the end. */
function isWrapped(text: string): boolean {
  if (!text.startsWith('(')) return false
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '(') depth++
    else if (text[at] === ')' && --depth === 0) return at === text.length - 1
  }
  return false
}

/** An insert into a distributed table beside other writes of the same statement. */
function carriesRows(plan: PlanNode): boolean {
  const writes = [...nodesOf(plan)].filter((node) => node['Node Type'] === 'ModifyTable')
  return writes.length > 1 && writes.some((node) => node.Operation === 'Insert')
}
