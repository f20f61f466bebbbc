/** PostgreSQL is killed, stopped, refuses connections or is not there yet, while Kafka is read: everything waits, says so, and is stored once in the end. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { PoolClient } from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { openDatabase } from '../../src/store/db/database.ts'
import { startFaultDatabase } from '../support/fault-database.ts'
import type { FaultDatabase } from '../support/fault-database.ts'
import { hubbleLines, messyLines, recentStartUs } from '../support/hubble-lines.ts'
import { startIngest } from '../support/ingest-process.ts'
import type { IngestProcess } from '../support/ingest-process.ts'
import { expectConserved, outcomesOf, produceLines, received, until } from '../support/kafka/conservation.ts'
import { describeKafka, kafkaBroker, topicName } from '../support/kafka/kafka.ts'
import type { KafkaBroker } from '../support/kafka/kafka.ts'
import { createRandom, rounds } from '../support/random.ts'
import { kafkaDrivers } from '../support/kafka/drivers.ts'

const run = promisify(execFile)
const canMount = await mayMount()
const PARTITIONS = 2
const testFull = rounds({ small: 0, full: 1 }) === 0 ? test.skip : test

describeKafka('PostgreSQL fails while Kafka is read', () => {
  let server: FaultDatabase
  let broker: KafkaBroker
  const running: IngestProcess[] = []
  beforeAll(async () => {
    [server, broker] = await Promise.all([startFaultDatabase(), kafkaBroker()])
  }, 180_000)
  afterEach(async () => {
    await server.thaw()
    for (const one of running.splice(0)) await one.kill()
  })
  afterAll(() => server.end(), 60_000)

  async function newTopic(): Promise<string> {
    const topic = topicName()
    await broker.topics.create(topic, { partitions: PARTITIONS })
    return topic
  }

  function start(databaseUrl: string, topic: string, env: Readonly<Record<string, string>> = {}): IngestProcess {
    const one = startIngest({ databaseUrl, brokers: broker.brokers, topic, group: topicName('group'), env })
    running.push(one)
    return one
  }

  test.each(kafkaDrivers())('%s: killed and started again: nothing is lost or counted twice, and readiness tells', async (driver) => {
    const { database, connectionString } = await server.fresh()
    const topic = await newTopic()
    const lines = messyLines(createRandom(31), 4_000, recentStartUs())
    await produceLines(broker.topics, topic, lines.slice(0, 1_000), PARTITIONS)
    const one = start(connectionString, topic, { FLOWFENCE_KAFKA_DRIVER: driver })
    await one.ready()
    const producing = produceLines(broker.topics, topic, lines.slice(1_000, 3_000), PARTITIONS)
    await until('something to be stored', async () => await received(database) > 0, one.log)
    await server.kill()
    const { status, checks } = await one.untilReadiness('the database is away', (readiness) => readiness.status === 503)
    expect({ status, database: checks.database }).toEqual({ status: 503, database: '!does not answer' })
    await producing
    await produceLines(broker.topics, topic, lines.slice(3_000), PARTITIONS)
    await one.untilLogged('the database failed; trying again')
    await sleep(rounds({ small: 0, full: 40_000 }))
    await server.start()
    await expectConserved(database, broker.topics, topic, lines)
    await one.ready()
    expect((await one.stop()).code).toBe(0)
  }, 400_000)

  test('stopped (SIGSTOP) and continued: readiness answers meanwhile that the database does not; the lag grows and is worked off', async () => {
    const { database, connectionString } = await server.fresh()
    const topic = await newTopic()
    const lines = messyLines(createRandom(32), 3_000, recentStartUs())
    await produceLines(broker.topics, topic, lines.slice(0, 500), PARTITIONS)
    const one = start(connectionString, topic)
    await until('the first part', async () => await received(database) >= 500, one.log)
    await server.freeze()
    await produceLines(broker.topics, topic, lines.slice(500), PARTITIONS)
    const { checks } = await one.untilReadiness('the database does not answer', (readiness) => readiness.status === 503)
    expect(checks.database).toBe('!does not answer')
    await until('the lag to tell', async () => await one.metric('flowfence_kafka_lag_records') > 0)
    await sleep(rounds({ small: 0, full: 30_000 }))
    await server.thaw()
    await expectConserved(database, broker.topics, topic, lines)
    await one.ready()
    await until('the lag to be gone', async () => await one.metric('flowfence_kafka_lag_records') === 0)
  }, 400_000)

  testFull('SIGTERM while PostgreSQL does not answer: the process ends in time, and the next one goes on without loss', async () => {
    const { database, connectionString } = await server.fresh()
    const topic = await newTopic()
    const lines = hubbleLines(createRandom(33), 1_500, recentStartUs())
    await produceLines(broker.topics, topic, lines.slice(0, 500), PARTITIONS)
    const one = start(connectionString, topic)
    await until('the first part', async () => await received(database) >= 500, one.log)
    await server.freeze()
    await produceLines(broker.topics, topic, lines.slice(500), PARTITIONS)
    await one.untilReadiness('the database does not answer', (readiness) => readiness.status === 503)
    const { code, stderr } = await one.stop()
    // By itself, not by the emergency brake after 25 s.
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
    await server.thaw()
    start(connectionString, topic)
    await expectConserved(database, broker.topics, topic, lines)
  }, 400_000)

  testFull('no connection left on the server: waits without giving up, then goes on', async () => {
    const { database, connectionString } = await server.fresh()
    const topic = await newTopic()
    const lines = hubbleLines(createRandom(34), 1_000, recentStartUs())
    await produceLines(broker.topics, topic, lines.slice(0, 500), PARTITIONS)
    const one = start(connectionString, topic, { FLOWFENCE_DATABASE_CONNECTIONS: '2' })
    await until('the first part', async () => await received(database) >= 500, one.log)
    const guests = openDatabase({ connectionString: `${connectionString}?application_name=guest`, maxConnections: 60 })
    const taken: PoolClient[] = []
    const takeAll = async (): Promise<void> => {
      for (;;) {
        const client = await guests.pool.connect().then((connected): PoolClient => connected, () => undefined)
        if (client === undefined) return
        client.on('error', () => undefined)
        taken.push(client)
      }
    }
    await takeAll()
    await server.admin.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'flowfence' and datname = $1`, [new URL(connectionString).pathname.slice(1)])
    await takeAll()
    await produceLines(broker.topics, topic, lines.slice(500), PARTITIONS)
    await one.untilReadiness('no connection', (readiness) => readiness.status === 503)
    for (const client of taken) client.release(true)
    await guests.close()
    await expectConserved(database, broker.topics, topic, lines)
    expect(await outcomesOf(database)).toEqual({ stored: 1_000 })
    await one.ready()
  }, 400_000)

  test('away at the start: waited for; one that refuses ends the process with the next step', async () => {
    const topic = await newTopic()
    const { database, connectionString } = await server.fresh()
    const { code, stderr } = await start(connectionString.replace(/:[^:@]+@/, ':wrong-password@'), topic).result
    expect({ code, lines: stderr.trim().split('\n') }).toEqual({
      code: 1, lines: ['flowfence: The database refuses: password authentication failed for user "postgres". Next step: check the user and password in DATABASE_URL.'],
    })
    await server.kill()
    const lines = hubbleLines(createRandom(35), 200, recentStartUs())
    await produceLines(broker.topics, topic, lines, PARTITIONS)
    const one = start(connectionString, topic)
    await sleep(2_000)
    await server.start()
    await expectConserved(database, broker.topics, topic, lines)
    expect((await one.stop()).code).toBe(0)
  }, 400_000)

  const onSmallDisk = canMount ? testFull : test.skip
  onSmallDisk(`the disk is full: waits until there is room, without losing what was read${canMount ? '' : ' (skipped: no tmpfs may be mounted here)'}`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'flowfence-disk-'))
    const { rows } = await server.admin.query<{ data_directory: string }>('show data_directory')
    const { uid } = await stat(rows[0]?.data_directory ?? '')
    await run('mount', ['-t', 'tmpfs', '-o', `size=64m,mode=0700,uid=${uid}`, 'flowfence-test', folder])
    try {
      await server.admin.query(`create tablespace small location '${folder}'`)
      const { database, connectionString } = await server.fresh('tablespace small')
      const topic = await newTopic()
      const lines = hubbleLines(createRandom(36), 6_000, recentStartUs())
      const one = start(connectionString, topic)
      await one.untilLogged('"assigned"')
      await produceLines(broker.topics, topic, lines.slice(0, 500), PARTITIONS)
      await until('the first part', async () => await received(database) >= 500, one.log)
      const ballast = join(folder, 'ballast')
      // Until nothing more fits.
      await run('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=64k']).catch(() => undefined)
      await produceLines(broker.topics, topic, lines.slice(500), PARTITIONS)
      await one.untilLogged('No space left on device')
      await one.untilReadiness('storing waits', ({ status, checks }) => status === 503 && checks.kafka === '!waits for the database')
      await rm(ballast)
      await expectConserved(database, broker.topics, topic, lines)
      await one.ready()
      expect((await one.stop()).code).toBe(0)
    } finally {
      // The server holds files open there until it ends.
      await run('umount', ['-l', folder])
    }
  }, 400_000)
})

async function mayMount(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'flowfence-disk-'))
  const isMounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'flowfence-test', folder]).then(() => true, () => false)
  if (isMounted) await run('umount', [folder])
  await rm(folder, { recursive: true })
  return isMounted
}
