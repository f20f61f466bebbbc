/**
 * What is known of the Kafka cluster: brokers, leaders, topics and their ids, the group's coordinator; and the offsets of partitions. Asks any broker
 * that answers, the known ones first. Rejects with an AppError where trying again cannot help, else with the library's error.
 */
import { AppError } from '../../../core/base/app-error.ts'
import type { KafkaOptions, PartitionRange, TopicPartition } from '../kafka-driver.ts'
import { brokerTooOld, unknownTopics } from '../kafka-problems.ts'
import { addressText, parseAddress } from './broker-connections.ts'
import type { BrokerAddress, BrokerConnections, Lane } from './broker-connections.ts'
import { fatalKafkaError, kafkaError, KafkaCode, OLDEST_KAFKA, reasonOf } from './failures.ts'

export interface TopicInfo {
  readonly name: string
  /** Rises from the dead with another id when a topic is made again; empty on brokers without ids. */
  readonly id: string
  /** Broker of each partition; -1: none at the moment. */
  readonly leaders: readonly number[]
}

interface MetadataAnswer {
  readonly brokers: readonly { readonly nodeId: number; readonly host: string; readonly port: number }[]
  readonly clusterId: string | null
  readonly topics: readonly {
    readonly errorCode: number
    readonly name: string | null
    readonly topicId?: string
    readonly isInternal: boolean
    readonly partitions: readonly { readonly partitionIndex: number; readonly leaderId: number }[]
  }[]
}

interface ListOffsetsAnswer {
  readonly topics: readonly { readonly partitions: readonly { readonly partitionIndex: number; readonly errorCode: number; readonly offset: bigint }[] }[]
}

interface CoordinatorAnswer {
  readonly coordinators: readonly { readonly nodeId: number; readonly host: string; readonly port: number }[]
}

export type OffsetKind = 'earliest' | 'latest'
const OFFSET_TIMESTAMP = { earliest: -2n, latest: -1n } as const

/** An answer that holds errors of single topics is thrown by the library; it is still an answer. */
const answerIn = <Answer>(error: unknown): Answer | undefined => (error as { response?: Answer } | undefined)?.response

export class Cluster {
  readonly #connections: BrokerConnections
  readonly #options: KafkaOptions
  readonly #bootstrap: readonly BrokerAddress[]
  #brokers = new Map<number, BrokerAddress>()
  #topics = new Map<string, TopicInfo>()
  #clusterId: string | undefined

  constructor(options: KafkaOptions, connections: BrokerConnections) {
    this.#options = options
    this.#connections = connections
    this.#bootstrap = options.brokers.map(parseAddress)
  }

  broker(nodeId: number): BrokerAddress | undefined {
    return this.#brokers.get(nodeId)
  }

  topic(name: string): TopicInfo | undefined {
    return this.#topics.get(name)
  }

