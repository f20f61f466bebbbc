import type { Assignment, KafkaRecord, PartitionBatch, TopicPartition } from '../sources/kafka/kafka-driver.ts'
import type { Position } from '../store/read/select-positions.ts'
import type { Ingester } from './ingest.ts'

/** What was taken of a partition's queue, to be stored together. */
export interface TakenRecords {
  readonly records: readonly KafkaRecord[]
  /** Where the ones before them ended. */
  readonly fromOffset: number
  /** Where the partition goes on after them. */
  readonly nextOffset: number
}

export interface PartitionState {
  /** Name in `positions`. */
  readonly name: string
  readonly ingester: Ingester
  /** What is stored: what this process read or wrote last. */
  readonly position: Position | undefined
}

/** A partition that this process owns: what was fetched of it and is not taken yet, and how far the store is. */
export class KafkaPartition implements TopicPartition {
  readonly topic: string
  readonly partition: number
  readonly generation: number
  readonly name: string
  readonly ingester: Ingester
  position: Position | undefined
  /** Where the store stands in this log: everything before it is stored, or is not wanted. */
  next: number
  /** Rises when what was taken is void. */
  epoch = 0
  /** Fetching pauses. */
  isPaused = false
  /** The offset after the newest record in the broker, as far as known. */
  highWatermark = 0
  /** When the oldest record in the queue came, by the monotonic clock; Infinity for an empty queue. */
  waitingSinceMs = Infinity
  /** Up to where it was taken, since it was cleared. */
  #takenTo: number | undefined
  #batches: PartitionBatch[] = []
  #bytes = 0
  #records = 0

  constructor({ topic, partition, generation }: Assignment, { name, ingester, position }: PartitionState) {
    this.topic = topic
    this.partition = partition
    this.generation = generation
    this.name = name
    this.ingester = ingester
    this.position = position
    this.next = position?.next ?? 0
  }

  /** Bytes and records that wait. A batch without records moves only the position: it counts as one record. */
  get bytes(): number {
    return this.#bytes
  }

  get records(): number {
    return this.#records
  }

  /** Records in the broker that are not stored yet, as far as known. */
  get lag(): number {
    return Math.max(0, this.highWatermark - this.next)
  }

  push(batch: PartitionBatch, nowMs: number): void {
    if (this.#batches.length === 0) this.waitingSinceMs = nowMs
    this.#batches.push(batch)
    this.#bytes += bytesOf(batch)
    this.#records += Math.max(1, batch.records.length)
    this.highWatermark = batch.highWatermark
  }

  /** Takes whole batches until there are so many records or bytes; `undefined` when nothing waits. */
  take(maxRecords: number, maxBytes: number, nowMs: number): TakenRecords | undefined {
    const records: KafkaRecord[] = []
    let [bytes, nextOffset, count] = [0, -1, 0]
    while (count === 0 || (records.length < maxRecords && bytes < maxBytes)) {
      const batch = this.#batches.shift()
      if (batch === undefined) break
      for (const record of batch.records) records.push(record)
      bytes += bytesOf(batch)
      nextOffset = batch.nextOffset
      this.#records -= Math.max(1, batch.records.length)
      count++
    }
    this.#bytes -= bytes
    this.waitingSinceMs = this.#batches.length === 0 ? Infinity : nowMs
    if (count === 0) return undefined
    const fromOffset = this.#takenTo ?? this.next
    this.#takenTo = nextOffset
    return { records, fromOffset, nextOffset }
  }

  /** Forgets what waits and what was taken and is not stored: it will be fetched again. */
  clear(): void {
    this.epoch++
    this.#takenTo = undefined
    this.#batches = []
    this.#bytes = 0
    this.#records = 0
    this.waitingSinceMs = Infinity
  }
}

/** Memory of a record beside its value, about: counts where values are short. */
const RECORD_BYTES = 200

function bytesOf({ records }: PartitionBatch): number {
  let bytes = records.length * RECORD_BYTES
  for (const { value } of records) bytes += value?.length ?? 0
  return bytes
}
