import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from '@jest/globals'
import { openDatabase } from '../../src/store/db/database.ts'
import { migrate } from '../../src/store/db/migrate.ts'
import { createEmptyDatabase } from '../support/database.ts'
import { dumpSchema } from '../support/schema-dump.ts'

const schemaFile = fileURLToPath(new URL('schema.sql', import.meta.url))

test('migrating from zero gives the schema of schema.sql, and a second time does nothing', async () => {
  const { database } = await createEmptyDatabase()
  const ran = await migrate(database)
  expect(ran[0]).toBe('000001_clusters_identities')
  const dump = await dumpSchema(database)
  // After a new migration: FLOWFENCE_WRITE_SCHEMA=1 npm test -- test/store/migrations, and read the difference.
  if (process.env.FLOWFENCE_WRITE_SCHEMA === '1') writeFileSync(schemaFile, dump)
  expect(dump).toBe(readFileSync(schemaFile, 'utf8'))
  expect(await migrate(database)).toEqual([])
  expect(await dumpSchema(database)).toBe(dump)
})

test('twenty processes that migrate at once take turns: each migration runs once', async () => {
  const { connectionString } = await createEmptyDatabase()
  const clients = Array.from({ length: 20 }, () => openDatabase({ connectionString, maxConnections: 2 }))
  const ran = await Promise.all(clients.map((client) => migrate(client)))
  const [first] = clients
  const dump = first === undefined ? '' : await dumpSchema(first)
  await Promise.all(clients.map((client) => client.close()))
  expect(ran.filter((names) => names.length > 0)).toHaveLength(1)
  expect(dump).toBe(readFileSync(schemaFile, 'utf8'))
})

test('a database of a newer version is refused with the next step', async () => {
  const { database } = await createEmptyDatabase()
  await migrate(database)
  await database.query(`insert into schema_migrations (name, run_on) values ('999999_from_the_future', now())`)
  await expect(migrate(database)).rejects.toThrow(
    'The database holds migration 999999_from_the_future, which this version of flowfence does not know. Use the newer version.',
  )
})
