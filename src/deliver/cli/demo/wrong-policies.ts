import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClusterSnapshot } from '../../../core/cluster/snapshot.ts'
import type { CheckDocument } from '../../../core/report/check-document.ts'
import { loadPolicies } from '../../../manifests/load-policies.ts'
import { check } from '../../../pipeline/check.ts'
import type { ObservedTraffic } from '../../../pipeline/observed-traffic.ts'

/** What one deliberately wrong file would do. */
export interface WrongPolicy {
  readonly file: string
  /** The comment at the head of the file. */
  readonly about: string
  readonly document: CheckDocument
}

export async function checkWrongPolicies(folder: string, observed: ObservedTraffic, about: { cluster: string; snapshot: ClusterSnapshot }): Promise<WrongPolicy[]> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.yaml')).sort()
  return Promise.all(files.map(async (file) => {
    const path = join(folder, file)
    const { policies, inputErrors } = await loadPolicies([path])
    return { file, about: headComment(await readFile(path, 'utf8')), document: check(observed, { ...about, policies, inputErrors }) }
  }))
}

function headComment(text: string): string {
  const lines = text.split('\n')
  const end = lines.findIndex((line) => !line.startsWith('#'))
  return lines.slice(0, end < 0 ? lines.length : end).map((line) => line.replace(/^#\s?/, '')).join(' ').trim()
}
