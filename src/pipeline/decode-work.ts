/**
 *  bytes of streams, messages ─► decode ─► normalize ─► blocks of flows, and counts of everything else
 *
 * The part of ingest that needs no database: it runs beside the rest on a thread of its own (decode-pool.ts), or in place. In: DecodeRequests, in order.
 * Out: for each the blocks it gave, in order. Invariants: nothing throws on input; a block holds at most `maxRecords` records, or one piece of input.
 */
import { isAscii } from 'node:buffer'
import { buildHistory, vouchedHistory } from '../core/cluster/build-history.ts'
import type { GrowingHistory } from '../core/cluster/build-history.ts'
import { NO_HISTORY } from '../core/cluster/cluster-history.ts'
import type { ClusterHistory } from '../core/cluster/cluster-history.ts'
import type { ObjectVersion } from '../core/cluster/object-version.ts'
import { createNormalizer } from '../core/normalize/normalizer.ts'
import type { Normalizer } from '../core/normalize/normalizer.ts'
import { createDecoder } from '../decode/decode-chunk.ts'
import type { Decoder, FastPath } from '../decode/decode-chunk.ts'
import { decodeValue, LineValues, MAX_LINE_VALUE_BYTES } from '../decode/decode-value.ts'
import { createFastPath } from '../decode/fast-path.ts'
import type { DecodedItem } from '../decode/item-list.ts'
import type { Confirmed } from './cluster-state.ts'
import { RecordCollector } from './record-collector.ts'
import type { CollectedBlock, CollectOptions, TimeBounds } from './record-collector.ts'

/** How records of one cluster are read; plain data. */
export interface LaneOptions {
  readonly cluster: string
  readonly podCidrs: readonly string[]
  readonly ownWorkloads: readonly string[]
  readonly isBound: boolean
  readonly clusterAliases: readonly string[]
}

/** Cluster state as plain data: what is stored, or objects for which a person vouches. */
export type HistorySource =
  | { readonly kind: 'stored'; readonly versions: readonly ObjectVersion[]; readonly confirmed: Confirmed }
  | { readonly kind: 'vouched'; readonly objects: readonly unknown[] }

export interface StreamStart {
  /** Shown in input errors. */
  readonly file: string
  readonly startByte: number
  /** Nothing can be added to it; see DecoderOptions. */
  readonly isFinished: boolean
  readonly bounds: TimeBounds | undefined
  /** Records per block at most. */
  readonly maxRecords: number
}

/** Messages of a stream: their bytes one after the other; plain data. */
export interface PackedValues {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Where each ends in `bytes`. */
  readonly ends: Uint32Array<ArrayBuffer>
  /** Where each lies in its stream. */
  readonly offsets: Float64Array<ArrayBuffer>
  readonly source: string
  readonly kind?: 'protobuf' | undefined
  /** As for a decoder. */
  readonly maxLineBytes?: number | undefined
  readonly bounds: TimeBounds | undefined
  /** The only value is a body: dead letters show where in it a record lies. */
  readonly isBody?: boolean | undefined
}

export type DecodeRequest =
  | { readonly kind: 'open-lane'; readonly options: LaneOptions }
  | { readonly kind: 'history'; readonly source: HistorySource | undefined }
  | { readonly kind: 'confirm'; readonly confirmed: Confirmed }
  | { readonly kind: 'open-stream'; readonly stream: number; readonly start: StreamStart }
  | { readonly kind: 'push'; readonly stream: number; readonly chunks: readonly Uint8Array<ArrayBuffer>[] }
  | { readonly kind: 'end-stream'; readonly stream: number }
  | { readonly kind: 'values'; readonly values: PackedValues }

/** Edge-window rows of one block at most, where long connections make many of few records. */
const MAX_WINDOW_ROWS = 250_000

/** A block of a lane. */
export interface LaneBlock extends CollectedBlock {
  /** Of messages: how many bytes of them are read with it. */
  readonly bytes: number
}

/** A stream being read, and its last two chunks: most records that are refused for their age lie in them, and are kept as dead letters. */
class OpenStream {
  readonly decoder: Decoder
  readonly options: CollectOptions
  readonly maxRecords: number
  #before = NO_BYTES
  #chunk = NO_BYTES
  #chunkStart: number

