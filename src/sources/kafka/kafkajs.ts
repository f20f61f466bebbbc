/**
 * The Kafka driver over kafkajs, by its promises in kafka-driver.ts. kafkajs gives connections, logins, the group and the producer; records are fetched
 * and read by this program's own code (docs/decisions/0006-kafka-client.md). No static membership.
 */
import { CompressionTypes, Partitioners } from 'kafkajs'
import type { Producer } from 'kafkajs'
import { AppError } from '../../core/base/app-error.ts'
import { unknownTopics, unreachable } from './kafka-problems.ts'
import { KafkajsBrokers } from './kafkajs/brokers.ts'
import { createKafkajsClient } from './kafkajs/client.ts'
import type { KafkajsClient } from './kafkajs/client.ts'
import { explain } from './kafkajs/errors.ts'
import { FinalError, KafkajsSession, pause } from './kafkajs/session.ts'
import type { DeadLetterRecord, KafkaDriver, KafkaHandler, KafkaOptions, KafkaRecord, PartitionRange, TopicPartition } from './kafka-driver.ts'

const FIRST_DELAY_MS = 500
const MAX_DELAY_MS = 30_000
/** After it has worked, a refusal may come from a broker that is still starting: how long it is tried again before it ends `consume`. */
const REFUSAL_GRACE_MS = 300_000
/** How long single questions (ranges, one record, sending) are tried again. */
const QUESTION_TIMEOUT_MS = 30_000

export function createKafkajsDriver(options: KafkaOptions): KafkaDriver {
  return new KafkajsDriver(options)
}

class KafkajsDriver implements KafkaDriver {
  readonly name = 'kafkajs'
  readonly #options: KafkaOptions
  #session: KafkajsSession | undefined
  #generation = 0
  /** For questions beside `consume`: connections of their own. */
  #aside: Promise<KafkajsBrokers> | undefined
  #producing: { readonly client: KafkajsClient, readonly producer: Producer } | undefined
  readonly #closed = new AbortController()

  constructor(options: KafkaOptions) {
    this.#options = options
  }

  async consume(handler: KafkaHandler, signal: AbortSignal): Promise<void> {
    const tell = teller(handler, this.#options)
    let delayMs = FIRST_DELAY_MS
    let lastGoodMs = 0
    while (!signal.aborted) {
      const session = new KafkajsSession({
        options: this.#options, handler, signal, isContinued: lastGoodMs > 0, tell, nextGeneration: () => ++this.#generation,
      })
      this.#session = session
      try {
        await session.run()
      } catch (error) {
        if (signal.aborted) return
        if (error instanceof FinalError) throw error.cause
        lastGoodMs = Math.max(lastGoodMs, session.lastGoodMs)
        const { permanent } = explain(error, this.#options)
        if (permanent !== undefined && Date.now() - lastGoodMs > REFUSAL_GRACE_MS) throw permanent
        if (session.lastGoodMs > 0) delayMs = FIRST_DELAY_MS
        tell({ error, delayMs })
      } finally {
        this.#session = undefined
      }
      if (session.lastGoodMs > 0) delayMs = FIRST_DELAY_MS
      lastGoodMs = Math.max(lastGoodMs, session.lastGoodMs)
      if (!signal.aborted) await pause(delayMs, signal)
      delayMs = Math.min(delayMs * 2, MAX_DELAY_MS)
    }
  }

  seek(at: TopicPartition & { readonly offset: number }): void {
    this.#session?.fetcher.seek(at)
  }

  pause(partitions: readonly TopicPartition[]): void {
    this.#session?.fetcher.pause(partitions)
  }

  resume(partitions: readonly TopicPartition[]): void {
    this.#session?.fetcher.resume(partitions)
  }

  async commit(next: readonly (TopicPartition & { readonly offset: number })[]): Promise<void> {
    if (next.length > 0) await this.#session?.commit(next)
  }

  async readRecord(at: TopicPartition & { readonly offset: number }): Promise<KafkaRecord | undefined> {
    return this.#ask((brokers) => brokers.readRecord(at))
  }

  async ranges(topic: string): Promise<readonly PartitionRange[]> {
    return this.#ask(async (brokers) => {
      const ranges = await brokers.ranges(topic)
      if (ranges.length === 0) throw unknownTopics([topic], (await brokers.topics()).map((known) => known.topic))
      return ranges
    })
  }

