/**
 * The Kafka driver on @platformatic/kafka: its connections, logins and calls, in the newest version that the brokers know. Groups and fetches are made
 * here and in platformatic/ from these calls, since the library's own stream starts where the group's committed offsets are, decodes each answer whole, and
 * ends for one damaged batch. Imported only when chosen: the library takes a while to load.
 */
import { AppError } from '../../core/base/app-error.ts'
import type { KafkaDriver, KafkaOptions } from './kafka-driver.ts'
import { BrokerConnections } from './platformatic/broker-connections.ts'
import { Cluster } from './platformatic/cluster.ts'
import { Consumption } from './platformatic/consumption.ts'
import { fatalConnectionError, fatalKafkaError, reasonOf } from './platformatic/failures.ts'
import { REBALANCE_TIMEOUT_MS } from './platformatic/membership.ts'
import { TopicAccess } from './platformatic/topic-access.ts'

/** Over the rebalance itself: the answer travels, too. */
const JOIN_EXTRA_MS = 10_000

export function createPlatformaticDriver(options: KafkaOptions): KafkaDriver {
  const connections = new BrokerConnections(options, REBALANCE_TIMEOUT_MS + JOIN_EXTRA_MS)
  const cluster = new Cluster(options, connections)
  const access = new TopicAccess(options, connections, cluster)
  let consumption: Consumption | undefined
  let generation = 0
  /** Errors of the library become ours; whoever asks decides whether to ask again. */
  const told = async <Result>(work: Promise<Result>): Promise<Result> => {
    try {
      return await work
    } catch (error) {
      if (error instanceof AppError) throw error
      const fatal = fatalConnectionError(error, options.brokers.join(', '), options) ?? fatalKafkaError(error, options)
      throw fatal ?? new AppError('unavailable', `Kafka does not answer at the moment (${reasonOf(error)}): try again.`, { cause: error, retryable: true })
    }
  }
  return {
    name: 'platformatic',
    consume: async (handler, signal) => {
      if (consumption !== undefined) throw new AppError('internal', 'This Kafka driver consumes already.')
      consumption = new Consumption({ options, connections, cluster, handler, nextGeneration: () => ++generation })
      try {
        await consumption.run(signal)
      } finally {
        consumption = undefined
      }
    },
    seek: (at) => consumption?.fetcher.seek(at),
    pause: (partitions) => consumption?.fetcher.pause(partitions),
    resume: (partitions) => consumption?.fetcher.resume(partitions),
    commit: async (next) => {
      // For lag monitoring only.
      await consumption?.commit(next).catch(() => undefined)
    },
    readRecord: (at) => told(access.readRecord(at)),
    ranges: (topic) => told(cluster.ranges(topic)),
    clusterId: () => told(cluster.clusterId()),
    send: (topic, records) => told(access.send(topic, records)),
    close: () => connections.close(),
  }
}
