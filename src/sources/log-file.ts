/**
 * One file of a log, held open: what it holds now, up to its last complete line. A file that is renamed or deleted is read on, because the open
 * file is what is read, not its name. Throws AppError `input-unreadable`, naming the file, also when it gets shorter while it is read.
 */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { AppError } from '../core/base/app-error.ts'
import { gunzip, isGzip, skipBytes } from './file.ts'
import { unreadable } from './file-errors.ts'
import { firstLine, lineSourceId, opensDocument, withoutBlankLines } from './first-line.ts'
import type { OpenedSource } from './source.ts'

/** As in file.ts. */
const CHUNK_BYTES = 65_536
/**
 * Bytes of one slice at most, about a hundred thousand records. Larger: a stop and the other logs wait longer; smaller: batches get smaller than they
 * may be, and storing one overlaps less with decoding the next.
 */
const SLICE_BYTES = 64 << 20
/** Beginning of a file that must be the same after each chunk was read: else the chunk may be of what was written anew in its place. */
const HEAD_BYTES = 4_096
const NEWLINE = 10

/** What a file holds that may not have been stored yet. */
export interface LogPart {
  /** All of the file as it is now; find the position with it. */
  readonly source: OpenedSource
  /** SHA-256 of finished content, the name by which `ingest` knows compressed files. */
  readonly contentDigest: Buffer | undefined
  /** Bytes that are not known to be stored. */
  readonly waitingBytes: number
  /** What is to be stored next, from a position to the end of a line; `undefined` when only the beginning of a line waits there. */
  slice(fromOffset: number): Promise<LogSlice | undefined>
  /** Everything up to here is stored: the part is not shown again until the file changes. */
  settle(): void
}

export interface LogSlice {
  readonly source: OpenedSource
  /** Bytes from the position to the end of the slice. */
  readonly sizeBytes: number
  /** True when nothing of the part is left behind it. */
  readonly isLast: boolean
}

/** A file's own word on whether it changed. */
export interface FileState {
  readonly sizeBytes: number
  readonly modifiedMs: number
}

/** A file of a log, of either kind. */
export interface LogFile {
  /** Device and inode: the file, whatever its name. */
  readonly key: string
  readonly path: string
  /** As it was at the last look. */
  readonly state: FileState | undefined
  /** The state up to which everything is stored. */
  readonly settled: FileState | undefined
  /**
   * Looks at the file. `isFinal` also shows a last line without a newline: nobody goes on writing it. `undefined` when everything is stored, or no
   * line is complete yet.
   */
  look(isFinal: boolean): Promise<LogPart | undefined>
  /** When it was seen to change last, milliseconds of Date.now(). */
  readonly changedMs: number
  close(): Promise<void>
}

/** Opens the file at a path. `name` is the log's: what its records count under. */
export async function openLogFile(path: string, name: string): Promise<PlainLogFile | PackedLogFile> {
  let handle: FileHandle | undefined
  try {
    handle = await open(path, 'r')
    const stats = await handle.stat()
    if (!stats.isFile()) throw new AppError('input-unreadable', `${path} is no regular file; name a log file.`, { at: path })
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0)
    const of = { key: `${stats.dev}:${stats.ino}`, path, name, modifiedMs: stats.mtimeMs }
    if (isGzip(buffer.subarray(0, bytesRead))) {
      return new PackedLogFile(handle, { ...of, sizeBytes: stats.size })
    }
    return new PlainLogFile(handle, of)
  } catch (error) {
    await handle?.close().catch(() => undefined)
    throw error instanceof AppError ? error : unreadable(path, error)
  }
}

export class PlainLogFile implements LogFile {
  readonly key: string
  readonly path: string
  settled: FileState | undefined
  changedMs: number
  /** Name of the content that it held when it was looked at last. */
  sourceId: string | undefined
  /** True when the last look found that it holds something else than before, or less: it was written anew. */
  isRewritten = false
  /** True when it holds a document over several lines, which is not read. */
  isDocument = false
  /** Set by who follows it: its last line was taken as it is. */
  isLastShown = false
  readonly #handle: FileHandle
  readonly #name: string
  #state: FileState | undefined
  /** The beginning as it was at the last look. */
  #head: Buffer = Buffer.alloc(0)
  /** No line ends between `end` and `scannedTo`. */
  #lines = { end: 0, scannedTo: 0 }