  async clusterId(): Promise<string> {
    return this.#ask((brokers) => brokers.clusterId())
  }

  async send(topic: string, records: readonly DeadLetterRecord[]): Promise<void> {
    const messages = records.map(({ key, value, headers }) => ({ key, value, headers: { ...headers } }))
    try {
      const { producer } = this.#producing ??= this.#createProducer()
      await producer.connect()
      await producer.send({ topic, messages, acks: -1, compression: CompressionTypes.GZIP })
    } catch (error) {
      // An idempotent producer that lost count stays confused: the next call gets a new one.
      this.#producing?.client.destroy()
      this.#producing = undefined
      if (isMissingTopic(error)) throw unknownTopics([topic], [])
      throw this.#asAppError(error)
    }
  }

  async close(): Promise<void> {
    this.#closed.abort()
    this.#producing?.client.destroy()
    await this.#aside?.then((brokers) => { brokers.destroy() }, () => undefined)
  }

  #createProducer(): { client: KafkajsClient, producer: Producer } {
    const client = createKafkajsClient(this.#options)
    const producer = client.kafka.producer({
      allowAutoTopicCreation: false, idempotent: true, maxInFlightRequests: 1, createPartitioner: Partitioners.DefaultPartitioner,
      retry: { retries: 5, initialRetryTime: 200, maxRetryTime: 5000 },
    })
    return { client, producer }
  }

  /** Answers over one connection that is kept; a lost one is made anew, for as long as a question may take. */
  async #ask<T>(question: (brokers: KafkajsBrokers) => Promise<T>): Promise<T> {
    const giveUpMs = Date.now() + QUESTION_TIMEOUT_MS
    for (let delayMs = FIRST_DELAY_MS; ; delayMs *= 2) {
      const aside = this.#aside ??= this.#connectAside()
      try {
        return await question(await aside)
      } catch (error) {
        if (this.#aside === aside) this.#aside = undefined
        void aside.then((brokers) => { brokers.destroy() }, () => undefined)
        const failed = this.#asAppError(error)
        if (!failed.retryable || this.#closed.signal.aborted || Date.now() + delayMs > giveUpMs) throw failed
        await pause(delayMs, this.#closed.signal)
      }
    }
  }

  async #connectAside(): Promise<KafkajsBrokers> {
    const brokers = new KafkajsBrokers(createKafkajsClient(this.#options), this.#options.brokers)
    try {
      await brokers.connect()
      return brokers
    } catch (error) {
      brokers.destroy()
      throw error
    }
  }

  #asAppError(error: unknown): AppError {
    const { permanent, reason } = explain(error, this.#options)
    return permanent ?? new AppError('unavailable', unreachable(this.#options.brokers, reason), { cause: error, retryable: true })
  }
}

type News = { readonly error: unknown, readonly delayMs?: number } | { readonly text: string }

/** Tells the handler what is new, not what it knows already. */
function teller(handler: KafkaHandler, options: KafkaOptions): (news: News) => void {
  let last = ''
  return (news) => {
    const isConnected = 'text' in news
    const text = isConnected ? news.text : failureText(news.error, news.delayMs, options)
    if (text === last) return
    last = text
    handler.status({ isConnected, text })
  }
}

function failureText(error: unknown, delayMs: number | undefined, options: KafkaOptions): string {
  const { permanent, reason } = explain(error, options)
  return `${permanent?.message ?? unreachable(options.brokers, reason)} Trying again${delayMs === undefined ? '' : ` in ${delayMs / 1000} s`}.`
}

/** kafkajs tries again for a while, and wraps what it met at the end. */
function isMissingTopic(error: unknown): boolean {
  for (let e = error, depth = 0; typeof e === 'object' && e !== null && depth < 10; e = (e as { cause?: unknown }).cause, depth++) {
    const { name, type } = e as { readonly name?: unknown, readonly type?: unknown }
    if (name === 'KafkaJSMetadataNotLoaded' || type === 'UNKNOWN_TOPIC_OR_PARTITION') return true
  }
  return false
}
