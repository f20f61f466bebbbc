/** The consumer is killed (SIGKILL) at random moments, in the middle of a transaction, too: nothing is lost and nothing counted twice. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from '@jest/globals'
import type { Database } from '../../src/store/db/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { hubbleLines, messyLines, recentStartUs } from '../support/hubble-lines.ts'
import { startIngest } from '../support/ingest-process.ts'
import type { IngestProcess } from '../support/ingest-process.ts'
import { expectConserved, outcomesOf, produceLines, until } from '../support/kafka/conservation.ts'
import { kafkaDrivers } from '../support/kafka/drivers.ts'
import { describeKafka, kafkaBroker, topicName } from '../support/kafka/kafka.ts'
import { createRandom, rounds } from '../support/random.ts'
import type { Random } from '../support/random.ts'

const running = new Set<IngestProcess>()
afterEach(async () => {
  for (const one of running) await one.kill()
  running.clear()
})

const PARTITIONS = 3
const testFull = rounds({ small: 0, full: 1 }) === 0 ? test.skip : test

describeKafka('kill -9 of the consumer', () => {
  test.each(kafkaDrivers())('%s: at random moments, then one run to the end: the store is that of an undisturbed run', async (driver) => {
    const kills = rounds({ small: 3, full: 50 })
    const random = createRandom(0x1ced + driver.length)
    const broker = await kafkaBroker()
    const topic = topicName()
    await broker.topics.create(topic, { partitions: PARTITIONS })
    const { database, connectionString } = await createTestDatabase()
    const lines = messyLines(random, (kills + 1) * 600, recentStartUs())
    const start = (): IngestProcess => {
      // A group of its own each time: the broker would keep the partitions of a killed member back for half a minute. Positions are not the group's.
      const started = startIngest({ databaseUrl: connectionString, brokers: broker.brokers, topic, group: topicName('group'), env: { FLOWFENCE_KAFKA_DRIVER: driver } })
      running.add(started)
      return started
    }
    let transactions = 0
    for (let kill = 0; kill < kills; kill++) {
      await produceLines(broker.topics, topic, lines.slice(kill * 600, (kill + 1) * 600), PARTITIONS)
      const one = start()
      if (await untilSomeMoment(random, kill, { one, database })) transactions++
      await one.kill()
      running.delete(one)
    }
    expect(transactions).toBeGreaterThan(0)
    await produceLines(broker.topics, topic, lines.slice(kills * 600), PARTITIONS)
    const last = start()
    await expectConserved(database, broker.topics, topic, lines)
    expect((await last.stop()).code).toBe(0)
    running.delete(last)
  }, 1_200_000)

  // The broker waits for a silent member for half a minute.
  testFull('a killed member of the same group: the group gives its partitions away, and the next process goes on exactly behind it', async () => {
    const broker = await kafkaBroker()
    const topic = topicName()
    const group = topicName('group')
    await broker.topics.create(topic, { partitions: 2 })
    const { database, connectionString } = await createTestDatabase()
    const lines = hubbleLines(createRandom(7), 1_000, recentStartUs())
    await produceLines(broker.topics, topic, lines.slice(0, 500), 2)
    const options = { databaseUrl: connectionString, brokers: broker.brokers, topic, group }
    const first = startIngest(options)
    running.add(first)
    await until('the first part', async () => (await outcomesOf(database)).stored === 500, first.log)
    await first.kill()
    await produceLines(broker.topics, topic, lines.slice(500), 2)
    const second = startIngest(options)
    running.add(second)
    await expectConserved(database, broker.topics, topic, lines)
    expect(await outcomesOf(database)).toEqual({ stored: 1_000 })
    await second.ready()
  }, 300_000)
})

interface Observed {
  readonly one: IngestProcess
  readonly database: Database
}

/** True for a moment within a transaction that stores: every third one, and the others whenever it happens. */
async function untilSomeMoment(random: Random, kill: number, { one, database }: Observed): Promise<boolean> {
  const kind = kill % 3
  if (kind === 1) {
    await sleep(random.int(4_000))
    return false
  }
  await one.untilLogged('"assigned"')
  if (kind === 2) {
    await sleep(random.int(2_500))
    return false
  }
  const isStoring = async (): Promise<boolean> => {
    const { rows } = await database.query(
      `select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null and query ~* '(positions|copy|insert)'`,
    )
    return rows.length > 0
  }
  const giveUpAt = performance.now() + 5_000
  while (performance.now() < giveUpAt) {
    if (await isStoring()) {
      await sleep(random.int(15))
      return true
    }
  }
  return false
}
