/**
 * One membership of a group, from joining to losing it: kafkajs joins, sends heartbeats and shares the partitions out, with all its own fetching paused;
 * the partitions are read by PartitionFetcher over connections of the same client. Ends when it is aborted, when the set of topics changes, or with the
 * error that made it impossible to go on; then everything was revoked, and another session may begin. kafkajs gives all partitions up at every rebalance.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Consumer } from 'kafkajs'
import { notAllowed, unknownTopics } from '../kafka-problems.ts'
import { PartitionFetcher } from '../partition-fetcher.ts'
import type { FetchPort } from '../partition-fetcher.ts'
import type { Assignment, KafkaHandler, KafkaOptions, TopicPartition } from '../kafka-driver.ts'
import { KafkajsBrokers } from './brokers.ts'
import { createKafkajsClient } from './client.ts'
import type { KafkajsClient } from './client.ts'

/** How long leaving the group may take. */
const LEAVE_TIMEOUT_MS = 5000
/** How long a broker waits for data. Longer: fewer requests on idle topics; shorter: a resumed partition is asked for earlier, while others are idle. */
const FETCH_WAIT_MS = 250
/** Of one answer, over all partitions. More: fewer requests; fewer: less memory. */
const FETCH_BYTES = 10 * 1024 * 1024
/** A broker that fails for shorter is not worth a word: leaders move. */
const SILENT_FAILURE_MS = 3000
const RETRY_MS = 1000
const CODE = { unknownTopic: 3, topicNotAllowed: 29 } as const

/** Ends `consume` whatever happened before: the handler failed, or reading was refused for good. */
export class FinalError extends Error {
  constructor(cause: unknown) {
    super('Reading cannot go on.', { cause })
  }
}

export interface SessionParts {
  readonly options: KafkaOptions
  readonly handler: KafkaHandler
  readonly signal: AbortSignal
  /** All topics were there before: one that is missing now is waited for. */
  readonly isContinued: boolean
  nextGeneration(): number
  /** `error`: requests fail and are tried again; `text`: all is well. */
  tell(news: { readonly error: unknown } | { readonly text: string }): void
}

export class KafkajsSession {
  readonly fetcher: PartitionFetcher
  /** When the brokers or the group last did what they should; 0: never. */
  lastGoodMs = 0
  readonly #parts: SessionParts
  readonly #client: KafkajsClient
  readonly #brokers: KafkajsBrokers
  readonly #stop = new AbortController()
  readonly #ended: Promise<void>
  #end: () => void = () => undefined
  #fail: (error: unknown) => void = () => undefined
  #consumer: Consumer | undefined
  #generation = 0
  #failingSinceMs: number | undefined

