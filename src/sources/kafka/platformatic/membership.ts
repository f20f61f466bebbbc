/**
 * Membership in a consumer group (the classic protocol): joins, shares out the partitions when it leads, and says by heartbeats that it lives, whatever
 * the partitions do. What a member keeps over a rebalance it keeps without interruption: nothing is given up before the group has answered the
 * join, since until then nobody else can own it.
 */
import { decodeConsumerProtocolAssignment, decodeConsumerProtocolSubscription, encodeConsumerProtocolAssignment, encodeConsumerProtocolSubscription } from '@platformatic/kafka'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KafkaOptions, TopicPartition } from '../kafka-driver.ts'
import type { BrokerAddress, BrokerConnections, Lane } from './broker-connections.ts'
import type { ApiName } from './broker-connections.ts'
import { KafkaCode, kafkaCodeOf } from './failures.ts'
import { assignSticky } from './sticky-assignment.ts'
import type { Member } from './sticky-assignment.ts'

/** How long the group waits for members to join again. More spares members in a long pause; less gets a group without a lost member going sooner. */
export const REBALANCE_TIMEOUT_MS = 60_000
const DEFAULT_SESSION_TIMEOUT_MS = 30_000
/** Heartbeats are a tenth of the session apart, within these. More of them: the group shares out sooner, since they tell of a member that comes. */
const HEARTBEAT_MIN_MS = 300
const HEARTBEAT_MAX_MS = 1_000
/** More: fewer records are read by both the old and the new member of a partition; less: the group goes on sooner. */
const HANDOVER_MS = 100
/** Members with another name for it cannot be in one group; so do members that run the other driver. */
const PROTOCOL = 'flowfence-sticky'
/** Of the subscription: with what the member has, and of which generation. */
const SUBSCRIPTION_VERSION = 2

export interface MembershipParts {
  readonly options: KafkaOptions
  readonly connections: BrokerConnections
  readonly findCoordinator: () => Promise<BrokerAddress>
  /** What this member subscribes to now. */
  readonly topics: () => readonly string[]
  /** Number of partitions of topics that any member subscribes to. */
  readonly partitionCounts: (topics: readonly string[]) => Promise<ReadonlyMap<string, number>>
  readonly owned: () => readonly TopicPartition[]
  /** From here until `assigned` it is open who owns what: nothing may be delivered. */
  readonly hold: () => void
  readonly assigned: (partitions: readonly TopicPartition[]) => void
}

interface JoinAnswer {
  readonly generationId: number
  readonly protocolName: string | null
  readonly leader: string
  /** A static member that came back: what the group had shared out stands. */
  readonly skipAssignment?: boolean
  readonly memberId: string
  readonly members: readonly { readonly memberId: string; readonly metadata: Buffer | null }[]
}

export class Membership {
  readonly #parts: MembershipParts
  readonly #sessionTimeoutMs: number
  #memberId = ''
  #generation = -1
  #coordinator: BrokerAddress | undefined
  #lost: BrokerAddress | undefined
  #aliveAtMs = 0
  /** False: it has to join before it may beat. */
  #isJoined = false
  #isAssigned = false
  #wake: AbortController | undefined

  constructor(parts: MembershipParts) {
    this.#parts = parts
    this.#sessionTimeoutMs = parts.options.sessionTimeoutMs ?? DEFAULT_SESSION_TIMEOUT_MS
  }

  /** Topics or partitions have changed: the group shares out anew. */
  rejoin(): void {
    this.#isJoined = false
    this.#wake?.abort()
  }

  /**
   * Joins and stays, and says so again and again; returns when the group shares out anew, to be called again. Rejects where the group or its coordinator is lost: the
   * membership may still live on until `isExpired`.
   */
  async stay(onAlive: () => void, signal: AbortSignal): Promise<void> {
    this.#lost = undefined
    this.#coordinator ??= await this.#parts.findCoordinator()
    try {
      if (!this.#isJoined || this.isExpired) {
        await this.#join(signal)
        if (!signal.aborted) onAlive()
      }
      await this.#beat(onAlive, signal)
    } catch (error) {
      this.#forget(error)
      throw error
    }
  }

  /** The broker that failed while it coordinated the group. */
  get lost(): BrokerAddress | undefined {
    return this.#lost
  }

  /** The group has given this member up, as far as it can tell: what it owned may belong to others by now. */
  get isExpired(): boolean {
    return this.#generation < 0 || Date.now() - this.#aliveAtMs > this.#sessionTimeoutMs
  }

