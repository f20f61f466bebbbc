/**
 * Edges read over windows, hours and days are those of an undisturbed fold in memory, whatever the order, the batches, the lateness, the interruptions and
 * the repetitions; presence bits are the windows in which the flows were present.
 */
import { beforeAll, expect, test } from '@jest/globals'
import { EdgeBatch } from '../../src/core/aggregate/edge-batch.ts'
import { foldEdges } from '../../src/core/aggregate/fold-edges.ts'
import type { LevelState } from '../../src/core/aggregate/level-spans.ts'
import { US_PER_HOUR } from '../../src/core/aggregate/node-hours.ts'
import type { Cutoffs } from '../../src/core/aggregate/retention.ts'
import { US_PER_DAY } from '../../src/core/base/time.ts'
import { WINDOW_US } from '../../src/core/flow/edge.ts'
import type { EdgeWindow, ObservedEdge } from '../../src/core/flow/edge.ts'
import type { FlowRecord } from '../../src/core/flow/flow-record.ts'
import { expireLevels, rollUp } from '../../src/pipeline/rollup.ts'
import type { Database } from '../../src/store/db/database.ts'
import { selectEdges, selectObservedRange } from '../../src/store/read/select-edges.ts'
import { selectLevelState } from '../../src/store/read/select-levels.ts'
import { ensureCluster } from '../../src/store/write/ensure-cluster.ts'
import { foldEdgeWindows } from '../../src/store/write/fold-edge-windows.ts'
import { identityId } from '../../src/store/write/identity-id.ts'
import { createTestDatabase } from '../support/database.ts'
import { externalIdentity, flowRecord, podIdentity, START_US } from '../support/flow-records.ts'
import { createRandom, rounds } from '../support/random.ts'
import type { Random } from '../support/random.ts'
import { collect, createWriter } from '../support/stored-flows.ts'

const DAYS = 12

let database: Database

beforeAll(async () => {
  ({ database } = await createTestDatabase())
})

/** Flows of twelve days between few workloads: many at the same moments, some of them hours and days long, some to the outside. */
function flowsOfDays(random: Random, amount: number): FlowRecord[] {
  const pods = ['web', 'db', 'cart'].map((name) => podIdentity(name))
  const hours = Array.from({ length: 12 }, () => random.int(DAYS * 24))
  return Array.from({ length: amount }, () => {
    const lastAtUs = START_US + random.pick(hours) * US_PER_HOUR + random.pick([0, 1, random.int(US_PER_HOUR), US_PER_HOUR - 1])
    const lengthUs = random.chance(0.05) ? random.int(3 * US_PER_DAY) : random.chance(0.2) ? random.int(3 * US_PER_HOUR) : 0
    const isOutside = random.chance(0.2)
    return flowRecord({
      firstAtUs: lastAtUs - lengthUs, lastAtUs, initiator: random.pick(pods), responder: isOutside ? externalIdentity() : random.pick(pods),
      responderIp: isOutside ? `203.0.113.${random.int(5)}` : '10.0.2.3', port: random.pick([80, 443]), flows: 1 + random.int(3),
      orientation: random.pick(['tcp-flags', 'is-reply'] as const), side: random.pick(['client', 'server'] as const),
      observedVerdict: random.pick(['allowed', 'denied'] as const), digestHi: random.int(2 ** 32), digestLo: random.int(2 ** 32),
    })
  })
}

function batchOf(flows: readonly FlowRecord[]): EdgeBatch {
  const batch = new EdgeBatch()
  for (const flow of flows) batch.add(flow)
  return batch
}

interface TimeRange {
  readonly sinceUs?: number
  readonly untilUs?: number
}

/** The edges of a range by core alone: a window counts when the unit that is kept of its time lies in the range in part. */
function expectedEdges(flows: readonly FlowRecord[], { sinceUs = -Infinity, untilUs = Infinity }: TimeRange, state: LevelState): unknown {
  const batch = batchOf(flows)
  const touches = (startUs: number, unitUs: number): boolean => {
    const unit = Math.floor(startUs / unitUs) * unitUs
    return unit > sinceUs - unitUs && unit < untilUs
  }
  const unitOf = (startUs: number): number => (startUs < state.hoursBeforeUs ? US_PER_DAY : startUs < state.windowsBeforeUs ? US_PER_HOUR : WINDOW_US)
  const windows = batch.windows().filter((w) => touches(w.windowStartUs, unitOf(w.windowStartUs)))
  return plain(foldEdges(windows, batch.externalPeers().filter((p) => touches(p.dayStartUs, US_PER_DAY)), batch.externalOverflows()))
}

/** Identity.index is a process's own affair. */
function plain(edges: readonly ObservedEdge[]): unknown {
  return edges.map((edge) => ({ ...edge, from: edge.from.key, to: edge.to.key }))
}

