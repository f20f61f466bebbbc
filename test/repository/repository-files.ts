import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Absolute path of the repository, without a trailing slash. */
export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')

/** Folders that are made, not written. */
const MADE = new Set(['.git', 'node_modules', 'dist', 'coverage', '.flowfence', '.flowfence-kafka'])

/** Every file of the repository by its path relative to the root, sorted; what is built or installed is left out. */
export function listFiles(folder = ''): string[] {
  return readdirSync(`${root}/${folder}`, { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) return MADE.has(entry.name) ? [] : listFiles(path)
    return entry.isFile() ? [path] : []
  }).sort()
}

/** The text of a file of the repository. */
export function readText(path: string): string {
  return readFileSync(`${root}/${path}`, 'utf8')
}

/** `undefined` for a file that is not text. */
export function readIfText(path: string): string | undefined {
  const bytes = readFileSync(`${root}/${path}`)
  return bytes.includes(0) ? undefined : bytes.toString('utf8')
}
