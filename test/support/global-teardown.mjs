/** Stops the PostgreSQL server and the Kafka broker of this test run, if any test file started them, and removes its folder. */
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { startEmbedded } from '../../src/store/db/embedded.ts'

export default async function stop() {
  const folder = process.env.FLOWFENCE_TEST_FOLDER
  const database = join(folder, 'database')
  if (existsSync(join(database, 'postgres'))) {
    // The workers have ended and left their names behind: joining and leaving as the last one stops the server.
    rmSync(join(database, 'users'), { recursive: true, force: true })
    const server = await startEmbedded({ folder: database, isThrowaway: true })
    await server.stop()
  }
  // Loaded only by runs that looked for Kafka: its clients take a moment to load.
  if (existsSync(join(folder, 'kafka-runtime.json'))) {
    const { endSharedBroker } = await import('./kafka/shared-broker.ts')
    await endSharedBroker()
  }
  rmSync(folder, { recursive: true, force: true })
}
