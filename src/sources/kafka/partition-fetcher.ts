/**
 * Reads the partitions of one member, broker by broker, and hands their records to the handler: one request at a time and slot of a broker, for all partitions
 * that broker leads and that may be read. Knows no client library; `FetchPort` speaks to the brokers.
 *
 * Promises: nothing of a partition is delivered before its start is known, after it was revoked, while it is paused, or from before its last seek. What
 * was on its way when a partition was paused is kept (one answer and partition at most) and comes first after `resume`. Records of a partition come in
 * order; a slow partition delays no other one.
 */
import { setImmediate as immediate } from 'node:timers/promises'
import { createAbortFilter, decodeBatch, problemRecord, splitBatches } from './record-batch.ts'
import type { BatchHeader } from './record-batch.ts'
import type { FetchedPartition } from './fetch-response.ts'
import type { Assignment, KafkaHandler, KafkaRecord, PartitionBatch, PartitionRange, TopicPartition } from './kafka-driver.ts'

export interface FetchWanted extends TopicPartition {
  readonly offset: number
  readonly maxBytes: number
}

export interface FetchPort {
  /** The broker that leads the partition, as last heard; `undefined` while nobody does. */
  leaderOf(at: TopicPartition): number | undefined
  /** `slot`: below `slots`, and of no other request to that broker on its way. */
  fetch(nodeId: number, wanted: readonly FetchWanted[], slot: number): Promise<readonly FetchedPartition[]>
  /** Requests at a time to one broker, 1 unless told: with more, partitions without news, which the broker waits for, never hold up others. */
  readonly slots?: number
  range(at: TopicPartition): Promise<PartitionRange>
  /** Asks who leads what again. */
  refresh(): Promise<void>
  /** A request failed and is tried again; `undefined`: it works again. */
  report(error: unknown): void
  /** A partition cannot be read for Kafka's error code; it is tried again. */
  refused(at: TopicPartition, errorCode: number): void
  /** The handler threw: a bug. */
  fail(error: unknown): void
}

/** A fetched answer on its way to the handler. */
interface Chunk {
  readonly bytes: Buffer
  readonly batches: readonly BatchHeader[]
  /** To be asked once for each batch, in order. */
  readonly isVisible: (batch: BatchHeader, bytes: Buffer) => boolean
  readonly highWatermark: number
  readonly damaged: ReadonlySet<number> | undefined
  /** Index of the next batch to decode. */
  next: number
}

/** Decoded and not delivered yet. */
type Decoded = Pick<PartitionBatch, 'records' | 'nextOffset' | 'highWatermark'>

/** One assigned partition. */
interface Lane extends Assignment {
  readonly key: string
  /** Of the next request; `undefined`: not known yet, or out of range and waiting for a seek. */
  fetchOffset: number | undefined
  /** What the handler gets next begins here. */
  deliverOffset: number
  /** Rises with every seek: answers to older requests are void. */
  epoch: number
  isPaused: boolean
  isDraining: boolean
  isFetching: boolean
  chunks: Chunk[]
  /** Decoded while the handler paused. */
  held: Decoded | undefined
  /** Not asked for before this time (after an error of this partition). */
  notBeforeMs: number
  delayMs: number
}

/** Of values per delivery. More: fewer, larger deliveries; fewer: less decoded memory at once. */
const DELIVERY_BYTES = 1024 * 1024
const FIRST_DELAY_MS = 100
const MAX_DELAY_MS = 10_000
/** Answers kept per partition: one is decoded while the next one travels. */
const MAX_CHUNKS = 2
const OUT_OF_RANGE = 1

export class PartitionFetcher {
  readonly #port: FetchPort
  readonly #handler: KafkaHandler
  readonly #partitionBytes: number
  readonly #lanes = new Map<string, Lane>()
  /** Slots of brokers with a request on its way. */
  readonly #busy = new Map<number, Set<number>>()
  #isHeld = false
  readonly #timers = new Set<NodeJS.Timeout>()
  #turn = 0

  constructor(port: FetchPort, handler: KafkaHandler, partitionBytes: number) {
    this.#port = port
    this.#handler = handler
    this.#partitionBytes = partitionBytes
  }

