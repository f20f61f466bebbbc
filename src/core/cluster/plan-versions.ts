/**
 * What a sighting changes in the stored versions of an object.
 *
 * In: the stored versions (without their documents), a full state or a watch's change, and the moments that were known before. Out: edits. Invariants:
 * an instance once seen at two moments existed in between; two versions of one instance never overlap; the same sighting again gives no edit; a
 * sighting that comes late splits what it contradicts and nothing else. Cost: linear in the objects.
 */
import type { CoverageSpan } from './object-version.ts'

/** A stored version. `face` and `digest` are hashes of a reduced object's face and document. */
export interface StoredVersion extends VersionTimes {
  readonly id: string
  readonly key: string
  readonly face: string
  readonly digest: string
}

/** As in ObjectVersion (object-version.ts). */
export interface VersionTimes {
  readonly seenFromUs: number
  readonly seenUntilUs: number | null
  readonly endedUs: number | null
}

/** An object as it was seen; `key` is its kind, namespace and instance. */
export interface Sighting {
  readonly key: string
  readonly face: string
  readonly digest: string
  /** When it is a pod that ended: the end of its last container. */
  readonly finishedUs: number | undefined
}

export interface VersionEdits<S extends Sighting> {
  readonly inserts: (VersionTimes & { readonly sighting: S })[]
  /** A version with the document of another row. */
  readonly copies: (VersionTimes & { readonly ofId: string })[]
  readonly times: (VersionTimes & { readonly id: string })[]
  /** New documents of versions; the face changes only where a version is replaced at its first moment. */
  readonly documents: { readonly id: string; readonly sighting: S }[]
  added: number
  changed: number
  ended: number
  unchanged: number
  /** Sightings after a known deletion. */
  readonly refused: { readonly sighting: S; readonly endedUs: number }[]
}

export function noEdits<S extends Sighting>(): VersionEdits<S> {
  return { inserts: [], copies: [], times: [], documents: [], added: 0, changed: 0, ended: 0, unchanged: 0, refused: [] }
}

/** A full state that is newer than everything stored: `open` are all versions that go on, `deleted` when instances among the objects were deleted. */
export function planNewestState<S extends Sighting>(
  sightings: readonly S[], open: readonly StoredVersion[], context: { atUs: number; headUs: number; deleted: ReadonlyMap<string, number> },
): VersionEdits<S> {
  const edits = noEdits<S>()
  const { atUs, headUs, deleted } = context
  const openByKey = new Map(open.map((v) => [v.key, v]))
  const seen = new Set<string>()
  for (const sighting of sightings) {
    seen.add(sighting.key)
    const version = openByKey.get(sighting.key)
    const endedUs = deleted.get(sighting.key)
    if (version === undefined && endedUs !== undefined) edits.refused.push({ sighting, endedUs })
    else if (version === undefined) {
      edits.added++
      edits.inserts.push({ sighting, seenFromUs: atUs, seenUntilUs: null, endedUs: null })
    } else if (version.face === sighting.face) keep(edits, version, sighting)
    else {
      edits.changed++
      edits.times.push({ id: version.id, seenFromUs: version.seenFromUs, seenUntilUs: headUs, endedUs: null })
      edits.inserts.push({ sighting, seenFromUs: atUs, seenUntilUs: null, endedUs: null })
    }
  }
  for (const version of open) {
    if (seen.has(version.key)) continue
    edits.ended++
    edits.times.push({ id: version.id, seenFromUs: version.seenFromUs, seenUntilUs: headUs, endedUs: null })
  }
  return edits
}

function keep<S extends Sighting>(edits: VersionEdits<S>, version: StoredVersion, sighting: S): void {
  if (version.digest === sighting.digest) edits.unchanged++
  else {
    edits.changed++
    edits.documents.push({ id: version.id, sighting })
  }
}

/**
 * A full state older than the newest one. `versions`: all stored ones of its objects, by key, in order of time. `before`, `after`: the known moments
 * around it. What it lacks says nothing more than the moments themselves: an instance that was seen later was there.
 */
export function planOlderState<S extends Sighting>(
  sightings: readonly S[], versions: ReadonlyMap<string, readonly StoredVersion[]>, moment: { atUs: number; beforeUs: number; afterUs: number },
): VersionEdits<S> {
  const edits = noEdits<S>()
  for (const sighting of sightings) placeOlder(edits, sighting, versions.get(sighting.key) ?? [], moment)
  return edits
}

function placeOlder<S extends Sighting>(edits: VersionEdits<S>, sighting: S, versions: readonly StoredVersion[], moment: { atUs: number; beforeUs: number; afterUs: number }): void {
  const { atUs, beforeUs, afterUs } = moment
  const at = versions.findLastIndex((v) => v.seenFromUs <= atUs)
  const earlier = versions[at]
  const later = versions[at + 1]
  const endedUs = later === undefined ? earlier?.endedUs ?? null : null
  if (endedUs !== null && endedUs <= atUs) edits.refused.push({ sighting, endedUs })
  else if (earlier !== undefined && contains(earlier, atUs)) {
    if (earlier.face === sighting.face) edits.unchanged++
    else split(edits, earlier, sighting, { atUs, beforeUs, afterUs })
  } else if (earlier?.face === sighting.face) {
    edits.changed++
    edits.times.push({ id: earlier.id, seenFromUs: earlier.seenFromUs, seenUntilUs: atUs, endedUs: null })
  } else if (later?.face === sighting.face) {
    edits.changed++
    edits.times.push({ id: later.id, seenFromUs: atUs, seenUntilUs: later.seenUntilUs, endedUs: later.endedUs })
  } else {
    edits.added++
    edits.inserts.push({ sighting, seenFromUs: atUs, seenUntilUs: atUs, endedUs: null })
  }
}

