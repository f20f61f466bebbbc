/**
 * Where a partition of a Kafka topic goes on, and whether it is still the same log.
 *
 * A position remembers the last record that was stored by its offset, time and checksum. A topic that was deleted and made anew, or cut off by an unclean
 * leader election, has another record there or none; then the offset means nothing any more.
 */
import { crc32 } from 'node:zlib'
import type { KafkaDriver, KafkaRecord, PartitionRange, TopicPartition } from '../sources/kafka/kafka-driver.ts'
import type { Position } from '../store/read/select-positions.ts'

/** What to do with a partition whose log is another one: read all of it, only what comes from now on, or stop and let a person decide. */
export type OnReset = 'earliest' | 'latest' | 'stop'

/** Name of a partition in `positions`. `brokers` is the broker cluster's own id. */
export function positionName(brokers: string, { topic, partition }: TopicPartition): string {
  return `kafka:${brokers}/${topic}/${partition}`
}

/** What a position remembers of the last record stored. */
export function recordFingerprint({ offset, timestampMs, value }: KafkaRecord): string {
  return `${offset}:${timestampMs}:${value === null ? '-' : crc32(value).toString(16)}`
}

/** Where reading starts. `lost`: records that were deleted before they were read; `reset`: why the log is not the one that was read before. */
export interface StartPoint {
  readonly offset: number
  readonly lost: number
  readonly reset: string | undefined
}

/** Finds where to go on after a position. Asks the brokers for the record that it remembers, if that is still there. */
export async function findStart(driver: Pick<KafkaDriver, 'readRecord'>, at: PartitionRange, position: Position): Promise<StartPoint> {
  const { next } = position
  if (next > at.latest) return { offset: at.earliest, lost: 0, reset: `it ends at offset ${at.latest}, and everything up to ${next} was read before` }
  const [offsetText, timeText, sum] = position.fingerprint.split(':')
  const offset = Number(offsetText)
  if (sum !== undefined && offset >= at.earliest && offset < at.latest) {
    const record = await driver.readRecord({ topic: at.topic, partition: at.partition, offset })
    // Without a record of this very offset (compaction removed it) nothing can be said.
    const isOther = record?.offset === offset && record.problem === undefined && recordFingerprint(record) !== `${offset}:${timeText ?? ''}:${sum}`
    if (isOther) return { offset: at.earliest, lost: 0, reset: `it holds another record at offset ${offset} than was read before` }
  }
  if (next < at.earliest) return { offset: at.earliest, lost: at.earliest - next, reset: undefined }
  return { offset: next, lost: 0, reset: undefined }
}
