/** A process that rebuilds edges, for tests that kill it: `node reaggregate-child.ts <connection string> <cluster> <now, microseconds>`. */
import { reaggregate } from '../../src/pipeline/reaggregate.ts'
import { openDatabase } from '../../src/store/db/database.ts'

const [connectionString = '', cluster = '', nowUs = ''] = process.argv.slice(2)
const database = openDatabase({ connectionString })
process.stdout.write('ready\n')
await reaggregate(database, { cluster, nowUs: () => Number(nowUs) })
process.stdout.write('done\n')
await database.close()
