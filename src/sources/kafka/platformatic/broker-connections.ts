/**
 * Connections to brokers, one for each broker and lane (what may block is kept off what may not), opened when first needed, and calls over them in
 * the newest version that both sides know. Failures that trying again cannot mend come as AppErrors.
 */
import { isIP } from 'node:net'
import * as library from '@platformatic/kafka'
import { AppError } from '../../../core/base/app-error.ts'
import type { KafkaOptions, KafkaSasl } from '../kafka-driver.ts'
import { brokerTooOld, foreignProtocol, notKafka, wantsTls } from '../kafka-problems.ts'
import { fatalConnectionError, OLDEST_KAFKA, TokenFailure } from './failures.ts'

export interface BrokerAddress {
  readonly host: string
  readonly port: number
}

export type Lane = 'control' | 'join' | 'read' | 'send' | `fetch-${number}`

/** Versions of each call this driver speaks, newest first; the oldest set is that of Kafka 2.4. */
const VERSIONS = {
  Fetch: [17, 16, 15, 14, 13, 12, 11], Metadata: [12, 11, 10, 9, 8, 7], FindCoordinator: [6, 5, 4, 3, 2, 1], ListOffsets: [9, 8, 7, 6, 5, 4],
  JoinGroup: [9, 8, 7, 6, 5], SyncGroup: [5, 4, 3], Heartbeat: [4, 3], LeaveGroup: [5, 4, 3], OffsetCommit: [9, 8, 7], Produce: [11, 10, 9, 8, 7],
} as const
export type ApiName = keyof typeof VERSIONS

/** How long a call other than a join may take before the connection counts as dead. Less gives up slow brokers, more notices frozen ones later. */
const REQUEST_TIMEOUT_MS = 15_000
const CONNECT_TIMEOUT_MS = 10_000

const MECHANISMS = { plain: 'PLAIN', 'scram-sha-256': 'SCRAM-SHA-256', 'scram-sha-512': 'SCRAM-SHA-512', oauthbearer: 'OAUTHBEARER' } as const

const saslOf = (sasl: KafkaSasl): library.SASLOptions => {
  if (sasl.mechanism !== 'oauthbearer') return { mechanism: MECHANISMS[sasl.mechanism], username: sasl.username, password: sasl.password }
  const token = async (): Promise<string> => {
    try {
      return await sasl.token()
    } catch (error) {
      throw new TokenFailure('no OAuth token can be got', { cause: error })
    }
  }
  return { mechanism: 'OAUTHBEARER', token, authBytesValidator: refuseToken }
}

/** A broker that refuses a token answers without an error, with a JSON text that says why. The library knows the format but calls back twice. */
const refuseToken: NonNullable<library.SASLOptions['authBytesValidator']> = (answer, callback) => {
  // The types leave out that there may be no answer.
  const text = (answer as Buffer | null | undefined)?.toString('utf8') ?? ''
  if (/"status"\s*:/.test(text)) callback(new library.AuthenticationError('The token is refused.'))
  else callback(null, answer)
}

/** `host:port`, `[ipv6]:port`. */
export const parseAddress = (text: string): BrokerAddress => {
  const { host, port } = library.parseBroker(text)
  if (host === '' || !Number.isInteger(port) || port < 1 || port > 65_535) throw new AppError('usage', `"${text}" is not the address of a Kafka broker: write host:port in FLOWFENCE_KAFKA_BROKERS.`)
  return { host, port }
}

export const addressText = ({ host, port }: BrokerAddress): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)

type Versions = ReadonlyMap<number, { readonly minVersion: number; readonly maxVersion: number }>
interface Open {
  readonly connection: library.Connection
  readonly versions: Versions
}

export class BrokerConnections {
  readonly #options: KafkaOptions
  readonly #joinTimeoutMs: number
  readonly #open = new Map<string, Promise<Open>>()
  /** Not yet usable. */
  readonly #connecting = new Set<library.Connection>()
  #isClosed = false

  /** `joinTimeoutMs`: how long a broker may hold back the answer to a join. */
  constructor(options: KafkaOptions, joinTimeoutMs: number) {
    this.#options = options
    this.#joinTimeoutMs = joinTimeoutMs
  }

  /** Calls a broker; the arguments are those of the library's function of that name. */
  async call<Answer>(to: BrokerAddress, lane: Lane, name: ApiName, args: readonly unknown[]): Promise<Answer> {
    const { connection, versions } = await this.#get(to, lane)
    const version = this.#version(versions, name, to)
    const { api } = this.#module(name, version)
    return (await api.async(connection, ...args)) as Answer
  }

  /** As `call`, with an own reader of the answer. */
  async callRaw<Answer>(to: BrokerAddress, lane: Lane, request: RawRequest<Answer>): Promise<Answer> {
    const { connection, versions } = await this.#get(to, lane)
    const version = this.#version(versions, request.name, to)
    const { api, createRequest } = this.#module(request.name, version)
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const isFlexible = version >= request.flexibleSince
    connection.send(api.key, version, () => createRequest(...request.args(version)), (_id, _key, _version, reader) => request.parse(reader, version), isFlexible, isFlexible, (error, answer) => {
      if (error === null || error === undefined) resolve(answer as Answer)
      else reject(error)
    })
    return promise
  }

