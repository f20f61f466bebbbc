/** The stored versions of cluster state in memory: the same plans as the database applies, for tests of histories. */
import { createHash } from 'node:crypto'
import { parseTimeUs } from '../../src/core/base/time.ts'
import { buildHistory } from '../../src/core/cluster/build-history.ts'
import type { ClusterHistory } from '../../src/core/cluster/cluster-history.ts'
import type { CoverageSpan } from '../../src/core/cluster/object-version.ts'
import { joinSpans, momentsAround, planDeleted, planNewestState, planOlderState, planSet } from '../../src/core/cluster/plan-versions.ts'
import type { Sighting, StoredVersion, VersionEdits } from '../../src/core/cluster/plan-versions.ts'
import { reduceObject } from '../../src/core/cluster/reduce-object.ts'
import type { ReducedObject } from '../../src/core/cluster/reduce-object.ts'

interface SeenObject extends Sighting {
  readonly object: ReducedObject
}

type Row = { -readonly [K in keyof StoredVersion]: StoredVersion[K] } & { object: ReducedObject }

export class StateLog {
  readonly rows = new Map<string, Row>()
  readonly spans: { fromUs: number; untilUs: number }[] = []
  headUs = -Infinity
  #nextId = 1

  /** A full state. */
  save(atUs: number, objects: readonly unknown[]): VersionEdits<SeenObject> | undefined {
    if (this.spans.some((s) => s.fromUs <= atUs && atUs <= s.untilUs)) return undefined
    const seen = objects.map((o) => this.#seen(o, atUs))
    const edits = atUs > this.headUs ? this.#newest(seen, atUs) : planOlderState(seen, this.#byKey(seen), { atUs, ...momentsAround(this.spans, atUs) })
    this.#apply(edits)
    this.spans.push({ fromUs: atUs, untilUs: atUs })
    this.headUs = Math.max(this.headUs, atUs)
    return edits
  }

  /** A watch's change; `confirm` afterwards. */
  change(atUs: number, type: 'set' | 'deleted', object: unknown): VersionEdits<SeenObject> {
    const seen = this.#seen(object, atUs)
    const versions = this.#byKey([seen]).get(seen.key) ?? []
    const edits = type === 'set' ? planSet(seen, versions, atUs) : planDeleted(seen, versions, atUs)
    this.#apply(edits)
    return edits
  }

  confirm(spanFromUs: number, untilUs: number): void {
    const span = this.spans.find((s) => s.fromUs === spanFromUs)
    if (span !== undefined) span.untilUs = Math.max(span.untilUs, untilUs)
    this.headUs = Math.max(this.headUs, untilUs)
  }

  history(): ClusterHistory {
    const spans: CoverageSpan[] = joinSpans(this.spans)
    const versions = [...this.rows.values()].map(({ object, seenFromUs, seenUntilUs, endedUs }) => ({ ...object, seenFromUs, seenUntilUs, endedUs }))
    return buildHistory(versions, { spans, headUs: this.headUs })
  }

  #newest(seen: readonly SeenObject[], atUs: number): VersionEdits<SeenObject> {
    const open = [...this.rows.values()].filter((r) => r.seenUntilUs === null)
    const deleted = new Map([...this.#byKey(seen)].flatMap(([key, rows]) => {
      const endedUs = rows.at(-1)?.endedUs ?? null
      return endedUs === null ? [] : [[key, endedUs] as const]
    }))
    return planNewestState(seen, open, { atUs, headUs: this.headUs, deleted })
  }

  #seen(value: unknown, atUs: number): SeenObject {
    const object = reduceObject(value, atUs)
    if (object === undefined || 'problems' in object) throw new Error(`unusable: ${JSON.stringify(object)}`)
    const { finishedAt } = (object.document.status ?? {}) as { finishedAt?: string }
    const hash = (text: string): string => createHash('sha256').update(text).digest('hex')
    return {
      object, key: `${object.kind}\n${object.namespace}\n${object.instance}`, face: hash(object.face), digest: hash(object.documentText),
      finishedUs: finishedAt === undefined ? undefined : parseTimeUs(finishedAt),
    }
  }

  #byKey(seen: readonly SeenObject[]): Map<string, Row[]> {
    const byKey = new Map<string, Row[]>()
    for (const { key } of seen) {
      const rows = [...this.rows.values()].filter((r) => r.key === key).sort((a, b) => a.seenFromUs - b.seenFromUs)
      if (rows.length > 0) byKey.set(key, rows)
    }
    return byKey
  }

  #apply(edits: VersionEdits<SeenObject>): void {
    const add = (row: Omit<Row, 'id'>): void => {
      const id = String(this.#nextId++)
      this.rows.set(id, { ...row, id })
    }
    for (const { ofId, ...times } of edits.copies) add({ ...this.#row(ofId), ...times })
    for (const { id, ...times } of edits.times) Object.assign(this.#row(id), times)
    for (const { id, sighting } of edits.documents) Object.assign(this.#row(id), this.#merged(this.#row(id), sighting))
    for (const { sighting: { key, face, digest, object }, ...times } of edits.inserts) add({ key, face, digest, object, ...times })
  }

  /** As the database does: what a restart hides stays known. */
  #merged(row: Row, { face, digest, object }: SeenObject): Partial<Row> {
    const known = (row.object.document.status as { addressedAt?: string } | undefined)?.addressedAt
    const status = object.document.status as { addressedAt?: string } | undefined
    if (row.face !== face || known === undefined) return { face, digest, object }
    const addressedAt = [known, status?.addressedAt ?? known].sort()[0]
    return { face, digest, object: { ...object, document: { ...object.document, status: { ...status, addressedAt } } } }
  }

  #row(id: string): Row {
    const row = this.rows.get(id)
    if (row === undefined) throw new Error(`no version ${id}`)
    return row
  }
}
