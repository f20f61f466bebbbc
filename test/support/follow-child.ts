/** A process that follows logs until SIGTERM, for tests that kill it: `node follow-child.ts <connection string> <batch records> <pattern…>`. */
import { followFiles } from '../../src/pipeline/follow-files.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { openDatabase } from '../../src/store/db/database.ts'

const [connectionString = '', batchRecords = '', ...patterns] = process.argv.slice(2)
const stop = new AbortController()
process.on('SIGTERM', () => stop.abort())
const nowUs = (): number => Date.now() * 1000
const database = openDatabase({ connectionString })
const ingester = await createIngester(database, { cluster: 'test', nowUs, batchRecords: Number(batchRecords) })
await followFiles(database, ingester, { patterns, nowUs, signal: stop.signal, onNotice: (text) => process.stderr.write(`${text}\n`), quietMs: 500, searchMs: 300, copyMs: 1_000 }).ended
await database.close()
