/**
 * Results go to stdout, words for people to stderr. A reader that closes stdout early (`| head`) ends the command quietly.
 */
import type { Writable } from 'node:stream'

export interface Output {
  /** Writes a result and waits until it is handed over, so that memory stays flat and nothing is lost at exit. */
  result(text: string): Promise<void>
  /** A line or several for people; text must be escaped already. */
  readonly note: (text: string) => void
  /** True when a person watches stderr: progress bars make sense. */
  readonly isInteractive: boolean
  readonly stderr: Writable
}

/** Thrown by `result` when the reader has gone: not a failure. */
export class ReaderGone extends Error {}

export interface OutputStreams {
  readonly stdout: Writable
  readonly stderr: Writable & { readonly isTTY?: boolean }
}

export function createOutput({ stdout, stderr }: OutputStreams): Output {
  let problem: NodeJS.ErrnoException | undefined
  stdout.on('error', (error: NodeJS.ErrnoException) => { problem ??= error })
  // Losing the words for people is no reason to stop the work.
  stderr.on('error', () => undefined)
  const failure = (error: NodeJS.ErrnoException): Error => (error.code === 'EPIPE' ? new ReaderGone() : error)
  return {
    isInteractive: stderr.isTTY === true,
    stderr,
    note: (text) => void stderr.write(text.endsWith('\n') ? text : `${text}\n`),
    result: (text) => new Promise((done, failed) => {
      if (problem !== undefined) return failed(failure(problem))
      stdout.write(text, (error) => {
        if (error === null || error === undefined) done()
        else failed(failure(error))
      })
    }),
  }
}
