/**
 * A database that notes every statement of src/store which runs on it, with the line that sent it. The statements still run, on the real server.
 */
import type pg from 'pg'
import type { Database } from '../../src/store/db/database.ts'
import { listFiles, readText } from '../repository/repository-files.ts'

/** The lines of src/store that sent statements, as `write/store-batch.ts:95`, with the texts that each sent. */
export type Statements = ReadonlyMap<string, ReadonlySet<string>>

/** Statements sent by anything but src/store/read and src/store/write (begin, commit, a test) are not noted. */
export function recordStatements(database: Database): { readonly database: Database; readonly statements: Statements } {
  const statements = new Map<string, Set<string>>()
  const note = (statement: unknown): void => {
    const line = /\/src\/store\/((?:read|write)\/[\w-]+\.ts:\d+)/.exec(new Error('where').stack ?? '')?.[1]
    const text = typeof statement === 'string' ? statement : (statement as { text: string }).text
    if (line === undefined || /^(?:begin|commit|rollback)\b/.test(text)) return
    statements.set(line, (statements.get(line) ?? new Set()).add(text))
  }
  const noting = <T extends pg.Pool | pg.PoolClient>(target: T): T => new Proxy(target, {
    get(of, key): unknown {
      const value: unknown = Reflect.get(of, key, of)
      if (typeof value !== 'function') return value
      if (key === 'query') {
        return (...args: unknown[]): unknown => {
          note(args[0])
          return value.apply(of, args) as unknown
        }
      }
      if (key === 'connect') return async () => noting(await (of as pg.Pool).connect())
      return (...args: unknown[]): unknown => value.apply(of, args) as unknown
    },
  })
  const pool = noting(database.pool)
  return {
    statements,
    database: {
      pool, close: () => database.close(),
      query: (text, values) => {
        note(text)
        return database.query(text, values)
      },
    },
  }
}

/** The lines of src/store/read and src/store/write that send a statement. */
export function sendingLines(): string[] {
  return listFiles('src/store').filter((path) => /\/(?:read|write)\//.test(path)).flatMap((path) =>
    readText(path).split('\n').flatMap((line, i) => (/(?:\.query(?:<.*)?\(|await copyInto\()/.test(line) ? [`${path.replace(/^src\/store\//, '')}:${i + 1}`] : [])))
}
