/** One fetch from one broker, its records left as bytes: the library would decode each response at once and whole, and lose it for one damaged batch. */
import type { Reader } from '@platformatic/kafka'
import type { BrokerAddress, BrokerConnections, Lane, RawRequest } from './broker-connections.ts'
import { kafkaError } from './failures.ts'
import type { FetchedPartition } from '../fetch-response.ts'
import type { AbortedTransaction } from '../record-batch.ts'

interface FetchWish {
  readonly topic: string
  /** From version 13 on topics go by id. */
  readonly topicId: string
  readonly partition: number
  readonly offset: number
  readonly maxBytes: number
}

interface FetchLimits {
  /** Of the whole response, but for one larger batch. */
  readonly maxBytes: number
  /** How long the broker waits for a first byte. */
  readonly maxWaitMs: number
}

interface FetchAnswer {
  /** Of the request as a whole. */
  readonly errorCode: number
  /** Topics by name or id, as asked. */
  readonly partitions: readonly FetchedPartition[]
}

const READ_COMMITTED = 1
const FLEXIBLE_SINCE = 12
const TOPIC_IDS_SINCE = 13
const NO_BYTES = Buffer.alloc(0)

const readTransaction = (reader: Reader): AbortedTransaction => ({ producerId: reader.readInt64(), firstOffset: Number(reader.readInt64()) })

const readRecords = (reader: Reader, isFlexible: boolean): Buffer => {
  const size = isFlexible ? reader.readUnsignedVarInt() - 1 : reader.readInt32()
  if (size <= 0) return NO_BYTES
  // One copy out of the pieces the socket gave: views would hold on to all of them.
  const bytes = reader.buffer.slice(reader.position, reader.position + size)
  reader.skip(size)
  return bytes
}

const readPartition = (reader: Reader, topic: string, isFlexible: boolean): FetchedPartition => {
  const partition = reader.readInt32()
  const errorCode = reader.readInt16()
  const highWatermark = Number(reader.readInt64())
  // The last stable offset and the start of the log.
  reader.skip(16)
  const aborted = reader.readNullableArray(readTransaction, isFlexible, isFlexible) ?? []
  reader.readInt32()
  const bytes = readRecords(reader, isFlexible)
  return { topic, partition, errorCode, highWatermark, aborted, bytes }
}

const parse = (reader: Reader, version: number): FetchAnswer => {
  const isFlexible = version >= FLEXIBLE_SINCE
  reader.readInt32()
  const errorCode = reader.readInt16()
  reader.readInt32()
  const topics = reader.readArray((own) => {
    const topic = version >= TOPIC_IDS_SINCE ? own.readUUID() : own.readString(isFlexible)
    return own.readArray((part) => readPartition(part, topic, isFlexible), isFlexible, isFlexible)
  }, isFlexible, isFlexible)
  return { errorCode, partitions: topics.flat() }
}

const request = (wishes: readonly FetchWish[], limits: FetchLimits): RawRequest<FetchAnswer> => ({
  name: 'Fetch', flexibleSince: FLEXIBLE_SINCE, parse,
  args: (version) => {
    const topics = new Map<string, { topicId: string; partitions: unknown[] }>()
    for (const wish of wishes) {
      const topicId = version >= TOPIC_IDS_SINCE ? wish.topicId : wish.topic
      const topic = topics.get(topicId) ?? { topicId, partitions: [] }
      topic.partitions.push({ partition: wish.partition, currentLeaderEpoch: -1, fetchOffset: BigInt(wish.offset), lastFetchedEpoch: -1, partitionMaxBytes: wish.maxBytes })
      topics.set(topicId, topic)
    }
    // No fetch session (id 0, epoch -1): each request says all it wants, so that nothing has to be kept equal on both sides.
    return [limits.maxWaitMs, 1, limits.maxBytes, READ_COMMITTED, 0, -1, [...topics.values()], [], '']
  },
})

export interface Fetching extends FetchLimits {
  readonly connections: BrokerConnections
  readonly broker: BrokerAddress
  readonly lane: Lane
}

/** What the broker has of the wishes; those it did not answer are missing. Rejects where the request as a whole was refused. */
export const fetchOnce = async (wishes: readonly FetchWish[], how: Fetching): Promise<FetchedPartition[]> => {
  const answer = await how.connections.callRaw(how.broker, how.lane, request(wishes, how))
  if (answer.errorCode !== 0) throw kafkaError(answer.errorCode)
  const names = new Map(wishes.flatMap(({ topic, topicId }) => [[topic, topic], [topicId, topic]]))
  return answer.partitions.flatMap((fetched) => {
    const topic = names.get(fetched.topic)
    return topic === undefined ? [] : [{ ...fetched, topic }]
  })
}
