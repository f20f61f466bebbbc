/** The real service on a fresh database, as `serve` composes it. */
import { loadConfig } from '../../src/config/load-config.ts'
import { createLogger } from '../../src/observe/logger.ts'
import { startService } from '../../src/start/serve.ts'
import type { Database } from '../../src/store/db/database.ts'
import { createTestDatabase } from './database.ts'

export interface TestService {
  readonly url: string
  readonly port: number
  /** HTTPS on a port of its own; 0 without. */
  readonly tlsPort: number
  readonly database: Database
  /** Everything logged so far. */
  log(): string
  stop(): Promise<void>
}

export async function startTestService(env: Readonly<Record<string, string>> = {}, given?: Database): Promise<TestService> {
  const database = given ?? (await createTestDatabase()).database
  const { config, problems } = loadConfig({ FLOWFENCE_PORT: '0', FLOWFENCE_CLUSTER: 'test', ...env })
  if (config === undefined) throw new Error(problems.join('\n'))
  let text = ''
  const secrets = [...(config.apiKey === undefined ? [] : [config.apiKey.reveal()]), ...config.ingestKeys.map(({ key }) => key.reveal())]
  const logger = createLogger({ level: 'debug', secrets, destination: { write: (line) => { text += line } } })
  const service = await startService(database, { config, version: '0.0.0-test', logger })
  return { url: service.server.url, port: service.server.port, tlsPort: service.tlsServer?.port ?? 0, database, log: () => text, stop: () => service.stop() }
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The parsed body; `undefined` when it is not JSON. */
  readonly json: Record<string, unknown>
}

export async function call(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init)
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json') ?? false
  return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) as Record<string, unknown> : {} }
}

/** A request as raw bytes over a socket: for headers that fetch does not let one set. */
export async function callRaw(port: number, lines: readonly string[]): Promise<{ status: number; text: string }> {
  const { connect } = await import('node:net')
  return new Promise((done, failed) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${lines.join('\r\n')}\r\n\r\n`))
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('error', failed)
      .on('end', () => done({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]), text }))
  })
}
