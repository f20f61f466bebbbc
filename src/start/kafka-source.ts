/** The Kafka consumer of one process, as configured, with its dead-letter topic. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/settings.ts'
import { AppError } from '../core/base/app-error.ts'
import type { Events } from '../observe/events.ts'
import type { Logger } from '../observe/logger.ts'
import { countReport } from '../pipeline/count-report.ts'
import { feedLetters } from '../pipeline/feed-letters.ts'
import { KafkaIngest } from '../pipeline/ingest-kafka.ts'
import type { Ingesters } from '../pipeline/ingesters.ts'
import { createKafkaDriver } from '../sources/kafka/create-driver.ts'
import type { Database } from '../store/db/database.ts'
import { nowUs } from './clock.ts'
import { kafkaSetup } from './kafka-options.ts'
import type { StreamCheck } from './live-sources.ts'

export interface KafkaSourceOptions {
  readonly config: Config
  readonly ingesters: Ingesters
  readonly logger: Logger
  readonly events: Events
  /** Reading cannot go on: AppError with the next step, or a bug. */
  readonly onFailed?: (error: unknown) => void
}

export interface KafkaSource {
  /** Leaves the group; what is being stored is stored. */
  stop(): Promise<void>
  check(): StreamCheck
}

/** What goes as it should. */
const QUIET: ReadonlySet<string> = new Set(['assigned', 'revoked', 'connected'])

/** Brokers restart and groups rebalance: so long a broken connection does not count against readiness. */
const GRACE_MS = 30_000
const OBSERVE_MS = 5_000
const LETTERS_STOP_MS = 5_000

/** Starts to consume. `undefined` where no topic is configured. AppError `usage` for files that cannot be read. */
export async function startKafkaSource(database: Database, options: KafkaSourceOptions): Promise<KafkaSource | undefined> {
  const { config, ingesters, logger, events, onFailed } = options
  const setup = await kafkaSetup(config)
  if (setup === undefined) return undefined
  const driver = await createKafkaDriver(setup.driver, setup.options)
  const ingest = new KafkaIngest({
    database, driver, nowUs, start: config.kafkaStart, onReset: config.kafkaOnReset,
    ingesterOf: (topic) => ingesters.of(setup.clusterOf(topic)),
    onStored: (report, topic) => {
      countReport(report, 'kafka', events)
      const { received, stored, duplicate, bytes } = report
      logger.debug({ source: `kafka:${topic}`, received, stored, duplicate, bytes }, 'flows stored')
    },
    onNotice: ({ event, text }) => {
      events.kafkaNoticed({ event })
      logger[QUIET.has(event) ? 'info' : 'warn']({ source: 'kafka', event }, text)
    },
  })
  const stopping = new AbortController()
  let failure: string | undefined
  const consuming = ingest.run(stopping.signal).catch((error: unknown) => {
    // Anybody may ask for readiness: what a bug says is for the log.
    failure = error instanceof AppError ? error.message : 'ended by an error; the log says which'
    logger.error({ source: 'kafka', ...(error instanceof AppError ? {} : { error }) }, failure)
    onFailed?.(error)
  })
  const letters = config.kafkaDeadLetterTopic
  const feeding = letters === undefined
    ? Promise.resolve()
    : feedLetters({ database, driver, topic: letters, onFailure: (text) => logger.warn({ source: 'kafka' }, text) }, stopping.signal)
  const observing = setInterval(() => {
    void ingest.refreshLag()
    events.kafkaObserved(ingest.state)
  }, OBSERVE_MS)
  observing.unref()
  // Not ready before it was connected once.
  let readyUntilMs = -Infinity
  return {
    stop: async () => {
      clearInterval(observing)
      stopping.abort()
      // Letters on their way to brokers that do not answer are sent again by the next run.
      await Promise.all([consuming, Promise.race([feeding, sleep(LETTERS_STOP_MS, undefined, { ref: false })])])
      await driver.close()
    },
    check: () => {
      const { condition, partitions, lag } = ingest.state
      if (condition === 'ok') readyUntilMs = performance.now() + GRACE_MS
      const isReady = failure === undefined && (condition === 'ok' || (condition !== 'database-away' && performance.now() < readyUntilMs))
      return { name: 'kafka', isReady, text: failure ?? CONDITIONS[condition](partitions, lag) }
    },
  }
}

const CONDITIONS: Readonly<Record<KafkaIngest['state']['condition'], (partitions: number, lag: number) => string>> = {
  starting: () => 'not connected yet',
  ok: (partitions, lag) => `reads ${partitions} partitions, ${lag} records behind`,
  'brokers-away': () => 'the brokers do not answer',
  'database-away': () => 'waits for the database',
}
