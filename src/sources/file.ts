/**
 * Files, gzip files and standard input as sources of bytes. In: a path, or `-`. Out: an OpenedSource. Any file name is read; gzip is known by its
 * first bytes, not by its name. Memory: one chunk; a gzip file is read twice, standard input is spooled to a private temporary file first, so
 * that content is named by its digest before a record of it is stored.
 */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { AppError } from '../core/base/app-error.ts'
import { errorCode, messageOf, unreadable } from './file-errors.ts'
import { firstLine, isRecordLine, lineSourceId, withoutBlankLines } from './first-line.ts'
import type { OpenedSource } from './source.ts'

/** Larger: fewer system calls, but more parsed records alive at once, which the garbage collector pays for: 256 KiB costs 15 % more time in all. */
const CHUNK_BYTES = 65_536

/** Opens one input. Throws AppError `input-unreadable` or `bad-encoding` naming the path and the next step. */
export async function openFile(path: string): Promise<OpenedSource> {
  if (path === '-') return openStream(process.stdin)
  const head = await readHead(path)
  if (isGzip(head)) {
    const chunks = (): AsyncIterable<Buffer> => gunzip(packed(path), path)
    const { digest, sizeBytes } = await digestOf(chunks())
    return {
      sourceId: `content:${digest}`, isFinished: true, name: path, sizeBytes,
      chunks: (fromOffset) => skipBytes(chunks(), fromOffset),
      close: () => Promise.resolve(),
    }
  }
  const { sourceId, sizeBytes } = await identify(path)
  return { sourceId, isFinished: false, name: path, sizeBytes, chunks: (fromOffset) => readFrom(path, path, fromOffset), close: () => Promise.resolve() }
}

/** Spools a stream (standard input) to a temporary file of mode 0600, decompressed; `close` removes it. */
export async function openStream(input: AsyncIterable<Buffer | string>): Promise<OpenedSource> {
  const folder = await mkdtemp(join(tmpdir(), 'flowfence-'))
  const path = join(folder, 'stdin')
  const close = (): Promise<void> => rm(folder, { recursive: true, force: true })
  try {
    await pipeline(input, createWriteStream(path, { mode: 0o600 }))
    const isCompressed = isGzip(await readHead(path))
    const chunks = (fromOffset: number): AsyncIterable<Buffer> =>
      isCompressed ? skipBytes(gunzip(packed(path), 'stdin'), fromOffset) : readFrom(path, 'stdin', fromOffset)
    const { digest, sizeBytes } = await digestOf(chunks(0))
    return { sourceId: `content:${digest}`, isFinished: true, name: 'stdin', sizeBytes, chunks, close }
  } catch (error) {
    await close()
    throw error instanceof AppError ? error : unreadable('stdin', error)
  }
}

/** Gzip by its first two bytes. */
export function isGzip(head: Buffer): boolean {
  return head.length >= 2 && head[0] === 0x1f && head[1] === 0x8b
}

/** The first bytes of a file; also finds out whether it can be read at all. */
async function readHead(path: string): Promise<Buffer> {
  try {
    const file = await open(path, 'r')
    try {
      const stat = await file.stat()
      if (stat.isDirectory()) throw new AppError('input-unreadable', `${path} is a folder; name the files in it, for example ${join(path, '*.ndjson')}.`, { at: path })
      const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0)
      return buffer.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (error) {
    throw error instanceof AppError ? error : unreadable(path, error)
  }
}

/**
 * A log of lines may grow and is known by its first line that is not blank; anything else (one JSON array, an object over several lines, no
 * complete line yet) is taken as finished and known by its content: there the first line says too little.
 */
async function identify(path: string): Promise<{ sourceId: string; sizeBytes: number }> {
  const whole = createHash('sha256')
  let sizeBytes = 0
  let head: Buffer = Buffer.alloc(0)
  let line: Buffer | undefined
  for await (const chunk of readFrom(path, path, 0)) {
    sizeBytes += chunk.length
    if (line === undefined) {
      head = withoutBlankLines(Buffer.concat([head, chunk]))
      line = firstLine(head)
      if (line !== undefined && isRecordLine(line)) return { sourceId: lineSourceId(line), sizeBytes: await sizeOf(path) }
    }
    whole.update(chunk)
  }
  return { sourceId: `content:${whole.digest('hex')}`, sizeBytes }
}

async function sizeOf(path: string): Promise<number> {
  const file = await open(path, 'r')
  try {
    return (await file.stat()).size
  } finally {
    await file.close()
  }
}

async function digestOf(chunks: AsyncIterable<Buffer>): Promise<{ digest: string; sizeBytes: number }> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  for await (const chunk of chunks) {
    hash.update(chunk)
    sizeBytes += chunk.length
  }
  return { digest: hash.digest('hex'), sizeBytes }
}

async function* readFrom(path: string, name: string, fromOffset: number): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of createReadStream(path, { start: fromOffset, highWaterMark: CHUNK_BYTES })) yield chunk as Buffer
  } catch (error) {
    throw unreadable(name, error)
  }
}

function packed(path: string): Readable {
  return createReadStream(path, { highWaterMark: CHUNK_BYTES })
}

/** Decompresses a file of one or several gzip members. */
export async function* gunzip(input: Readable, name: string): AsyncGenerator<Buffer> {
  const output = createGunzip({ chunkSize: CHUNK_BYTES })
  // `pipe` does not forward errors of the reading end.
  input.on('error', (error) => output.destroy(error))
  try {
    for await (const chunk of input.pipe(output)) yield chunk as Buffer
  } catch (error) {
    const code = errorCode(error)
    if (!code.startsWith('Z_')) throw unreadable(name, error)
    const message = `${name} is broken gzip (${messageOf(error)}); copy it again, or pass the decompressed file.`
    throw new AppError('bad-encoding', message, { cause: error, at: name })
  } finally {
    input.destroy()
    output.destroy()
  }
}

/** What follows the first `count` bytes. */
export async function* skipBytes(chunks: AsyncIterable<Buffer>, count: number): AsyncGenerator<Buffer> {
  let left = count
  for await (const chunk of chunks) {
    if (left >= chunk.length) left -= chunk.length
    else {
      yield left > 0 ? chunk.subarray(left) : chunk
      left = 0
    }
  }
}
