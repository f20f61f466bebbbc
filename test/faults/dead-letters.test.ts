/** Records that cannot be read reach the table of dead letters and the dead-letter topic once each, and the partition moves on. */
import { afterEach, expect, test } from '@jest/globals'
import { createTestDatabase } from '../support/database.ts'
import { hubbleLines, recentStartUs } from '../support/hubble-lines.ts'
import { startIngest } from '../support/ingest-process.ts'
import type { IngestProcess } from '../support/ingest-process.ts'
import { expectConserved, heldBy, outcomesOf, produceLines, until } from '../support/kafka/conservation.ts'
import { describeOwnKafka, startKafka, topicName } from '../support/kafka/kafka.ts'
import { startReader } from '../support/kafka/reader.ts'
import { createRandom, rounds } from '../support/random.ts'

const running = new Set<IngestProcess>()
afterEach(async () => {
  for (const one of running) await one.kill()
  running.clear()
})

/** Larger than one line of a log may be (1 MiB). */
const OVERSIZED = `{"flow":{"uuid":"${'x'.repeat(1_200_000)}"}}`

describeOwnKafka('dead letters', () => {
  test('poison and oversized records; the topic missing and the broker away: letters stay, and are sent later, once', async () => {
    const broker = await startKafka()
    const [topic, letters] = [topicName(), topicName('letters')]
    await broker.topics.create(topic, { config: { 'max.message.bytes': '4000000' } })
    const { database, connectionString } = await createTestDatabase()
    const good = hubbleLines(createRandom(51), 300, recentStartUs())
    const poison = ['{"flow":\n', '{"flow":{"a":1,}}\n', OVERSIZED, '{"flow":{"verdict":"FORWARDED",}\n']
    await produceLines(broker.topics, topic, good.slice(0, 100), 1)
    for (const record of poison) await broker.topics.produce(topic, [record])
    await produceLines(broker.topics, topic, good.slice(100, 200), 1)
    const one = startIngest({
      databaseUrl: connectionString, brokers: broker.brokers, topic, group: topicName('group'),
      env: { FLOWFENCE_KAFKA_DEAD_LETTER_TOPIC: letters, FLOWFENCE_DATABASE_CONNECTIONS: '2' },
    })
    running.add(one)
    const waiting = async (): Promise<number> => {
      const { rows } = await database.query<{ n: string }>('select count(*) as n from rejections where not is_forwarded')
      return Number(rows[0]?.n)
    }
    const kept = async (): Promise<number> => {
      const { rows } = await database.query<{ n: string }>('select count(*) as n from rejections')
      return Number(rows[0]?.n)
    }
    await until('all records', async () => (await outcomesOf(database)).stored === 200, one.log)
    expect(await outcomesOf(database)).toEqual({ stored: 200, rejected: poison.length })
    expect(await kept()).toBe(poison.length)
    await one.untilLogged(`Dead letters cannot be copied to topic ${letters}`)
    expect(one.log()).toContain('FLOWFENCE_KAFKA_DEAD_LETTER_TOPIC')
    expect(await waiting()).toBe(poison.length)
    await one.ready()

    await broker.topics.create(letters)
    await until('the letters in the topic', async () => await heldBy(broker.topics, letters) === poison.length, one.log)
    await until('the table to know', async () => await waiting() === 0, one.log)

    const isFull = rounds({ small: 0, full: 1 }) === 1
    if (isFull) {
      // Letters that come while the broker is away: they are in the table with the batch, and go out when it is back.
      await broker.topics.produce(topic, ['{"broken":\n'])
      await produceLines(broker.topics, topic, good.slice(200), 1)
      await broker.nodes[0]?.kill()
      await one.untilLogged('Kafka does not answer')
      // Readiness has patience of half a minute.
      await one.untilReadiness('the brokers are away', ({ checks }) => checks.kafka === '!the brokers do not answer')
      await broker.nodes[0]?.start()
      await expectConserved(database, broker.topics, topic, [...good, ...poison])
      await until('the last letter in the topic', async () => await waiting() === 0, one.log)
    }
    const reader = await startReader('platformatic', { brokers: broker.brokers, topics: [letters] })
    // A letter whose acknowledgement died with the broker is sent again, under the same key.
    const distinct = (): number => new Set(reader.records.map(({ value }) => value?.toString())).size
    await reader.until('all letters', () => distinct() === poison.length + (isFull ? 1 : 0))
    if (!isFull) expect(reader.records.length).toBe(poison.length)
    const samples = reader.records.map(({ value }) => value?.toString() ?? '')
    await reader.stop()
    expect(samples.slice(0, 2)).toEqual(['{"flow":', '{"flow":{"a":1,}}'])
    expect(samples.every((sample) => Buffer.byteLength(sample) <= 4_096)).toBe(true)
    await one.ready()
    expect((await one.stop()).code).toBe(0)
  }, 400_000)
})
