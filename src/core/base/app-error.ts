/**
 * Codes of failures that a person can act on. The CLI maps them to exit codes, the API to HTTP problems;
 * each mapping is one table.
 */
export type AppErrorCode =
  | 'usage' // the command or request is wrong: says what to write instead
  | 'input-unreadable' // a file or body cannot be read at all
  | 'input-unusable' // it can be read, but holds nothing usable
  | 'too-large' // over a stated limit
  | 'unsupported-media-type'
  | 'bad-encoding' // broken gzip or text encoding
  | 'not-found'
  | 'unauthorized'
  | 'forbidden'
  | 'conflict'
  | 'busy' // too much at once: the same call succeeds later
  | 'unavailable' // a service we need (database, broker) does not answer
  | 'internal'

export interface AppErrorOptions {
  readonly cause?: unknown
  /** True when the same call may succeed later without any change by the caller. */
  readonly retryable?: boolean
  /** Where in the input: file, line, field, as far as known. */
  readonly at?: string
  /** Seconds after which trying again makes sense. */
  readonly retryAfterS?: number
}

/** An expected failure. `message` names the offending value and the next step. */
export class AppError extends Error {
  readonly code: AppErrorCode
  readonly retryable: boolean
  readonly at: string | undefined
  readonly retryAfterS: number | undefined

  constructor(code: AppErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'AppError'
    this.code = code
    this.retryable = options.retryable ?? false
    this.at = options.at
    this.retryAfterS = options.retryAfterS
  }
}
