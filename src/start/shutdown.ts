/**
 * Two-stage stop. The first Ctrl-C (or SIGTERM, SIGHUP) asks: `signal` is aborted, running work ends at its next safe point. The second one, or
 * FORCE_AFTER_MS without an end, forces: force handlers run and the process exits.
 */
export interface Shutdown {
  readonly signal: AbortSignal
  /** Registers a synchronous last act; returns what takes it back. */
  readonly onForce: (act: () => void) => () => void
  /** Stops listening, so that the process can end by itself. */
  dispose(): void
}

/** Longer: slow work may still finish; shorter: orchestrators that kill after 30 s never see a hard kill. */
const FORCE_AFTER_MS = 25_000
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** 128 + SIGINT, as shells report it. */
const EXIT_INTERRUPTED = 130

export function installShutdown(note: (text: string) => void): Shutdown {
  const controller = new AbortController()
  const acts = new Set<() => void>()
  const force = (): never => {
    for (const act of acts) {
      try {
        act()
      } catch {
        // The process ends anyway.
      }
    }
    process.exit(EXIT_INTERRUPTED)
  }
  const onSignal = (): void => {
    if (controller.signal.aborted) force()
    note('Stopping; press Ctrl-C again to stop at once.')
    controller.abort()
    setTimeout(force, FORCE_AFTER_MS).unref()
  }
  for (const name of SIGNALS) process.on(name, onSignal)
  return {
    signal: controller.signal,
    onForce: (act) => {
      acts.add(act)
      return () => acts.delete(act)
    },
    dispose: () => {
      for (const name of SIGNALS) process.off(name, onSignal)
    },
  }
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done()
    else signal.addEventListener('abort', () => done(), { once: true })
  })
}
