import { createHash } from 'node:crypto'
import type { OpenedSource } from '../sources/source.ts'
import type { Database } from '../store/db/database.ts'
import { selectContentRecords, selectPosition, selectTwinPositions } from '../store/read/select-positions.ts'
import type { Position } from '../store/read/select-positions.ts'

/** Where reading of a source begins in this run. */
export interface ResumePoint {
  /** Name in `positions`. */
  readonly positionName: string
  /** What is stored under that name: the compare of the compare-and-set. */
  readonly stored: Position | undefined
  readonly startByte: number
  /** Records before `startByte`, stored by earlier runs. */
  readonly startRecords: number
  /** True when there is nothing new to read. */
  readonly isComplete: boolean
  /** For finished content: SHA-256 of all of it. */
  readonly contentDigest: Buffer | undefined
}

/** Bytes before the position that must be the same when reading resumes. */
const TAIL_BYTES = 4096
/** Positions of logs with the same first line that are compared, newest first. More: older files are recognised; each costs reading its tail. */
const MAX_TWINS = 100

/**
 * Finds where to go on. Finished content (`content:…`) is named by all its bytes: it is known, or resumes where a crash left it.
 * A log that may grow (`file:…`) is named by its first line only, so the bytes before the position are compared as well: a log
 * that begins alike but goes on differently is another one and gets a position of its own, never the other's. Which one is its own is told by the
 * bytes as well, so that it stays known when it is renamed.
 */
export async function findResumePoint(database: Database, clusterId: number, source: OpenedSource): Promise<ResumePoint> {
  const content = /^content:([0-9a-f]{64})$/.exec(source.sourceId)
  if (content?.[1] !== undefined) return resumeContent(database, clusterId, source.sourceId, Buffer.from(content[1], 'hex'))
  const first = await selectPosition(database, clusterId, source.sourceId)
  if (first === undefined) return newPoint(source.sourceId)
  // A short beginning may be common to several logs: then the longest one that fits is its own.
  const isCertain = first.next > TAIL_BYTES && await matches(source, first)
  const others = isCertain ? [] : await selectTwinPositions(database, clusterId, source.sourceId, MAX_TWINS)
  for (const stored of [{ ...first, source: source.sourceId }, ...others].sort((a, b) => b.next - a.next)) {
    if (!await matches(source, stored)) continue
    // The same size as when its end was read last: what is left is the same cut-off line, which was counted then.
    const isComplete = source.sizeBytes === stored.next || source.sizeBytes === Number(stored.fingerprint.split(':')[1])
    return { positionName: stored.source, stored, startByte: stored.next, startRecords: stored.records, isComplete, contentDigest: undefined }
  }
  for (let n = others.length; ; n++) {
    const positionName = `${source.sourceId}@${sha256(n === 0 ? source.name : `${source.name}\n${n}`).slice(0, 16)}`
    if (await selectPosition(database, clusterId, positionName) === undefined) return newPoint(positionName)
  }
}

function newPoint(positionName: string): ResumePoint {
  return { positionName, stored: undefined, startByte: 0, startRecords: 0, isComplete: false, contentDigest: undefined }
}

/** True when the source holds the bytes before the position. */
async function matches(source: OpenedSource, { next, fingerprint }: Position): Promise<boolean> {
  return next <= source.sizeBytes && fingerprint.split(':')[0] === await tailDigest(source, next)
}

async function resumeContent(database: Database, clusterId: number, positionName: string, contentDigest: Buffer): Promise<ResumePoint> {
  const records = await selectContentRecords(database, clusterId, contentDigest)
  const stored = await selectPosition(database, clusterId, positionName)
  return {
    positionName, stored, contentDigest, isComplete: records !== undefined,
    startByte: stored?.next ?? 0, startRecords: records ?? stored?.records ?? 0,
  }
}

/** What a position of a growing log remembers: the bytes before it, and up to where the log was read. */
export async function positionFingerprint(source: OpenedSource, next: number, seenBytes: number): Promise<string> {
  return `${await tailDigest(source, next)}:${seenBytes}`
}

async function tailDigest(source: OpenedSource, next: number): Promise<string> {
  const start = Math.max(0, next - TAIL_BYTES)
  const hash = createHash('sha256')
  let left = next - start
  if (left > 0) {
    for await (const chunk of source.chunks(start)) {
      hash.update(chunk.subarray(0, left))
      left -= Math.min(left, chunk.length)
      if (left === 0) break
    }
  }
  return hash.digest('hex').slice(0, 16)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
