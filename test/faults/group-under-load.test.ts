/** Members come and go under load, two processes read one partition, and messages come twice, in another order and a week late. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from '@jest/globals'
import { createTestDatabase } from '../support/database.ts'
import { hubbleLines, messyLines, recentStartUs } from '../support/hubble-lines.ts'
import { startIngest } from '../support/ingest-process.ts'
import type { IngestProcess } from '../support/ingest-process.ts'
import { expectConserved, outcomesOf, produceLines, until } from '../support/kafka/conservation.ts'
import { kafkaDrivers } from '../support/kafka/drivers.ts'
import { describeKafka, kafkaBroker, topicName } from '../support/kafka/kafka.ts'
import { createRandom, rounds } from '../support/random.ts'

const running = new Set<IngestProcess>()
afterEach(async () => {
  for (const one of running) await one.kill()
  running.clear()
})

const DAY_US = 86_400_000_000

describeKafka('the consumer group under load', () => {
  test.each(kafkaDrivers())('%s: members join and leave again and again while records come: everything is stored once', async (driver) => {
    const turns = rounds({ small: 2, full: 10 })
    const random = createRandom(41)
    const broker = await kafkaBroker()
    const topic = topicName()
    const group = topicName('group')
    await broker.topics.create(topic, { partitions: 4 })
    const { database, connectionString } = await createTestDatabase()
    const lines = messyLines(random, (turns + 1) * 1_000, recentStartUs())
    const start = (): IngestProcess => {
      const one = startIngest({ databaseUrl: connectionString, brokers: broker.brokers, topic, group, env: { FLOWFENCE_KAFKA_DRIVER: driver } })
      running.add(one)
      return one
    }
    const producing = (async () => {
      for (let at = 0; at < lines.length; at += 500) {
        await produceLines(broker.topics, topic, lines.slice(at, at + 500), 4)
        await sleep(rounds({ small: 500, full: 1_500 }))
      }
    })()
    const members = [start()]
    for (let turn = 0; turn < turns; turn++) {
      const joined = start()
      members.push(joined)
      await joined.untilLogged('"assigned"')
      await sleep(random.int(rounds({ small: 500, full: 3_000 })))
      const leaving = members.splice(random.int(members.length), 1)[0]
      if (leaving === undefined) break
      const { code } = await leaving.stop()
      running.delete(leaving)
      expect(code).toBe(0)
    }
    await producing
    await expectConserved(database, broker.topics, topic, lines)
    await Promise.all(members.map((one) => one.ready()))
  }, 900_000)

  test('two processes forced onto one partition: fenced, told, and stored once', async () => {
    const broker = await kafkaBroker()
    const topic = topicName()
    await broker.topics.create(topic)
    const { database, connectionString } = await createTestDatabase()
    const lines = hubbleLines(createRandom(42), 3_000, recentStartUs())
    // Groups know nothing of each other, so each gives the partition to its only member.
    const both = ['kafkajs', 'platformatic'].map((driver) => {
      const one = startIngest({ databaseUrl: connectionString, brokers: broker.brokers, topic, group: topicName('group'), env: { FLOWFENCE_KAFKA_DRIVER: driver } })
      running.add(one)
      return one
    })
    await Promise.all(both.map((one) => one.untilLogged('"assigned"')))
    for (let at = 0; at < lines.length; at += 300) {
      await produceLines(broker.topics, topic, lines.slice(at, at + 300), 1)
      await sleep(300)
    }
    await expectConserved(database, broker.topics, topic, lines)
    expect(await outcomesOf(database)).toEqual({ stored: 3_000 })
    await until('a fencing to show in the metrics', async () => {
      const counts = await Promise.all(both.map((one) => one.metric('flowfence_kafka_events_total', 'event="fenced"')))
      return counts.some((n) => n > 0)
    })
    expect(both.map((one) => one.log()).join('')).toContain('"fenced"')
    await Promise.all(both.map((one) => one.ready()))
  }, 400_000)

  test('duplicated, reordered and week-late messages: each flow counts once, and what is too late is rejected', async () => {
    const random = createRandom(43)
    const broker = await kafkaBroker()
    const topic = topicName()
    await broker.topics.create(topic)
    const { database, connectionString } = await createTestDatabase()
    const nowUs = recentStartUs()
    const onTime = hubbleLines(random, 600, nowUs)
    const late = hubbleLines(random, 300, nowUs - 7 * DAY_US)
    const tooLate = hubbleLines(random, 100, nowUs - 20 * DAY_US)
    const again = random.shuffle([...onTime, ...late]).slice(0, 400)
    const all = random.shuffle([...onTime, ...late, ...again, ...tooLate])
    await produceLines(broker.topics, topic, all, 1)
    const one = startIngest({ databaseUrl: connectionString, brokers: broker.brokers, topic, group: topicName('group') })
    running.add(one)
    await expectConserved(database, broker.topics, topic, all)
    expect(await outcomesOf(database)).toEqual({ stored: 900, duplicate: 400, rejected: 100 })
    const { rows } = await database.query<{ reason: string, n: string }>(`select reason, sum(records) as n from ingest_totals where outcome = 'rejected' group by reason`)
    expect(rows).toEqual([{ reason: 'too-late', n: '100' }])
    // Once more, whole, in one sweep behind it.
    await produceLines(broker.topics, topic, random.shuffle(all), 1)
    await expectConserved(database, broker.topics, topic, all)
    expect(await outcomesOf(database)).toEqual({ stored: 900, duplicate: 1_700, rejected: 200 })
    await until('the metrics to tell the same', async () => await one.metric('flowfence_ingest_records_received_total', 'source="kafka"') === 2 * all.length)
  }, 400_000)
})
