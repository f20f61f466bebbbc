/** What only the driver on @platformatic/kafka does: sharing out, partitions kept over rebalances, static members, checksums. */
import { describe, expect, test } from '@jest/globals'
import { createRecordsBatch } from '@platformatic/kafka'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Assignment, KafkaOptions, PartitionBatch, TopicPartition } from '../../src/sources/kafka/kafka-driver.ts'
import { createPlatformaticDriver } from '../../src/sources/kafka/platformatic.ts'
import { checked } from '../../src/sources/kafka/platformatic/checksums.ts'
import { assignSticky } from '../../src/sources/kafka/platformatic/sticky-assignment.ts'
import type { Member } from '../../src/sources/kafka/platformatic/sticky-assignment.ts'
import { PartitionFetcher } from '../../src/sources/kafka/partition-fetcher.ts'
import { describeKafka, kafkaBroker, topicName } from '../support/kafka/kafka.ts'
import { createRandom } from '../support/random.ts'

const WAIT_MS = 60_000

async function until(isTrue: () => boolean, what: string): Promise<void> {
  const end = Date.now() + WAIT_MS
  while (!isTrue()) {
    if (Date.now() > end) throw new Error(`Waited in vain for: ${what}`)
    await sleep(20)
  }
}

describe('sharing out partitions', () => {
  const sizes = (shares: ReadonlyMap<string, readonly TopicPartition[]>): number[] => [...shares.values()].map((own) => own.length)

  test('every partition has one owner that subscribes to it, and shares differ by one at most where all subscribe to all', () => {
    const random = createRandom(20_263)
    for (let round = 0; round < 200; round++) {
      const counts = new Map(Array.from({ length: 1 + random.int(4) }, (_, i) => [`t${i}`, 1 + random.int(9)]))
      const topics = [...counts.keys()]
      const isUniform = round % 2 === 0
      let members = Array.from({ length: 1 + random.int(5) }, (_, i): Member => ({ id: `m${i}`, topics: isUniform ? topics : topics.filter(() => random.int(3) > 0), owned: [], generation: -1 }))
      for (let generation = 0; generation < 3; generation++) {
        const shares = assignSticky(members, counts)
        const owners = new Map<string, string>()
        for (const [id, own] of shares) {
          for (const { topic, partition } of own) {
            expect(owners.has(`${topic}/${partition}`)).toBe(false)
            owners.set(`${topic}/${partition}`, id)
            expect(members.find((member) => member.id === id)?.topics).toContain(topic)
          }
        }
        const wanted = [...counts].filter(([topic]) => members.some((member) => member.topics.includes(topic))).reduce((sum, [, count]) => sum + count, 0)
        expect(owners.size).toBe(wanted)
        if (isUniform) expect(Math.max(...sizes(shares)) - Math.min(...sizes(shares))).toBeLessThanOrEqual(1)
        members = members.filter((_, i) => i === 0 || random.int(4) > 0).map((member) => ({ ...member, owned: shares.get(member.id) ?? [], generation }))
        if (random.int(2) === 0) members.push({ id: `n${generation}`, topics, owned: [], generation: -1 })
      }
    }
  })

  test('a member that comes takes its share only, one that goes leaves the others what they have', () => {
    const counts = new Map([['flows', 12]])
    const first = assignSticky([member('a'), member('b')], counts)
    const [a, b] = [first.get('a') ?? [], first.get('b') ?? []]
    const three = assignSticky([member('a', a), member('b', b), member('c')], counts)
    expect(sizes(three)).toEqual([4, 4, 4])
    for (const id of ['a', 'b']) expect(first.get(id)).toEqual(expect.arrayContaining(three.get(id) ?? []))
    const two = assignSticky([member('a', three.get('a')), member('c', three.get('c'))], counts)
    for (const id of ['a', 'c']) expect(two.get(id)).toEqual(expect.arrayContaining(three.get(id) ?? []))
  })

  test('of two members that claim the same partition the one of the later generation keeps it', () => {
    const own = [{ topic: 'flows', partition: 0 }]
    const shares = assignSticky([{ ...member('a', own), generation: 3 }, { ...member('b', own), generation: 4 }], new Map([['flows', 2]]))
    expect(shares.get('b')).toEqual(own)
    expect(shares.get('a')).toEqual([{ topic: 'flows', partition: 1 }])
  })

  function member(id: string, owned: readonly TopicPartition[] = []): Member {
    return { id, topics: ['flows'], owned, generation: 1 }
  }
})

