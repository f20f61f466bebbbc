/**
 * Ingests millions of flows in a process of its own, with housekeeping now and then as in a service, and prints one JSON line per million:
 * {flows, seconds, rssMiB}. argv: connection string, cluster, lines file, millions, on|off (raw flows), a name where several write to one cluster.
 */
import { readFileSync } from 'node:fs'
import { DecodePool } from '../../src/pipeline/decode-pool.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { retain } from '../../src/pipeline/retain.ts'
import { openDatabase } from '../../src/store/db/database.ts'
import { endlessLog, logSource } from './endless-log.ts'

const [connectionString = '', cluster = '', file = '', millions = '1', raw = 'on', name = ''] = process.argv.slice(2)
const database = openDatabase({ connectionString, statementTimeoutMs: 600_000 })
const pool = new DecodePool(1)
const nowUs = (): number => Date.now() * 1000
const ingester = await createIngester(database, { cluster, nowUs, isAnyAge: true, decodePool: pool, keepsFlows: raw === 'on' })
const lines = readFileSync(file, 'latin1').split('\n').filter((line) => line !== '')
const log = endlessLog(lines, 10)
const roundsPerStep = Math.ceil(1_000_000 / log.linesPerRound)
let flows = 0
for (let step = 0; step < Number(millions); step++) {
  const startedMs = performance.now()
  const source = logSource(log, roundsPerStep, `${cluster}-${name}-${step}`)
  const offset = step * roundsPerStep
  const report = await ingester.ingestContent({ ...source, chunks: () => log.chunks(roundsPerStep, offset) }, { isBackfill: true })
  if (report.duplicate > report.received / 100) throw new Error('the log repeats itself')
  await retain(database, ingester.clusterId, nowUs())
  flows += report.received
  process.stdout.write(`${JSON.stringify({ flows, stored: report.stored, seconds: (performance.now() - startedMs) / 1000, rssMiB: process.memoryUsage.rss() / 2 ** 20 })}\n`)
}
await database.close()
await pool.close()