  constructor(handle: FileHandle, of: { key: string; path: string; name: string; modifiedMs: number }) {
    this.#handle = handle
    this.key = of.key
    this.path = of.path
    this.#name = of.name
    this.changedMs = Math.min(of.modifiedMs, Date.now())
  }

  async look(isFinal: boolean): Promise<LogPart | undefined> {
    const stats = await this.#handle.stat()
    const state = { sizeBytes: stats.size, modifiedMs: stats.mtimeMs }
    const before = this.#state
    if (before !== undefined && !isSame(before, state)) this.changedMs = Date.now()
    this.#state = state
    this.isRewritten = before !== undefined && before.sizeBytes > state.sizeBytes
    if (!isFinal && this.settled !== undefined && isSame(this.settled, state)) return undefined
    const head = this.#head = Buffer.alloc(Math.min(HEAD_BYTES, state.sizeBytes))
    await this.#fill(head, 0, head.length)
    const line = await this.#firstLine(state.sizeBytes)
    this.isDocument = line !== undefined && opensDocument(line)
    const sourceId = line !== undefined ? lineSourceId(line) : isFinal && state.sizeBytes > 0 ? await this.#contentId(state.sizeBytes) : undefined
    this.isRewritten ||= this.sourceId !== undefined && line !== undefined && sourceId !== this.sourceId
    if (this.isRewritten) {
      this.#lines = { end: 0, scannedTo: 0 }
      this.settled = undefined
    }
    this.sourceId = sourceId
    if (sourceId === undefined || this.isDocument) return undefined
    await this.#findLastLine(state.sizeBytes)
    await this.#verify(head)
    const endByte = isFinal ? state.sizeBytes : this.#lines.end
    return {
      source: this.#source(sourceId, state.sizeBytes), contentDigest: undefined, waitingBytes: state.sizeBytes - (this.settled?.sizeBytes ?? 0),
      slice: (fromOffset) => this.#slice(sourceId, fromOffset, endByte),
      settle: () => { this.settled = state },
    }
  }

  /** As it was at the last look. */
  get state(): FileState | undefined {
    return this.#state
  }

  /** True when the bytes behind the last complete line are more than none. */
  get hasPartialLine(): boolean {
    return this.#state !== undefined && this.#state.sizeBytes > this.#lines.end
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  #source(sourceId: string, sizeBytes: number): OpenedSource {
    return { sourceId, isFinished: false, name: this.#name, sizeBytes, chunks: (fromOffset) => this.#read(fromOffset, sizeBytes), close: () => Promise.resolve() }
  }

  async #slice(sourceId: string, fromOffset: number, endByte: number): Promise<LogSlice | undefined> {
    if (endByte <= fromOffset) return undefined
    const cut = endByte - fromOffset > SLICE_BYTES ? await this.#lastNewline(fromOffset, fromOffset + SLICE_BYTES) : undefined
    const end = cut ?? endByte
    return { source: this.#source(sourceId, end), sizeBytes: end - fromOffset, isLast: end === endByte }
  }

  /** The first line that is not blank, once it is complete. */
  async #firstLine(sizeBytes: number): Promise<Buffer | undefined> {
    let head: Buffer = Buffer.alloc(0)
    for await (const chunk of this.#read(0, sizeBytes)) {
      head = withoutBlankLines(Buffer.concat([head, chunk]))
      const line = firstLine(head)
      if (line !== undefined) return line
    }
    return undefined
  }

  async #contentId(sizeBytes: number): Promise<string> {
    const hash = createHash('sha256')
    for await (const chunk of this.#read(0, sizeBytes)) hash.update(chunk)
    return `content:${hash.digest('hex')}`
  }