  /** Takes partitions over; each waits for `start`. */
  assign(partitions: readonly Assignment[]): void {
    for (const { topic, partition, generation } of partitions) {
      const key = keyOf({ topic, partition })
      this.#lanes.set(key, {
        topic, partition, generation, key, fetchOffset: undefined, deliverOffset: 0, epoch: 0, isPaused: false, isDraining: false, isFetching: false,
        chunks: [], held: undefined, notBeforeMs: 0, delayMs: FIRST_DELAY_MS,
      })
    }
  }

  /** Void where the partition is of another generation by now, or was sought meanwhile. */
  start(at: Assignment & { readonly offset: number }): void {
    const lane = this.#lanes.get(keyOf(at))
    if (lane?.generation === at.generation && lane.epoch === 0) this.seek(at)
  }

  /** Gives all partitions up and returns which they were. */
  revokeAll(): TopicPartition[] {
    const partitions = [...this.#lanes.values()].map(({ topic, partition }) => ({ topic, partition }))
    this.#lanes.clear()
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    return partitions
  }

  /** Gives some partitions up. */
  revoke(partitions: readonly TopicPartition[]): void {
    for (const at of partitions) this.#lanes.delete(keyOf(at))
  }

  /** Delivers nothing until `release`: it is open who owns what. */
  hold(): void {
    this.#isHeld = true
  }

  release(): void {
    this.#isHeld = false
    for (const lane of this.#lanes.values()) void this.#drain(lane)
  }

  seek(at: TopicPartition & { readonly offset: number }): void {
    const lane = this.#lanes.get(keyOf(at))
    if (lane === undefined) return
    Object.assign(lane, { fetchOffset: at.offset, deliverOffset: at.offset, epoch: lane.epoch + 1, isDraining: false, chunks: [], held: undefined, notBeforeMs: 0 })
    this.#kick()
  }

  pause(partitions: readonly TopicPartition[]): void {
    for (const at of partitions) {
      const lane = this.#lanes.get(keyOf(at))
      if (lane !== undefined) lane.isPaused = true
    }
  }

  resume(partitions: readonly TopicPartition[]): void {
    for (const at of partitions) {
      const lane = this.#lanes.get(keyOf(at))
      if (lane === undefined || !lane.isPaused) continue
      lane.isPaused = false
      void this.#drain(lane)
    }
    this.#kick()
  }

  #isCurrent(lane: Lane, epoch: number): boolean {
    return this.#lanes.get(lane.key) === lane && lane.epoch === epoch
  }

  /** Starts a request to every idle broker that leads a partition to be read. */
  #kick(): void {
    const wanted = new Map<number, Lane[]>()
    let hasOrphans = false
    for (const lane of this.#lanes.values()) {
      if (!isWanted(lane)) continue
      const nodeId = this.#port.leaderOf(lane)
      if (nodeId === undefined) {
        hasOrphans = true
        this.#postpone(lane)
      } else {
        wanted.set(nodeId, [...wanted.get(nodeId) ?? [], lane])
      }
    }
    for (const [nodeId, lanes] of wanted) {
      const slot = this.#freeSlot(nodeId)
      if (slot !== undefined) void this.#request(nodeId, lanes, slot)
    }
    if (hasOrphans) void this.#refresh()
  }

  #freeSlot(nodeId: number): number | undefined {
    const busy = this.#busy.get(nodeId)
    for (let slot = 0; slot < (this.#port.slots ?? 1); slot++) if (busy?.has(slot) !== true) return slot
    return undefined
  }

  #postpone(lane: Lane): void {
    lane.notBeforeMs = Date.now() + lane.delayMs
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      lane.notBeforeMs = 0
      this.#kick()
    }, lane.delayMs)
    this.#timers.add(timer)
    lane.delayMs = Math.min(lane.delayMs * 2, MAX_DELAY_MS)
  }

  async #refresh(): Promise<void> {
    try {
      await this.#port.refresh()
    } catch (error) {
      this.#port.report(error)
    }
  }

  async #request(nodeId: number, lanes: readonly Lane[], slot: number): Promise<void> {
    const busy = this.#busy.get(nodeId) ?? new Set<number>()
    this.#busy.set(nodeId, busy.add(slot))
    // Brokers fill an answer in the order asked for: each partition is first at times.
    this.#turn = (this.#turn + 1) % lanes.length
    const asked = [...lanes.slice(this.#turn), ...lanes.slice(0, this.#turn)].map((lane) => ({ lane, epoch: lane.epoch, offset: lane.fetchOffset ?? 0 }))
    for (const { lane } of asked) lane.isFetching = true
    const release = (): void => {
      for (const { lane } of asked) lane.isFetching = false
    }
    try {
      const wanted = asked.map(({ lane, offset }) => ({ topic: lane.topic, partition: lane.partition, offset, maxBytes: this.#partitionBytes }))
      const answers = new Map((await this.#port.fetch(nodeId, wanted, slot)).map((answer) => [keyOf(answer), answer]))
      release()
      this.#port.report(undefined)
      let hasMoved = false
      for (const { lane, epoch, offset } of asked) {
        const answer = answers.get(lane.key)
        if (answer !== undefined && this.#isCurrent(lane, epoch)) hasMoved = this.#accept(lane, answer, offset) || hasMoved
      }
      if (hasMoved) await this.#refresh()
    } catch (error) {
      release()
      for (const { lane } of asked) if (this.#lanes.get(lane.key) === lane) this.#postpone(lane)
      this.#port.report(error)
      await this.#refresh()
    } finally {
      busy.delete(slot)
      this.#kick()
    }
  }

  /** True when the leader must be asked for again. */
  #accept(lane: Lane, answer: FetchedPartition, offset: number): boolean {
    if (answer.errorCode === OUT_OF_RANGE) {
      this.#postpone(lane)
      void this.#checkRange(lane, lane.epoch, offset)
      return false
    }
    if (answer.errorCode !== 0) {
      this.#postpone(lane)
      this.#port.refused(lane, answer.errorCode)
      return true
    }
    lane.delayMs = FIRST_DELAY_MS
    const batches = splitBatches(answer.bytes)
    const last = batches.at(-1)
    if (last === undefined) return false
    lane.fetchOffset = Math.max(last.lastOffset + 1, offset)
    lane.chunks.push({ bytes: answer.bytes, batches, isVisible: createAbortFilter(answer.aborted), highWatermark: answer.highWatermark, damaged: answer.damaged, next: 0 })
    void this.#drain(lane)
    return false
  }

  async #checkRange(lane: Lane, epoch: number, offset: number): Promise<void> {
    try {
      const range = await this.#port.range(lane)
      // A new leader may be behind for a moment: then the offset is in range, and is asked for again.
      if (!this.#isCurrent(lane, epoch) || (offset >= range.earliest && offset <= range.latest)) return
      lane.fetchOffset = undefined
      this.#handler.outOfRange({ ...range, offset, generation: lane.generation })
    } catch (error) {
      this.#port.report(error)
    }
  }

  /** Decodes and delivers what was fetched, until nothing is left or the handler has enough. */
  async #drain(lane: Lane): Promise<void> {
    if (lane.isDraining) return
    lane.isDraining = true
    const epoch = lane.epoch
    try {
      while (this.#isCurrent(lane, epoch) && !lane.isPaused && !this.#isHeld) {
        const chunk = lane.chunks[0]
        if (lane.held !== undefined) {
          this.#deliver(lane, lane.held)
          // A megabyte of well compressed bytes unfolds to a hundred: other partitions, sockets and the release of what was read get their turn between.
          await immediate()
        } else if (chunk === undefined) {
          break
        } else if (chunk.next === chunk.batches.length) {
          lane.chunks.shift()
          this.#kick()
        } else {
          const decoded = await decodeSome(chunk, lane.deliverOffset)
          if (this.#isCurrent(lane, epoch)) lane.held = decoded
        }
      }
    } catch (error) {
      this.#port.fail(error)
    } finally {
      // A seek has begun anew meanwhile, and resets the flag by itself.
      if (lane.epoch === epoch) lane.isDraining = false
    }
  }

  #deliver(lane: Lane, decoded: Decoded): void {
    lane.held = undefined
    if (decoded.nextOffset <= lane.deliverOffset) return
    lane.deliverOffset = decoded.nextOffset
    this.#handler.batch({ topic: lane.topic, partition: lane.partition, generation: lane.generation, ...decoded })
  }
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

function isWanted(lane: Lane): boolean {
  return lane.fetchOffset !== undefined && !lane.isPaused && !lane.isFetching && lane.chunks.length < MAX_CHUNKS && lane.notBeforeMs <= Date.now()
}

/** The next batches of a chunk, about DELIVERY_BYTES of them. */
async function decodeSome(chunk: Chunk, fromOffset: number): Promise<Decoded> {
  const records: KafkaRecord[] = []
  let nextOffset = fromOffset
  let sizeBytes = 0
  while (sizeBytes < DELIVERY_BYTES) {
    const batch = chunk.batches[chunk.next]
    if (batch === undefined) break
    chunk.next++
    nextOffset = Math.max(nextOffset, batch.lastOffset + 1)
    if (!chunk.isVisible(batch, chunk.bytes)) continue
    const isDamaged = chunk.damaged?.has(batch.baseOffset) === true
    const decoded = isDamaged ? [problemRecord(batch, fromOffset, 'its checksum is wrong')] : decodeBatch(batch, chunk.bytes, fromOffset)
    for (const record of Array.isArray(decoded) ? decoded : await decoded) {
      records.push(record)
      sizeBytes += record.value?.length ?? 0
    }
  }
  return { records, nextOffset, highWatermark: chunk.highWatermark }
}
