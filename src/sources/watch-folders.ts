/**
 * The system's hints that something happened in a folder. Only hints: on network file systems and in some containers there are none, so whoever
 * waits for one also waits for a time. Never throws.
 */
import { watch } from 'node:fs'
import type { FSWatcher } from 'node:fs'

/** `write` to a file, or a `name` that came or went. */
export type FolderHint = 'write' | 'name'

export class FolderHints {
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #listeners = new Map<string, Set<(hint: FolderHint) => void>>()

  /** Calls back on every hint of the folder; returns what ends that. */
  listen(folder: string, onHint: (hint: FolderHint) => void): () => void {
    const listeners = this.#listeners.get(folder) ?? new Set()
    listeners.add(onHint)
    this.#listeners.set(folder, listeners)
    this.#open(folder)
    return () => {
      listeners.delete(onHint)
      if (listeners.size > 0) return
      this.#listeners.delete(folder)
      this.#close(folder)
    }
  }

  #open(folder: string): void {
    if (this.#watchers.has(folder)) return
    try {
      const watcher = watch(folder, { persistent: false }, (type) => {
        for (const listener of this.#listeners.get(folder) ?? []) listener(type === 'rename' ? 'name' : 'write')
      })
      watcher.on('error', () => this.#close(folder))
      this.#watchers.set(folder, watcher)
    } catch {
      // No folder yet, or no more watches: looking from time to time is enough.
    }
  }

  #close(folder: string): void {
    this.#watchers.get(folder)?.close()
    this.#watchers.delete(folder)
  }
}
