import type { RequestListener } from 'node:http'
import { startServer } from './server.ts'
import type { ListenOptions, RunningServer } from './server.ts'
import { tlsFilesOf } from './tls-files.ts'
import type { TlsSettings } from './tls-files.ts'

export interface ListenersOptions extends Omit<ListenOptions, 'tls'> {
  readonly tls: TlsSettings
  /** HTTPS on a port of its own, beside plain HTTP; else HTTPS takes the place of HTTP. */
  readonly tlsPort: number | undefined
}

export interface Listeners {
  /** On the service's port. */
  readonly main: RunningServer
  /** On a port of its own. */
  readonly tls: RunningServer | undefined
  stop(graceMs: number): Promise<void>
}

/** One listener, or two when HTTPS has a port of its own. AppError `usage` when one of them cannot be; then none listens. */
export async function startListeners({ tls: settings, tlsPort, ...options }: ListenersOptions, handler: RequestListener): Promise<Listeners> {
  const files = tlsFilesOf(settings, tlsPort)
  const main = await startServer({ ...options, tls: tlsPort === undefined ? files : undefined }, handler)
  try {
    const tls = tlsPort === undefined ? undefined : await startServer({ ...options, port: tlsPort, tls: files }, handler)
    return {
      main, tls,
      stop: async (graceMs) => {
        await Promise.all([main.stop(graceMs), tls?.stop(graceMs)])
      },
    }
  } catch (error) {
    await main.stop(0)
    throw error
  }
}
