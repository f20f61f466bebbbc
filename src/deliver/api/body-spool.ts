/**
 * Receives bodies before anything is done with them: digested while they arrive, small ones in memory, larger ones in temporary files. So a slow
 * client holds no place of the ingest, a refused body has stored nothing, and a body is named by all its bytes before the first one is read.
 *
 * Bounded: `memoryBytes` and `diskBytes` over all bodies together. Files have mode 0600 and lose their name as soon as they are open: whatever
 * ends the process, the system takes the space back. Nobody else can open them, and a crash leaves none behind.
 */
import { createHash, randomUUID } from 'node:crypto'
import { readSync } from 'node:fs'
import { open, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '../../core/base/app-error.ts'
import type { ReceivedBody } from '../../pipeline/ingest-received.ts'

export interface SpoolOptions {
  /** Existing folder for temporary files. */
  readonly folder: string
  /** Of all bodies in files together. */
  readonly diskBytes: number
  /** Told after every change. */
  readonly onChange?: (held: { readonly memoryBytes: number; readonly diskBytes: number }) => void
}

/** A received body, held until it is released. */
export interface SpooledBody extends ReceivedBody {
  /** Gives back what it takes. Call it exactly once. */
  release(): Promise<void>
}

/** Bodies up to this size stay in memory. Larger: fewer files; smaller: more bodies can wait in the same memory. */
export const SMALL_BODY_BYTES = 1 << 20
/** Of all bodies in memory together; beyond, also small ones go to files. */
const MEMORY_BYTES = 64 << 20
const CHUNK_BYTES = 65_536

export class BodySpool {
  readonly #options: SpoolOptions
  #memoryBytes = 0
  #diskBytes = 0

  constructor(options: SpoolOptions) {
    this.#options = options
  }

  /** Takes the whole body. AppErrors: `busy` when others fill the space, `too-large` when no space would do, `unavailable` when the folder fails; and what `chunks` throws. */
  async receive(chunks: AsyncIterable<Buffer>): Promise<SpooledBody> {
    const body = new Reception(this)
    try {
      for await (const chunk of chunks) await body.add(chunk)
    } catch (error) {
      await body.release()
      throw error
    }
    return body.finish()
  }

  /** False when there is no room for that much in memory. */
  reserveMemory(bytes: number): boolean {
    if (this.#memoryBytes + bytes > MEMORY_BYTES) return false
    this.#memoryBytes += bytes
    this.#changed()
    return true
  }

  reserveDisk(bytes: number, bodyBytes: number): void {
    const { diskBytes } = this.#options
    if (bodyBytes > diskBytes) throw new AppError('too-large', `The body is larger than the ${diskBytes} bytes that all waiting bodies may take on disk. Send it in several requests, or raise FLOWFENCE_SPOOL_LIMIT.`)
    if (this.#diskBytes + bytes > diskBytes) {
      throw new AppError('busy', `Bodies that wait take all of the ${diskBytes} bytes they may take on disk. Try again later, or raise FLOWFENCE_SPOOL_LIMIT.`, { retryable: true })
    }
    this.#diskBytes += bytes
    this.#changed()
  }

  free(held: { readonly memoryBytes: number; readonly diskBytes: number }): void {
    this.#memoryBytes -= held.memoryBytes
    this.#diskBytes -= held.diskBytes
    this.#changed()
  }

  async openFile(): Promise<FileHandle> {
    const path = join(this.#options.folder, `flowfence-body-${randomUUID()}`)
    try {
      const file = await open(path, 'wx+', 0o600)
      await unlink(path)
      return file
    } catch (error) {
      throw spoolFailed(this.#options.folder, error)
    }
  }

  async write(file: FileHandle, chunk: Buffer): Promise<void> {
    try {
      for (let at = 0; at < chunk.length;) at += (await file.write(chunk, at)).bytesWritten
    } catch (error) {
      throw spoolFailed(this.#options.folder, error)
    }
  }

  #changed(): void {
    this.#options.onChange?.({ memoryBytes: this.#memoryBytes, diskBytes: this.#diskBytes })
  }
}

/** Tries the folder, so that a service that could take no large body does not start. AppError `usage`. */
export async function checkSpoolFolder(folder: string): Promise<void> {
  try {
    await (await new BodySpool({ folder, diskBytes: 0 }).openFile()).close()
  } catch (error) {
    const reason = error instanceof AppError ? error.cause : error
    throw new AppError('usage', `Bodies over 1 MiB cannot wait in ${folder} (${(reason as NodeJS.ErrnoException).code ?? String(reason)}). Set FLOWFENCE_SPOOL_DIR to a folder that this user may write to.`, { cause: error })
  }
}

function spoolFailed(folder: string, error: unknown): AppError {
  const { code, message } = error as NodeJS.ErrnoException
  const reason = code === 'ENOSPC' || code === 'EDQUOT' ? 'is full' : `cannot be written to (${code ?? message})`
  return new AppError('unavailable', `The folder for bodies that wait (FLOWFENCE_SPOOL_DIR, ${folder}) ${reason}. Make room or choose another one; nothing of this body was stored.`, { cause: error, retryable: true })
}

/** One body while it arrives, and what it holds. */
class Reception {
  readonly #spool: BodySpool
  readonly #hash = createHash('sha256')
  #chunks: Buffer[] = []
  #file: FileHandle | undefined
  #sizeBytes = 0
  #held = { memoryBytes: 0, diskBytes: 0 }

  constructor(spool: BodySpool) {
    this.#spool = spool
  }

  async add(chunk: Buffer): Promise<void> {
    this.#hash.update(chunk)
    this.#sizeBytes += chunk.length
    if (this.#file === undefined && this.#sizeBytes <= SMALL_BODY_BYTES && this.#spool.reserveMemory(chunk.length)) {
      this.#held.memoryBytes += chunk.length
      this.#chunks.push(chunk)
      return
    }
    this.#file ??= await this.#moveToFile()
    await this.#write(chunk)
  }

  finish(): SpooledBody {
    const [chunks, file] = [this.#chunks, this.#file]
    return {
      digest: this.#hash.digest(), sizeBytes: this.#sizeBytes, isSmall: this.#sizeBytes <= SMALL_BODY_BYTES,
      chunks: (from) => (file === undefined ? skipped(chunks, from) : readChunks(file, from)),
      read: (start, end) => (file === undefined ? Buffer.concat(chunks).subarray(start, end) : readRange(file, start, end)),
      release: () => this.release(),
    }
  }

  async release(): Promise<void> {
    const held = this.#held
    this.#held = { memoryBytes: 0, diskBytes: 0 }
    this.#chunks = []
    try {
      await this.#file?.close()
    } finally {
      this.#spool.free(held)
    }
  }

  async #moveToFile(): Promise<FileHandle> {
    const file = this.#file = await this.#spool.openFile()
    for (const chunk of this.#chunks) await this.#write(chunk)
    this.#spool.free({ memoryBytes: this.#held.memoryBytes, diskBytes: 0 })
    this.#held.memoryBytes = 0
    this.#chunks = []
    return file
  }

  async #write(chunk: Buffer): Promise<void> {
    this.#spool.reserveDisk(chunk.length, this.#sizeBytes)
    this.#held.diskBytes += chunk.length
    if (this.#file !== undefined) await this.#spool.write(this.#file, chunk)
  }
}

// eslint-disable-next-line @typescript-eslint/require-await -- readers take an async iterable; these chunks are there already
async function* skipped(chunks: readonly Buffer[], from: number): AsyncGenerator<Buffer> {
  let left = from
  for (const chunk of chunks) {
    if (left < chunk.length) yield chunk.subarray(left)
    left = Math.max(0, left - chunk.length)
  }
}

async function* readChunks(file: FileHandle, from: number): AsyncGenerator<Buffer> {
  for (let at = from; ;) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, at)
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
    at += bytesRead
  }
}

function readRange(file: FileHandle, start: number, end: number): Buffer {
  const bytes = Buffer.alloc(end - start)
  let at = 0
  while (at < bytes.length) {
    const count = readSync(file.fd, bytes, at, bytes.length - at, start + at)
    if (count === 0) break
    at += count
  }
  return bytes.subarray(0, at)
}
