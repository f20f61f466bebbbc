/**
 * A Hubble log of any length from a small one: its lines again and again, each time with other uuids and a later time, patched in place. Costs a tenth
 * of reading them, so that what is measured is ingest and not the making of its input.
 */
import { createHash } from 'node:crypto'
import type { OpenedSource } from '../../src/sources/source.ts'

const CHUNK_BYTES = 1 << 18
const MINUTE_MS = 60_000
const STAMP = /20\d\d-\d\d-\d\dT\d\d:\d\d/g

export interface EndlessLog {
  /** Bytes of `rounds` rounds from the `first` on; a chunk is its receiver's to keep. */
  chunks(rounds: number, first?: number): AsyncIterable<Buffer>
  readonly linesPerRound: number
  readonly bytesPerRound: number
}

/** `minutesPerRound`: how much later each round is. `lines` must be ASCII and lie within an hour. */
export function endlessLog(lines: readonly string[], minutesPerRound: number): EndlessLog {
  const text = `${lines.join('\n')}\n`
  const template = Buffer.from(text, 'latin1')
  // The last group: the simulator tells uuids of one log apart by the first.
  const uuids = [...text.matchAll(/"uuid":"[0-9a-f-]{24}/g)].map((m) => m.index + m[0].length)
  const stamps = [...text.matchAll(STAMP)].map((m) => ({ at: m.index, minute: Math.floor(Date.parse(`${m[0]}:00Z`) / MINUTE_MS) }))
  const round = (number: number): Buffer => {
    const bytes = Buffer.from(template)
    const mark = (number + 1).toString(16).padStart(8, '0')
    for (const at of uuids) bytes.write(mark, at, 'latin1')
    const texts = new Map<number, string>()
    for (const { at, minute } of stamps) {
      let shown = texts.get(minute)
      if (shown === undefined) texts.set(minute, shown = new Date((minute + number * minutesPerRound) * MINUTE_MS).toISOString().slice(0, 16))
      bytes.write(shown, at, 'latin1')
    }
    return bytes
  }
  return {
    linesPerRound: lines.length, bytesPerRound: template.length,
    // eslint-disable-next-line @typescript-eslint/require-await -- readers take async chunks; these are made at once
    async* chunks(rounds, first = 0) {
      for (let number = 0; number < rounds; number++) {
        const bytes = round(first + number)
        for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield Buffer.from(bytes.subarray(at, at + CHUNK_BYTES))
      }
    },
  }
}

/** The log as content of a fixed length, named by `name`. */
export function logSource(log: EndlessLog, rounds: number, name: string): OpenedSource {
  return {
    sourceId: `content:${createHash('sha256').update(name).digest('hex')}`, isFinished: true, name, sizeBytes: log.bytesPerRound * rounds,
    chunks: (from) => {
      if (from > 0) throw new Error('this log is read from its beginning')
      return log.chunks(rounds)
    },
    close: () => Promise.resolve(),
  }
}
