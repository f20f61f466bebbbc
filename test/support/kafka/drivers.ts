import type { KafkaDriverName } from '../../../src/sources/kafka/kafka-driver.ts'
import { rounds } from '../random.ts'

/** The drivers that a test of faults runs with: the default one, and all of them in the full tier. */
export function kafkaDrivers(): readonly KafkaDriverName[] {
  return rounds({ small: 1, full: 2 }) === 1 ? ['kafkajs'] : ['kafkajs', 'platformatic']
}