  constructor(start: StreamStart, fastPath: FastPath) {
    const { file, startByte, isFinished, bounds, maxRecords } = start
    this.decoder = createDecoder({ startOffset: startByte, isFinished, fastPath })
    this.options = { file, bounds, readBytes: (from, to) => this.#read(from, to) }
    this.maxRecords = maxRecords
    this.#chunkStart = startByte
  }

  push(chunk: Buffer): DecodedItem[] {
    this.#before = this.#chunk
    this.#chunkStart += this.#chunk.length
    this.#chunk = chunk
    return this.decoder.push(chunk)
  }

  #read(from: number, to: number): Buffer {
    const start = this.#chunkStart - this.#before.length
    if (from < start) return NO_BYTES
    if (from >= this.#chunkStart) return this.#chunk.subarray(from - this.#chunkStart, to - this.#chunkStart)
    return Buffer.concat([this.#before, this.#chunk]).subarray(from - start, to - start)
  }
}

const NO_BYTES: Buffer = Buffer.alloc(0)

/** One lane: what reads the records of one cluster with memory of its own. */
export class DecodeWork {
  readonly #normalizer: Normalizer
  readonly #fastPath: FastPath
  readonly #collector: RecordCollector
  readonly #streams = new Map<number, OpenStream>()
  #history: ClusterHistory & Partial<Pick<GrowingHistory, 'confirm'>> = NO_HISTORY

  constructor(options: LaneOptions) {
    this.#normalizer = createNormalizer({ ...options, history: () => this.#history })
    this.#fastPath = createFastPath(this.#normalizer)
    this.#collector = new RecordCollector(this.#normalizer)
  }

  handle(request: Exclude<DecodeRequest, { kind: 'open-lane' }>): LaneBlock[] {
    switch (request.kind) {
      case 'history':
        this.#history = historyOf(request.source)
        return []
      case 'confirm':
        this.#history.confirm?.(request.confirmed)
        return []
      case 'open-stream':
        this.#streams.set(request.stream, new OpenStream(request.start, this.#fastPath))
        return []
      case 'push':
        return this.#push(request.stream, request.chunks)
      case 'end-stream':
        return this.#endStream(request.stream)
      case 'values':
        return this.#readValues(request.values)
    }
  }

  #push(stream: number, chunks: readonly Uint8Array<ArrayBuffer>[]): LaneBlock[] {
    const open = this.#streams.get(stream)
    if (open === undefined) return []
    const blocks: LaneBlock[] = []
    for (const chunk of chunks) this.#collect(open.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)), open, blocks)
    return this.#rest(blocks, 0)
  }

  #endStream(stream: number): LaneBlock[] {
    const open = this.#streams.get(stream)
    if (open === undefined) return []
    this.#streams.delete(stream)
    const blocks: LaneBlock[] = []
    this.#collect(open.decoder.end(), open, blocks)
    return this.#rest(blocks, 0)
  }

  #collect(items: readonly DecodedItem[], { options, maxRecords }: OpenStream, blocks: LaneBlock[]): void {
    for (const item of items) {
      this.#collector.add(item, options)
      if (this.#collector.records >= maxRecords || this.#collector.windowRows >= MAX_WINDOW_ROWS) blocks.push({ ...this.#collector.take(), bytes: 0 })
    }
  }

  #readValues({ bytes, ends, offsets, source, kind, maxLineBytes, bounds, isBody }: PackedValues): LaneBlock[] {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const decodeOptions = { fastPath: this.#fastPath, ...(kind !== undefined && { kind }), ...(maxLineBytes !== undefined && { maxLineBytes }) }
    const blocks: LaneBlock[] = []
    let [start, read] = [0, 0]
    const options: CollectOptions = { file: source, bounds, readBytes: (from, to) => buffer.subarray(start + from, start + to) }
    const lines = kind === undefined && isAscii(buffer) ? new LineValues(buffer, this.#fastPath) : undefined
    for (let i = 0; i < ends.length; i++) {
      const end = ends[i] as number
      const outcome = end > start && end - start <= MAX_LINE_VALUE_BYTES ? lines?.read(start, end) : undefined
      if (outcome === undefined || !this.#collector.addOutcome(outcome, options)) {
        for (const item of decodeValue(buffer.subarray(start, end), decodeOptions)) this.#collector.add(item, options, isBody === true ? undefined : offsets[i])
      }
      start = ends[i] as number
      // Between two messages only: a position lies there.
      if (this.#collector.windowRows >= MAX_WINDOW_ROWS) {
        blocks.push({ ...this.#collector.take(), bytes: start - read })
        read = start
      }
    }
    return this.#rest(blocks, start - read)
  }

  #rest(blocks: LaneBlock[], bytes: number): LaneBlock[] {
    if (this.#collector.records > 0) blocks.push({ ...this.#collector.take(), bytes })
    return blocks
  }
}

/** The history of a source. */
export function historyOf(source: HistorySource | undefined): ClusterHistory {
  if (source === undefined) return NO_HISTORY
  return source.kind === 'vouched' ? vouchedHistory(source.objects) : buildHistory(source.versions, source.confirmed)
}

/** Messages as they are posted; a tombstone is empty. */
export function packValues(
  values: readonly { readonly bytes: Buffer | null; readonly offset: number }[], of: Omit<PackedValues, 'bytes' | 'ends' | 'offsets'>,
): PackedValues {
  let size = 0
  for (const { bytes } of values) size += bytes?.length ?? 0
  const all = Buffer.allocUnsafeSlow(size)
  const ends = new Uint32Array(values.length)
  const offsets = new Float64Array(values.length)
  let at = 0
  for (const [i, { bytes, offset }] of values.entries()) {
    if (bytes !== null) at += bytes.copy(all, at)
    ends[i] = at
    offsets[i] = offset
  }
  return { bytes: all, ends, offsets, ...of }
}
