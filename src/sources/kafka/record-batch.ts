/**
 * Reads Kafka's log format (record batches, "message format 2", since Kafka 0.11) from the bytes of a fetch. Pure apart from decompression; values are
 * slices of the given bytes. Control records are left out and so are records of aborted transactions. A batch that cannot be read becomes one record
 * with a `problem`, never an exception.
 *
 * Written for speed: numbers instead of 64-bit objects (offsets are exact up to 2^53), no object per field, headers and keys are stepped over.
 */
import { codecName, decompress } from './codecs.ts'
import type { KafkaRecord } from './kafka-driver.ts'

/** From its first offset on, the records of a producer belong to an aborted transaction, until its abort marker. */
export interface AbortedTransaction {
  readonly producerId: bigint
  readonly firstOffset: number
}

export interface BatchHeader {
  readonly baseOffset: number
  /** The offset of its last record before compaction: the log goes on behind it. */
  readonly lastOffset: number
  readonly magic: number
  readonly codec: number
  readonly isControl: boolean
  readonly isTransactional: boolean
  /** The log's time instead of each record's, when the topic says so. */
  readonly appendTimestampMs: number | undefined
  readonly firstTimestampMs: number
  readonly producerId: bigint
  readonly recordCount: number
  /** Of the records, within the bytes that were split. */
  readonly start: number
  readonly end: number
}

const HEADER_BYTES = 61
const MAGIC_AT = 16
/** Of one batch. More: memory that a hostile batch of empty records takes; fewer: refuses batches that a producer may build (1 MiB of empty records has 150,000). */
const MAX_RECORDS = 1_000_000
/** Attributes, two deltas and three lengths. */
const MIN_RECORD_BYTES = 6

/** All batches that are in `bytes` as a whole; a fetch may end within one. */
export function splitBatches(bytes: Buffer): BatchHeader[] {
  const batches: BatchHeader[] = []
  let at = 0
  while (at + MAGIC_AT < bytes.length) {
    const end = at + 12 + bytes.readInt32BE(at + 8)
    if (end > bytes.length || end <= at + MAGIC_AT) break
    batches.push(readHeader(bytes, at, end))
    at = end
  }
  return batches
}

function readHeader(bytes: Buffer, at: number, end: number): BatchHeader {
  const baseOffset = readInt64(bytes, at)
  const magic = bytes.readInt8(at + MAGIC_AT)
  if (magic !== 2 || end - at < HEADER_BYTES) {
    return {
      baseOffset, lastOffset: baseOffset, magic, codec: 0, isControl: false, isTransactional: false, appendTimestampMs: undefined, firstTimestampMs: 0,
      producerId: -1n, recordCount: 1, start: end, end,
    }
  }
  const attributes = bytes.readInt16BE(at + 21)
  return {
    baseOffset,
    lastOffset: baseOffset + bytes.readInt32BE(at + 23),
    magic,
    codec: attributes & 7,
    isControl: (attributes & 0x20) !== 0,
    isTransactional: (attributes & 0x10) !== 0,
    appendTimestampMs: (attributes & 8) === 0 ? undefined : readInt64(bytes, at + 35),
    firstTimestampMs: readInt64(bytes, at + 27),
    producerId: bytes.readBigInt64BE(at + 43),
    recordCount: bytes.readInt32BE(at + 57),
    start: at + HEADER_BYTES,
    end,
  }
}

/** Which of the batches a reader of committed records sees. Keeps state from one batch to the next of the same fetch. */
export function createAbortFilter(aborted: readonly AbortedTransaction[]): (batch: BatchHeader, bytes: Buffer) => boolean {
  if (aborted.length === 0) return (batch) => !batch.isControl
  const waiting = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset)
  const open = new Set<bigint>()
  return (batch, bytes) => {
    while (waiting[0] !== undefined && waiting[0].firstOffset <= batch.lastOffset) {
      open.add(waiting[0].producerId)
      waiting.shift()
    }
    if (batch.isControl) {
      if (isAbortMarker(batch, bytes)) open.delete(batch.producerId)
      return false
    }
    return !(batch.isTransactional && open.has(batch.producerId))
  }
}

