/** The one mapping from errors to HTTP: RFC 9457 problems. Nothing of a stack, a query or a connection string reaches a client. */
import type { ErrorRequestHandler, Response } from 'express'
import { AppError } from '../../core/base/app-error.ts'
import type { AppErrorCode } from '../../core/base/app-error.ts'
import type { Logger } from '../../observe/logger.ts'
import { renderJson } from '../render/escape-text.ts'
import { drainRequest } from './drain-request.ts'
import { OTLP_LOGS_PATH, sendRpcStatus } from './otlp-response.ts'

const BY_CODE: Readonly<Record<AppErrorCode, { readonly status: number; readonly title: string }>> = {
  usage: { status: 400, title: 'The request is not valid' },
  'input-unreadable': { status: 400, title: 'The input cannot be read' },
  'input-unusable': { status: 422, title: 'The input holds nothing usable' },
  'bad-encoding': { status: 400, title: 'The body is not encoded as it says' },
  'too-large': { status: 413, title: 'The body is too large' },
  'unsupported-media-type': { status: 415, title: 'The content type is not supported' },
  'not-found': { status: 404, title: 'Not found' },
  unauthorized: { status: 401, title: 'A valid key is needed' },
  forbidden: { status: 403, title: 'Refused' },
  conflict: { status: 409, title: 'The request conflicts with another one' },
  busy: { status: 429, title: 'Too much at once' },
  unavailable: { status: 503, title: 'Not available now' },
  internal: { status: 500, title: 'Internal error' },
}

interface ProblemFields {
  readonly status: number
  readonly title: string
  readonly code: string
  readonly detail: string
  readonly at?: string
}

/** Sends a problem. `type` and `code` are stable for programs, `detail` is for people. */
export function sendProblem(res: Response, { status, title, code, detail, at }: ProblemFields): void {
  if (res.headersSent) {
    res.destroy()
    return
  }
  res.status(status).type('application/problem+json')
    .send(renderJson({ type: `urn:flowfence:problem:${code}`, title, status, code, detail, ...(at === undefined ? {} : { at }), instance: res.req.path }))
}

/** The last handler of the app. Logs what a person must look at, once. */
export function problemHandler(logger: Logger): ErrorRequestHandler {
  return async (error: unknown, req, res, _next) => {
    const known = toAppError(error)
    if (known === undefined || known.code === 'internal') logger.error({ err: error, method: req.method, path: req.path }, 'request failed')
    else if (known.code === 'unavailable') logger.warn({ reason: known.message, method: req.method, path: req.path }, 'request failed: something needed is away')
    const code = known?.code ?? 'internal'
    const { status, title } = BY_CODE[code]
    if (status === 401) res.set('www-authenticate', 'Bearer realm="flowfence"')
    if (status === 429 || status === 503) res.set('retry-after', String(known?.retryAfterS ?? RETRY_AFTER_S))
    if (!req.complete) {
      await drainRequest(req)
      // What is left of a refused body now is not read: the connection cannot be used again.
      if (!req.complete) res.set('connection', 'close')
    }
    const detail = known === undefined || code === 'internal' ? 'The service failed to answer; its log says why.' : known.message
    if (req.path === OTLP_LOGS_PATH && !res.headersSent) sendRpcStatus(req, res.status(status), detail)
    else sendProblem(res, { status, title, code, detail, ...(known?.at === undefined ? {} : { at: known.at }) })
  }
}

/** Where nothing better is known. */
const RETRY_AFTER_S = 5

/** Errors of express, of Node's sockets and of the database driver as our own; `undefined` for bugs. Told by their codes: they come from elsewhere. */
function toAppError(error: unknown): AppError | undefined {
  if (error instanceof AppError) return error
  if (typeof error !== 'object' || error === null) return undefined
  const { status, code, message } = error as { status?: unknown; code?: unknown; message?: unknown }
  if (code === 'ERR_STREAM_PREMATURE_CLOSE' || message === 'aborted') return new AppError('usage', 'The connection ended before the whole body had arrived.')
  // express: a path that is not valid percent-encoding.
  if (status === 400) return new AppError('usage', 'The request path is not valid percent-encoding.')
  const isAway = typeof code === 'string' ? AWAY.test(code) : typeof message === 'string' && LOST.test(message)
  return isAway ? new AppError('unavailable', 'The database does not answer. Try again later.', { cause: error, retryable: true }) : undefined
}

/** Connection refused or lost; SQLSTATE classes 08 (connection), 53 (resources), 57 (shutting down). */
const AWAY = /^(ECONN[A-Z]+|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|(08|53|57)[0-9A-Z]{3})$/
/** The driver reports some lost connections without any code. */
const LOST = /^(Connection terminated|timeout exceeded when trying to connect)/