describe('checksums', () => {
  const batch = (values: readonly string[]): Buffer => createRecordsBatch(values.map((value) => ({ topic: 'flows', value: Buffer.from(value) }))).buffer

  test('a batch with one changed byte is told and stepped over; the next one is read', async () => {
    const bytes = Buffer.concat([batch(['first', 'second']), batch(['third'])])
    bytes.writeBigInt64BE(2n, batch(['first', 'second']).length)
    const at = { topic: 'flows', partition: 0 }
    const fetched = { ...at, errorCode: 0, highWatermark: 3, aborted: [], bytes }
    expect(checked(fetched)).toBe(fetched)
    bytes.writeUInt8(bytes.readUInt8(70) ^ 1, 70)
    const damaged = checked(fetched)
    expect([...damaged.damaged ?? []]).toEqual([0])

    const batches: PartitionBatch[] = []
    const never = new Promise<never>(() => undefined)
    const answers = [damaged]
    const fetcher = new PartitionFetcher({
      leaderOf: () => 1, fetch: async () => { const answer = answers.shift(); return answer === undefined ? never : [answer] }, range: () => never,
      refresh: () => Promise.resolve(), report: () => undefined, refused: () => undefined, fail: (error) => { throw error },
    }, { assigned: () => never, revoked: () => undefined, batch: (one) => { batches.push(one) }, outOfRange: () => undefined, status: () => undefined }, 1000)
    fetcher.assign([{ ...at, generation: 1 }])
    fetcher.start({ ...at, generation: 1, offset: 0 })
    await until(() => batches.length > 0, 'a batch')
    expect(batches[0]?.records.map(({ offset, value, problem }) => [offset, value?.toString(), problem])).toEqual([
      [0, undefined, 'The records at offsets 0 to 1 cannot be read (its checksum is wrong).'], [2, 'third', undefined],
    ])
    expect(batches[0]?.nextOffset).toBe(3)
  })
})

describeKafka('driver on @platformatic/kafka', () => {
  interface Running {
    readonly owned: Map<number, number>
    readonly assignments: Assignment[]
    stop(): Promise<void>
  }

  /** `next`: shared by the members of a group, as a database would be. */
  function start(options: KafkaOptions, next: Map<number, number>, seen: Map<string, number>): Running {
    const driver = createPlatformaticDriver(options)
    const end = new AbortController()
    const owned = new Map<number, number>()
    const assignments: Assignment[] = []
    const done = driver.consume({
      assigned: (partitions) => {
        assignments.push(...partitions)
        for (const { partition, generation } of partitions) owned.set(partition, generation)
        return Promise.resolve(partitions.map(({ topic, partition }) => ({ topic, partition, offset: next.get(partition) ?? 0 })))
      },
      revoked: (partitions) => { for (const { partition } of partitions) owned.delete(partition) },
      batch: ({ partition, generation, records, nextOffset }) => {
        expect(owned.get(partition)).toBe(generation)
        for (const { offset } of records) seen.set(`${partition}/${offset}`, (seen.get(`${partition}/${offset}`) ?? 0) + 1)
        next.set(partition, nextOffset)
      },
      outOfRange: () => undefined, status: () => undefined,
    }, end.signal)
    return { owned, assignments, stop: async () => { end.abort(); await done; await driver.close() } }
  }

  test('partitions that stay with a member are read on without a new assignment when others come and go', async () => {
    const { brokers, topics } = await kafkaBroker()
    const topic = topicName()
    await topics.create(topic, { partitions: 4 })
    const options = { brokers, clientId: 'test', groupId: topicName('group'), topics: [topic], sessionTimeoutMs: 10_000 }
    const [next, seen] = [new Map<number, number>(), new Map<string, number>()]
    const a = start(options, next, seen)
    await until(() => a.owned.size === 4, 'the first member has all')
    let sent = 0
    const send = async (): Promise<void> => { for (let i = 0; i < 8; i++, sent++) await topics.produce(topic, [`${sent}`], { partition: i % 4 }) }
    await send()
    const b = start(options, next, seen)
    await until(() => a.owned.size === 2 && b.owned.size === 2, 'both have two')
    await send()
    await until(() => seen.size === sent, 'all records')
    await b.stop()
    await until(() => a.owned.size === 4, 'the first member has all again')
    await send()
    await until(() => seen.size === sent, 'all records')
    expect([...seen.values()].every((times) => times === 1)).toBe(true)
    // Four at first, and the two that went to the other member and came back.
    expect(a.assignments).toHaveLength(6)
    await a.stop()
    expect(a.owned.size).toBe(0)
  }, 120_000)

  test('a static member finds its partitions again after a restart, and the other member is not disturbed', async () => {
    const { brokers, topics } = await kafkaBroker()
    const topic = topicName()
    await topics.create(topic, { partitions: 2 })
    const options = { brokers, clientId: 'test', groupId: topicName('group'), topics: [topic], sessionTimeoutMs: 45_000 }
    const [next, seen] = [new Map<number, number>(), new Map<string, number>()]
    const a = start({ ...options, instanceId: 'one' }, next, seen)
    const b = start({ ...options, instanceId: 'two' }, next, seen)
    await until(() => a.owned.size === 1 && b.owned.size === 1, 'each has one')
    const [before, assigned] = [[...b.owned.keys()], a.assignments.length]
    await b.stop()
    const again = start({ ...options, instanceId: 'two' }, next, seen)
    await until(() => again.owned.size === 1, 'it has one again')
    expect([...again.owned.keys()]).toEqual(before)
    expect(a.assignments).toHaveLength(assigned)
    await again.stop()
    await a.stop()
  }, 120_000)
})