  /** Ends all connections of the lanes that `belongs` tells. */
  dropLanes(belongs: (lane: string) => boolean): void {
    for (const [key, open] of this.#open) {
      if (!belongs(key.slice(0, key.indexOf(' ')))) continue
      this.#open.delete(key)
      void open.then(({ connection }) => close(connection), () => undefined)
    }
  }

  /** Ends one connection, so that the next call opens another. */
  drop(to: BrokerAddress, lane: Lane): void {
    const key = `${lane} ${addressText(to)}`
    const open = this.#open.get(key)
    this.#open.delete(key)
    void open?.then(({ connection }) => close(connection), () => undefined)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    // Nobody waits for brokers that do not answer; the library's own timer ends with the error.
    for (const connection of this.#connecting) {
      connection.emit('error', new AppError('unavailable', 'The Kafka driver is closed.', { retryable: true }))
      ;(connection.socket as typeof connection.socket | undefined)?.destroy()
    }
    const all = [...this.#open.values()]
    this.#open.clear()
    await Promise.all(all.map((open) => open.then(({ connection }) => close(connection), () => undefined)))
  }

  async #get(to: BrokerAddress, lane: Lane): Promise<Open> {
    if (this.#isClosed) throw new AppError('unavailable', 'The Kafka driver is closed.', { retryable: true })
    const key = `${lane} ${addressText(to)}`
    let open = this.#open.get(key)
    if (open === undefined) {
      open = this.#connect(to, lane, () => {
        if (this.#open.get(key) === open) this.#open.delete(key)
      })
      this.#open.set(key, open)
    }
    return open
  }

  async #connect(to: BrokerAddress, lane: Lane, onEnd: () => void): Promise<Open> {
    const { clientId, tls, sasl } = this.#options
    const connection = new library.Connection(clientId, {
      connectTimeout: CONNECT_TIMEOUT_MS, requestTimeout: lane === 'join' ? this.#joinTimeoutMs : REQUEST_TIMEOUT_MS,
      // Addresses may not be sent as a server name.
      ...(tls === undefined ? {} : { tls: { ...tls }, ...(isIP(to.host) === 0 ? { tlsServerName: to.host } : {}) }),
      ...(sasl === undefined ? {} : { sasl: saslOf(sasl) }),
    })
    // Errors also come out of the calls; without a listener they would end the process.
    this.#connecting.add(connection)
    let lastError: unknown
    connection.on('error', (error) => {
      lastError = error
      onEnd()
    })
    connection.on('close', onEnd)
    let foreign: ReturnType<typeof foreignProtocol>
    try {
      const connected = connection.connect(to.host, to.port)
      connection.socket.once('data', (bytes) => {
        foreign = foreignProtocol(bytes)
        if (foreign !== undefined) connection.socket.destroy()
      })
      await connected
      const answer = await library.apiVersionsV3.api.async(connection, 'flowfence', '1')
      return { connection, versions: new Map(answer.apiKeys.map((api) => [api.apiKey, api])) }
    } catch (error) {
      onEnd()
      await close(connection)
      if (foreign === 'TLS') throw wantsTls(addressText(to))
      if (foreign !== undefined) throw notKafka(addressText(to), foreign === 'HTTP' ? foreign : undefined)
      // A certificate that the broker refuses shows after the connection is made: the call then knows only that it was closed.
      throw fatalConnectionError(error, addressText(to), this.#options) ?? fatalConnectionError(lastError, addressText(to), this.#options) ?? error
    } finally {
      this.#connecting.delete(connection)
    }
  }

  #version(versions: Versions, name: ApiName, to: BrokerAddress): number {
    const range = versions.get(API_KEYS[name])
    const version = range === undefined ? undefined : VERSIONS[name].find((candidate) => candidate >= range.minVersion && candidate <= range.maxVersion)
    if (version === undefined) throw brokerTooOld(addressText(to), OLDEST_KAFKA)
    return version
  }

  #module(name: ApiName, version: number): ApiModule {
    return (library as unknown as Record<string, ApiModule>)[`${name.charAt(0).toLowerCase()}${name.slice(1)}V${version}`] as ApiModule
  }
}

const API_KEYS: Record<ApiName, number> = {
  Produce: 0, Fetch: 1, ListOffsets: 2, Metadata: 3, OffsetCommit: 8, FindCoordinator: 10, JoinGroup: 11, Heartbeat: 12, LeaveGroup: 13, SyncGroup: 14,
}

export interface RawRequest<Answer> {
  readonly name: ApiName
  /** From this version on, lengths are short and fields may be added. */
  readonly flexibleSince: number
  readonly args: (version: number) => readonly unknown[]
  readonly parse: (reader: library.Reader, version: number) => Answer
}

interface ApiModule {
  readonly api: { readonly key: number; readonly async: (connection: library.Connection, ...args: readonly unknown[]) => Promise<unknown> }
  readonly createRequest: (...args: readonly unknown[]) => library.Writer
}

/** The library leaves the socket of a failed connection open. */
const close = async (connection: library.Connection): Promise<void> => {
  const timer = setTimeout(() => (connection.socket as typeof connection.socket | undefined)?.destroy(), 1_000)
  try {
    await connection.close()
  } finally {
    clearTimeout(timer)
    ;(connection.socket as typeof connection.socket | undefined)?.destroy()
  }
}
