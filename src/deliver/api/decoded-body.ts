/**
 * The bytes of a request's body after decompression, as a stream. Understood: gzip, deflate (zlib), zstd, and none. Both sizes are bounded while they
 * stream, so that a bomb stops at the limit. AppErrors: `unsupported-media-type`, `too-large`, `bad-encoding`, `usage` when the client left.
 */
import { createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import type { Transform } from 'node:stream'
import type { Request } from 'express'
import { AppError } from '../../core/base/app-error.ts'

export interface BodyLimit {
  readonly limitBytes: number
  /** What to change when the limit is too low. */
  readonly setting: string
}

/** Larger: fewer steps per body; smaller: less memory per body that is being read. */
const CHUNK_BYTES = 65_536

const DECODERS: Readonly<Record<string, { readonly name: string; readonly create: () => Transform }>> = {
  gzip: { name: 'gzip', create: () => createGunzip({ chunkSize: CHUNK_BYTES }) },
  'x-gzip': { name: 'gzip', create: () => createGunzip({ chunkSize: CHUNK_BYTES }) },
  deflate: { name: 'deflate', create: () => createInflate({ chunkSize: CHUNK_BYTES }) },
  zstd: { name: 'zstd', create: () => createZstdDecompress({ chunkSize: CHUNK_BYTES }) },
}

/** Refuses what need not be read at all: an unknown encoding, a length over the limit. Call it before `decodedBody`. */
export function checkBodyHead(req: Request, limit: BodyLimit): void {
  const encoding = encodingOf(req)
  if (encoding !== '' && DECODERS[encoding] === undefined) {
    throw new AppError('unsupported-media-type', `Content-Encoding "${encoding}" is not supported; send gzip, deflate or zstd, or none.`)
  }
  if (Number(req.get('content-length') ?? 0) > limit.limitBytes) throw tooLarge(limit)
}

/** The decompressed chunks, at most `limitBytes` of them. Leaving early does not close the connection: the answer still goes out on it. */
export async function* decodedBody(req: Request, limit: BodyLimit): AsyncGenerator<Buffer> {
  checkBodyHead(req, limit)
  const decoder = DECODERS[encodingOf(req)]
  let sizeBytes = 0
  for await (const chunk of decoder === undefined ? plain(req) : decompressed(req, decoder, limit)) {
    sizeBytes += chunk.length
    if (sizeBytes > limit.limitBytes) throw tooLarge(limit)
    yield chunk
  }
}

function encodingOf(req: Request): string {
  const encoding = (req.get('content-encoding') ?? '').trim().toLowerCase()
  return encoding === 'identity' ? '' : encoding
}

function tooLarge({ limitBytes, setting }: BodyLimit): AppError {
  return new AppError('too-large', `The body is larger than ${limitBytes} bytes (decompressed). Send it in several requests, or ${setting}.`)
}

function plain(req: Request): AsyncIterable<Buffer> {
  return req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>
}

async function* decompressed(req: Request, { name, create }: { readonly name: string; readonly create: () => Transform }, limit: BodyLimit): AsyncGenerator<Buffer> {
  const decoder = create()
  let receivedBytes = 0
  req.on('data', (chunk: Buffer) => {
    receivedBytes += chunk.length
    if (receivedBytes > limit.limitBytes) decoder.destroy(tooLarge(limit))
  })
  // `pipe` does not forward a broken connection.
  req.on('error', (error) => decoder.destroy(error))
  req.on('aborted', () => decoder.destroy(new AppError('usage', 'The connection ended before the whole body had arrived.')))
  try {
    for await (const chunk of req.pipe(decoder)) yield chunk as Buffer
    if (receivedBytes === 0) throw new AppError('bad-encoding', `The body says Content-Encoding: ${name} but is empty.`)
  } catch (error) {
    throw asBodyError(error, name, receivedBytes)
  } finally {
    req.unpipe(decoder)
    decoder.destroy()
  }
}

function asBodyError(error: unknown, name: string, receivedBytes: number): unknown {
  if (error instanceof AppError) return error
  const { code, message } = error as NodeJS.ErrnoException
  // What zlib finds wrong with the bytes; anything else is the connection's.
  if (code === undefined || !/^(Z_|ZSTD_|ERR_ZLIB)/.test(code)) return error
  if (receivedBytes === 0) return new AppError('bad-encoding', `The body says Content-Encoding: ${name} but is empty.`, { cause: error })
  return new AppError('bad-encoding', `The body says Content-Encoding: ${name} but is not valid ${name} (${message}). Nothing of it was stored.`, { cause: error })
}
