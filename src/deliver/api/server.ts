import { createServer } from 'node:http'
import type { RequestListener, Server } from 'node:http'
import { AppError } from '../../core/base/app-error.ts'
import { isLoopback } from './guard.ts'

export interface ListenOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly hasApiKey: boolean
  readonly requestTimeoutMs: number
}

export interface RunningServer {
  readonly port: number
  /** `http://host:port`, for people. */
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

/** AppError `usage` when the address may not be used without a key, or cannot be used at all. */
export async function startServer(options: ListenOptions, handler: RequestListener): Promise<RunningServer> {
  const { host, port, hasApiKey, requestTimeoutMs } = options
  requireKeyOrLoopback(host, hasApiKey)
  const server = createServer({
    maxHeaderSize: 16_384, requestTimeout: requestTimeoutMs, headersTimeout: Math.min(10_000, requestTimeoutMs), keepAliveTimeout: 5_000, connectionsCheckingInterval: 1_000,
  }, handler)
  server.maxConnections = MAX_CONNECTIONS
  await listen(server, { host: host.replace(/^\[|\]$/g, ''), port })
  const address = server.address()
  const used = typeof address === 'object' && address !== null ? address.port : port
  return { port: used, url: `http://${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${used}`, stop: (graceMs) => stop(server, graceMs) }
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
