/** Ingests one file in a process of its own and prints its peak resident memory in MiB: argv = connection string, cluster, file. */
import { createIngester } from '../../src/pipeline/ingest.ts'
import { openDatabase } from '../../src/store/db/database.ts'

const [connectionString = '', cluster = '', file = ''] = process.argv.slice(2)
const database = openDatabase({ connectionString })
const ingester = await createIngester(database, { cluster, nowUs: () => Date.now() * 1000 })
const { stored } = await ingester.ingestFiles([file])
await database.close()
if (stored === 0) throw new Error('nothing was stored')
process.stdout.write(String(process.resourceUsage().maxRSS / 1024))
