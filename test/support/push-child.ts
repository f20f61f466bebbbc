/**
 * The service as a process of its own, for tests that watch its memory or kill it: `node push-child.ts <connection string>`, settings from the
 * environment. Prints `{"port":…}` when it listens, and `{"maxRssBytes":…}` after SIGTERM.
 */
import { loadConfig } from '../../src/config/load-config.ts'
import { createLogger } from '../../src/observe/logger.ts'
import { startService } from '../../src/start/serve.ts'
import { openDatabase } from '../../src/store/db/database.ts'

const { config, problems } = loadConfig({ FLOWFENCE_PORT: '0', FLOWFENCE_CLUSTER: 'test', ...process.env })
if (config === undefined) throw new Error(problems.join('\n'))
const database = openDatabase({ connectionString: process.argv[2] ?? '' })
const service = await startService(database, { config, version: '0.0.0-test', logger: createLogger({ level: 'warn' }) })
process.stdout.write(`${JSON.stringify({ port: service.server.port })}\n`)
process.once('SIGTERM', () => {
  void service.stop().then(async () => {
    await database.close()
    process.stdout.write(`${JSON.stringify({ maxRssBytes: process.resourceUsage().maxRSS * 1024 })}\n`)
  })
})
