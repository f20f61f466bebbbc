/**
 * One run of `consume`: finds the topics, joins the group, reads what it is assigned, and goes on through failures until it is ended or something shows
 * that trying again cannot mend.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Assignment, KafkaHandler, KafkaOptions, TopicPartition } from '../kafka-driver.ts'
import { unknownTopics, unreachable } from '../kafka-problems.ts'
import { PartitionFetcher } from '../partition-fetcher.ts'
import type { FetchWanted } from '../partition-fetcher.ts'
import type { FetchedPartition } from '../fetch-response.ts'
import { addressText } from './broker-connections.ts'
import type { BrokerConnections, Lane } from './broker-connections.ts'
import type { Cluster } from './cluster.ts'
import { checked } from './checksums.ts'
import { fatalConnectionError, fatalKafkaError, kafkaCodeOf, kafkaError, KafkaCode, reasonOf } from './failures.ts'
import { fetchOnce } from './fetch-request.ts'
import { Membership } from './membership.ts'

const DEFAULT_PARTITION_BYTES = 1_048_576
const DEFAULT_REFRESH_MS = 30_000
/** Of one answer. More means fewer requests for many partitions; less a quicker turn for each. */
const ANSWER_BYTES = 8_388_608
/** Of all that may lie fetched; partitions share it. More keeps many partitions busy over slow networks; less saves memory. */
const BUDGET_BYTES = 67_108_864
const LEAST_PARTITION_BYTES = 65_536
/** How long a broker holds an answer back that has nothing to bring. More saves requests of idle topics; less lets resumed partitions go on sooner. */
const MAX_WAIT_MS = 250
/** Connections to one broker: one may wait for idle partitions while the others carry busy ones. */
const FETCH_SLOTS = 2
const RETRY_FIRST_MS = 200
const RETRY_MAX_MS = 15_000
/** A new topic takes a moment to be known by all brokers. */
const UNKNOWN_TOPIC_TRIES = 4
/** A refusal after it has worked may come from a broker that is still starting: so long it is tried again. */
const REFUSAL_GRACE_MS = 300_000
/** Loading, not available, not here. */
const COORDINATOR_MOVES: ReadonlySet<number> = new Set([14, 15, 16])
const COORDINATOR_TRIES = 5
const LEAVE_TIMEOUT_MS = 3_000

export interface ConsumptionParts {
  readonly options: KafkaOptions
  readonly connections: BrokerConnections
  readonly cluster: Cluster
  readonly handler: KafkaHandler
  /** Over all runs, so that it only rises. */
  readonly nextGeneration: () => number
}

const keyOf = ({ topic, partition }: TopicPartition): string => `${topic}/${partition}`

export class Consumption {
  readonly #parts: ConsumptionParts
  readonly #fetcher: PartitionFetcher
  readonly #membership: Membership
  readonly #end = new AbortController()
  readonly #owned = new Map<string, Assignment & { readonly topicId: string }>()
  /** Brokers that do not answer fetches, and why. */
  readonly #silent = new Map<number, string>()
  #hasFailed = false
  #failure: unknown
  #topicNames: readonly string[] = []
  /** Topics and numbers of partitions, to see changes. */
  #shape: string | undefined
  /** What stands between this member and the group; the first thing to tell. */
  #problem: string | undefined
  #missing: readonly string[] = []
  /** When the group was joined last; 0: never. */
  #joinedAtMs = 0
  #lastStatus = ''
  #refreshing: Promise<void> | undefined

