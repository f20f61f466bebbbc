/** Turns between processes, by a lock file that holds its owner's process number. A lock whose process is gone is taken over. */
import { randomUUID } from 'node:crypto'
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const RETRY_MS = 50

/** Runs `fn` while no other process holds the same lock. An error names the file when its owner does not give it back within `timeoutMs`. */
export async function withLock<T>(path: string, fn: () => Promise<T>, timeoutMs = 600_000): Promise<T> {
  await mkdir(dirname(path), { recursive: true })
  const giveUpAt = performance.now() + timeoutMs
  while (!(await take(path))) {
    if (performance.now() > giveUpAt) throw new Error(`Process ${await owner(path)} holds ${path}. Wait for it, or remove the file if it does not run any more.`)
    await sleep(RETRY_MS)
  }
  try {
    return await fn()
  } finally {
    await rm(path, { force: true })
  }
}

/** The lock comes into being with its owner in it, so there is no moment at which it has none. */
async function take(path: string): Promise<boolean> {
  const aside = `${path}.${randomUUID()}`
  await writeFile(aside, String(process.pid))
  try {
    await link(aside, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(aside, { force: true })
  }
  const holder = await owner(path)
  if (holder !== 0 && !isAlive(holder)) await removeStale(path, holder)
  return false
}

/** Of several processes that find the same stale lock one moves it away; whoever moved a fresh one by mistake puts it back. */
async function removeStale(path: string, holder: number): Promise<void> {
  const aside = `${path}.${randomUUID()}`
  try {
    await rename(path, aside)
  } catch {
    return
  }
  if ((await owner(aside)) !== holder) await link(aside, path).catch(() => undefined)
  await rm(aside, { force: true })
}

/** 0 when the lock was given back in this moment. */
async function owner(path: string): Promise<number> {
  return Number(await readFile(path, 'utf8').catch(() => '0'))
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
