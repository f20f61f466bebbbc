/**
 * Answers of OTLP/HTTP: ExportLogsServiceResponse for 200, google.rpc.Status for problems, as JSON or protobuf like the request. Records that were
 * rejected are a partial success: exporters log it and do not send them again.
 */
import type { Request, Response } from 'express'
import { renderJson } from '../render/escape-text.ts'
import { mediaTypeOf } from './read-body.ts'

export const OTLP_LOGS_PATH = '/v1/logs'

const PROTOBUF = 'application/x-protobuf'
/** Codes of google.rpc by HTTP status; anything else is UNKNOWN. */
const RPC_CODES: Readonly<Record<number, number>> = { 400: 3, 401: 16, 403: 7, 404: 5, 408: 4, 413: 3, 415: 3, 422: 3, 429: 8, 500: 13, 503: 14 }
const UNKNOWN = 2

export function sendExported(req: Request, res: Response, rejected: { readonly records: number; readonly message: string }): void {
  const { records, message } = rejected
  if (mediaTypeOf(req) === PROTOBUF) {
    const partial = records === 0 ? Buffer.alloc(0) : Buffer.concat([field(1, records), field(2, message)])
    sendProtobuf(res, records === 0 ? partial : field(1, partial))
  } else {
    res.type('application/json').send(renderJson(records === 0 ? {} : { partialSuccess: { rejectedLogRecords: String(records), errorMessage: message } }))
  }
}

/** A problem; the status and headers are set by the caller. */
export function sendRpcStatus(req: Request, res: Response, message: string): void {
  const code = RPC_CODES[res.statusCode] ?? UNKNOWN
  if (mediaTypeOf(req) === PROTOBUF) sendProtobuf(res, Buffer.concat([field(1, code), field(2, message)]))
  else res.type('application/json').send(renderJson({ code, message }))
}

/** `type` of express would add a charset. */
function sendProtobuf(res: Response, bytes: Buffer): void {
  res.set('content-type', PROTOBUF).send(bytes)
}

/** One field of a protobuf message: a number as varint, texts and messages by their length. */
function field(number: number, value: number | string | Buffer): Buffer {
  if (typeof value === 'number') return Buffer.concat([Buffer.from([number << 3]), varint(value)])
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([(number << 3) | 2]), varint(bytes.length), bytes])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let left = value
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) | 128)
  bytes.push(left)
  return Buffer.from(bytes)
}