/** Control batches are not compressed; their one record's key is version (int16) and type (int16), 0 for abort. */
function isAbortMarker(batch: BatchHeader, bytes: Buffer): boolean {
  if (batch.end - batch.start < MIN_RECORD_BYTES + 4) return false
  const cursor = { at: batch.start }
  readVarint(bytes, cursor)
  cursor.at += 1
  readVarint(bytes, cursor)
  readVarint(bytes, cursor)
  const keyLength = readVarint(bytes, cursor)
  return keyLength >= 4 && cursor.at + 4 <= batch.end && bytes.readInt16BE(cursor.at + 2) === 0
}

/** Records at or after `fromOffset`, ascending. Answers at once, without a promise, where nothing is compressed. */
export function decodeBatch(batch: BatchHeader, bytes: Buffer, fromOffset: number): KafkaRecord[] | Promise<KafkaRecord[]> {
  if (batch.magic !== 2) return [problemRecord(batch, fromOffset, 'it is in a format older than Kafka 0.11')]
  const stored = bytes.subarray(batch.start, batch.end)
  if (batch.codec !== 0) return decodeCompressed(batch, stored, fromOffset)
  try {
    return readRecords(batch, stored, fromOffset)
  } catch (error) {
    return [problemRecord(batch, fromOffset, reasonOf(error))]
  }
}

async function decodeCompressed(batch: BatchHeader, stored: Buffer, fromOffset: number): Promise<KafkaRecord[]> {
  try {
    return readRecords(batch, await decompress(batch.codec, stored), fromOffset)
  } catch (error) {
    return [problemRecord(batch, fromOffset, `${codecName(batch.codec)}: ${reasonOf(error)}`)]
  }
}

function reasonOf(error: unknown): string {
  const text = (error as Partial<Error>).message ?? String(error)
  return text.split('\n', 1)[0]?.replace(/\.$/, '').slice(0, 120) ?? ''
}

/** Stands for a batch that cannot be read. */
export function problemRecord(batch: BatchHeader, fromOffset: number, reason: string): KafkaRecord {
  const offset = Math.max(batch.baseOffset, fromOffset)
  const which = offset === batch.lastOffset ? `The record at offset ${offset}` : `The records at offsets ${offset} to ${batch.lastOffset}`
  return { offset, timestampMs: batch.appendTimestampMs ?? batch.firstTimestampMs, value: null, problem: `${which} cannot be read (${reason}).` }
}

/** Record: length, attributes, timestamp delta, offset delta, key, value, headers; lengths are zigzag varints, -1 is null. */
function readRecords(batch: BatchHeader, bytes: Buffer, fromOffset: number): KafkaRecord[] {
  const records: KafkaRecord[] = []
  const cursor = { at: 0 }
  if (batch.recordCount > MAX_RECORDS) throw new Error(`it holds more than ${MAX_RECORDS} records`)
  for (let i = 0; i < batch.recordCount; i++) {
    const length = readVarint(bytes, cursor)
    const end = cursor.at + length
    if (length < MIN_RECORD_BYTES || end > bytes.length) throw new Error('its records are cut off')
    cursor.at += 1
    const timestampDelta = readVarint(bytes, cursor)
    const offset = batch.baseOffset + readVarint(bytes, cursor)
    if (offset >= fromOffset) {
      const keyLength = readVarint(bytes, cursor)
      if (keyLength > 0) cursor.at += keyLength
      const valueLength = readVarint(bytes, cursor)
      if (cursor.at + valueLength > end) throw new Error('its records are damaged')
      records.push({
        offset,
        timestampMs: batch.appendTimestampMs ?? batch.firstTimestampMs + timestampDelta,
        value: valueLength < 0 ? null : bytes.subarray(cursor.at, cursor.at + valueLength),
      })
    }
    cursor.at = end
  }
  return records
}

/** Zigzag varint of up to 64 bits, exact up to 2^53. */
function readVarint(bytes: Buffer, cursor: { at: number }): number {
  const first = bytes[cursor.at]
  // One byte covers most deltas and keys; two bytes most values.
  if (first !== undefined && first < 0x80) {
    cursor.at += 1
    return (first & 1) === 0 ? first >>> 1 : -(first >>> 1) - 1
  }
  let value = 0
  let scale = 1
  for (let i = 0; i < 10; i++) {
    const byte = bytes[cursor.at++]
    if (byte === undefined) break
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value - 1) / 2 - 1
    scale *= 128
  }
  throw new Error('its records are damaged')
}

export function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 4_294_967_296 + bytes.readUInt32BE(at + 4)
}