  async clusterId(): Promise<string> {
    if (this.#clusterId === undefined) await this.#metadata([])
    if (this.#clusterId === undefined) throw brokerTooOld(this.#options.brokers.join(', '), OLDEST_KAFKA)
    return this.#clusterId
  }

  /** All that the options name and match now, by name. Named topics that do not exist are told. */
  async refresh(): Promise<{ readonly topics: readonly TopicInfo[]; readonly missing: readonly string[] }> {
    const names = this.#options.topics.filter((topic) => typeof topic === 'string')
    // Patterns that remember where they stopped would find a name only every other time.
    const patterns = this.#options.topics.filter((topic) => typeof topic !== 'string').map(({ source, flags }) => new RegExp(source, flags.replace(/[gy]/g, '')))
    const excluded = new Set(this.#options.excludedTopics)
    const answer = await this.#metadata(patterns.length === 0 ? names : null)
    const found: TopicInfo[] = []
    for (const { name, errorCode, topicId, partitions, isInternal } of answer.topics) {
      if (name === null) continue
      const isNamed = names.includes(name)
      if (!isNamed && (isInternal || excluded.has(name) || !patterns.some((pattern) => pattern.test(name)))) continue
      if (errorCode === KafkaCode.topicNotPermitted) throw fatalKafkaError(kafkaError(errorCode), this.#options, name) ?? kafkaError(errorCode)
      if (errorCode !== 0 && errorCode !== KafkaCode.leaderNotAvailable) continue
      const leaders = [...partitions].sort((a, b) => a.partitionIndex - b.partitionIndex).map(({ leaderId }) => leaderId)
      if (leaders.length > 0) found.push({ name, id: topicId ?? '', leaders })
    }
    this.#topics = new Map(found.map((topic) => [topic.name, topic]))
    return { topics: found.sort((a, b) => (a.name < b.name ? -1 : 1)), missing: names.filter((name) => !this.#topics.has(name)) }
  }

  /** Names of all topics that this user may see. */
  async topicNames(): Promise<string[]> {
    return (await this.#metadata(null)).topics.flatMap(({ name, isInternal }) => (name === null || isInternal ? [] : [name])).sort()
  }

  /** Of one topic, whether it is read or not. */
  async describe(name: string): Promise<TopicInfo> {
    const answer = await this.#metadata([name])
    const topic = answer.topics.find((candidate) => candidate.name === name)
    if (topic === undefined || topic.errorCode === KafkaCode.unknownTopic) throw unknownTopics([name], await this.topicNames())
    const refused = fatalKafkaError(kafkaError(topic.errorCode), this.#options, name)
    if (refused !== undefined) throw refused
    const leaders = [...topic.partitions].sort((a, b) => a.partitionIndex - b.partitionIndex).map(({ leaderId }) => leaderId)
    const info = { name, id: topic.topicId ?? '', leaders }
    if (leaders.length === 0) throw new AppError('unavailable', `The Kafka topic ${name} has no leaders at the moment: try again.`, { retryable: true })
    return info
  }

  async coordinator(): Promise<BrokerAddress> {
    const answer = await this.#anyBroker('control', (broker) => this.#connections.call<CoordinatorAnswer>(broker, 'control', 'FindCoordinator', [0, [this.#options.groupId]]))
    const found = answer.coordinators[0]
    if (found === undefined || found.port <= 0) throw new AppError('unavailable', 'The consumer group has no coordinator at the moment.', { retryable: true })
    return { host: found.host, port: found.port }
  }

  /** Offsets of some partitions of a topic, by partition. Rejects where one cannot be told. */
  async offsets(topic: TopicInfo, kind: OffsetKind, partitions: readonly number[]): Promise<Map<number, number>> {
    const byLeader = new Map<number, number[]>()
    for (const partition of partitions) {
      const leader = topic.leaders[partition] ?? -1
      byLeader.set(leader, [...(byLeader.get(leader) ?? []), partition])
    }
    const found = new Map<number, number>()
    await Promise.all([...byLeader].map(async ([leader, own]) => {
      const broker = this.#brokers.get(leader)
      if (broker === undefined) throw new AppError('unavailable', `Partitions of the Kafka topic ${topic.name} have no leader at the moment.`, { retryable: true })
      const asked = [{ name: topic.name, partitions: own.map((partitionIndex) => ({ partitionIndex, currentLeaderEpoch: -1, timestamp: OFFSET_TIMESTAMP[kind] })) }]
      const answer = await this.#connections.call<ListOffsetsAnswer>(broker, 'control', 'ListOffsets', [-1, 0, asked])
      for (const { partitionIndex, offset } of answer.topics.flatMap((one) => one.partitions)) found.set(partitionIndex, Number(offset))
    }))
    return found
  }

  /** Of one partition of a topic that is read. */
  async range({ topic: name, partition }: TopicPartition): Promise<PartitionRange> {
    const topic = this.#topics.get(name) ?? await this.describe(name)
    const [earliest, latest] = await Promise.all([this.offsets(topic, 'earliest', [partition]), this.offsets(topic, 'latest', [partition])])
    return { topic: name, partition, earliest: earliest.get(partition) ?? 0, latest: latest.get(partition) ?? 0 }
  }

  async ranges(name: string): Promise<PartitionRange[]> {
    const topic = await this.describe(name)
    const all = topic.leaders.map((_leader, partition) => partition)
    const [earliest, latest] = await Promise.all([this.offsets(topic, 'earliest', all), this.offsets(topic, 'latest', all)])
    return all.map((partition) => ({ topic: name, partition, earliest: earliest.get(partition) ?? 0, latest: latest.get(partition) ?? 0 }))
  }

  /** `null`: all topics. */
  async #metadata(topics: readonly string[] | null): Promise<MetadataAnswer> {
    const answer = await this.#anyBroker('control', async (broker) => {
      try {
        return await this.#connections.call<MetadataAnswer>(broker, 'control', 'Metadata', [topics, false, false])
      } catch (error) {
        const partial = answerIn<MetadataAnswer>(error)
        if (partial === undefined) throw error
        return partial
      }
    })
    if (answer.brokers.length > 0) this.#brokers = new Map(answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]))
    this.#clusterId = answer.clusterId ?? this.#clusterId
    return answer
  }

  /** The first answer of any broker. A refusal that cannot change wins over brokers that do not answer. */
  async #anyBroker<Answer>(lane: Lane, ask: (broker: BrokerAddress) => Promise<Answer>): Promise<Answer> {
    const known = [...this.#brokers.values()]
    const brokers = [...known, ...this.#bootstrap.filter((broker) => !known.some((other) => other.host === broker.host && other.port === broker.port))]
    const failures: { readonly broker: BrokerAddress; readonly error: unknown }[] = []
    for (const broker of brokers) {
      try {
        return await ask(broker)
      } catch (error) {
        this.#connections.drop(broker, lane)
        failures.push({ broker, error })
      }
    }
    const fatal = failures.map(({ error }) => fatalKafkaError(error, this.#options)).find((error) => error !== undefined)
    if (fatal !== undefined) throw fatal
    const texts = failures.map(({ broker, error }) => `${addressText(broker)}: ${reasonOf(error, this.#options.sasl !== undefined)}`)
    throw new AppError('unavailable', `No Kafka broker answers (${texts.join('; ')})`, { retryable: true, cause: failures[0]?.error })
  }
}
