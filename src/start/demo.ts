import { existsSync, readFileSync, rmSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '../config/settings.ts'
import type { Demo, DemoRequest } from '../deliver/cli/context.ts'
import type { Output } from '../deliver/cli/output.ts'
import type { Logger } from '../observe/logger.ts'
import { observeStore } from '../pipeline/observed-traffic.ts'
import { selectIngestTotals } from '../store/read/select-ingest-totals.ts'
import { openMigrated } from './open-database.ts'
import { startService } from './serve.ts'
import type { Shutdown } from './shutdown.ts'

export interface DemoOptions {
  readonly config: Config
  readonly version: string
  readonly logger: Logger
  readonly shutdown: Shutdown
  readonly output: Output
}

/** An embedded database and the service on top of it, in a temporary folder that `close` removes. */
export async function openDemo({ port, cluster }: DemoRequest, { config, version, logger, shutdown, output }: DemoOptions): Promise<Demo> {
  const folder = await mkdtemp(join(tmpdir(), 'flowfence-demo-'))
  // The embedded server may run as another user, who must be able to walk through.
  await chmod(folder, 0o711)
  const forget = shutdown.onForce(() => removeAtOnce(folder))
  const remove = async (): Promise<void> => {
    await rm(folder, { recursive: true, force: true })
    forget()
  }
  try {
    const opened = await openMigrated({
      databaseUrl: undefined, folder: join(folder, 'database'), isThrowaway: true, maxConnections: 10, logger, patienceMs: 30_000,
      onProgress: (text) => output.note(`${text} …`),
    })
    const service = await startService(opened.database, {
      // The demo shows the open case: loopback, no key, whatever the environment says.
      config: {
        ...config, apiKey: undefined, ingestKeys: [], ingestClients: [], tlsCertFile: undefined, tlsKeyFile: undefined, tlsClientCaFile: undefined, tlsPort: undefined,
        host: '127.0.0.1', port, cluster,
      }, version, logger,
    }).catch(async (error: unknown) => {
      await opened.close()
      throw error
    })
    return {
      folder, url: service.server.url,
      ingestFiles: (paths, onProgress) => service.ingester.ingestFiles(paths, { onProgress, signal: shutdown.signal }),
      totals: () => selectIngestTotals(opened.database, service.ingester.clusterId),
      observe: () => observeStore(opened.database, { cluster }),
      close: async () => {
        await service.stop()
        await opened.close()
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}

/** How long the forced stop waits for the server to let go of its files. */
const LET_GO_MS = 3_000

/** The second Ctrl-C: the server is stopped without ceremony, because nobody will miss its data. Synchronous: the process ends right after. */
function removeAtOnce(folder: string): void {
  const pidFile = join(folder, 'database', 'postgres', 'postmaster.pid')
  try {
    process.kill(Number(readFileSync(pidFile, 'utf8').split('\n', 1)[0]), 'SIGQUIT')
    const giveUpAt = performance.now() + LET_GO_MS
    // The server removes the file as its last act; before, it would write into a folder that is being removed.
    while (existsSync(pidFile) && performance.now() < giveUpAt) sleep(20)
  } catch {
    // No server was started, or it is gone already.
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