  constructor(parts: SessionParts) {
    this.#parts = parts
    this.#client = createKafkajsClient(parts.options)
    this.#brokers = new KafkajsBrokers(this.#client, parts.options.brokers)
    this.fetcher = new PartitionFetcher(this.#port(), parts.handler, parts.options.partitionBytes ?? 1024 * 1024)
    this.#ended = new Promise((resolve, reject) => {
      this.#end = resolve
      this.#fail = reject
    })
    this.#ended.catch(() => undefined)
  }

  async run(): Promise<void> {
    const { signal } = this.#parts
    signal.addEventListener('abort', this.#end, { once: true })
    try {
      await Promise.race([this.#begin(), this.#ended])
      await this.#ended
    } finally {
      signal.removeEventListener('abort', this.#end)
      this.#stop.abort()
      this.#revoke()
      await Promise.race([this.#consumer?.disconnect().catch(() => undefined), sleep(LEAVE_TIMEOUT_MS, undefined, { ref: false })])
      this.#client.destroy()
    }
  }

  async commit(next: readonly (TopicPartition & { readonly offset: number })[]): Promise<void> {
    try {
      await this.#consumer?.commitOffsets(next.map(({ topic, partition, offset }) => ({ topic, partition, offset: String(offset) })))
    } catch {
      // For lag monitors only; the next commit tells more.
    }
  }

  async #begin(): Promise<void> {
    const { options } = this.#parts
    await this.#brokers.connect()
    const topics = await this.#chooseTopics(this.#parts.isContinued)
    void this.#watchTopics(topics)
    if (topics.length === 0) {
      this.#parts.tell({ text: `No topic matches ${options.topics.map(String).join(', ')} yet; new ones are looked for.` })
      return
    }
    await this.#brokers.follow(topics)
    if (!this.#stop.signal.aborted) await this.#join(topics)
  }

  async #join(topics: string[]): Promise<void> {
    const { groupId, sessionTimeoutMs = 30_000, topicRefreshMs = 30_000 } = this.#parts.options
    const heartbeatInterval = Math.round(sessionTimeoutMs / 10)
    const consumer = this.#client.kafka.consumer({
      groupId, sessionTimeout: sessionTimeoutMs, heartbeatInterval, metadataMaxAge: topicRefreshMs, allowAutoTopicCreation: false,
      // With everything paused it is how often kafkajs looks whether a heartbeat is due.
      maxWaitTimeInMs: Math.min(500, heartbeatInterval),
      // A group where members come and go every second takes some rounds to join.
      retry: { retries: 8, initialRetryTime: 200, maxRetryTime: 5000, restartOnFailure: () => Promise.resolve(false) },
    })
    this.#consumer = consumer
    const { GROUP_JOIN, HEARTBEAT, REBALANCING, CRASH, STOP } = consumer.events
    consumer.on(GROUP_JOIN, ({ payload }) => { this.#joined(consumer, topics, payload.memberAssignment) })
    consumer.on(HEARTBEAT, () => { this.lastGoodMs = Date.now() })
    consumer.on(REBALANCING, () => { this.#revoke() })
    consumer.on(CRASH, ({ payload }) => { this.#fail(payload.error) })
    consumer.on(STOP, () => { this.#end() })
    await consumer.connect()
    await consumer.subscribe({ topics, fromBeginning: true })
    await consumer.run({ autoCommit: false, eachBatch: () => Promise.resolve() })
  }

  /** Called before kafkajs may fetch. */
  #joined(consumer: Consumer, topics: readonly string[], shares: Readonly<Record<string, readonly number[]>>): void {
    if (this.#stop.signal.aborted) return
    consumer.pause(topics.map((topic) => ({ topic })))
    this.#revoke()
    const generation = this.#parts.nextGeneration()
    this.#generation = generation
    this.lastGoodMs = Date.now()
    const partitions = Object.entries(shares).flatMap(([topic, numbers]) => numbers.map((partition) => ({ topic, partition, generation })))
    this.fetcher.assign(partitions)
    this.#parts.tell({ text: `Joined group "${this.#parts.options.groupId}" with ${partitions.length} ${partitions.length === 1 ? 'partition' : 'partitions'}.` })
    if (partitions.length > 0) void this.#begins(partitions, generation)
  }

  async #begins(partitions: readonly Assignment[], generation: number): Promise<void> {
    try {
      const starts = new Map((await this.#parts.handler.assigned(partitions)).map((at) => [`${at.topic}/${at.partition}`, at.offset]))
      const rest: Assignment[] = []
      for (const at of partitions) {
        const offset = starts.get(`${at.topic}/${at.partition}`)
        if (offset === undefined) rest.push(at)
        else this.fetcher.start({ ...at, offset })
      }
      await Promise.all([...new Set(rest.map(({ topic }) => topic))].map((topic) => this.#beginAtEarliest(rest.filter((at) => at.topic === topic), generation)))
    } catch (error) {
      if (this.#generation === generation) this.#fail(new FinalError(error))
    }
  }

  async #beginAtEarliest(partitions: readonly Assignment[], generation: number): Promise<void> {
    const topic = partitions[0]?.topic
    while (topic !== undefined && this.#generation === generation && !this.#stop.signal.aborted) {
      try {
        const earliest = new Map((await this.#brokers.ranges(topic, partitions.map((at) => at.partition))).map((range) => [range.partition, range.earliest]))
        for (const at of partitions) this.fetcher.start({ ...at, offset: earliest.get(at.partition) ?? 0 })
        return
      } catch (error) {
        this.#report(error)
        await pause(RETRY_MS, this.#stop.signal)
      }
    }
  }

  #revoke(): void {
    this.#generation = 0
    const partitions = this.fetcher.revokeAll()
    if (partitions.length > 0) this.#parts.handler.revoked(partitions)
  }

  /** Those that are there, of all that are wanted; sorted. */
  async #chooseTopics(canWait: boolean): Promise<string[]> {
    const { options } = this.#parts
    const known = (await this.#brokers.topics()).filter(({ topicErrorCode }) => topicErrorCode !== CODE.unknownTopic)
    const names = new Set(known.map(({ topic }) => topic))
    const wanted = options.topics.filter((topic) => typeof topic === 'string')
    const missing = wanted.filter((topic) => !names.has(topic))
    if (missing.length > 0) {
      const hidden = (await this.#brokers.topics(missing)).find(({ topicErrorCode }) => topicErrorCode === CODE.topicNotAllowed)
      if (hidden !== undefined) throw notAllowed('DESCRIBE', `topic "${hidden.topic}"`)
      if (!canWait) throw unknownTopics(missing, [...names])
      this.#parts.tell({ text: `Kafka has no topic ${missing.map((topic) => `"${topic}"`).join(', ')} any more; waiting for it.` })
    }
    const patterns = options.topics.filter((topic) => typeof topic !== 'string')
    const matching = known.filter(({ topic, isInternal = false }) => !isInternal && options.excludedTopics?.includes(topic) !== true
      && patterns.some((pattern) => new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '')).test(topic)))
    return [...new Set([...wanted.filter((topic) => names.has(topic)), ...matching.map(({ topic }) => topic)])].sort()
  }

  /** Ends the session when there are other topics than `current`. */
  async #watchTopics(current: readonly string[]): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      await pause(this.#parts.options.topicRefreshMs ?? 30_000, signal)
      try {
        if ((await this.#chooseTopics(true)).join() !== current.join()) this.#end()
      } catch {
        // The fetcher and the group notice what is lost, and say so.
      }
    }
  }

  #port(): FetchPort {
    return {
      leaderOf: (at) => this.#brokers.leaderOf(at),
      fetch: (nodeId, wanted) => this.#brokers.fetch(nodeId, wanted, { waitMs: FETCH_WAIT_MS, maxBytes: FETCH_BYTES }),
      range: async ({ topic, partition }) => {
        const [range] = await this.#brokers.ranges(topic, [partition])
        if (range === undefined) throw new Error('the partition is gone')
        return range
      },
      refresh: async () => {
        await this.#brokers.refresh()
        // It may come back as another topic under the same name: positions must be looked at again.
        if (this.#brokers.hasLostTopic) this.#end()
      },
      report: (error) => { this.#report(error) },
      refused: ({ topic }, errorCode) => {
        if (errorCode === CODE.topicNotAllowed) this.#fail(new FinalError(notAllowed('READ', `topic "${topic}"`)))
        if (errorCode === CODE.unknownTopic) this.#end()
      },
      fail: (error) => { this.#fail(new FinalError(error)) },
    }
  }

  #report(error: unknown): void {
    if (this.#stop.signal.aborted) return
    if (error === undefined) {
      this.lastGoodMs = Date.now()
      if (this.#failingSinceMs !== undefined) this.#parts.tell({ text: 'Kafka answers again.' })
      this.#failingSinceMs = undefined
      return
    }
    this.#failingSinceMs ??= Date.now()
    if (Date.now() - this.#failingSinceMs > SILENT_FAILURE_MS) this.#parts.tell({ error })
  }
}

/** Returns early and quietly when aborted. */
export async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  await sleep(delayMs, undefined, { signal, ref: false }).catch(() => undefined)
}
