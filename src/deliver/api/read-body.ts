/**
 * Bodies of requests that are documents: content type, decompression and size, checked before anything is done with them. A body is taken whole or
 * not at all, so that a refused request has stored nothing. Memory: at most `limitBytes` per body. Flow records are received by body-spool.ts.
 */
import type { Request } from 'express'
import { AppError } from '../../core/base/app-error.ts'
import { decodedBody } from './decoded-body.ts'

export interface BodyOptions {
  readonly limitBytes: number
  /** Accepted media types, e.g. `application/x-ndjson`. */
  readonly mediaTypes: readonly string[]
}

/** The decompressed body in chunks. AppErrors: `unsupported-media-type`, `too-large`, `bad-encoding`. */
export async function readBody(req: Request, options: BodyOptions): Promise<Buffer[]> {
  checkMediaType(req, options.mediaTypes)
  const chunks: Buffer[] = []
  for await (const chunk of decodedBody(req, { limitBytes: options.limitBytes, setting: 'raise FLOWFENCE_BODY_LIMIT' })) chunks.push(chunk)
  return chunks
}

/** The media type without parameters, lower case; '' when there is none. */
export function mediaTypeOf(req: Request): string {
  return (req.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

/** AppError `unsupported-media-type` for anything that is not listed; '' in the list takes a request without Content-Type. */
export function checkMediaType(req: Request, accepted: readonly string[]): void {
  const type = mediaTypeOf(req)
  if (accepted.includes(type)) return
  const wanted = accepted.filter((each) => each !== '').join(', ')
  throw new AppError('unsupported-media-type', `${type === '' ? 'The request has no Content-Type' : `Content-Type "${type}" is not supported`}; send one of ${wanted}.`)
}