  constructor(parts: ConsumptionParts) {
    this.#parts = parts
    const { cluster, connections, handler, options } = parts
    this.#fetcher = new PartitionFetcher({
      leaderOf: ({ topic, partition }) => {
        const leader = cluster.topic(topic)?.leaders[partition] ?? -1
        return cluster.broker(leader) === undefined ? undefined : leader
      },
      slots: FETCH_SLOTS,
      fetch: (nodeId, wanted, slot) => this.#fetch(nodeId, wanted, slot),
      range: (at) => cluster.range(at),
      refresh: () => this.#refreshSoon(),
      report: (error) => { if (error !== undefined) this.#failIfFatal(error) },
      refused: (at, code) => this.#refused(at, code),
      fail: (error) => this.#fail(error),
    }, handler, options.partitionBytes ?? DEFAULT_PARTITION_BYTES)
    this.#membership = new Membership({
      options, connections, findCoordinator: () => cluster.coordinator(), topics: () => this.#topicNames, owned: () => [...this.#owned.values()],
      partitionCounts: (topics) => this.#partitionCounts(topics), hold: () => this.#fetcher.hold(), assigned: (partitions) => this.#assign(partitions),
    })
  }

  get fetcher(): PartitionFetcher {
    return this.#fetcher
  }

  commit(next: readonly (TopicPartition & { readonly offset: number })[]): Promise<void> {
    return this.#membership.commit(next)
  }

  async run(signal: AbortSignal): Promise<void> {
    const stop = (): void => this.#end.abort()
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop)
    const ended = new Promise<void>((resolve) => this.#end.signal.addEventListener('abort', () => resolve()))
    // A join may wait at the broker for a minute, and a frozen broker answers nothing at all: what is on its way at the end is not waited for.
    if (!this.#isOver) await Promise.race([this.#work().catch((error: unknown) => this.#fail(error)), ended])
    signal.removeEventListener('abort', stop)
    stop()
    this.#assign([])
    this.#fetcher.revokeAll()
    this.#parts.connections.dropLanes((lane) => lane === 'join' || lane.startsWith('fetch-'))
    await Promise.race([this.#membership.leave().catch(() => undefined), sleep(LEAVE_TIMEOUT_MS, undefined, { ref: false })])
    if (this.#hasFailed) throw this.#failure
  }

  async #work(): Promise<void> {
    await this.#findTopics()
    void this.#watchTopics()
    await this.#stayInGroup()
  }

  #fail(error: unknown): void {
    if (this.#isOver) return
    this.#hasFailed = true
    this.#failure = error
    this.#end.abort()
  }

  #failIfFatal(error: unknown): void {
    const fatal = fatalKafkaError(error, this.#parts.options)
    if (fatal !== undefined) this.#fail(fatal)
  }

  get #isOver(): boolean {
    return this.#end.signal.aborted
  }

  async #pause(failures: number): Promise<void> {
    await sleep(Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(failures, 10)), undefined, { signal: this.#end.signal }).catch(() => undefined)
  }

  /** Tells how it stands, when that has changed. */
  #status(): void {
    const { options, handler, cluster } = this.#parts
    const silent = [...this.#silent.keys()].map((nodeId) => cluster.broker(nodeId)).flatMap((broker) => (broker === undefined ? [] : [addressText(broker)]))
    const [reason] = this.#silent.values()
    const problem = this.#problem ?? (reason === undefined ? undefined : unreachable(silent, reason))
    const reading = this.#topicNames.length === 0 ? 'no topic yet' : this.#topicNames.join(', ')
    const missing = this.#missing.length === 0 ? '' : ` Waiting for ${this.#missing.join(', ')}.`
    const text = problem ?? `Member of the Kafka group "${options.groupId}", reading ${reading}.${missing}`
    // Until the group was joined there is nothing good to tell.
    if (text === this.#lastStatus || this.#isOver || (problem === undefined && this.#joinedAtMs === 0)) return
    this.#lastStatus = text
    handler.status({ isConnected: problem === undefined, text })
  }

  /** Something does not answer; what cannot be mended is thrown. */
  #complain(error: unknown, failures: number): void {
    const fatal = fatalConnectionError(error, this.#parts.options.brokers.join(', '), this.#parts.options) ?? fatalKafkaError(error, this.#parts.options)
    if (fatal !== undefined && Date.now() - this.#joinedAtMs > REFUSAL_GRACE_MS) throw fatal
    const code = kafkaCodeOf(error)
    // Quite usual for a moment, when the group is new or its coordinator moves.
    if (code !== undefined && COORDINATOR_MOVES.has(code) && failures < COORDINATOR_TRIES) return
    const { brokers, groupId, sasl } = this.#parts.options
    const { lost } = this.#membership
    if (code === KafkaCode.inconsistentGroupProtocol) this.#problem = `Members of the Kafka group "${groupId}" run another driver: stop them, or give this one another group.`
    else if (code !== undefined) this.#problem = `Kafka cannot serve group "${groupId}" at the moment (${reasonOf(error)}).`
    else this.#problem = unreachable(lost === undefined ? brokers : [addressText(lost)], reasonOf(error, sasl !== undefined))
    this.#status()
  }

  async #findTopics(): Promise<void> {
    for (let failures = 0, unknown = 0; !this.#isOver;) {
      try {
        const { missing } = await this.#refresh()
        if (missing.length === 0) return
        unknown++
        if (unknown >= UNKNOWN_TOPIC_TRIES) throw unknownTopics(missing, await this.#parts.cluster.topicNames())
        await this.#pause(1)
      } catch (error) {
        this.#complain(error, failures)
        failures++
        await this.#pause(failures)
      }
    }
  }

  async #watchTopics(): Promise<void> {
    while (!this.#isOver) {
      await sleep(this.#parts.options.topicRefreshMs ?? DEFAULT_REFRESH_MS, undefined, { signal: this.#end.signal }).catch(() => undefined)
      if (!this.#isOver) await this.#refreshSoon()
    }
  }

  /** Never rejects: the group's own calls tell when nothing answers. */
  #refreshSoon(): Promise<void> {
    this.#refreshing ??= (async () => {
      try {
        await this.#refresh()
        this.#status()
      } catch (error) {
        this.#failIfFatal(error)
      } finally {
        this.#refreshing = undefined
      }
    })()
    return this.#refreshing
  }

  async #refresh(): Promise<{ readonly missing: readonly string[] }> {
    const { topics, missing } = await this.#parts.cluster.refresh()
    if (this.#isOver) return { missing }
    this.#missing = missing
    this.#topicNames = topics.map(({ name }) => name)
    const leaders = new Set(topics.flatMap((topic) => topic.leaders))
    for (const nodeId of this.#silent.keys()) if (!leaders.has(nodeId)) this.#silent.delete(nodeId)
    // A topic that was made again under its name is another one: positions in the old one say nothing.
    const recreated = [...this.#owned.values()].filter(({ topic, topicId }) => {
      const id = this.#parts.cluster.topic(topic)?.id ?? ''
      return id !== '' && topicId !== '' && id !== topicId
    })
    this.#give(recreated)
    this.#take(recreated)
    const shape = topics.map(({ name, id, leaders: own }) => `${name} ${id} ${own.length}`).join('\n')
    if (this.#shape !== undefined && shape !== this.#shape) this.#membership.rejoin()
    this.#shape = shape
    return { missing }
  }

  async #partitionCounts(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const counts = new Map<string, number>()
    for (const name of topics) {
      const topic = this.#parts.cluster.topic(name) ?? await this.#parts.cluster.describe(name).catch(() => undefined)
      if (topic !== undefined) counts.set(name, topic.leaders.length)
    }
    return counts
  }

  async #stayInGroup(): Promise<void> {
    for (let failures = 0; !this.#isOver;) {
      try {
        await this.#membership.stay(() => {
          failures = 0
          this.#problem = undefined
          this.#joinedAtMs = Date.now()
          this.#status()
        }, this.#end.signal)
      } catch (error) {
        if (this.#isOver) return
        // What others may own by now is given up; until then a lost coordinator disturbs nobody.
        if (this.#membership.isExpired) this.#assign([])
        if (kafkaCodeOf(error) === KafkaCode.rebalanceInProgress) continue
        this.#complain(error, failures)
        await this.#pause(failures)
        failures++
      }
    }
  }

  /** All that this member owns from now on; what it had and has goes on undisturbed. */
  #assign(partitions: readonly TopicPartition[]): void {
    const wanted = new Set(partitions.map(keyOf))
    this.#give([...this.#owned.values()].filter((at) => !wanted.has(keyOf(at))))
    this.#take(partitions.filter((at) => !this.#owned.has(keyOf(at))))
    this.#fetcher.release()
  }

  #give(partitions: readonly TopicPartition[]): void {
    if (partitions.length === 0) return
    const gone = partitions.map(({ topic, partition }) => ({ topic, partition }))
    for (const at of gone) this.#owned.delete(keyOf(at))
    this.#fetcher.revoke(gone)
    this.#parts.handler.revoked(gone)
  }

  #take(partitions: readonly TopicPartition[]): void {
    if (partitions.length === 0 || this.#isOver) return
    const assignments = partitions.map(({ topic, partition }): Assignment => ({ topic, partition, generation: this.#parts.nextGeneration() }))
    for (const at of assignments) this.#owned.set(keyOf(at), { ...at, topicId: this.#parts.cluster.topic(at.topic)?.id ?? '' })
    this.#fetcher.assign(assignments)
    this.#locate(assignments).catch((error: unknown) => this.#fail(error))
  }

  async #locate(assignments: readonly Assignment[]): Promise<void> {
    const told = new Map((await this.#parts.handler.assigned(assignments)).map((at) => [keyOf(at), at.offset]))
    await Promise.all(assignments.map(async (at) => {
      const offset = told.get(keyOf(at)) ?? await this.#earliest(at)
      if (offset !== undefined) this.#fetcher.start({ ...at, offset })
    }))
  }

  /** `undefined`, where the partition was revoked before it could be had. */
  async #earliest(at: Assignment): Promise<number | undefined> {
    for (let failures = 0; !this.#isOver && this.#owned.get(keyOf(at))?.generation === at.generation; failures++) {
      try {
        return (await this.#parts.cluster.range(at)).earliest
      } catch (error) {
        const fatal = fatalKafkaError(error, this.#parts.options, at.topic)
        if (fatal !== undefined) throw fatal
        await this.#pause(failures)
        await this.#refreshSoon()
      }
    }
    return undefined
  }

  async #fetch(nodeId: number, wanted: readonly FetchWanted[], slot: number): Promise<readonly FetchedPartition[]> {
    const { cluster, connections } = this.#parts
    const broker = cluster.broker(nodeId)
    if (broker === undefined) throw new Error('the broker is gone')
    const share = Math.max(LEAST_PARTITION_BYTES, Math.floor(BUDGET_BYTES / Math.max(this.#owned.size, 1) / 3))
    const wishes = wanted.map((wish) => ({ ...wish, topicId: cluster.topic(wish.topic)?.id ?? '', maxBytes: Math.min(wish.maxBytes, share) }))
    const lane: Lane = `fetch-${slot}`
    try {
      const how = { connections, broker, lane, maxBytes: ANSWER_BYTES, maxWaitMs: MAX_WAIT_MS }
      let fetched = (await fetchOnce(wishes, how)).map(checked)
      // Damage of the way here is gone when it is fetched again; what is damaged at the broker stays so and is told.
      if (fetched.some(({ damaged }) => damaged !== undefined)) fetched = (await fetchOnce(wishes, how)).map(checked)
      if (this.#silent.delete(nodeId)) this.#status()
      return fetched
    } catch (error) {
      if (!this.#isOver) {
        connections.drop(broker, lane)
        this.#silent.set(nodeId, reasonOf(error))
        this.#status()
      }
      throw error
    }
  }

  #refused(at: TopicPartition, code: number): void {
    const fatal = fatalKafkaError(kafkaError(code), this.#parts.options, at.topic)
    if (fatal !== undefined) this.#fail(fatal)
  }
}
