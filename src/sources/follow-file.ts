/**
 * Follows one log by its name, like `tail -F`, through everything that writers and log rotation do to it. In: a path that may not exist yet. Out:
 * at each look, the files of the log that hold something to store, oldest first. It keeps no positions: who stores finds them by content.
 *
 *   rename + new file    the old file stays open and is read until it was quiet for QUIET_MS; further ones in between are found beside it
 *   copytruncate         the file got shorter or begins with another line: it is read from its start, and the rest of the old one from the copy
 *   compression          a rotated file that is now compressed begins with the same line: what is stored of it is not stored again
 *   deletion             the open file is read to its end; the name is waited for
 *   a cut-off last line  waits for its newline, in the middle of a character too; in a rotated file, until that was quiet for QUIET_MS
 *
 * What goes wrong with one file is told by `onNotice`, once until it changes, and tried again; nothing but `look` throws, and never for a file.
 */
import { readdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { AppError } from '../core/base/app-error.ts'
import { errorCode, messageOf } from './file-errors.ts'
import { openLogFile, PlainLogFile } from './log-file.ts'
import type { LogFile, LogPart } from './log-file.ts'
import { rotationsOf, unreadableSuffix } from './log-names.ts'

/**
 * A rotated file that was quiet for so long is closed, and a last line without newline in it counts as cut off. Longer: more files stay open;
 * shorter: a writer that stops in the middle of a line gets that line refused first and stored when it is complete.
 */
const QUIET_MS = 10_000
/** How often the folder is searched for rotated files when nothing points at a rotation. More often costs a listing of the folder each time. */
const SEARCH_MS = 10_000
/**
 * A rotated file that was found beside the log is read when it did not change for so long: while it is still being copied, it looks like another
 * log that begins alike. Longer: slow copies are waited for; shorter: the rest of a log that was copied and truncated is stored sooner.
 */
const COPY_MS = 5_000
/** A missing log is told after this long: a rotation may take its name away for a moment. */
const MISSING_MS = 5_000

export interface FollowOptions {
  /** Sentences for people that name the file; unescaped. */
  readonly onNotice: (text: string) => void
  /** Instead of QUIET_MS. */
  readonly quietMs?: number
  /** Instead of SEARCH_MS. */
  readonly searchMs?: number
  /** Instead of COPY_MS. */
  readonly copyMs?: number
}

export class FollowedLog {
  readonly path: string
  readonly #options: Required<FollowOptions>
  #current: LogFile | undefined
  /** Rotated files that are not read to their end, or may still grow. Oldest first. */
  #older: LogFile[] = []
  /** Those of them that may still be in the middle of being copied. */
  readonly #fresh = new Set<LogFile>()
  /** Rotated files that are done, by key, as they were then. */
  readonly #done = new Map<string, string>()
  /** The last notice about each place, so that each is told once. */
  readonly #told = new Map<string, string>()
  #searchedMs = -Infinity
  #missingSinceMs: number | undefined
  #wasThere = false
  #isClosed = false

  constructor(path: string, options: FollowOptions) {
    this.path = path
    this.#options = { quietMs: QUIET_MS, searchMs: SEARCH_MS, copyMs: COPY_MS, ...options }
  }

  /** Looks at the log's files now. Parts stay valid until the next look. */
  async look(): Promise<LogPart[]> {
    if (this.#isClosed) return []
    const isRotated = await this.#lookAtName()
    const rewritten = await this.#lookAtCurrent()
    const isDue = Date.now() - this.#searchedMs >= this.#options.searchMs
    if (isRotated || rewritten.from !== undefined || isDue) await this.#search()
    const { parts, held } = await this.#lookAtOlder()
    if (rewritten.from !== undefined) this.#tellRewritten(rewritten.from, [...parts, ...held])
    return rewritten.part === undefined ? parts : [...parts, rewritten.part]
  }

  /** How long the name has been away, milliseconds; 0 while there is something to read under it or left of it. */
  get missingMs(): number {
    return this.#missingSinceMs === undefined || this.#older.length > 0 ? 0 : Date.now() - this.#missingSinceMs
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const file of [...this.#older, this.#current]) await file?.close().catch(() => undefined)
    this.#older = []
    this.#current = undefined
  }

  /** Opens what is under the name when it is another file than before. True when it is. */
  async #lookAtName(): Promise<boolean> {
    try {
      const stats = await stat(this.path)
      this.#missingSinceMs = undefined
      if (this.#current?.key === `${stats.dev}:${stats.ino}` && !isReplacedPack(this.#current, stats)) return false
      const opened = await openLogFile(this.path, this.path)
      this.#forget('name')
      this.#forget(opened.key)
      const isReplaced = this.#current !== undefined
      this.#retireCurrent()
      this.#current = opened
      this.#wasThere = true
      return isReplaced
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' && errorCode(causeOf(error)) !== 'ENOENT') {
        this.#tell('name', `${sentence(error)} It is tried again.`)
        return false
      }
      this.#missingSinceMs ??= Date.now()
      const wasThere = this.#current !== undefined
      this.#retireCurrent()
      if (wasThere) return true
      if (!this.#wasThere) this.#tell('name', `${this.path} does not exist yet; waiting for it.`)
      else if (this.missingMs > MISSING_MS) this.#tell('name', `${this.path} is gone; waiting for it to appear again.`)
      return false
    }
  }

  #retireCurrent(): void {
    if (this.#current !== undefined) this.#older.push(this.#current)
    this.#current = undefined
  }

  /** `from` when the file was written anew: what was known of its former content. */
  async #lookAtCurrent(): Promise<{ part?: LogPart | undefined, from?: Former }> {
    const file = this.#current
    if (file === undefined) return {}
    // Broken, and told: until it changes, decompressing it again would find the same.
    if (!(file instanceof PlainLogFile) && this.#told.has(file.key)) return {}
    const former = file instanceof PlainLogFile ? { sourceId: file.sourceId, sizeBytes: file.settled?.sizeBytes ?? 0 } : undefined
    const part = await this.#part(file, false)
    if (!(file instanceof PlainLogFile)) return { part }
    if (this.#told.has(file.key)) {
      // Opened anew at the next look: a handle may have gone stale.
      await file.close().catch(() => undefined)
      this.#current = undefined
      return {}
    }
    if (file.isDocument) this.#tell('document', `${file.path} is a JSON document over several lines, not a log of lines. Store it with: flowfence ingest ${file.path}`)
    else this.#forget('document')
    return file.isRewritten && former !== undefined ? { part, from: former } : { part }
  }

  /** A file that cannot be read now has no part; the reason is told. */
  async #part(file: LogFile, isFinal: boolean): Promise<LogPart | undefined> {
    try {
      const part = await file.look(isFinal)
      this.#forget(file.key)
      return part
    } catch (error) {
      // A compressed file may still be in the middle of being written: the next search looks at it again.
      const isFresh = error instanceof AppError && error.code === 'bad-encoding' && Date.now() - file.changedMs < 3 * this.#options.quietMs
      // And it may have got another name: the next search finds it there.
      const isRetryable = error instanceof AppError && (error.retryable || errorCode(error.cause) === 'ENOENT')
      if (errorCode(causeOf(error)) === 'ENOENT') this.#searchedMs = -Infinity
      if (!isFresh && !isRetryable) this.#tell(file.key, `${sentence(error)} It is tried again.`)
      return undefined
    }
  }

  /** `held` are parts whose time has not come. */
  async #lookAtOlder(): Promise<{ parts: LogPart[], held: LogPart[] }> {
    const [parts, held]: [LogPart[], LogPart[]] = [[], []]
    for (const file of [...this.#older]) {
      const part = await this.#part(file, false) ?? await this.#lastPart(file)
      if (part === undefined) continue
      if (this.#fresh.has(file) && Date.now() - file.changedMs < this.#options.copyMs) {
        held.push(part)
        continue
      }
      this.#fresh.delete(file)
      parts.push(part)
      // Looking at a compressed file means to decompress it: one at a time, so that the log itself need not wait for all of them.
      if (!(file instanceof PlainLogFile)) break
    }
    return { parts, held }
  }

  /** The cut-off last line of a file that nobody writes any more. Without one, the file is done. */
  async #lastPart(file: LogFile): Promise<LogPart | undefined> {
    if (!(file instanceof PlainLogFile)) {
      if (file.settled !== undefined || this.#told.has(file.key)) await this.#finish(file)
      else await this.#drop(file)
      return undefined
    }
    if (this.#told.has(file.key)) {
      // Opened anew when the folder is searched next.
      await this.#drop(file)
      return undefined
    }
    if (Date.now() - file.changedMs < this.#options.quietMs) return undefined
    if (file.isDocument || !file.hasPartialLine || file.isLastShown) {
      await this.#finish(file)
      return undefined
    }
    const part = await this.#part(file, true)
    return part === undefined ? undefined : { ...part, settle: () => { part.settle(); file.isLastShown = true } }
  }

  async #finish(file: LogFile): Promise<void> {
    const { state } = file
    if (state !== undefined) this.#done.set(file.key, `${state.sizeBytes}:${state.modifiedMs}`)
    await this.#drop(file)
  }

  async #drop(file: LogFile): Promise<void> {
    this.#older = this.#older.filter((f) => f !== file)
    this.#fresh.delete(file)
    await file.close().catch(() => undefined)
  }

  /** Finds the rotated files beside the log (beside the file it links to) that are not open and not done. */
  async #search(): Promise<void> {
    const target = await realpath(this.path).catch(() => this.path)
    const folder = dirname(target)
    const isRotation = rotationsOf(basename(target))
    const names = (await readdir(folder).catch(() => [])).filter(isRotation)
    const found = new Set<string>()
    for (const name of names) await this.#addRotated(join(folder, name), found)
    for (const key of this.#done.keys()) if (!found.has(key)) this.#done.delete(key)
    this.#older.sort((a, b) => a.changedMs - b.changedMs)
    this.#searchedMs = Date.now()
  }

  async #addRotated(path: string, found: Set<string>): Promise<void> {
    try {
      const stats = await stat(path)
      if (!stats.isFile()) return
      const key = `${stats.dev}:${stats.ino}`
      found.add(key)
      if (this.#done.get(key) === `${stats.size}:${stats.mtimeMs}` || [...this.#older, this.#current].some((file) => file?.key === key)) return
      const suffix = unreadableSuffix(path)
      // An empty file may become anything, also a compressed one.
      if (stats.size === 0) return
      if (suffix === undefined) await this.#addOlder(path)
      else this.#tell(path, `${path} is left out: ${suffix} files cannot be read. If it was rotated before its end was stored, decompress it and pass it to flowfence ingest.`)
    } catch (error) {
      // Renamed or removed in this moment: under its new name the next search finds it.
      if (errorCode(error) !== 'ENOENT' && errorCode(causeOf(error)) !== 'ENOENT') this.#tell(path, `${sentence(error)} It is tried again.`)
    }
  }

  async #addOlder(path: string): Promise<void> {
    const file = await openLogFile(path, this.path)
    this.#older.push(file)
    if (file instanceof PlainLogFile) this.#fresh.add(file)
  }

  #tellRewritten(former: Former, older: readonly LogPart[]): void {
    if (former.sizeBytes === 0) return
    const hasCopy = older.some(({ source }) => source.sourceId === former.sourceId && source.sizeBytes >= former.sizeBytes)
    this.#options.onNotice(hasCopy
      ? `${this.path} was emptied and written anew; what had not been read of it is read from its copy.`
      : `${this.path} was emptied and written anew, and no copy of it lies beside it: lines written after byte ${former.sizeBytes}, if any, are lost.`)
  }

  #tell(place: string, text: string): void {
    if (this.#told.get(place) === text) return
    this.#told.set(place, text)
    this.#options.onNotice(text)
  }

  #forget(place: string): void {
    this.#told.delete(place)
  }
}

interface Former {
  readonly sourceId: string | undefined
  /** Bytes of it that are known to be stored. */
  readonly sizeBytes: number
}

/** An inode may be given to another file once the compressed one is gone, which is not held open. */
function isReplacedPack(file: LogFile, stats: { readonly size: number, readonly mtimeMs: number }): boolean {
  return !(file instanceof PlainLogFile) && (file.state?.sizeBytes !== stats.size || file.state.modifiedMs !== stats.mtimeMs)
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined
}

function sentence(error: unknown): string {
  return error instanceof AppError ? error.message : `${messageOf(error)}.`
}
