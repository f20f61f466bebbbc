/**
 * Bodies of requests: content type, decompression and size, checked before anything is done with them. A body is taken whole or not at all, so
 * that a refused request has stored nothing.
 *
 * Memory: at most `limitBytes` per body; the compressed and the decompressed size are bounded while streaming, so a gzip bomb stops at the limit.
 */
import type { IncomingMessage } from 'node:http'
import { createGunzip } from 'node:zlib'
import type { Request } from 'express'
import { AppError } from '../../core/base/app-error.ts'

export interface BodyOptions {
  readonly limitBytes: number
  /** Accepted media types, e.g. `application/x-ndjson`. */
  readonly mediaTypes: readonly string[]
}

/** The decompressed body in chunks. AppErrors: `unsupported-media-type`, `too-large`, `bad-encoding`. */
export async function readBody(req: Request, options: BodyOptions): Promise<Buffer[]> {
  checkMediaType(req, options.mediaTypes)
  const isCompressed = checkEncoding(req)
  const declared = Number(req.get('content-length') ?? 0)
  if (declared > options.limitBytes) throw tooLarge(options.limitBytes)
  return isCompressed ? gunzip(req, options.limitBytes) : collect(req, options.limitBytes)
}

/** The media type without parameters, lower case; '' when there is none. */
export function mediaTypeOf(req: Request): string {
  return (req.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

function checkMediaType(req: Request, accepted: readonly string[]): void {
  const type = mediaTypeOf(req)
  if (accepted.includes(type)) return
  throw new AppError('unsupported-media-type', `${type === '' ? 'The request has no Content-Type' : `Content-Type "${type}" is not supported`}; send one of ${accepted.join(', ')}.`)
}

function checkEncoding(req: Request): boolean {
  const encoding = (req.get('content-encoding') ?? 'identity').trim().toLowerCase()
  if (encoding === 'gzip' || encoding === 'x-gzip') return true
  if (encoding === 'identity' || encoding === '') return false
  throw new AppError('unsupported-media-type', `Content-Encoding "${encoding}" is not supported; send gzip, or none.`)
}

function tooLarge(limitBytes: number): AppError {
  return new AppError('too-large', `The body is larger than ${limitBytes} bytes (decompressed). Send it in several requests, or raise FLOWFENCE_BODY_LIMIT.`)
}

async function collect(input: AsyncIterable<unknown>, limitBytes: number): Promise<Buffer[]> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of input) {
    size += (chunk as Buffer).length
    if (size > limitBytes) throw tooLarge(limitBytes)
    chunks.push(chunk as Buffer)
  }
  return chunks
}

async function gunzip(req: IncomingMessage, limitBytes: number): Promise<Buffer[]> {
  const unzip = createGunzip()
  let received = 0
  req.on('data', (chunk: Buffer) => {
    received += chunk.length
    if (received > limitBytes) unzip.destroy(tooLarge(limitBytes))
  })
  // `pipe` does not forward a broken connection.
  req.on('error', (error) => unzip.destroy(error))
  req.on('aborted', () => unzip.destroy(new AppError('usage', 'The connection ended before the whole body had arrived.')))
  try {
    const chunks = await collect(req.pipe(unzip), limitBytes)
    return chunks
  } catch (error) {
    if (error instanceof AppError) throw error
    if (received === 0) throw new AppError('bad-encoding', 'The body says Content-Encoding: gzip but is empty.', { cause: error })
    const reason = (error as Error).message
    throw new AppError('bad-encoding', `The body says Content-Encoding: gzip but is not valid gzip (${reason}). Nothing of it was stored.`, { cause: error })
  } finally {
    req.unpipe(unzip)
    unzip.destroy()
  }
}
