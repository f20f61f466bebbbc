/** What no patience heals ends `flowfence ingest` with one line that names the next step, and leaves `flowfence serve` running, not ready; the rest is tried again. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test } from '@jest/globals'
import { createAuthority } from '../support/certificates.ts'
import { createTestDatabase } from '../support/database.ts'
import { startIngest } from '../support/ingest-process.ts'
import type { IngestOptions, IngestProcess } from '../support/ingest-process.ts'
import { kafkaDrivers } from '../support/kafka/drivers.ts'
import { describeOwnKafka, kafkaListeners, topicName } from '../support/kafka/kafka.ts'
import { makeFolder } from '../support/run-cli.ts'

const closing: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function start(options: Pick<IngestOptions, 'brokers' | 'topic'> & Partial<IngestOptions>): Promise<IngestProcess> {
  const { connectionString } = await createTestDatabase()
  const one = startIngest({ databaseUrl: connectionString, group: topicName('group'), ...options })
  closing.push(() => one.kill())
  return one
}

/** What a person reads at the end: the last line, which is no JSON. */
function lastLine(stderr: string): string {
  return stderr.trim().split('\n').at(-1) ?? ''
}

describeOwnKafka('what is configured wrongly', () => {
  test.each(kafkaDrivers())('%s: an unknown topic, wrong credentials, an untrusted certificate, no Kafka: exit code 1 and the next step', async (driver) => {
    const { brokers, secure, topics } = await kafkaListeners()
    const topic = topicName()
    await topics.create(topic)
    const folder = await makeFolder()
    closing.push(folder.remove)
    const foreignCa = join(folder.path, 'foreign-ca.pem')
    await writeFile(foreignCa, (await createAuthority()).ca)
    const web = createServer((_req, res) => res.end('hello')).listen(0, '127.0.0.1')
    closing.push(() => { web.close() })
    await new Promise((listening) => web.once('listening', listening))
    const notKafka = `127.0.0.1:${(web.address() as AddressInfo).port}`
    const login = { FLOWFENCE_KAFKA_SASL_MECHANISM: 'scram-sha-512', FLOWFENCE_KAFKA_SASL_USERNAME: 'nobody', FLOWFENCE_KAFKA_SASL_PASSWORD: 'wrong-password' }
    const cases = [
      { options: { brokers, topic: `${topic}-unknown` }, says: `flowfence: Kafka has no topic "${topic}-unknown", or this user may not see it.`, step: 'Create it, or correct FLOWFENCE_KAFKA_TOPICS.' },
      { options: { brokers: [secure.sasl], topic, env: login }, says: `refused the login (SASL SCRAM-SHA-512)`, step: 'check FLOWFENCE_KAFKA_SASL_USERNAME and FLOWFENCE_KAFKA_SASL_PASSWORD' },
      { options: { brokers: [secure.tls], topic, env: { FLOWFENCE_KAFKA_TLS_CA_FILE: foreignCa } }, says: 'is not trusted', step: 'set FLOWFENCE_KAFKA_TLS_CA_FILE to the CA that signed it' },
      { options: { brokers: [notKafka], topic }, says: `flowfence: ${notKafka} is not a Kafka broker`, step: 'correct FLOWFENCE_KAFKA_BROKERS' },
    ]
    await Promise.all(cases.map(async ({ options, says, step }) => {
      const env = 'env' in options ? options.env : {}
      const one = await start({ ...options, env: { ...env, FLOWFENCE_KAFKA_DRIVER: driver } })
      const { code, stderr } = await one.result
      expect({ code, line: lastLine(stderr) }).toEqual({ code: 1, line: expect.stringContaining(says) })
      expect(lastLine(stderr)).toContain(step)
      expect(stderr).not.toContain('wrong-password')
    }))
  }, 400_000)

  test('brokers that nobody reaches are tried again, and again later; `ingest` stops in order meanwhile', async () => {
    const one = await start({ brokers: ['127.0.0.1:1'], topic: 'flows' })
    await one.untilLogged('Kafka does not answer at 127.0.0.1:1 (connection refused). Trying again in 2 s.')
    const { status, checks } = await one.readiness()
    expect({ status, kafka: checks.kafka, database: checks.database }).toEqual({ status: 503, kafka: '!not connected yet', database: 'answers' })
    expect((await one.stop()).code).toBe(0)
    const delays = [...one.log().matchAll(/Trying again in ([\d.]+) s/g)].map((match) => Number(match[1]))
    expect(delays.length).toBeGreaterThan(1)
    expect(delays).toEqual([...delays].sort((a, b) => a - b))
  }, 400_000)

  test('`serve` goes on without the topic that is not there, and its readiness says so', async () => {
    const { brokers } = await kafkaListeners()
    const topic = topicName('missing')
    const one = await start({ brokers, topic, command: 'serve' })
    const { checks } = await one.untilReadiness('the topic is missing', (readiness) => readiness.checks.kafka?.includes(topic) === true)
    expect(checks).toEqual({ database: 'answers', migrations: 'up to date', kafka: expect.stringContaining(`!Kafka has no topic "${topic}"`) })
    expect((await fetch(`${await one.listening()}/livez`)).status).toBe(200)
    expect((await one.stop()).code).toBe(0)
  }, 400_000)
})