function contains(version: VersionTimes, atUs: number): boolean {
  return version.seenFromUs <= atUs && (version.seenUntilUs === null || atUs <= version.seenUntilUs)
}

/** The version was so before and after, but not at the moment: what is between the known moments around it, nobody knows. */
function split<S extends Sighting>(edits: VersionEdits<S>, version: StoredVersion, sighting: S, moment: { atUs: number; beforeUs: number; afterUs: number }): void {
  edits.changed++
  const { seenFromUs, seenUntilUs, endedUs } = version
  edits.times.push({ id: version.id, seenFromUs, seenUntilUs: Math.max(moment.beforeUs, seenFromUs), endedUs: null })
  edits.inserts.push({ sighting, seenFromUs: moment.atUs, seenUntilUs: moment.atUs, endedUs: null })
  if (seenUntilUs === null || moment.afterUs <= seenUntilUs) edits.copies.push({ ofId: version.id, seenFromUs: moment.afterUs, seenUntilUs, endedUs })
}

/** A watch saw the object changed (or added) at a moment. `versions`: all of its instance, in order of time. */
export function planSet<S extends Sighting>(sighting: S, versions: readonly StoredVersion[], atUs: number): VersionEdits<S> {
  const edits = noEdits<S>()
  const at = versions.findLastIndex((v) => v.seenFromUs <= atUs)
  const version = versions[at]
  const later = versions[at + 1]
  const fresh = { sighting, seenFromUs: atUs, seenUntilUs: null, endedUs: null }
  if (version === undefined) {
    if (later?.face === sighting.face) edits.times.push({ ...timesOf(later), id: later.id, seenFromUs: atUs })
    else edits.inserts.push(later === undefined ? fresh : { ...fresh, seenUntilUs: atUs })
    edits.added++
  } else if (later === undefined && version.endedUs !== null && version.endedUs <= atUs) {
    edits.refused.push({ sighting, endedUs: version.endedUs })
  } else if (version.face === sighting.face) {
    if (later === undefined && version.seenUntilUs !== null && version.endedUs === null) edits.times.push({ ...timesOf(version), id: version.id, seenUntilUs: null })
    if (later === undefined) keep(edits, version, sighting)
    else edits.unchanged++
  } else if (version.seenFromUs === atUs) {
    edits.changed++
    edits.documents.push({ id: version.id, sighting })
  } else if (later === undefined) {
    edits.changed++
    // A watch sees every change, so it was as before until now, unless it was not seen for a while.
    if (version.seenUntilUs === null) edits.times.push({ id: version.id, seenFromUs: version.seenFromUs, seenUntilUs: atUs - 1, endedUs: atUs })
    edits.inserts.push(fresh)
  } else if (contains(version, atUs)) {
    split(edits, version, sighting, { atUs, beforeUs: atUs - 1, afterUs: version.seenUntilUs ?? atUs + 1 })
  } else {
    edits.changed++
    if (later.face === sighting.face) edits.times.push({ ...timesOf(later), id: later.id, seenFromUs: atUs })
    else edits.inserts.push({ ...fresh, seenUntilUs: atUs })
  }
  return edits
}

/** A watch saw the object deleted; `sighting` is how it was last. */
export function planDeleted<S extends Sighting>(sighting: S, versions: readonly StoredVersion[], atUs: number): VersionEdits<S> {
  const edits = noEdits<S>()
  const last = versions.at(-1)
  const endUs = Math.min(atUs, sighting.finishedUs ?? atUs)
  if (last === undefined) {
    edits.ended++
    edits.inserts.push({ sighting, seenFromUs: endUs - 1, seenUntilUs: endUs - 1, endedUs: endUs })
  } else if (last.endedUs !== null) edits.unchanged++
  else {
    edits.ended++
    const endedUs = Math.max(last.face === sighting.face ? atUs : endUs, last.seenFromUs + 1)
    edits.times.push({ id: last.id, seenFromUs: last.seenFromUs, seenUntilUs: endedUs - 1, endedUs })
  }
  return edits
}

function timesOf({ seenFromUs, seenUntilUs, endedUs }: VersionTimes): VersionTimes {
  return { seenFromUs, seenUntilUs, endedUs }
}

/** The known moments before and after one that lies in none of the spans; infinite where there is none. */
export function momentsAround(spans: readonly CoverageSpan[], atUs: number): { beforeUs: number; afterUs: number } {
  let beforeUs = -Infinity
  let afterUs = Infinity
  for (const { fromUs, untilUs } of spans) {
    if (untilUs < atUs) beforeUs = Math.max(beforeUs, untilUs)
    if (fromUs > atUs) afterUs = Math.min(afterUs, fromUs)
  }
  return { beforeUs, afterUs }
}

/** Spans joined where they overlap, ascending. */
export function joinSpans(spans: readonly CoverageSpan[]): CoverageSpan[] {
  const joined: { fromUs: number; untilUs: number }[] = []
  for (const { fromUs, untilUs } of [...spans].sort((a, b) => a.fromUs - b.fromUs)) {
    const last = joined.at(-1)
    if (last !== undefined && fromUs <= last.untilUs) last.untilUs = Math.max(last.untilUs, untilUs)
    else joined.push({ fromUs, untilUs })
  }
  return joined
}