function randomRange(random: Random): TimeRange {
  const moment = (): number => START_US + random.pick([random.int(DAYS * US_PER_DAY), random.int(DAYS * 24) * US_PER_HOUR, random.int(DAYS) * US_PER_DAY])
  const [a, b] = [moment(), moment()]
  return random.pick<TimeRange>([{}, { sinceUs: a }, { untilUs: a }, { sinceUs: Math.min(a, b), untilUs: Math.max(a, b) }])
}

/** A database whose process dies at its n-th statement inside a transaction, which so never commits. */
function dyingDatabase(of: Database, statements: number): Database {
  let left = statements
  const connect = async (): Promise<unknown> => {
    const client = await of.pool.connect()
    return new Proxy(client, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        if (name !== 'query') return value.bind(target) as unknown
        return async (text: string, values: unknown[]): Promise<unknown> => {
          if (text !== 'rollback' && left-- <= 0) throw new Error('the process died')
          return target.query(text, values)
        }
      },
    })
  }
  return { ...of, pool: { connect } as unknown as Database['pool'] }
}

/** Housekeeping up to a random point: what is due moves forward and back, because every process has its own idea of it. */
async function keepHouse(random: Random, clusterId: number): Promise<void> {
  const day = (): number => START_US + (random.int(DAYS + 4) - 2) * US_PER_DAY
  const on = random.chance(0.5) ? database : dyingDatabase(database, random.int(60))
  const [windowsUs, hoursUs] = [day(), day()].sort((a, b) => b - a) as [number, number]
  const cutoffs: Cutoffs = { rawUs: 0, windowsUs, hoursUs, daysUs: 0 }
  const steps = [
    () => foldEdgeWindows(on, clusterId),
    () => rollUp(on, clusterId, { watermarkUs: START_US + random.int(DAYS * US_PER_DAY) }),
    () => (random.chance(0.3) ? expireLevels(on, clusterId, { cutoffs }) : Promise.resolve()),
  ]
  for (const step of random.shuffle(steps)) {
    await step().catch((error: unknown) => {
      if (!(error instanceof Error) || error.message !== 'the process died') throw error
    })
  }
}

/** Every (edge, side, verdict) with the windows in which it was present, from the rows of days once all is rolled up. */
async function presenceInStore(clusterId: number): Promise<string[]> {
  const { rows } = await database.query<{ name: string }>(
    `select initiator_id || ' ' || responder_id || ' ' || port || ' ' || side || ' ' || observed_verdict || ' '
       || (extract(epoch from day_start)::bigint / 300 + place) as name
     from edge_days cross join generate_series(0, 287) as place where cluster_id = $1 and get_bit(presence, 287 - place) = 1`, [clusterId],
  )
  return rows.map((row) => row.name).sort()
}

function presenceOf(window: EdgeWindow): string {
  return `${identityId(window.from).text} ${identityId(window.to).text} ${window.port} ${window.side} ${window.verdict} ${window.windowStartUs / WINDOW_US}`
}

test('edges and presence over all levels are those of the flows', async () => {
  for (let round = 0; round < rounds({ small: 4, full: 150 }); round++) {
    const seed = 0x2011 + round
    const random = createRandom(seed)
    const clusterId = await ensureCluster(database, `law-${round}`)
    const flows = flowsOfDays(random, 20 + random.int(80))
    const parts: FlowRecord[][] = Array.from({ length: 1 + random.int(6) }, () => [])
    for (const flow of random.shuffle([...flows, ...flows.filter(() => random.chance(0.2))])) random.pick(parts).push(flow)
    const stored = new Set<FlowRecord>()
    for (const part of parts) {
      await createWriter(database, clusterId).store(collect(part), { source: 'test' })
      for (const flow of part) stored.add(flow)
      for (let i = random.int(4); i > 0; i--) {
        await keepHouse(random, clusterId)
        const range = random.chance(0.5) ? {} : randomRange(random)
        const state = await selectLevelState(database, clusterId)
        expect({ seed, range, edges: plain(await selectEdges(database, { clusterId, ...range })) }).toEqual({ seed, range, edges: expectedEdges([...stored], range, state) })
      }
    }
    await rollUp(database, clusterId, { watermarkUs: START_US + 100 * US_PER_DAY })
    expect((await selectLevelState(database, clusterId))).toMatchObject({ dirtyHours: [], dirtyDays: [] })
    expect({ seed, edges: plain(await selectEdges(database, { clusterId })) }).toEqual({ seed, edges: plain(foldOf(flows)) })
    expect({ seed, presence: await presenceInStore(clusterId) }).toEqual({ seed, presence: batchOf(flows).windows().map(presenceOf).sort() })
    const instants = batchOf(flows).windows()
    expect(await selectObservedRange(database, clusterId)).toEqual({
      sinceUs: Math.min(...instants.map((w) => w.firstAtUs)), untilUs: Math.max(...instants.map((w) => w.lastAtUs)) + 1,
    })
  }
}, 3_600_000)

function foldOf(flows: readonly FlowRecord[]): ObservedEdge[] {
  const batch = batchOf(flows)
  return foldEdges(batch.windows(), batch.externalPeers(), batch.externalOverflows())
}
