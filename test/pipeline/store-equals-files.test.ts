import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from '@jest/globals'
import { parseTimeUs } from '../../src/core/base/time.ts'
import { simulate } from '../../src/core/simulate/simulate.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { observeFiles } from '../../src/pipeline/observe-files.ts'
import { observeStore } from '../../src/pipeline/observed-traffic.ts'
import type { ObservedTraffic } from '../../src/pipeline/observed-traffic.ts'
import { recommend } from '../../src/pipeline/recommend.ts'
import { createTestDatabase } from '../support/database.ts'
import { topologyOf } from '../support/observe.ts'
import { createRandom, rounds } from '../support/random.ts'
import { randomTopology } from '../support/random-topology.ts'

const startUs = parseTimeUs('2026-01-01T00:00:00Z') ?? 0
const folder = mkdtempSync(join(tmpdir(), 'flowfence-test-'))
afterAll(() => { rmSync(folder, { recursive: true, force: true }) })

function logOf(seed: number, format: 'hubble' | 'calico-enterprise'): string[] {
  return [...simulate(topologyOf(randomTopology(seed).object), { format, minutes: 20, seed, startUs, rate: 0.3 }).lines()]
}

function file(name: string, lines: readonly string[]): string {
  const path = join(folder, name)
  writeFileSync(path, lines.map((l) => `${l}\n`).join(''))
  return path
}

const edgesText = (o: ObservedTraffic): string => JSON.stringify(o.edges.map((e) => ({ ...e, from: e.from.key, to: e.to.key })))

describe('what the store tells is what the files tell', () => {
  test('from files, shuffled bodies and repeats: identical edges and byte-identical policies', async () => {
    for (let seed = 1; seed <= rounds({ small: 2, full: 15 }); seed++) {
      const { database } = await createTestDatabase()
      const random = createRandom(seed)
      const lines = [...logOf(seed, 'hubble'), ...logOf(seed, 'calico-enterprise')]
      const plain = await observeFiles([file(`plain-${seed}.ndjson`, lines)], { cluster: 'default' })
      const ingester = await createIngester(database, { cluster: 'default', nowUs: () => startUs, batchRecords: 1 + random.int(3000) })
      const shuffled = random.shuffle(lines)
      const half = Math.floor(shuffled.length / 2)
      const path = file(`half-${seed}.ndjson`, shuffled.slice(0, half))
      const totals = await ingester.ingestFiles([path, path])
      const body = Buffer.from([...shuffled.slice(half), ...shuffled.filter(() => random.chance(0.1))].join('\n'))
      for (let i = 0; i < 2; i++) await ingester.ingestBody(body, { source: 'http', maxBytes: body.length, isBackfill: true })
      const stored = await observeStore(database, { cluster: 'default' })
      expect({ seed, equal: edgesText(stored) === edgesText(plain) }).toEqual({ seed, equal: true })
      const policies = (o: ObservedTraffic): string => JSON.stringify(recommend(o, { cluster: 'default' }).policies)
      expect(policies(stored)).toBe(policies(plain))
      const { received, stored: kept, duplicate, rejected, ignored } = totals
      const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((n, c) => n + c, 0)
      expect(received).toBe(kept + duplicate + sum(rejected) + sum(ignored))
      expect(duplicate).toBeGreaterThanOrEqual(half)
    }
  })

  test('a long-lived flow that began before the range is in the range', async () => {
    const { database } = await createTestDatabase()
    const row = (start: number, end: number): string => JSON.stringify({
      start_time: start, end_time: end, source_ip: null, source_name: '-', source_name_aggr: 'web-7d4b9c6f58-*', source_namespace: 'shop', source_port: null, source_type: 'wep', source_labels: { labels: ['app=web'] },
      dest_ip: null, dest_name: '-', dest_name_aggr: 'db-*', dest_namespace: 'shop', dest_port: 5432, dest_type: 'wep', dest_labels: { labels: ['app=db'] }, proto: 'tcp', action: 'allow', reporter: 'src', num_flows: 1,
    })
    const start = startUs / 1_000_000
    const ingester = await createIngester(database, { cluster: 'default', nowUs: () => startUs })
    await ingester.ingestFiles([file('long.ndjson', [row(start, start + 7200)])])
    const between = await observeStore(database, { cluster: 'default', sinceUs: startUs + 3_000_000_000, untilUs: startUs + 3_600_000_000 })
    expect(between.edges.map((e) => `${e.from.workload?.name ?? ''} ${e.to.workload?.name ?? ''} ${e.port}`)).toEqual(['web db 5432'])
    const after = await observeStore(database, { cluster: 'default', sinceUs: startUs + 9_000_000_000 })
    expect(after.edges).toEqual([])
  })
})
