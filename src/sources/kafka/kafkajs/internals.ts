// eslint-disable-next-line @typescript-eslint/triple-slash-reference -- declarations of modules of others cannot be imported
/// <reference path="./modules.d.ts" />
/**
 * What is taken from kafkajs behind its public interface, and two repairs of it. Why: docs/decisions/0006-kafka-client.md. The version is pinned, and the
 * library frozen.
 */
import type { Kafka } from 'kafkajs'
import Broker from 'kafkajs/src/broker/index.js'
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js'
import fetchDefinition from 'kafkajs/src/protocol/requests/fetch/index.js'
import metadataDefinition from 'kafkajs/src/protocol/requests/metadata/index.js'
import { readFetchResponse } from '../fetch-response.ts'
import type { FetchResponse } from '../fetch-response.ts'

export interface TopicMetadata {
  /** Kafka's error code; 0 is none. */
  readonly topicErrorCode: number
  readonly topic: string
  readonly isInternal?: boolean
  readonly partitionMetadata: readonly { readonly partitionId: number, readonly leader: number }[]
}

export interface ClusterMetadata {
  readonly clusterId?: string | null
  readonly topicMetadata: readonly TopicMetadata[]
}

/** Connections to all brokers of a cluster. */
export interface Cluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  refreshMetadata(): Promise<void>
  /** Connected, or it throws. */
  findBroker(at: { nodeId: number }): Promise<Broker>
  removeBroker(at: { host: string, port: number }): void
  addMultipleTargetTopics(topics: string[]): Promise<void>
  fetchTopicsOffset(topics: { topic: string, partitions: { partition: number }[], fromBeginning: boolean }[]): Promise<
    { topic: string, partitions: { partition: number, offset: string }[] }[]
  >
  targetTopics: Set<string>
  brokerPool: { metadata: ClusterMetadata | null, versions: Broker['versions'], findConnectedBroker(): Promise<Broker> }
}

export type { Broker }

const READ_UNCOMMITTED = 0
const READ_COMMITTED = 1
const API = { fetch: 1, metadata: 3 } as const

export function createCluster(kafka: Kafka): Cluster {
  const create = Object.getOwnPropertySymbols(kafka).find(({ description }) => description === 'private:Kafka:createCluster')
  if (create === undefined) throw new Error('Bug: kafkajs is not version 2.2.4.')
  const options = { metadataMaxAge: 300_000, allowAutoTopicCreation: false, isolationLevel: READ_UNCOMMITTED }
  return (kafka as unknown as Record<symbol, (o: typeof options) => Cluster>)[create]?.(options) as Cluster
}

/** One Fetch request; the records come as bytes, which record-batch.ts reads. */
export async function fetchRecords(broker: Broker, args: {
  maxWaitTime: number, maxBytes: number, topics: { topic: string, partitions: { partition: number, fetchOffset: string, maxBytes: number }[] }[]
}): Promise<FetchResponse> {
  const definition: KafkajsDefinition = {
    versions: fetchDefinition.versions,
    protocol: ({ version }) => (options) => ({
      ...fetchDefinition.protocol({ version })(options),
      response: {
        decode: (raw) => {
          const answer = readFetchResponse(raw, version)
          return Promise.resolve({ ...answer, clientSideThrottleTime: answer.throttleMs })
        },
        parse: (answer) => Promise.resolve(answer),
      },
    }),
  }
  const request = broker.lookupRequest(API.fetch, definition)
  return await broker.connectionPool.send(request({ ...args, minBytes: 1, isolationLevel: READ_COMMITTED })) as FetchResponse
}

/** Topics with their errors; of all topics that the user may see when none is named. */
export async function fetchMetadata(broker: Broker, topics: readonly string[]): Promise<ClusterMetadata> {
  const definition: KafkajsDefinition = {
    versions: metadataDefinition.versions,
    protocol: ({ version }) => (options) => {
      const protocol = metadataDefinition.protocol({ version })(options)
      return { ...protocol, response: { ...protocol.response, parse: (data) => Promise.resolve(data) } }
    },
  }
  const request = broker.lookupRequest(API.metadata, definition)
  return await broker.connectionPool.send(request({ topics, allowAutoTopicCreation: broker.allowAutoTopicCreation })) as ClusterMetadata
}

/** The highest version that kafkajs speaks, of the requests that this program sends, by Kafka's numbers; for Fetch also the lowest that is read here. */
const SPOKEN: readonly (readonly [apiKey: number, most: number])[] = [[0, 7], [1, 11], [2, 3], [3, 6], [8, 5], [9, 4], [10, 2], [11, 5], [12, 3], [13, 3], [14, 3]]
const OLDEST_FETCH = 4

export function isCompatible(versions: Broker['versions']): boolean {
  if (versions === null) return false
  return SPOKEN.every(([apiKey, most]) => (versions[apiKey]?.minVersion ?? Infinity) <= most) && (versions[API.fetch]?.maxVersion ?? 0) >= OLDEST_FETCH
}

let isRepaired = false

/**
 * 1. After every answer kafkajs sets a timer for the negative time until throttling ends, which newer versions of Node complain about on the console.
 * 2. One topic or partition with an error (no leader, deleted) makes it refuse the metadata of all others. Here they are left out instead.
 */
export function repairKafkajs(): void {
  if (isRepaired) return
  isRepaired = true
  const queue = RequestQueue.prototype
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its own object below
  const schedule = queue.scheduleCheckPendingRequests
  queue.scheduleCheckPendingRequests = function (this: RequestQueue): void {
    if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this)
  }
  Broker.prototype.metadata = async function (this: Broker, topics: string[] = []): Promise<ClusterMetadata> {
    const metadata = await fetchMetadata(this, topics)
    return { ...metadata, topicMetadata: metadata.topicMetadata.filter(({ topicErrorCode }) => topicErrorCode === 0) }
  }
}
