/**
 * Where a partition of a Kafka topic goes on, and whether it is still the same log.
 *
 * A position remembers the last record that was stored by its offset, time and checksum. A topic that was deleted and made anew, or cut off by an unclean
 * leader election, has another record there or none; then the offset means nothing any more.
 */
import { setTimeout as sleep } from 'node:timers/promises'
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
  /** The log's range as asked for last. */
  readonly range: PartitionRange
}

export interface FindStartOptions {
  /** Ends the wait for the log's end early. */
  readonly isWanted?: () => boolean
  /** Default 1000. */
  readonly pauseMs?: number
}

/**
 * How often an end that lies before the position is asked for again. A leader that took over knows only after some moments how far the log was read, and a
 * range may be older than the position: neither is another log.
 */
const MAX_ASKED = 10

/** Finds where to go on after a position. Asks the brokers for the record that it remembers, if that is still there. */
export async function findStart(
  driver: Pick<KafkaDriver, 'readRecord' | 'ranges'>, at: PartitionRange, position: Position, options: FindStartOptions = {},
): Promise<StartPoint> {
  const { next } = position
  const range = await rangeUpTo(driver, at, next, options)
  if (next > range.latest) return { offset: range.earliest, lost: 0, reset: `it ends at offset ${range.latest}, and everything up to ${next} was read before`, range }
  const [offsetText, timeText, sum] = position.fingerprint.split(':')
  const offset = Number(offsetText)
  if (sum !== undefined && offset >= range.earliest && offset < range.latest) {
    const record = await driver.readRecord({ topic: at.topic, partition: at.partition, offset })
    // Without a record of this very offset (compaction removed it) nothing can be said.
    const isOther = record?.offset === offset && record.problem === undefined && recordFingerprint(record) !== `${offset}:${timeText ?? ''}:${sum}`
    if (isOther) return { offset: range.earliest, lost: 0, reset: `it holds another record at offset ${offset} than was read before`, range }
  }
  if (next < range.earliest) return { offset: range.earliest, lost: range.earliest - next, reset: undefined, range }
  return { offset: next, lost: 0, reset: undefined, range }
}

async function rangeUpTo(driver: Pick<KafkaDriver, 'ranges'>, at: PartitionRange, next: number, { isWanted, pauseMs = 1_000 }: FindStartOptions): Promise<PartitionRange> {
  let range = at
  for (let asked = 0; next > range.latest && asked < MAX_ASKED && isWanted?.() !== false; asked++) {
    await sleep(pauseMs)
    range = (await driver.ranges(at.topic)).find(({ partition }) => partition === at.partition) ?? range
  }
  return range
}
