/**
 * Reads Kubernetes objects from YAML and JSON files, folders and stdin.
 *
 * In: paths (`-` = stdin; folders are searched for *.yaml, *.yml, *.json, hidden entries left out). Out: the objects in
 * reading order with where they came from, and what could not be used, each with file, line and the next step.
 * Invariants: a broken document costs only itself; nothing is dropped without an entry in `inputErrors`.
 * Leaves to others: what the objects mean (load-policies.ts, load-snapshot.ts). Cost: O(bytes); a file over FILE_LIMIT_BYTES is refused.
 */
import type { Readable } from 'node:stream'
import type { LoadedObject, ManifestError, Manifests } from './manifest.ts'
import { listManifestFiles, readText } from './manifest-files.ts'
import { parseDocuments } from './parse-documents.ts'

export interface ReadOptions {
  /** What `-` reads; the process's stdin unless told. */
  readonly stdin?: Readable
}

/** Reads all paths in the order given; a file reached twice is read once. Never throws for a bad input. */
export async function readManifests(paths: readonly string[], options: ReadOptions = {}): Promise<Manifests> {
  const objects: LoadedObject[] = []
  const inputErrors: ManifestError[] = []
  const seen = new Set<string>()
  for (const path of paths) {
    const listed = await listManifestFiles(path)
    inputErrors.push(...listed.inputErrors)
    for (const file of listed.files) {
      if (seen.has(file)) continue
      seen.add(file)
      const read = await readText(file, options.stdin ?? process.stdin)
      const parsed = 'error' in read ? { objects: [], inputErrors: [read.error] } : parseDocuments(read.text, file)
      // One by one: hundreds of thousands are too many arguments.
      for (const object of parsed.objects) objects.push(object)
      for (const error of parsed.inputErrors) inputErrors.push(error)
    }
  }
  return { objects, inputErrors }
}
