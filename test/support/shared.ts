import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe } from '@jest/globals'

const root = process.env.FLOWFENCE_SHARED ?? fileURLToPath(new URL('../../../shared/', import.meta.url))

/** Absolute path of a reference file beside the project, or `undefined` where the reference folder does not exist. */
export function sharedPath(relative: string): string | undefined {
  const path = `${root.replace(/\/$/, '')}/${relative}`
  return existsSync(path) ? path : undefined
}

/** Runs the suite only where the reference data exists; elsewhere it shows as skipped, with the reason in its name. */
export function describeShared(name: string, fn: () => void): void {
  if (existsSync(root)) describe(name, fn)
  else describe.skip(`${name} (skipped: no reference data; set FLOWFENCE_SHARED)`, fn)
}
