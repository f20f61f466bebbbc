/** A PostgreSQL server for one test file alone, with fsync, that can be killed, stopped (SIGSTOP) and started again at its port. */
import { randomUUID } from 'node:crypto'
import { chmod, mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDatabase } from '../../src/store/db/database.ts'
import type { Database } from '../../src/store/db/database.ts'
import { startEmbedded } from '../../src/store/db/embedded.ts'
import { migrate } from '../../src/store/db/migrate.ts'

export interface FaultDatabase {
  /** Of its superuser, who may do everything. */
  readonly admin: Database
  /** A migrated database of one's own, closed with the server. `options`: further words of CREATE DATABASE. */
  fresh(options?: string): Promise<{ readonly database: Database, readonly connectionString: string }>
  /** SIGKILL of the postmaster and all its children, as when the machine fails. */
  kill(): Promise<void>
  /** Again after `kill`; recovers from its log. */
  start(): Promise<void>
  /** SIGSTOP of all its processes: connections stay open, nothing answers. */
  freeze(): Promise<void>
  thaw(): Promise<void>
  end(): Promise<void>
}

export async function startFaultDatabase(): Promise<FaultDatabase> {
  const folder = await mkdtemp(join(tmpdir(), 'flowfence-database-'))
  // As root, the server runs as another user, who must be able to enter.
  await chmod(folder, 0o711)
  const place = { folder: join(folder, 'server'), isThrowaway: false }
  let server = await startEmbedded(place)
  const open: Database[] = []
  const connect = (name: string): { database: Database, connectionString: string } => {
    const connectionString = server.connectionString.replace(/\/flowfence$/, `/${name}`)
    const database = openDatabase({ connectionString, maxConnections: 3 })
    open.push(database)
    return { database, connectionString }
  }
  const admin = connect('postgres').database
  const signal = async (name: NodeJS.Signals): Promise<void> => {
    for (const pid of await processesOf(place.folder)) {
      try {
        process.kill(pid, name)
      } catch {
        // It has ended by itself meanwhile.
      }
    }
  }
  return {
    admin,
    fresh: async (options = '') => {
      const name = `test_${randomUUID().replaceAll('-', '')}`
      await admin.query(`create database ${name} ${options}`)
      const made = connect(name)
      await migrate(made.database)
      return made
    },
    kill: async () => {
      const pids = await processesOf(place.folder)
      await signal('SIGKILL')
      while ((await Promise.all(pids.map(isThere))).includes(true)) await new Promise((done) => setTimeout(done, 20))
      // Where nobody takes note of its death, its number looks alive to the next one.
      await rm(join(place.folder, 'postgres', 'postmaster.pid'), { force: true })
    },
    start: async () => { server = await startEmbedded(place) },
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    end: async () => {
      await signal('SIGCONT')
      for (const database of open) await database.close()
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The postmaster first, so that it starts no others; then its children. */
async function processesOf(folder: string): Promise<number[]> {
  const postmaster = Number((await readFile(join(folder, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0])
  const children: number[] = []
  for (const name of await readdir('/proc')) {
    if (/^\d+$/.test(name) && (await statusOf(Number(name)))?.parent === postmaster) children.push(Number(name))
  }
  return [postmaster, ...children]
}

async function statusOf(pid: number): Promise<{ state: string, parent: number } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  // The name, in parentheses, may hold anything.
  const [state = '', parent] = text?.slice(text.lastIndexOf(')') + 2).split(' ') ?? []
  return text === undefined ? undefined : { state, parent: Number(parent) }
}

async function isThere(pid: number): Promise<boolean> {
  const status = await statusOf(pid)
  return status !== undefined && status.state !== 'Z'
}
