/**
 * The logs that patterns name. In: paths of files (that may not be there yet), of folders, and globs. Out: the paths to follow: a file by its
 * name, a folder's files that are not hidden, a glob's matches; rotated files of a log are the log's, not logs of their own.
 */
import { glob, readdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { isPackedName, rotationsOf } from './log-names.ts'

export interface FoundLog {
  readonly path: string
  /** True for one that was asked for by its own name: it is waited for. */
  readonly isNamed: boolean
}

export function isGlob(pattern: string): boolean {
  return /[*?[{]/.test(pattern)
}

/** `known` are paths found before: a rotated file of one of them is never a new log, also while its log is away for a moment. */
export async function findLogs(patterns: readonly string[], known: readonly string[]): Promise<FoundLog[]> {
  const named: string[] = []
  const matched = new Set<string>()
  for (const pattern of patterns) {
    const stats = await stat(pattern).catch(() => undefined)
    if (stats?.isDirectory() === true) await addFolder(pattern, matched)
    else if (stats === undefined && isGlob(pattern)) await addMatches(pattern, matched)
    else if (!named.includes(pattern)) named.push(pattern)
  }
  const candidates = [...matched].filter((path) => !named.includes(path)).sort()
  const logs = withoutRotations(candidates, [...named, ...known, ...candidates])
  return withoutTwins([...named.map((path) => ({ path, isNamed: true })), ...logs.map((path) => ({ path, isNamed: false }))])
}

async function addFolder(folder: string, found: Set<string>): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    if (entry.name.startsWith('.') || isPackedName(entry.name)) continue
    const path = join(folder, entry.name)
    if (entry.isFile() || (entry.isSymbolicLink() && await isFile(path))) found.add(path)
  }
}

async function addMatches(pattern: string, found: Set<string>): Promise<void> {
  try {
    for await (const path of glob(pattern)) if (!isPackedName(path) && await isFile(path)) found.add(path)
  } catch {
    // A folder that came or went in this moment, or that may not be listed: what was found counts, the rest is found later.
  }
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true
}

function withoutRotations(candidates: readonly string[], logs: readonly string[]): string[] {
  const byFolder = new Map<string, ((name: string) => boolean)[]>()
  for (const log of new Set(logs)) {
    const folder = dirname(resolve(log))
    byFolder.set(folder, [...(byFolder.get(folder) ?? []), rotationsOf(basename(log))])
  }
  return candidates.filter((path) => !(byFolder.get(dirname(resolve(path))) ?? []).some((isRotation) => isRotation(basename(path))))
}

/** Two names of one file, such as a link and its target, are one log. */
async function withoutTwins(logs: readonly FoundLog[]): Promise<FoundLog[]> {
  const seen = new Set<string>()
  const kept: FoundLog[] = []
  for (const log of logs) {
    const target = await realpath(log.path).catch(() => resolve(log.path))
    if (!seen.has(target)) kept.push(log)
    seen.add(target)
  }
  return kept
}
