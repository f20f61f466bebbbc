/**
 * Reads by a Kafka driver and keeps what it brings, while it holds the driver to its promises: nothing of a partition before `assigned` was answered,
 * after `revoked` or while paused, every batch beginning where the one before ended, offsets ascending, generations rising.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createKafkaDriver } from '../../../src/sources/kafka/create-driver.ts'
import type { Assignment, KafkaDriver, KafkaDriverName, KafkaOptions, KafkaRecord, OutOfRange, PartitionBatch, TopicPartition } from '../../../src/sources/kafka/kafka-driver.ts'
import { topicName } from './kafka.ts'

export interface Reader {
  readonly driver: KafkaDriver
  /** Values as text (`null` for tombstones, problems as they are), by `topic/partition`, in the order of delivery. */
  readonly values: Map<string, (string | null)[]>
  readonly records: KafkaRecord[]
  /** Where each partition is. */
  readonly next: Map<string, number>
  readonly highWatermarks: Map<string, number>
  /** What is owned now, with its generation. */
  readonly owned: Map<string, number>
  readonly generations: number[]
  readonly statuses: { readonly isConnected: boolean, readonly text: string }[]
  readonly outOfRange: OutOfRange[]
  /** Broken promises of the driver; stays empty. */
  readonly complaints: string[]
  pause(partitions: readonly TopicPartition[]): void
  resume(partitions: readonly TopicPartition[]): void
  seek(at: TopicPartition & { readonly offset: number }): void
  /** Returns when it holds; fails after a minute, or when `consume` has ended. */
  until(what: string, holds: () => boolean): Promise<void>
  /** Ends `consume` and the driver. */
  stop(): Promise<void>
}

export interface ReaderOptions {
  readonly starts?: (partitions: readonly Assignment[]) => Promise<readonly (TopicPartition & { readonly offset: number })[]>
  /** Called after the batch was kept. */
  readonly onBatch?: (batch: PartitionBatch, reader: Reader) => void
}

const TIMEOUT_MS = 60_000

export async function startReader(
  name: KafkaDriverName, options: Pick<KafkaOptions, 'brokers' | 'topics'> & Partial<KafkaOptions>, { starts = () => Promise.resolve([]), onBatch }: ReaderOptions = {},
): Promise<Reader> {
  const driver = await createKafkaDriver(name, { clientId: 'flowfence-test', groupId: topicName('group'), topicRefreshMs: 500, sessionTimeoutMs: 6000, ...options })
  const stopping = new AbortController()
  const started = new Set<string>()
  const paused = new Set<string>()
  let ended: unknown
  const reader: Reader = {
    driver, values: new Map(), records: [], next: new Map(), highWatermarks: new Map(), owned: new Map(), generations: [], statuses: [], outOfRange: [], complaints: [],
    pause: (partitions) => {
      for (const at of partitions) paused.add(keyOf(at))
      driver.pause(partitions)
    },
    resume: (partitions) => {
      for (const at of partitions) paused.delete(keyOf(at))
      driver.resume(partitions)
    },
    seek: (at) => {
      reader.next.set(keyOf(at), at.offset)
      driver.seek(at)
    },
    until: async (what, holds) => {
      const giveUpAt = performance.now() + TIMEOUT_MS
      while (!holds()) {
        if (ended !== undefined) throw new Error(`Reading has ended before ${what}.`, { cause: ended })
        if (performance.now() > giveUpAt) throw new Error(`Not within a minute: ${what}. ${JSON.stringify([...reader.next])} ${JSON.stringify(reader.statuses.slice(-3))}`)
        await sleep(20)
      }
    },
    stop: async () => {
      stopping.abort()
      await done
      await driver.close()
    },
  }
  const take = (batch: PartitionBatch): void => {
    const key = keyOf(batch)
    reader.complaints.push(...complaintsOf(batch, reader, { isStarted: started.has(key), isPaused: paused.has(key) }))
    reader.next.set(key, batch.nextOffset)
    reader.highWatermarks.set(key, batch.highWatermark)
    const values = reader.values.get(key) ?? []
    reader.values.set(key, values)
    for (const record of batch.records) {
      values.push(record.problem ?? record.value?.toString() ?? null)
      reader.records.push({ ...record, value: record.value === null ? null : Buffer.from(record.value) })
    }
    onBatch?.(batch, reader)
  }
  const done = driver.consume({
    assigned: async (partitions) => {
      for (const at of partitions) {
        if (at.generation <= (reader.generations.at(-1) ?? 0) && !partitions.some((p) => p !== at && p.generation === at.generation)) reader.complaints.push('a generation does not rise')
        reader.owned.set(keyOf(at), at.generation)
      }
      reader.generations.push(Math.max(...partitions.map((at) => at.generation)))
      const offsets = await starts(partitions)
      for (const at of partitions) {
        started.add(keyOf(at))
        const offset = offsets.find((start) => keyOf(start) === keyOf(at))?.offset
        if (offset === undefined) reader.next.delete(keyOf(at))
        else reader.next.set(keyOf(at), offset)
      }
      return offsets
    },
    revoked: (partitions) => {
      for (const at of partitions) {
        reader.owned.delete(keyOf(at))
        started.delete(keyOf(at))
        paused.delete(keyOf(at))
      }
    },
    batch: take,
    outOfRange: (at) => { reader.outOfRange.push(at) },
    status: (status) => { reader.statuses.push(status) },
  }, stopping.signal).then(() => { ended ??= 'aborted' }, (error: unknown) => { ended = error })
  return reader
}

function complaintsOf(batch: PartitionBatch, reader: Reader, { isStarted, isPaused }: { isStarted: boolean, isPaused: boolean }): string[] {
  const key = keyOf(batch)
  const expected = reader.next.get(key) ?? 0
  const offsets = batch.records.map(({ offset }) => offset)
  return [
    ...(reader.owned.get(key) === batch.generation ? [] : [`${key}: a batch of generation ${batch.generation}, owned is ${reader.owned.get(key)}`]),
    ...(isStarted ? [] : [`${key}: a batch before its start was told`]),
    ...(isPaused ? [`${key}: a batch while paused`] : []),
    ...(offsets.every((offset, i) => offset >= (offsets[i - 1] ?? expected - 1) + 1 || (i === 0 && offset >= expected)) ? [] : [`${key}: offsets do not ascend from ${expected}`]),
    ...(batch.nextOffset > Math.max(expected - 1, offsets.at(-1) ?? -1) ? [] : [`${key}: next offset ${batch.nextOffset} after ${offsets.at(-1) ?? expected}`]),
  ]
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
