/**
 * Listening: plain HTTP, or HTTPS with certificates that are read again when their files change. Client certificates are asked for where authorities
 * are given and never refused here: the guard answers what is wrong with one.
 */
import { createServer } from 'node:http'
import type { RequestListener, Server, ServerOptions } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Server as TlsServer } from 'node:https'
import { AppError } from '../../core/base/app-error.ts'
import type { Events } from '../../observe/events.ts'
import type { Logger } from '../../observe/logger.ts'
import { isLoopback } from './guard.ts'
import { readTlsFiles, watchTlsFiles } from './tls-files.ts'
import type { TlsFiles, TlsMaterial } from './tls-files.ts'

export interface ListenOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly hasApiKey: boolean
  readonly requestTimeoutMs: number
  /** HTTPS instead of HTTP. */
  readonly tls?: TlsFiles | undefined
  readonly logger: Logger
  readonly events: Events
}

export interface RunningServer {
  readonly port: number
  /** `http://host:port` or `https://host:port`, for people. */
  readonly url: string
  /** Stops taking requests, waits for running ones at most `graceMs`, then cuts them off. */
  stop(graceMs: number): Promise<void>
}

/** Open connections at most; further ones wait in the kernel's queue or are refused. */
const MAX_CONNECTIONS = 1000

/** AppError `usage` when others could reach the address and no key is set. */
export function requireKeyOrLoopback(host: string, hasApiKey: boolean): void {
  if (hasApiKey || isLoopback(host)) return
  throw new AppError('usage', `Listening on ${host} lets others reach the service, so it needs a key: set FLOWFENCE_API_KEY (openssl rand -hex 16), or listen on 127.0.0.1.`)
}

/** AppError `usage` when the address may not be used without a key, cannot be used at all, or the TLS files cannot. */
export async function startServer(options: ListenOptions, handler: RequestListener): Promise<RunningServer> {
  const { host, port, hasApiKey, tls } = options
  requireKeyOrLoopback(host, hasApiKey)
  const { server, stopWatching } = tls === undefined ? { server: createServer(limitsOf(options), handler), stopWatching: () => undefined } : await startTls(tls, options, handler)
  server.maxConnections = MAX_CONNECTIONS
  await listen(server, { host: host.replace(/^\[|\]$/g, ''), port })
  const address = server.address()
  const used = typeof address === 'object' && address !== null ? address.port : port
  const name = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
  return {
    port: used, url: `${tls === undefined ? 'http' : 'https'}://${name}:${used}`,
    stop: async (graceMs) => {
      stopWatching()
      await stop(server, graceMs)
    },
  }
}

/** Idle connections are kept so long, milliseconds. Longer than shippers pause between two flushes: one that is closed as the next batch leaves is a failed try. */
const KEEP_ALIVE_MS = 65_000

function limitsOf({ requestTimeoutMs }: ListenOptions): ServerOptions {
  return { maxHeaderSize: 16_384, requestTimeout: requestTimeoutMs, headersTimeout: Math.min(10_000, requestTimeoutMs), keepAliveTimeout: KEEP_ALIVE_MS, connectionsCheckingInterval: 1_000 }
}

async function startTls(files: TlsFiles, options: ListenOptions, handler: RequestListener): Promise<{ server: TlsServer; stopWatching: () => void }> {
  const { logger, events } = options
  const first = await readTlsFiles(files)
  const asks = files.clientCaFile !== undefined
  const server = createTlsServer({ ...limitsOf(options), ...contextOf(first), requestCert: asks, rejectUnauthorized: false, handshakeTimeout: 10_000 }, handler)
  server.on('tlsClientError', (error) => {
    events.requestRefused({ reason: 'tls' })
    logger.debug({ reason: error.message }, 'a client did not come to terms with TLS')
  })
  const note = ({ notAfterMs }: TlsMaterial, message: string): void => {
    events.certificateLoaded({ notAfterS: notAfterMs / 1000 })
    const fields = { certificate: files.certFile, notAfter: new Date(notAfterMs).toISOString() }
    if (notAfterMs < Date.now()) logger.warn(fields, `${message}, which has expired: clients will refuse it`)
    else logger.info(fields, message)
  }
  note(first, 'certificate loaded')
  const watch = watchTlsFiles(files, first, {
    onMaterial: (material) => {
      server.setSecureContext(contextOf(material))
      note(material, 'the TLS files changed; new connections use the new certificate')
    },
    onProblem: (reason) => logger.warn({ reason }, 'the TLS files changed and cannot be used; the last good ones stay in use'),
  })
  return { server, stopWatching: () => watch.stop() }
}

function contextOf({ cert, key, ca }: TlsMaterial): { cert: Buffer; key: Buffer; ca?: Buffer } {
  return { cert, key, ...(ca !== undefined && { ca }) }
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program uses it: choose another port (--port, FLOWFENCE_PORT), or stop that program',
  EACCES: 'this user may not use it: choose a port from 1024 on',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'this host name is not known',
}

function listen(server: Server, options: { host: string; port: number }): Promise<void> {
  return new Promise((done, failed) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      failed(new AppError('usage', `Cannot listen on ${options.host} port ${options.port}: ${REASONS[error.code ?? ''] ?? error.message}.`, { cause: error }))
    })
    server.listen(options, () => {
      server.removeAllListeners('error')
      done()
    })
  })
}

function stop(server: Server, graceMs: number): Promise<void> {
  return new Promise((done) => {
    const cut = setTimeout(() => server.closeAllConnections(), graceMs)
    server.close(() => {
      clearTimeout(cut)
      done()
    })
    server.closeIdleConnections()
  })
}
