import { Presets, SingleBar } from 'cli-progress'
import { escapeText } from '../render/escape-text.ts'
import type { Output } from './output.ts'

/** Progress of one long step on stderr. */
export interface Progress {
  advance(amount: number): void
  stop(): void
}

const SILENT: Progress = { advance: () => undefined, stop: () => undefined }

/** A bar when a person watches, else nothing: logs of scripts stay clean. `total` 0 = not known. */
export function startProgress(output: Output, title: string, total: number): Progress {
  if (!output.isInteractive || total <= 0) return SILENT
  const bar = new SingleBar({
    stream: output.stderr, format: `  ${escapeText(title)} [{bar}] {percentage}%`, hideCursor: false, clearOnComplete: true, fps: 5,
  }, Presets.legacy)
  bar.start(total, 0)
  return { advance: (amount) => bar.increment(amount), stop: () => bar.stop() }
}

/** Shows how much of each file is read; for the `onProgress` of pipelines. */
export interface FileProgress {
  readonly onProgress: (progress: { readonly file: string; readonly sizeBytes: number; readonly bytes: number }) => void
  stop(): void
}

export function trackFiles(output: Output, verb: string): FileProgress {
  let file: string | undefined
  let seen = 0
  let bar = SILENT
  return {
    onProgress: (progress) => {
      if (progress.file !== file) {
        bar.stop()
        file = progress.file
        seen = 0
        bar = startProgress(output, `${verb} ${file}`, progress.sizeBytes)
      }
      bar.advance(progress.bytes - seen)
      seen = progress.bytes
    },
    stop: () => bar.stop(),
  }
}
