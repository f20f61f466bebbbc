import { followSentence, renderFollowed } from '../render/follow-text.ts'
import type { FollowedView, FollowView } from '../render/follow-text.ts'
import type { Output } from './output.ts'

/** How far following is, at any time. */
export interface FollowSource {
  readonly report: { readonly received: number }
  state(): readonly FollowedView[]
}

export interface FollowStatus {
  /** Prints a sentence without tearing the status. */
  note(text: string): void
  /** Shows this from now on. */
  show(source: FollowSource): void
  stop(): void
}

/** A person sees the status change; more often is not read. */
const WATCHED_MS = 1_000
/** Logs of scripts get one line so often. */
const LOGGED_MS = 60_000

/** What is followed and how far, on stderr: in place when a person watches, else a line a minute. */
export function startFollowStatus(output: Output): FollowStatus {
  return output.isInteractive ? new WatchedStatus(output) : new LoggedStatus(output)
}

/** Lines a second between two calls. */
class Rate {
  #records = 0
  #atMs = performance.now()

  next(records: number): number {
    const nowMs = performance.now()
    const perSecond = ((records - this.#records) * 1000) / Math.max(1, nowMs - this.#atMs)
    this.#records = records
    this.#atMs = nowMs
    return perSecond
  }
}

function look(source: FollowSource, rate: Rate): FollowView {
  const records = source.report.received
  return { logs: source.state(), records, recordsPerSecond: rate.next(records) }
}

class LoggedStatus implements FollowStatus {
  readonly #output: Output
  readonly #rate = new Rate()
  #timer: NodeJS.Timeout | undefined

  constructor(output: Output) {
    this.#output = output
  }

  note(text: string): void {
    this.#output.note(text)
  }

  show(source: FollowSource): void {
    this.#timer = setInterval(() => {
      this.#output.note(followSentence(look(source, this.#rate)))
    }, LOGGED_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

class WatchedStatus implements FollowStatus {
  readonly #output: Output
  readonly #rate = new Rate()
  #timer: NodeJS.Timeout | undefined
  #shown = ''

  constructor(output: Output) {
    this.#output = output
  }

  note(text: string): void {
    const shown = this.#shown
    this.#replace('')
    this.#output.note(text)
    this.#replace(shown)
  }

  show(source: FollowSource): void {
    this.#timer = setInterval(() => {
      this.#replace(renderFollowed(look(source, this.#rate)))
    }, WATCHED_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#replace('')
  }

  /** Goes up over what is shown, clears it and writes the new text. */
  #replace(text: string): void {
    const lines = this.#shown.split('\n').length - 1
    this.#output.stderr.write(`${lines > 0 ? `\u001b[${lines}F\u001b[J` : ''}${text}`)
    this.#shown = text
  }
}