  async #findLastLine(sizeBytes: number): Promise<void> {
    const end = await this.#lastNewline(this.#lines.scannedTo, sizeBytes) ?? this.#lines.end
    this.#lines = { end, scannedTo: sizeBytes }
  }

  /** The offset behind the last newline between two offsets. */
  async #lastNewline(from: number, to: number): Promise<number | undefined> {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
    for (let end = to; end > from;) {
      const start = Math.max(from, end - CHUNK_BYTES)
      await this.#fill(buffer, start, end - start)
      const at = buffer.subarray(0, end - start).lastIndexOf(NEWLINE)
      if (at >= 0) return start + at + 1
      end = start
    }
    return undefined
  }

  async* #read(fromOffset: number, endByte: number): AsyncGenerator<Buffer> {
    const head = this.#head
    for (let at = fromOffset; at < endByte;) {
      const length = Math.min(CHUNK_BYTES, endByte - at)
      // Not one buffer for all: whoever decodes elsewhere may still hold the last chunk.
      const buffer = Buffer.allocUnsafe(length)
      await this.#fill(buffer, at, length)
      await this.#verify(head)
      yield buffer
      at += length
    }
  }

  /** The file still holds what it held: nothing that was read so far is of another content, also where the file has grown past its old size again. */
  async #verify(head: Buffer): Promise<void> {
    const now = Buffer.allocUnsafe(head.length)
    await this.#fill(now, 0, head.length)
    if (!now.equals(head)) throw new AppError('input-unreadable', `${this.path} was written anew while it was read; it is looked at again.`, { at: this.path, retryable: true })
  }

  async #fill(buffer: Buffer, at: number, length: number): Promise<void> {
    for (let filled = 0; filled < length;) {
      const { bytesRead } = await this.#handle.read(buffer, filled, length - filled, at + filled)
        .catch((error: unknown) => { throw unreadable(this.path, error) })
      if (bytesRead === 0) throw new AppError('input-unreadable', `${this.path} got shorter while it was read; it is looked at again.`, { at: this.path, retryable: true })
      filled += bytesRead
    }
  }
}

/** A compressed file: nothing is added to it once it is complete. Decompressed once to name it, and once to read what is not stored. */
export class PackedLogFile implements LogFile {
  readonly key: string
  readonly path: string
  settled: FileState | undefined
  readonly changedMs: number
  readonly state: FileState
  readonly #handle: FileHandle
  readonly #name: string

  constructor(handle: FileHandle, of: { key: string; path: string; name: string; sizeBytes: number; modifiedMs: number }) {
    this.#handle = handle
    this.key = of.key
    this.path = of.path
    this.#name = of.name
    this.state = { sizeBytes: of.sizeBytes, modifiedMs: of.modifiedMs }
    this.changedMs = of.modifiedMs
  }

  async look(): Promise<LogPart | undefined> {
    if (this.settled !== undefined) return undefined
    const hash = createHash('sha256')
    let sizeBytes = 0
    let head: Buffer = Buffer.alloc(0)
    let line: Buffer | undefined
    for await (const chunk of this.#unpacked()) {
      sizeBytes += chunk.length
      hash.update(chunk)
      if (line !== undefined) continue
      head = withoutBlankLines(Buffer.concat([head, chunk]))
      line = firstLine(head)
    }
    const contentDigest = hash.digest()
    const sourceId = line === undefined || opensDocument(line) ? `content:${contentDigest.toString('hex')}` : lineSourceId(line)
    const source: OpenedSource = {
      sourceId, isFinished: true, name: this.#name, sizeBytes, close: () => Promise.resolve(),
      chunks: (fromOffset) => skipBytes(this.#unpacked(), fromOffset),
    }
    return {
      source, contentDigest, waitingBytes: sizeBytes, settle: () => { this.settled = this.state },
      slice: (fromOffset) => Promise.resolve(sizeBytes <= fromOffset ? undefined : { source, sizeBytes: sizeBytes - fromOffset, isLast: true }),
    }
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  /** Of the open file: its name may be another file's by now, because every rotation renames them all. */
  #unpacked(): AsyncGenerator<Buffer> {
    return gunzip(Readable.from(this.#packed(), { objectMode: false }), this.path)
  }

  /** Not the handle's own stream: that one closes the file when it is left early. */
  async* #packed(): AsyncGenerator<Buffer> {
    for (let at = 0; ;) {
      const { buffer, bytesRead } = await this.#handle.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, at)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
      at += bytesRead
    }
  }
}

function isSame(a: FileState, b: FileState): boolean {
  return a.sizeBytes === b.sizeBytes && a.modifiedMs === b.modifiedMs
}