  /** A static member stays in the group, to find its partitions again after a restart. */
  async leave(): Promise<void> {
    const { options } = this.#parts
    if (this.#memberId === '' || this.#coordinator === undefined || options.instanceId !== undefined) return
    const members = [{ memberId: this.#memberId, groupInstanceId: null, reason: 'it ends' }]
    this.#memberId = ''
    this.#generation = -1
    await this.#call('control', 'LeaveGroup', [options.groupId, members])
  }

  async commit(next: readonly (TopicPartition & { readonly offset: number })[]): Promise<void> {
    if (this.#generation < 0) return
    const topics = new Map<string, { name: string; partitions: unknown[] }>()
    for (const { topic, partition, offset } of next) {
      const own = topics.get(topic) ?? { name: topic, partitions: [] }
      own.partitions.push({ partitionIndex: partition, committedOffset: BigInt(offset), committedLeaderEpoch: -1, committedMetadata: null })
      topics.set(topic, own)
    }
    await this.#call('control', 'OffsetCommit', [...this.#identity(), [...topics.values()]])
  }

  #identity(): readonly unknown[] {
    return [this.#parts.options.groupId, this.#generation, this.#memberId, this.#parts.options.instanceId ?? null]
  }

  async #call<Answer>(lane: Lane, name: ApiName, args: readonly unknown[]): Promise<Answer> {
    const coordinator = this.#coordinator ?? await this.#parts.findCoordinator()
    this.#coordinator = coordinator
    return this.#parts.connections.call<Answer>(coordinator, lane, name, args)
  }

  async #join(signal: AbortSignal): Promise<void> {
    this.#isJoined = true
    const joined = await this.#requestJoin(signal)
    if (joined === undefined) return
    this.#parts.hold()
    this.#isAssigned = false
    // A generation that was missed may have given what is owned here to others.
    if (this.#generation !== joined.generationId && this.#generation !== joined.generationId - 1) this.#parts.assigned([])
    this.#memberId = joined.memberId
    this.#generation = joined.generationId
    const assignments = joined.leader === joined.memberId && joined.skipAssignment !== true ? await this.#shareOut(joined) : []
    const answer = await this.#call<{ readonly assignment: Buffer }>('join', 'SyncGroup', [...this.#identity(), 'consumer', joined.protocolName ?? PROTOCOL, assignments])
    this.#aliveAtMs = Date.now()
    this.#isAssigned = true
    // The member that had a partition hears of it at the same time: it should have stopped before its position is asked for.
    if (joined.generationId > 1) await sleep(HANDOVER_MS)
    const assigned = answer.assignment.length === 0 ? [] : decodeConsumerProtocolAssignment(answer.assignment).assignedPartitions
    this.#parts.assigned(assigned.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition }))))
  }

  async #requestJoin(signal: AbortSignal): Promise<JoinAnswer | undefined> {
    const { options } = this.#parts
    for (;;) {
      if (signal.aborted) return undefined
      const topics = [...this.#parts.topics()]
      const metadata = encodeConsumerProtocolSubscription({ version: SUBSCRIPTION_VERSION, topics, ownedPartitions: grouped(this.#parts.owned()), generationId: this.#generation })
      const args = [options.groupId, this.#sessionTimeoutMs, REBALANCE_TIMEOUT_MS, this.#memberId, options.instanceId ?? null, 'consumer', [{ name: PROTOCOL, metadata }], '']
      try {
        return await this.#call<JoinAnswer>('join', 'JoinGroup', args)
      } catch (error) {
        const given = (error as { readonly response?: { readonly memberId?: string } }).response?.memberId
        if (kafkaCodeOf(error) !== KafkaCode.memberIdRequired || given === undefined || given === '') throw error
        this.#memberId = given
      }
    }
  }

  /** This member leads: it tells everyone what is theirs. */
  async #shareOut(joined: JoinAnswer): Promise<{ readonly memberId: string; readonly assignment: Buffer }[]> {
    const members = joined.members.map(({ memberId, metadata }): Member => {
      const { topics, ownedPartitions, generationId } = decodeConsumerProtocolSubscription(metadata ?? Buffer.alloc(0))
      return { id: memberId, topics, generation: generationId, owned: ownedPartitions.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition }))) }
    })
    const counts = await this.#parts.partitionCounts([...new Set(members.flatMap(({ topics }) => topics))])
    return [...assignSticky(members, counts)].map(([memberId, partitions]) => ({
      memberId, assignment: encodeConsumerProtocolAssignment({ version: 0, assignedPartitions: grouped(partitions) }),
    }))
  }

  /** Until the group shares out anew. Failures to reach the coordinator are waited out while the session lasts. */
  async #beat(onAlive: () => void, signal: AbortSignal): Promise<void> {
    const intervalMs = Math.min(HEARTBEAT_MAX_MS, Math.max(HEARTBEAT_MIN_MS, this.#sessionTimeoutMs / 10))
    while (!signal.aborted && this.#isJoined) {
      this.#wake = new AbortController()
      await sleep(intervalMs, undefined, { signal: AbortSignal.any([signal, this.#wake.signal]) }).catch(() => undefined)
      if (signal.aborted || !this.#isJoined) return
      try {
        await this.#call('control', 'Heartbeat', this.#identity())
        this.#aliveAtMs = Date.now()
        onAlive()
      } catch (error) {
        if (kafkaCodeOf(error) === KafkaCode.rebalanceInProgress) {
          this.#aliveAtMs = Date.now()
          this.#isJoined = false
          return
        }
        throw error
      }
    }
  }

  #forget(error: unknown): void {
    const code = kafkaCodeOf(error)
    // Whoever failed between join and assignment does not know what it owns.
    if (code !== undefined || !this.#isAssigned) this.#isJoined = false
    if (this.#coordinator !== undefined && code !== KafkaCode.rebalanceInProgress) {
      this.#parts.connections.drop(this.#coordinator, 'join')
      this.#lost = this.#coordinator
      this.#coordinator = undefined
    }
    if (code === KafkaCode.unknownMember || code === KafkaCode.fencedInstance) this.#memberId = ''
    if (code === KafkaCode.unknownMember || code === KafkaCode.illegalGeneration || code === KafkaCode.fencedInstance) this.#generation = -1
  }
}

function grouped(partitions: readonly TopicPartition[]): { topic: string; partitions: number[] }[] {
  const topics = new Map<string, number[]>()
  for (const { topic, partition } of partitions) topics.set(topic, [...(topics.get(topic) ?? []), partition])
  return [...topics].map(([topic, own]) => ({ topic, partitions: own }))
}
