/**
 * What the program asks of a Kafka client library. Two libraries stand behind it (kafkajs.ts, platformatic.ts), chosen by configuration; everything
 * that knows one of them stays in its file. A driver knows nothing of formats and stores no position: where a partition resumes is told to it.
 *
 * Offsets are exact up to 2^53. Records of a partition come in ascending order; offsets may have gaps (compaction, transaction markers), so the
 * next offset is always told by the driver and never computed from the last one by the consumer.
 */

export type KafkaDriverName = 'kafkajs' | 'platformatic'

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export interface KafkaRecord {
  readonly offset: number
  /** Milliseconds since 1970, as the producer or the broker set it. */
  readonly timestampMs: number
  /** `null`: a tombstone, or see `problem`. Valid until `batch` returns, unless it was copied. */
  readonly value: Buffer | null
  /**
   * Set where a compressed batch of records cannot be read (damaged bytes, unknown codec, larger than 64 MiB after decompression): one sentence that
   * tells which offsets are lost and why. It stands for the whole batch, `offset` is the first one of it, and the partition moves on behind it.
   */
  readonly problem?: string
}

/**
 * What came of one partition. `records` is empty where the log holds none between the last batch and `nextOffset` (transaction markers, aborted
 * transactions, compaction): then only the position moves.
 */
export interface PartitionBatch extends TopicPartition {
  readonly records: readonly KafkaRecord[]
  /** Where the batch after this one begins. */
  readonly nextOffset: number
  /** The offset after the newest record of the partition, for lag. */
  readonly highWatermark: number
  /** Rises with every assignment of the partition to this member: what belongs to an older one is void. */
  readonly generation: number
}

/** A partition that belongs to this member from now on. */
export interface Assignment extends TopicPartition {
  readonly generation: number
}

export interface PartitionRange extends TopicPartition {
  /** First offset still kept, and the one after the last. */
  readonly earliest: number
  readonly latest: number
}

/** The offset that a partition should go on at is not in its log. */
export interface OutOfRange extends PartitionRange {
  readonly offset: number
  readonly generation: number
}

/** The consuming side. Every promise may be rejected with an AppError, which ends `consume` with it. */
export interface KafkaHandler {
  /**
   * Partitions this member owns from now on, before any record of them is given. Returns where each starts; a partition left out starts at its
   * earliest offset.
   */
  assigned(partitions: readonly Assignment[]): Promise<readonly (TopicPartition & { readonly offset: number })[]>
  /** Partitions that this member owns no more: nothing more of them will come until they are assigned again. */
  revoked(partitions: readonly TopicPartition[]): void
  /** Takes a batch over at once. Whoever has enough says so with `pause`; nothing more comes of the partition from then on until `resume`. */
  batch(batch: PartitionBatch): void
  /**
   * The log was truncated, recreated or deleted up to beyond the offset (retention): nothing comes of the partition until `seek` says where to go
   * on. Called again only after another `seek` outside of the log.
   */
  outOfRange(at: OutOfRange): void
  /** The connection or the group is lost and tried again by itself, or back: for logs and readiness. `text` is one sentence for people, without secrets. */
  status(status: { readonly isConnected: boolean; readonly text: string }): void
}

export interface DeadLetterRecord {
  readonly key: string
  readonly value: Buffer
  readonly headers: Readonly<Record<string, string>>
}

/** One member of one consumer group. */
export interface KafkaDriver {
  readonly name: KafkaDriverName
  /**
   * Connects, subscribes and delivers until `signal` is aborted, then leaves the group and resolves. Reconnects by itself with growing delay. Rejects with an
   * AppError only where trying again cannot help (wrong credentials or certificate, unknown topic, no permission, a broker too old, no Kafka at all):
   * one sentence with the next step, from kafka-problems.ts, so that all drivers say the same. A topic that is deleted later is waited for, and told by
   * `status`. Partitions are revoked before `consume` ends.
   */
  consume(handler: KafkaHandler, signal: AbortSignal): Promise<void>
  /** Goes on at another offset; batches fetched before are void and not delivered any more. Without effect on partitions that are not assigned. */
  seek(at: TopicPartition & { readonly offset: number }): void
  /** Lasts until `resume` or until the partition is revoked: every assignment begins unpaused. Heartbeats go on. */
  pause(partitions: readonly TopicPartition[]): void
  resume(partitions: readonly TopicPartition[]): void
  /** Tells the group how far it is, for lag monitoring only. Failures are swallowed. */
  commit(next: readonly (TopicPartition & { readonly offset: number })[]): Promise<void>
  /** The first record at or after an offset; `undefined` where there is none yet or no more. Never disturbs `consume`. */
  readRecord(at: TopicPartition & { readonly offset: number }): Promise<KafkaRecord | undefined>
  /** Of all partitions of a topic. */
  ranges(topic: string): Promise<readonly PartitionRange[]>
  /** The broker cluster's own id: names its partitions for ever, whatever its address. */
  clusterId(): Promise<string>
  /** Appends to a topic and waits for the acknowledgement of all replicas. */
  send(topic: string, records: readonly DeadLetterRecord[]): Promise<void>
  /** After `consume` has ended. */
  close(): Promise<void>
}

export interface KafkaTls {
  /** PEM texts. Without a CA the system's are trusted. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly passphrase?: string
}

export type KafkaSasl =
  | { readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'; readonly username: string; readonly password: string }
  /** Called for every connection, so that the token may change. */
  | { readonly mechanism: 'oauthbearer'; readonly token: () => Promise<string> }

export interface KafkaOptions {
  /** `host:port`, at least one. */
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly groupId: string
  /** Names, or patterns over all names of the cluster; topics that appear later and match are read, too. */
  readonly topics: readonly (string | RegExp)[]
  readonly tls?: KafkaTls
  readonly sasl?: KafkaSasl
  /** Static membership (`group.instance.id`), where the driver has it. */
  readonly instanceId?: string
  /** Bytes of one fetch per partition at most; a single larger record still comes. Default 1 MiB. */
  readonly partitionBytes?: number
  /** Topics that no pattern takes: the dead-letter topic. The broker's internal topics are never taken. */
  readonly excludedTopics?: readonly string[]
  /** How often new topics and partitions are looked for. Default 30 s. Shorter: found earlier; longer: fewer requests. */
  readonly topicRefreshMs?: number
  /** How long the group waits for a silent member. Default 30 s. */
  readonly sessionTimeoutMs?: number
}
