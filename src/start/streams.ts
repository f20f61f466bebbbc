/** Everything that one process reads without being asked: Kafka topics and live gRPC streams. */
import type { KafkaSourceOptions } from './kafka-source.ts'
import { startKafkaSource } from './kafka-source.ts'
import { startLiveSources } from './live-sources.ts'
import type { StreamCheck } from './live-sources.ts'
import type { Config } from '../config/settings.ts'
import type { Database } from '../store/db/database.ts'

export interface Streams {
  stop(): Promise<void>
  /** For readiness; one per source. */
  checks(): readonly StreamCheck[]
}

/** Whether anything is configured to be read. */
export function hasStreams({ kafkaTopics, hubbleRelays, goldmanes }: Config): boolean {
  return kafkaTopics.length + hubbleRelays.length + goldmanes.length > 0
}

/** Starts what is configured. AppError `usage` for settings that cannot be used; then nothing goes on running. */
export async function startStreams(database: Database, options: KafkaSourceOptions): Promise<Streams> {
  const live = await startLiveSources(database, options)
  try {
    const kafka = await startKafkaSource(database, options)
    return {
      stop: async () => {
        await Promise.all([live.stop(), kafka?.stop()])
      },
      checks: () => [...live.checks(), ...(kafka === undefined ? [] : [kafka.check()])],
    }
  } catch (error) {
    await live.stop()
    throw error
  }
}
