import { readFile, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { AppError } from '../core/base/app-error.ts'
import { parseTopology } from '../core/simulate/parse-topology.ts'
import type { Topology } from '../core/simulate/topology.ts'

/** The files of a topology folder; others (policies, comparisons) are not read. */
const FOLDER_FILE = /^(workloads|services|edges|topology)\.(ya?ml|json)$/
const SHOWN_PROBLEMS = 20

/**
 * Reads a topology: one YAML or JSON file, or a folder with workloads, services and edges files. Throws an AppError
 * (`input-unusable`, or `input-unreadable`) that lists every problem with its field.
 */
export async function loadTopology(path: string): Promise<Topology> {
  const files = await topologyFiles(path)
  const documents: unknown[] = []
  for (const file of files) documents.push(...parseDocuments(await readFile(file, 'utf8'), file))
  const result = parseTopology(documents)
  if ('topology' in result) return result.topology
  const shown = result.problems.slice(0, SHOWN_PROBLEMS).map((p) => `  ${p.field}: ${p.message}`)
  const rest = result.problems.length - shown.length
  throw new AppError('input-unusable', [`${path} is not a topology:`, ...shown, ...(rest > 0 ? [`  and ${rest} more`] : [])].join('\n'), { at: path })
}

async function topologyFiles(path: string): Promise<string[]> {
  let isFolder: boolean
  try {
    isFolder = (await stat(path)).isDirectory()
  } catch (cause) {
    throw new AppError('input-unreadable', `cannot read the topology ${path}: give a YAML file or a folder with workloads.yaml, services.yaml and edges.json`, { cause, at: path })
  }
  if (!isFolder) return [path]
  const names = (await readdir(path)).filter((name) => FOLDER_FILE.test(name)).sort()
  if (names.length === 0) throw new AppError('input-unusable', `no workloads.yaml, services.yaml or edges.json in ${path}`, { at: path })
  return names.map((name) => join(path, name))
}

/** YAML reads JSON too; empty documents are skipped. */
function parseDocuments(text: string, file: string): unknown[] {
  return parseAllDocuments(text).flatMap((document) => {
    const error = document.errors[0]
    if (error !== undefined) throw new AppError('input-unusable', `${file}: ${error.message.split('\n')[0]}`, { at: file, cause: error })
    const value: unknown = document.toJS()
    return value === null ? [] : [value]
  })
}
