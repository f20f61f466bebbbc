/**
 * What must hold of topics that were ingested, whatever happened meanwhile: every record of the topic was received once and became one of stored, duplicate,
 * rejected, ignored; and the edges are those of an undisturbed run over the same lines.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from '@jest/globals'
import { createIngester } from '../../../src/pipeline/ingest.ts'
import type { Database } from '../../../src/store/db/database.ts'
import { selectEdges } from '../../../src/store/read/select-edges.ts'
import { createTestDatabase } from '../database.ts'
import { START_US } from '../flow-records.ts'
import type { Topics } from './topics.ts'

/** Generous: other tests and the brokers share the machine. */
const PATIENCE_MS = 150_000

/** Returns when it holds. `whatIsWrong` is asked for a few words where it does not. */
export async function until(what: string, holds: () => Promise<boolean>, whatIsWrong: () => string = () => ''): Promise<void> {
  const giveUpAt = performance.now() + PATIENCE_MS
  while (!await holds()) {
    if (performance.now() > giveUpAt) throw new Error(`Not within ${PATIENCE_MS / 1000} s: ${what}. ${whatIsWrong()}`)
    await sleep(50)
  }
}

export async function received(database: Database): Promise<number> {
  const { rows } = await database.query<{ n: string | null }>('select sum(records) as n from ingest_received')
  return Number(rows[0]?.n ?? 0)
}

/** Records by outcome. */
export async function outcomesOf(database: Database): Promise<Record<string, number>> {
  const { rows } = await database.query<{ outcome: string, n: string }>('select outcome, sum(records) as n from ingest_totals group by outcome')
  return Object.fromEntries(rows.map((row) => [row.outcome, Number(row.n)]))
}

/** Edges without what differs between databases. */
export async function plainEdges(database: Database, cluster = 'test'): Promise<unknown> {
  const { rows } = await database.query<{ id: number }>('select id from clusters where name = $1', [cluster])
  const edges = await selectEdges(database, { clusterId: rows[0]?.id ?? -1 })
  return JSON.parse(JSON.stringify(edges, (key, value: unknown) => (key === 'index' ? undefined : value)))
}

/** The edges of the same lines, ingested from one body without Kafka. */
export async function undisturbedEdges(lines: readonly string[], nowUs = START_US + 7_200_000_000): Promise<unknown> {
  const { database } = await createTestDatabase()
  const ingester = await createIngester(database, { cluster: 'test', nowUs: () => nowUs })
  await ingester.ingestBody(Buffer.from(lines.join('')), { source: 'http', maxBytes: 1 << 30 })
  return plainEdges(database)
}

export async function produceLines(topics: Pick<Topics, 'produce'>, topic: string, lines: readonly string[], partitions: number): Promise<void> {
  for (let partition = 0; partition < partitions; partition++) {
    const own = lines.filter((_, i) => i % partitions === partition)
    for (let at = 0; at < own.length; at += 200) await topics.produce(topic, own.slice(at, at + 200), { partition })
  }
}

/** How many records a topic without gaps holds: what was sent, and more where a producer had to send again. */
export async function heldBy(topics: Pick<Topics, 'admin'>, topic: string): Promise<number> {
  const offsets = await topics.admin.fetchTopicOffsets(topic)
  return offsets.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0)
}

/** Waits until all of a topic is received, then holds the store to the law. */
export async function expectConserved(database: Database, topics: Pick<Topics, 'admin'>, topic: string, lines: readonly string[]): Promise<void> {
  const held = await heldBy(topics, topic)
  await until(`all ${held} records of the topic`, async () => await received(database).catch(() => 0) >= held)
  expect(await received(database)).toBe(held)
  const outcomes = await outcomesOf(database)
  expect(Object.values(outcomes).reduce((sum, n) => sum + n, 0)).toBe(held)
  const { rows } = await database.query<{ flows: string }>('select count(*) as flows from flows')
  expect(Number(rows[0]?.flows)).toBe(outcomes.stored)
  const positions = await database.query<{ source: string, next: string }>(`select source, next from positions where source like 'kafka:%/' || $1 || '/%'`, [topic])
  const ends = new Map((await topics.admin.fetchTopicOffsets(topic)).filter(({ high }) => high !== '0').map(({ partition, high }) => [String(partition), high]))
  expect(new Map(positions.rows.map(({ source, next }) => [source.slice(source.lastIndexOf('/') + 1), next]))).toEqual(ends)
  expect(await plainEdges(database)).toEqual(await undisturbedEdges(lines, Date.now() * 1000))
}
