/**
 * One embedded PostgreSQL per test run, with a migrated template; every caller gets a database of its own from it. The folder is
 * named by global-setup.mjs; global-teardown.mjs stops the server.
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { afterAll } from '@jest/globals'
import { migrate } from '../../src/store/db/migrate.ts'
import { openDatabase } from '../../src/store/db/database.ts'
import type { Database } from '../../src/store/db/database.ts'
import { startEmbedded } from '../../src/store/db/embedded.ts'

export interface TestDatabase {
  readonly database: Database
  readonly connectionString: string
}

const TEMPLATE = 'flowfence'
const open: Database[] = []

afterAll(async () => {
  for (const database of open.splice(0)) await database.close()
})

/** The connection string of the run's server for one of its databases. */
async function server(database: string): Promise<string> {
  const folder = process.env.FLOWFENCE_TEST_FOLDER
  if (folder === undefined) throw new Error('Run the tests by `npm test`: jest.config.mjs names the folder of the test database.')
  const { connectionString } = await startEmbedded({ folder: join(folder, 'database'), isThrowaway: true })
  return connectionString.replace(/\/flowfence$/, `/${database}`)
}

/** A fresh migrated database; closed after the test file. */
export async function createTestDatabase(): Promise<TestDatabase> {
  return create(TEMPLATE)
}

/** A fresh database without any table. */
export async function createEmptyDatabase(): Promise<TestDatabase> {
  return create('template0')
}

async function create(template: string): Promise<TestDatabase> {
  // Test files that share a worker do not share this module.
  const name = `test_${randomUUID().replaceAll('-', '')}`
  const admin = openDatabase({ connectionString: await server('postgres'), maxConnections: 1 })
  try {
    // Copying a template needs it to be free of connections, so migrating and copying take turns.
    await admin.query('select pg_advisory_lock(1)')
    await migrateTemplate(admin)
    await admin.query(`create database ${name} template ${template}`)
  } finally {
    await admin.close()
  }
  const connectionString = await server(name)
  const database = openDatabase({ connectionString })
  open.push(database)
  return { database, connectionString }
}

async function migrateTemplate(admin: Database): Promise<void> {
  const { rows } = await admin.query(`select 1 from pg_database where datname = $1 and datconnlimit = 0`, [TEMPLATE])
  if (rows.length > 0) return
  const template = openDatabase({ connectionString: await server(TEMPLATE), maxConnections: 2 })
  await migrate(template)
  await template.close()
  await admin.query(`alter database ${TEMPLATE} connection limit 0`)
}
