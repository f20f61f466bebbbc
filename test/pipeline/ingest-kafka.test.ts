/** The Kafka pipeline against a real broker and a real database: exactly once in effect. */
import { afterEach, expect, test } from '@jest/globals'
import { readIngestStatus } from '../../src/pipeline/ingest-status.ts'
import { createTestDatabase } from '../support/database.ts'
import { START_US } from '../support/flow-records.ts'
import { hubbleLines, messyLines } from '../support/hubble-lines.ts'
import { plainEdges, produceLines, received, undisturbedEdges, until } from '../support/kafka/conservation.ts'
import { describeKafka, kafkaBroker, topicName } from '../support/kafka/kafka.ts'
import { startMember } from '../support/kafka-ingest.ts'
import type { Member } from '../support/kafka-ingest.ts'
import { createRandom } from '../support/random.ts'

const members: Member[] = []
afterEach(async () => {
  await Promise.all(members.splice(0).map((member) => member.stop().catch(() => undefined)))
})

async function start(options: Parameters<typeof startMember>[0]): Promise<Member> {
  const member = await startMember(options)
  members.push(member)
  return member
}

describeKafka('Kafka ingest', () => {
  test('every record of three partitions is stored or counted once, and the positions stand behind the last one', async () => {
    const broker = await kafkaBroker()
    const topic = topicName()
    await broker.topics.create(topic, { partitions: 3 })
    const lines = messyLines(createRandom(1), 3_000)
    await produceLines(broker.topics, topic, lines, 3)
    const { database } = await createTestDatabase()
    const member = await start({ database, brokers: broker.brokers, topic, group: topicName('group') })
    await until('all records', async () => await received(database) >= lines.length)
    await member.stop()
    const status = await readIngestStatus(database, { cluster: { id: member.ingester.clusterId, name: 'test' }, nowUs: START_US, limit: 10 })
    const { totals: { received: all, stored, duplicate, rejected, ignored } } = status as unknown as { totals: { received: number, stored: number, duplicate: number, rejected: Record<string, number>, ignored: Record<string, number> } }
    const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((a, b) => a + b, 0)
    expect(all).toBe(lines.length)
    expect(stored + duplicate + sum(rejected) + sum(ignored)).toBe(lines.length)
    expect(await plainEdges(database)).toEqual(await undisturbedEdges(lines))
    const { rows } = await database.query<{ source: string, next: string }>('select source, next from positions order by source')
    expect(rows.map(({ source, next }) => [source.replace(/^kafka:[^/]+\//, ''), Number(next)])).toEqual([0, 1, 2].map((p) => [`${topic}/${p}`, 1_000]))
  }, 120_000)

  test('a second run of another group goes on from the stored positions and reads nothing twice', async () => {
    const broker = await kafkaBroker()
    const topic = topicName()
    await broker.topics.create(topic, { partitions: 2 })
    const lines = hubbleLines(createRandom(2), 1_000)
    const { database } = await createTestDatabase()
    await produceLines(broker.topics, topic, lines.slice(0, 600), 2)
    const first = await start({ database, brokers: broker.brokers, topic, group: topicName('group') })
    await until('the first part', async () => await received(database) >= 600)
    await first.stop()
    await produceLines(broker.topics, topic, lines.slice(600), 2)
    await start({ database, brokers: broker.brokers, topic, group: topicName('group') })
    await until('the rest', async () => await received(database) >= 1_000)
    const { rows } = await database.query<{ outcome: string, n: string }>('select outcome, sum(records) as n from ingest_totals group by outcome')
    expect(rows).toEqual([{ outcome: 'stored', n: '1000' }])
    expect(await plainEdges(database)).toEqual(await undisturbedEdges(lines))
  }, 120_000)

  test('two processes that both believe they own a partition are fenced, and store everything once', async () => {
    const broker = await kafkaBroker()
    const topic = topicName()
    await broker.topics.create(topic, { partitions: 1 })
    const lines = hubbleLines(createRandom(3), 4_000)
    const { database } = await createTestDatabase()
    const one = await start({ database, brokers: broker.brokers, topic, group: topicName('one'), batchRecords: 100, flushMs: 20 })
    const two = await start({ database, brokers: broker.brokers, topic, group: topicName('two'), batchRecords: 100, flushMs: 20 })
    await until('both to be assigned', () => Promise.resolve([one, two].every((m) => m.ingest.state.partitions === 1)))
    await produceLines(broker.topics, topic, lines, 1)
    await until('all records', async () => await received(database) >= lines.length)
    await Promise.all([one.stop(), two.stop()])
    expect([...one.notices, ...two.notices].map((n) => n.event)).toContain('fenced')
    expect(await received(database)).toBe(lines.length)
    const { rows } = await database.query<{ outcome: string, n: string }>('select outcome, sum(records) as n from ingest_totals group by outcome')
    expect(rows).toEqual([{ outcome: 'stored', n: '4000' }])
    expect(await plainEdges(database)).toEqual(await undisturbedEdges(lines))
  }, 120_000)

  test('a topic that was made anew is noticed by its fingerprint and read from the beginning, or refused', async () => {
    const broker = await kafkaBroker()
    const topic = topicName()
    const lines = hubbleLines(createRandom(4), 600)
    const { database } = await createTestDatabase()
    const fill = async (part: readonly string[]): Promise<void> => {
      await broker.topics.create(topic)
      await produceLines(broker.topics, topic, part, 1)
    }
    await fill(lines.slice(0, 200))
    const first = await start({ database, brokers: broker.brokers, topic, group: topicName('group') })
    await until('the first log', async () => await received(database) >= 200)
    await first.stop()
    await broker.topics.delete(topic)
    // Longer than the first: only the fingerprint tells.
    await fill(lines.slice(200))
    const refused = await startMember({ database, brokers: broker.brokers, topic, group: topicName('group'), onReset: 'stop' })
    await expect(refused.ended).rejects.toThrow(/was recreated or cut off: it holds another record at offset 199 .* Set FLOWFENCE_KAFKA_ON_RESET/)
    await refused.driver.close()
    const second = await start({ database, brokers: broker.brokers, topic, group: topicName('group') })
    await until('the second log', async () => await received(database) >= 600)
    expect(second.notices.map((n) => n.event)).toContain('reset')
    expect(await plainEdges(database)).toEqual(await undisturbedEdges(lines))
    const { rows } = await database.query<{ type: string }>('select type from coverage_events')
    expect(rows).toEqual([{ type: 'gap' }])
  }, 120_000)

  test('what comes between two assignments is read, also where a partition without a position starts at its end', async () => {
    const broker = await kafkaBroker()
    const topic = topicName()
    const lines = hubbleLines(createRandom(5), 300)
    const { database } = await createTestDatabase()
    await broker.topics.create(topic)
    await produceLines(broker.topics, topic, lines.slice(0, 100), 1)
    const first = await start({ database, brokers: broker.brokers, topic, group: topicName('group'), start: 'latest' })
    await until('the assignment', () => Promise.resolve(first.ingest.state.partitions === 1))
    await first.stop()
    await produceLines(broker.topics, topic, lines.slice(100), 1)
    await start({ database, brokers: broker.brokers, topic, group: topicName('group'), start: 'latest' })
    await until('what came meanwhile', async () => await received(database) >= 200)
    expect(await plainEdges(database)).toEqual(await undisturbedEdges(lines.slice(100)))
  }, 120_000)

  test('a topic that was made anew is passed over once, not again with every assignment', async () => {
    const broker = await kafkaBroker()
    const topic = topicName()
    const lines = hubbleLines(createRandom(6), 600)
    const { database } = await createTestDatabase()
    await broker.topics.create(topic)
    await produceLines(broker.topics, topic, lines.slice(0, 200), 1)
    const first = await start({ database, brokers: broker.brokers, topic, group: topicName('group') })
    await until('the first log', async () => await received(database) >= 200)
    await first.stop()
    await broker.topics.delete(topic)
    await broker.topics.create(topic)
    await produceLines(broker.topics, topic, lines.slice(200, 300), 1)
    const second = await start({ database, brokers: broker.brokers, topic, group: topicName('group'), onReset: 'latest' })
    await until('the assignment', () => Promise.resolve(second.ingest.state.partitions === 1))
    await second.stop()
    await produceLines(broker.topics, topic, lines.slice(300), 1)
    const third = await start({ database, brokers: broker.brokers, topic, group: topicName('group'), onReset: 'latest' })
    await until('what came meanwhile', async () => await received(database) >= 500)
    expect([second, third].map((member) => member.notices.filter((n) => n.event === 'reset').length)).toEqual([1, 0])
    expect(await plainEdges(database)).toEqual(await undisturbedEdges([...lines.slice(0, 200), ...lines.slice(300)]))
  }, 120_000)
})
