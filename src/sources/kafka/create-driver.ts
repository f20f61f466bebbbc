/** The driver of a name. Its library is loaded only then: other commands do not wait for it. */
import type { KafkaDriver, KafkaDriverName, KafkaOptions } from './kafka-driver.ts'

export async function createKafkaDriver(name: KafkaDriverName, options: KafkaOptions): Promise<KafkaDriver> {
  switch (name) {
    case 'kafkajs': return (await import('./kafkajs.ts')).createKafkajsDriver(options)
    case 'platformatic': return (await import('./platformatic.ts')).createPlatformaticDriver(options)
  }
}
