import { AppError } from '../../core/base/app-error.ts'
import type { AppErrorCode } from '../../core/base/app-error.ts'

/** What the process returns; the one table (also in every --help). */
export const EXIT = {
  done: 0,
  failed: 1,
  /** Bad usage, or nothing usable in the input. */
  unusable: 2,
  /** Findings that --fail-on names. */
  findings: 3,
  /** Stopped by Ctrl-C or SIGTERM before it was done (the shells' 128 + SIGINT). */
  interrupted: 130,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

const BY_ERROR: Readonly<Record<AppErrorCode, ExitCode>> = {
  usage: EXIT.unusable,
  'input-unreadable': EXIT.unusable,
  'input-unusable': EXIT.unusable,
  'too-large': EXIT.unusable,
  'unsupported-media-type': EXIT.unusable,
  'bad-encoding': EXIT.unusable,
  'not-found': EXIT.unusable,
  unauthorized: EXIT.failed,
  forbidden: EXIT.failed,
  conflict: EXIT.failed,
  busy: EXIT.failed,
  unavailable: EXIT.failed,
  internal: EXIT.failed,
}

export function exitCodeOf(error: unknown): ExitCode {
  return error instanceof AppError ? BY_ERROR[error.code] : EXIT.failed
}

export const EXIT_CODES_HELP = `
Exit codes:
    0  done (partly bad input counts as done; it is listed, and --strict makes it 2)
    1  failed
    2  bad usage, or nothing usable in the input
    3  findings that --fail-on names
  130  stopped by Ctrl-C or SIGTERM before it was done`
