/** Ingests one file in a process of its own and prints its peak resident memory in MiB (Linux only): argv = connection string, cluster, file. */
import { readFileSync } from 'node:fs'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { openDatabase } from '../../src/store/db/database.ts'

const [connectionString = '', cluster = '', file = ''] = process.argv.slice(2)
const database = openDatabase({ connectionString })
const ingester = await createIngester(database, { cluster, nowUs: () => Date.now() * 1000 })
const { stored } = await ingester.ingestFiles([file])
await database.close()
if (stored === 0) throw new Error('nothing was stored')
// Not resourceUsage().maxRSS: a process begins with that of the one that started it.
const peakKiB = /VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
process.stdout.write(String(Number(peakKiB) / 1024))
