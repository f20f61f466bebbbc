/** Takes the answer to Kafka's Fetch request (versions 4 to 11) apart; the records stay bytes, slices of the answer. */
import { readInt64 } from './record-batch.ts'
import type { AbortedTransaction } from './record-batch.ts'
import type { TopicPartition } from './kafka-driver.ts'

export interface FetchedPartition extends TopicPartition {
  /** Kafka's error code; 0 is none. */
  readonly errorCode: number
  readonly highWatermark: number
  readonly aborted: readonly AbortedTransaction[]
  readonly bytes: Buffer
  /** Base offsets of batches that do not agree with their checksum, where the driver looks at it. */
  readonly damaged?: ReadonlySet<number>
}

export interface FetchResponse {
  /** How long the broker asks to wait before the next request. */
  readonly throttleMs: number
  readonly errorCode: number
  readonly partitions: readonly FetchedPartition[]
}

export function readFetchResponse(answer: Buffer, version: number): FetchResponse {
  const cursor = { at: 0 }
  const int32 = (): number => {
    cursor.at += 4
    return answer.readInt32BE(cursor.at - 4)
  }
  const int16 = (): number => {
    cursor.at += 2
    return answer.readInt16BE(cursor.at - 2)
  }
  const throttleMs = int32()
  let errorCode = 0
  if (version >= 7) {
    errorCode = int16()
    int32() // session
  }
  const partitions: FetchedPartition[] = []
  for (let topics = int32(); topics > 0; topics--) {
    const length = int16()
    cursor.at += length
    const topic = answer.toString('utf8', cursor.at - length, cursor.at)
    for (let count = int32(); count > 0; count--) partitions.push(readPartition(answer, cursor, version, topic))
  }
  return { throttleMs, errorCode, partitions }
}

function readPartition(answer: Buffer, cursor: { at: number }, version: number, topic: string): FetchedPartition {
  const partition = answer.readInt32BE(cursor.at)
  const errorCode = answer.readInt16BE(cursor.at + 4)
  const highWatermark = readInt64(answer, cursor.at + 6)
  // Then the last stable offset, and the log's start from version 5 on.
  cursor.at += version >= 5 ? 30 : 22
  const abortedCount = answer.readInt32BE(cursor.at)
  cursor.at += 4
  const aborted: AbortedTransaction[] = []
  for (let i = 0; i < abortedCount; i++) {
    aborted.push({ producerId: answer.readBigInt64BE(cursor.at), firstOffset: readInt64(answer, cursor.at + 8) })
    cursor.at += 16
  }
  if (version >= 11) cursor.at += 4 // preferred replica
  const length = Math.max(answer.readInt32BE(cursor.at), 0)
  const start = cursor.at + 4
  cursor.at = start + length
  return { topic, partition, errorCode, highWatermark, aborted, bytes: answer.subarray(start, cursor.at) }
}
