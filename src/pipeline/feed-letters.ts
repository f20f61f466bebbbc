/**
 *  dead letters of Kafka topics (table) ─► dead-letter topic
 *
 * The table is the truth: a letter is committed with the batch it was refused in, and copied to the topic afterwards, at least once. Key: topic,
 * offset and the letter's id, so that a compacted topic keeps each once. Any number of processes may feed.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../core/base/app-error.ts'
import type { DeadLetterRecord, KafkaDriver } from '../sources/kafka/kafka-driver.ts'
import { selectClusters } from '../store/read/select-clusters.ts'
import { forwardLetters } from '../store/write/forward-letters.ts'
import type { ForwardedLetter } from '../store/write/forward-letters.ts'
import type { Database } from '../store/db/database.ts'

export interface FeedOptions {
  readonly database: Database
  readonly driver: Pick<KafkaDriver, 'send'>
  readonly topic: string
  /** The database or the brokers did not take them; tried again by itself. Told once per stretch of failures. */
  readonly onFailure?: (text: string) => void
  /** How often to look. Default 2000. */
  readonly everyMs?: number
}

/** Letters of one transaction: at most 2 MB. */
const BATCH_LETTERS = 500
const MAX_DELAY_MS = 60_000

/** Feeds until `signal` is aborted. */
export async function feedLetters({ database, driver, topic, onFailure, everyMs = 2_000 }: FeedOptions, signal: AbortSignal): Promise<void> {
  let failures = 0
  while (!signal.aborted) {
    let isMore = false
    try {
      for (const { id } of await selectClusters(database)) {
        if (await forwardLetters(database, id, BATCH_LETTERS, (letters) => driver.send(topic, letters.map(recordOf))) === BATCH_LETTERS) isMore = true
      }
      failures = 0
    } catch (error) {
      if (failures++ === 0) onFailure?.(`Dead letters cannot be copied to topic ${topic}: ${reasonOf(error)} They stay in the table and are tried again.`)
    }
    if (!isMore || failures > 0) await sleep(Math.min(everyMs * 2 ** failures, MAX_DELAY_MS), undefined, { signal }).catch(() => undefined)
  }
}

/** Records of one message, and messages of several partitions, share an offset: only the letter's id tells them apart. */
function reasonOf(error: unknown): string {
  if (error instanceof AppError && error.code === 'not-found') return 'Kafka has no such topic, or this user may not see it. Create it, or correct FLOWFENCE_KAFKA_DEAD_LETTER_TOPIC.'
  return error instanceof Error ? error.message : 'unknown'
}

function recordOf({ id, cluster, source, offset, format, reason, detail, sample, isComplete, rejectedAtMs }: ForwardedLetter): DeadLetterRecord {
  return {
    key: `${source}@${offset}#${id}`, value: Buffer.from(sample),
    headers: { cluster, source, offset, format, reason, detail, 'is-complete': String(isComplete), 'rejected-at': new Date(rejectedAtMs).toISOString() },
  }
}
