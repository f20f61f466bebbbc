import { AppError } from '../core/base/app-error.ts'
import type { Secret } from '../config/secret.ts'
import type { Logger } from '../observe/logger.ts'
import { openDatabase, withRetry } from '../store/db/database.ts'
import type { Database } from '../store/db/database.ts'
import { startEmbedded } from '../store/db/embedded.ts'
import { migrate } from '../store/db/migrate.ts'

export interface OpenOptions {
  readonly databaseUrl: Secret | undefined
  /** Folder of the embedded server, used without a URL. */
  readonly folder: string
  readonly isThrowaway?: boolean
  readonly maxConnections: number
  readonly logger: Logger
  /** How long to wait for a database that does not answer yet. */
  readonly patienceMs: number
  readonly onProgress: (text: string) => void
}

export interface OpenedDatabase {
  readonly database: Database
  /** Names of the migrations that ran now. */
  readonly migrations: readonly string[]
  close(): Promise<void>
}

/** Connects (or starts the embedded server) and migrates. AppError `unavailable` says what to do when that fails. */
export async function openMigrated(options: OpenOptions): Promise<OpenedDatabase> {
  const server = options.databaseUrl === undefined
    ? await startEmbedded({ folder: options.folder, isThrowaway: options.isThrowaway ?? false, onProgress: options.onProgress })
    : undefined
  const connectionString = server?.connectionString ?? options.databaseUrl?.reveal() ?? ''
  let isClosing = false
  const database = openDatabase({
    connectionString, maxConnections: options.maxConnections,
    onIdleError: (error) => {
      // The embedded server may end a connection while the pool is still taking leave of it.
      if (!isClosing) options.logger.warn({ reason: error.message }, 'a connection to the database broke while idle')
    },
  })
  const close = async (): Promise<void> => {
    isClosing = true
    await database.close()
    await server?.stop()
  }
  try {
    const migrations = await withRetry(() => migrate(database), { giveUpAfterMs: options.patienceMs })
    return { database, migrations, close }
  } catch (error) {
    await close()
    throw refusal(error) ?? error
  }
}

/** SQLSTATE classes in which the server answers but does not let us in. */
const REFUSALS: Readonly<Record<string, string>> = {
  '28': 'check the user and password in DATABASE_URL',
  '3D': 'create the database, or name another one in DATABASE_URL',
  '42': 'grant this user the right to create tables in its schema',
}

function refusal(error: unknown): AppError | undefined {
  if (error instanceof AppError || !(error instanceof Error)) return undefined
  const code = (error as { code?: unknown }).code
  const step = typeof code === 'string' ? REFUSALS[code.slice(0, 2)] : undefined
  return step === undefined ? undefined : new AppError('unavailable', `The database refuses: ${error.message}. Next step: ${step}.`, { cause: error })
}
