/** A process that ingests one file in small batches, for tests that kill it: `node ingest-child.ts <connection string> <file> <batch records>`. */
import { createIngester } from '../../src/pipeline/ingest.ts'
import { openDatabase } from '../../src/store/db/database.ts'

const [connectionString = '', file = '', batchRecords = ''] = process.argv.slice(2)
const database = openDatabase({ connectionString })
const ingester = await createIngester(database, { cluster: 'test', nowUs: () => Date.now() * 1000, batchRecords: Number(batchRecords) })
await ingester.ingestFiles([file])
await database.close()
