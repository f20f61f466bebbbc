/** Brokers are killed and started again, one of three is lost for good: reading waits or moves, says so, and everything is stored once. */
import { afterEach, expect, test } from '@jest/globals'
import { createTestDatabase } from '../support/database.ts'
import { messyLines, recentStartUs } from '../support/hubble-lines.ts'
import { startIngest } from '../support/ingest-process.ts'
import type { IngestProcess } from '../support/ingest-process.ts'
import { expectConserved, heldBy, outcomesOf, produceLines, received, until } from '../support/kafka/conservation.ts'
import { kafkaDrivers } from '../support/kafka/drivers.ts'
import { describeOwnKafka, startKafka, topicName } from '../support/kafka/kafka.ts'
import { openTopics } from '../support/kafka/topics.ts'
import { createRandom, rounds } from '../support/random.ts'

const running = new Set<IngestProcess>()
afterEach(async () => {
  for (const one of running) await one.kill()
  running.clear()
})

const testFull = rounds({ small: 0, full: 1 }) === 0 ? test.skip : test

describeOwnKafka('brokers fail while they are read', () => {
  test.each(kafkaDrivers())('%s: the only broker is killed and started again', async (driver) => {
    const broker = await startKafka()
    const topic = topicName()
    await broker.topics.create(topic, { partitions: 2 })
    const { database, connectionString } = await createTestDatabase()
    const lines = messyLines(createRandom(61), 2_000, recentStartUs())
    await produceLines(broker.topics, topic, lines.slice(0, 1_500), 2)
    const one = startIngest({ databaseUrl: connectionString, brokers: broker.brokers, topic, group: topicName('group'), env: { FLOWFENCE_KAFKA_DRIVER: driver } })
    running.add(one)
    await until('the first batch', async () => await received(database) > 0, one.log)
    for (let kill = 0; kill < rounds({ small: 1, full: 3 }); kill++) {
      await broker.nodes[0]?.kill()
      await one.untilLogged('Kafka does not answer')
      await broker.nodes[0]?.start()
      // What was not on the disk when the broker was killed is the topic's loss, not ours; it is sent again.
      await until('the broker to answer', async () => await heldBy(broker.topics, topic) > 0)
    }
    await produceLines(broker.topics, topic, lines.slice(1_500), 2)
    await expectConserved(database, broker.topics, topic, lines)
    await one.ready()
    expect((await one.stop()).code).toBe(0)
  }, 500_000)

  testFull.each(kafkaDrivers())('%s: one of three brokers is lost under load: the others take over', async (driver) => {
    const cluster = await startKafka({ brokers: 3, settings: { 'offsets.topic.replication.factor': '3', 'min.insync.replicas': '2' } })
    const topic = topicName()
    await cluster.topics.create(topic, { partitions: 6, replicas: 3 })
    const { database, connectionString } = await createTestDatabase()
    const lines = messyLines(createRandom(62), 6_000, recentStartUs())
    const one = startIngest({ databaseUrl: connectionString, brokers: cluster.brokers, topic, group: topicName('group'), env: { FLOWFENCE_KAFKA_DRIVER: driver } })
    running.add(one)
    await one.untilLogged('"assigned"')
    const producing = produceLines(cluster.topics, topic, lines, 6)
    await until('something to be stored', async () => await received(database) > 0, one.log)
    await cluster.nodes[1]?.kill()
    await producing
    // The administration's client stays with the broker it knew first.
    const left = await openTopics(cluster.brokers.filter((address) => address !== cluster.nodes[1]?.address))
    await until('all partitions to have a leader', () => heldBy(left, topic).then(() => true, () => false))
    await expectConserved(database, left, topic, lines)
    await left.close()
    await one.ready()
    expect(Object.keys(await outcomesOf(database))).toContain('stored')
    expect((await one.stop()).code).toBe(0)
  }, 500_000)
})
