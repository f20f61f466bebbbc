/** Makes kafkajs clients from the options: sockets that can be cut and that know what is not Kafka, TLS, logins. Nothing is logged anywhere. */
import { connect as connectTcp, isIP } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'
import { Kafka, logLevel } from 'kafkajs'
import type { ISocketFactoryArgs, KafkaConfig } from 'kafkajs'
import { repairKafkajs } from './internals.ts'
import { foreignProtocol } from '../kafka-problems.ts'
import type { KafkaOptions, KafkaSasl } from '../kafka-driver.ts'

export interface KafkajsClient {
  readonly kafka: Kafka
  /** Closes all its connections at once and opens none any more. */
  destroy(): void
}

/** What a socket fails with whose other end is not Kafka, or not without TLS. */
export class ForeignProtocolError extends Error {
  readonly code = 'FOREIGN_PROTOCOL'
}

/** What OAUTHBEARER fails with when the broker refuses the token. */
export class RefusedTokenError extends Error {
  readonly code = 'REFUSED_TOKEN'
}

/** Longer: slow networks get through; shorter: the next broker is tried earlier. */
const CONNECT_TIMEOUT_MS = 10_000
/** After which a silent broker counts as gone. */
const REQUEST_TIMEOUT_MS = 30_000
const KEEP_ALIVE_MS = 60_000

export function createKafkajsClient(options: KafkaOptions): KafkajsClient {
  repairKafkajs()
  const sockets = new Set<Socket>()
  let isDestroyed = false
  const kafka = new Kafka({
    clientId: options.clientId,
    brokers: [...options.brokers],
    connectionTimeout: CONNECT_TIMEOUT_MS,
    authenticationTimeout: CONNECT_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    // Every address is tried once; trying again is up to the caller, who tells it.
    retry: { retries: options.brokers.length, initialRetryTime: 100, maxRetryTime: 1000 },
    logLevel: logLevel.NOTHING,
    logCreator: () => () => undefined,
    ssl: options.tls === undefined ? false : { ...options.tls },
    ...(options.sasl !== undefined && { sasl: saslConfig(options.sasl) }),
    socketFactory: (args) => {
      if (isDestroyed) throw new Error('The client is closed.')
      const socket = openSocket(args)
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
      return socket
    },
  })
  return {
    kafka,
    destroy: () => {
      isDestroyed = true
      for (const socket of sockets) socket.destroy(new Error('The client is closed.'))
    },
  }
}

function openSocket({ host, port, ssl, onConnect }: ISocketFactoryArgs): Socket {
  const tls = ssl as ConnectionOptions | false | undefined
  const socket = tls === undefined || tls === false
    ? connectTcp({ host, port }, onConnect)
    : connectTls({ host, port, ...(isIP(host) === 0 && { servername: host }), ...tls }, onConnect)
  socket.setKeepAlive(true, KEEP_ALIVE_MS)
  socket.setNoDelay(true)
  socket.once('data', (head: Buffer) => {
    const protocol = foreignProtocol(head)
    if (protocol !== undefined) socket.destroy(new ForeignProtocolError(protocol))
  })
  return socket
}

function saslConfig(sasl: KafkaSasl): NonNullable<KafkaConfig['sasl']> {
  if (sasl.mechanism !== 'oauthbearer') return { mechanism: sasl.mechanism, username: sasl.username, password: sasl.password } as NonNullable<KafkaConfig['sasl']>
  const { token } = sasl
  // kafkajs's own does not look at the answer, in which the broker refuses a token.
  return {
    mechanism: 'oauthbearer',
    authenticationProvider: ({ saslAuthenticate }) => ({
      authenticate: async () => {
        const text = `n,,\u0001auth=Bearer ${await token()}\u0001\u0001`
        await saslAuthenticate({
          request: { encode: () => saslBytes(text) },
          response: {
            decode: (answer: Buffer) => answer,
            parse: (answer: Buffer) => {
              if (answer.toString('latin1').includes('"status"')) throw new RefusedTokenError('The token was refused.')
              return true
            },
          },
        })
      },
    }),
  }
}

/** With its length before it. */
function saslBytes(text: string): Buffer {
  const bytes = Buffer.from(text)
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}
