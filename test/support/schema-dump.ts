import type { Database } from '../../src/store/db/database.ts'

/** The schema as text: tables with columns, constraints, indexes and partitions, in name order. pg_dump is not part of the embedded server. */
export async function dumpSchema(database: Database): Promise<string> {
  const columns = await database.query<{ line: string }>(
    `select format('table %s column %s %s%s%s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
        case when a.attcollation <> 0 and a.attcollation <> t.typcollation then format(' collate %s', coll.collname) else '' end,
        case when a.attnotnull then ' not null' else '' end,
        case when a.attidentity <> '' then ' identity' else '' end,
        coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')) as line
     from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace join pg_type t on t.oid = a.atttypid
     left join pg_collation coll on coll.oid = a.attcollation left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where n.nspname = 'public' and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
     order by c.relname collate "C", a.attnum`,
  )
  const others = await database.query<{ line: string }>(
    `select line from (
       select format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) as line
       from pg_constraint where connamespace = 'public'::regnamespace and contype <> 'n'
       union all
       select 'index ' || indexdef from pg_indexes where schemaname = 'public'
       union all
       select format('partition %s of %s %s', inhrelid::regclass, inhparent::regclass, pg_get_expr(c.relpartbound, c.oid))
       from pg_inherits join pg_class c on c.oid = inhrelid where c.relkind = 'r'
     ) as parts order by line collate "C"`,
  )
  return [...columns.rows, ...others.rows].map((row) => `${row.line}\n`).join('')
}
