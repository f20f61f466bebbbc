/**
 * Bodies that were received whole, into the store. Small ones and single messages go in one transaction; larger ones batch after batch, like files of
 * finished content: what was committed stays, and the same body again goes on after it and changes nothing else.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../core/base/app-error.ts'
import type { Ingester } from './ingest.ts'
import type { IngestReport } from './ingest-report.ts'

/** A body that can be read again, until its owner gives it up. */
export interface ReceivedBody {
  /** SHA-256 of all its decompressed bytes. */
  readonly digest: Buffer
  readonly sizeBytes: number
  /** It is stored in one transaction. */
  readonly isSmall: boolean
  /** The decompressed bytes from an offset on. A chunk is valid until the next one is asked for. */
  chunks(from: number): AsyncIterable<Buffer>
  read(start: number, end: number): Buffer
}

/** `lines`: lines of text, arrays, objects. `value`: one JSON value, however long its line. `protobuf`: one message. */
export type BodyKind = 'lines' | 'value' | 'protobuf'

export interface ReceivedOptions {
  readonly isBackfill: boolean
  readonly kind: BodyKind
  /** Stops between two batches. */
  readonly signal?: AbortSignal
}

/** The name in totals and dead letters. */
const SOURCE = 'http'
/** Waits before the same body is tried again while it is being stored elsewhere, milliseconds: its batches are committed in between. */
const TWIN_DELAYS_MS = [200, 1_000, 3_000]

/** AppError `unavailable` when the same body goes on being stored elsewhere; else what the ingester throws. */
export async function ingestReceived(ingester: Ingester, body: ReceivedBody, options: ReceivedOptions): Promise<IngestReport> {
  for (let tries = 0; ; tries++) {
    try {
      return await store(ingester, body, options)
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'conflict') throw error
      const delayMs = TWIN_DELAYS_MS[tries]
      if (delayMs === undefined) {
        throw new AppError('unavailable', 'The same body is being stored at the same time. Send it again later: what is stored by then counts as duplicate.', { cause: error, retryable: true })
      }
      await sleep(delayMs)
    }
  }
}

function store(ingester: Ingester, body: ReceivedBody, { isBackfill, kind, signal }: ReceivedOptions): Promise<IngestReport> {
  if (body.isSmall || kind !== 'lines') {
    return ingester.ingestBody(body.chunks(0), {
      source: SOURCE, maxBytes: body.sizeBytes, isBackfill, ...(kind === 'protobuf' && { kind }), ...(kind === 'value' && { maxLineBytes: Math.max(body.sizeBytes, 1 << 20) }),
    })
  }
  const content = {
    sourceId: `content:${body.digest.toString('hex')}`, isFinished: true, name: SOURCE, sizeBytes: body.sizeBytes,
    chunks: (from: number) => body.chunks(from), close: () => Promise.resolve(),
  }
  return ingester.ingestContent(content, { isBackfill, ...(signal !== undefined && { signal }) })
}
