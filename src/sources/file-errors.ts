/** Failures of the file system in words that name the file and the next step. */
import { AppError } from '../core/base/app-error.ts'

const NEXT_STEPS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist; check the path',
  EACCES: 'may not be read by this user; grant read permission',
  EPERM: 'may not be read by this user; grant read permission',
  EISDIR: 'is a folder; name the files in it',
  EMFILE: 'cannot be opened: too many open files; raise the limit (ulimit -n)',
}

export function unreadable(name: string, error: unknown): AppError {
  const code = errorCode(error)
  const step = NEXT_STEPS[code] ?? `cannot be read (${messageOf(error)})`
  return new AppError('input-unreadable', `${name} ${step}.`, { cause: error, at: name })
}

/** The system's code, such as ENOENT; '' without one. */
export function errorCode(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

export function messageOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error)
}
