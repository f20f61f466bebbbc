/**
 * One endless server stream over gRPC. In: an address and a request for each call; out: the bytes of each message, as they came.
 *
 *   connect ─► call ─► messages …  ended, lost, silent or asked to ─► growing pause with jitter ─► connect …
 *
 * Promises: messages of a call that is over are never delivered; a consumer that is behind stops the call by HTTP/2 flow control, so that at most
 * the flow-control windows are in memory (128 KiB, or one message); the certificates are read again for each connection. It ends with an AppError only where the
 * very first attempts show that trying again cannot help. Knows nothing of protobuf: requests and answers are bytes. Whoever uses it says what they
 * mean (src/pipeline/ingest-live.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, Metadata, connectivityState, credentials, logVerbosity, setLogVerbosity, status } from '@grpc/grpc-js'
import type { ChannelCredentials, ClientReadableStream, ServiceError } from '@grpc/grpc-js'
import { AppError } from '../core/base/app-error.ts'
import { explainFailure, splitAddress } from './grpc-failure.ts'
import type { StreamFailure, StreamNames, TlsMaterial } from './grpc-failure.ts'

/** The consuming side. A promise that is rejected ends `run` with its error. */
export interface StreamHandler {
  /** Before every call: the request to send. May wait; nothing is delivered meanwhile. */
  opening(): Promise<Buffer>
  /** Takes a message over at once. Whoever has enough says so with `pause`. */
  message(bytes: Buffer): void
  /** The request of a question asked beside the stream, about the stream; `undefined`: nothing to ask now. */
  question(): Buffer | undefined
  answer(bytes: Buffer): void
  /** The call ended because of a message over the size limit, which will come again where the same is asked for. */
  tooLarge(): void
  /** The stream is lost and tried again by itself, or back: for logs and readiness. `text` is one sentence for people, without secrets. */
  status(status: { readonly isConnected: boolean; readonly text: string }): void
}

export interface LiveStream {
  /** Delivers until `signal` is aborted, then resolves. Once per stream. */
  run(handler: StreamHandler, signal: AbortSignal): Promise<void>
  /** No more messages than are on their way, until `resume`. */
  pause(): void
  resume(): void
  /** Ends the current call; the next one is opened at once. `text` says why, for people. */
  reopen(text: string): void
}

export interface GrpcStreamOptions {
  /** `host:port`, `[v6]:port` or `unix:/path`. */
  readonly address: string
  /** Read before each connection, so that renewed certificates are used; `undefined` only where plain text is wanted. */
  readonly readTls: () => Promise<TlsMaterial | undefined>
  /** First pause between two attempts, doubled per failure up to the longest; each is cut by up to a half at random. Default 500 and 30000. */
  readonly minPauseMs?: number
  readonly maxPauseMs?: number
  /** A question is asked this often. More often: a silent stream is noticed earlier; more seldom: less work for the other side. Default 15000. */
  readonly questionEveryMs?: number
  /** How long a connection, and an answer, may take. Default 10000. */
  readonly patienceMs?: number
  /** A call that was paused for longer is given up and opened again later: servers drop what they cannot send (Goldmane after a minute). Default 20000. */
  readonly maxPausedMs?: number
  /** A larger message ends the call. Larger: more memory for one message; the decoder refuses what is over 16 MiB anyway. Default 16 MiB. */
  readonly maxMessageBytes?: number
}

/** What the two services differ in. */
export interface GrpcService {
  readonly what: string
  readonly setting: string
  readonly streamMethod: string
  readonly questionMethod: string
}

/** A call that lives this long did work: the next failure pauses shortly again. */
const HEALTHY_MS = 5_000
/** Unanswered questions in a row after which a connection counts as dead. */
const MAX_UNANSWERED = 2
/** Servers written in Go hang up on clients that ping more often than every 5 minutes; questions find a dead connection earlier. */
const KEEPALIVE_MS = 310_000

const asIs = (bytes: Buffer): Buffer => bytes

/** Connects to nothing yet. AppError `usage` when the address is none. */
export function createGrpcStream(service: GrpcService, options: GrpcStreamOptions): LiveStream {
  const { address } = options
  if (!address.startsWith('unix:') && splitAddress(address) === undefined) {
    throw new AppError('usage', `${service.setting} holds "${address}", but must be an address such as hubble-relay.kube-system:4245, [fd00::1]:4245 or unix:/var/run/cilium/hubble.sock.`)
  }
  // The library writes its own lines to stderr, where only ours belong.
  setLogVerbosity(logVerbosity.NONE)
  return new GrpcStream(service, options)
}

class GrpcStream implements LiveStream {
  readonly #service: GrpcService
  readonly #options: GrpcStreamOptions
  readonly #names: StreamNames
  #call: Call | undefined
  #isPaused = false
  /** Since the stream worked for the first time, whatever happens may heal by itself. */
  #hasWorked = false

  constructor(service: GrpcService, options: GrpcStreamOptions) {
    this.#service = service
    this.#options = options
    this.#names = { what: service.what, setting: service.setting, address: options.address }
  }

  async run(handler: StreamHandler, signal: AbortSignal): Promise<void> {
    let failures = 0
    while (!signal.aborted) {
      const end = await this.#attempt(handler, signal)
      if (signal.aborted) return
      if (end.kind === 'reopened') {
        handler.status({ isConnected: false, text: end.text })
        continue
      }
      if (end.hasWorked) {
        this.#hasWorked = true
        failures = 0
      }
      const { failure } = end
      if (failure.isFinal && !this.#hasWorked) throw new AppError('unavailable', failure.text)
      if (failure.isTooLarge === true) handler.tooLarge()
      handler.status({ isConnected: false, text: failure.text })
      const { minPauseMs = 500, maxPauseMs = 30_000 } = this.#options
      const pauseMs = Math.min(minPauseMs * 2 ** Math.min(failures++, 20), maxPauseMs) * (1 - Math.random() / 2)
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined)
    }
  }

  pause(): void {
    this.#isPaused = true
    this.#call?.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#call?.resume()
  }

  reopen(text: string): void {
    this.#call?.end({ kind: 'reopened', text })
  }

  async #attempt(handler: StreamHandler, signal: AbortSignal): Promise<CallEnd> {
    const request = await orAborted(handler.opening(), signal)
    if (request === undefined) return { kind: 'reopened', text: '' }
    let tls: TlsMaterial | undefined
    let secrets: ChannelCredentials
    try {
      tls = await this.#options.readTls()
      secrets = credentialsOf(tls)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      const text = error instanceof AppError ? why : `The certificates for ${this.#names.what} cannot be used: ${why}. Check ${this.#names.setting}_CA_FILE, _CERT_FILE and _KEY_FILE.`
      return { kind: 'failed', failure: { text, isFinal: true }, hasWorked: false }
    }
    const call = new Call({ service: this.#service, names: this.#names, options: this.#options, handler, tls, secrets, isFirst: !this.#hasWorked })
    this.#call = call
    const abort = (): void => call.end({ kind: 'reopened', text: '' })
    signal.addEventListener('abort', abort, { once: true })
    try {
      return await call.run(request, this.#isPaused)
    } finally {
      signal.removeEventListener('abort', abort)
      this.#call = undefined
    }
  }
}

type CallEnd =
  | { readonly kind: 'failed'; readonly failure: StreamFailure; readonly hasWorked: boolean }
  | { readonly kind: 'reopened'; readonly text: string }

interface CallOf {
  readonly service: GrpcService
  readonly names: StreamNames
  readonly options: GrpcStreamOptions
  readonly handler: StreamHandler
  readonly tls: TlsMaterial | undefined
  readonly secrets: ChannelCredentials
  readonly isFirst: boolean
}

/** One connection with one call. It has a connection of its own, so that nothing of an earlier one delays it. */
class Call {
  readonly #of: CallOf
  readonly #client: Client
  readonly #ended: Promise<CallEnd>
  #settle: (end: CallEnd) => void = () => undefined
  #stream: ClientReadableStream<Buffer> | undefined
  #isOver = false
  #isPaused = false
  #isConnected = false
  #unanswered = 0
  #startedAtMs = 0
  #pausedTimer: NodeJS.Timeout | undefined
  #questions: NodeJS.Timeout | undefined

  constructor(of: CallOf) {
    this.#of = of
    const { address, maxMessageBytes = 16 << 20, patienceMs = 10_000 } = of.options
    this.#client = new Client(address, of.secrets, {
      'grpc.use_local_subchannel_pool': 1, 'grpc.enable_retries': 0, 'grpc.enable_http_proxy': 0, 'grpc.service_config_disable_resolution': 1,
      'grpc.max_receive_message_length': maxMessageBytes, 'grpc.keepalive_time_ms': KEEPALIVE_MS, 'grpc.keepalive_timeout_ms': patienceMs,
      // Servers that are reached by another name than they have still hear their own.
      ...(of.tls?.serverName !== undefined && { 'grpc.ssl_target_name_override': of.tls.serverName, 'grpc.default_authority': of.tls.serverName }),
    })
    this.#ended = new Promise((done) => { this.#settle = done })
  }

  async run(request: Buffer, isPaused: boolean): Promise<CallEnd> {
    const { patienceMs = 10_000, questionEveryMs = 15_000 } = this.#of.options
    try {
      const hasAnswered = await Promise.race([this.#hasAnswered(patienceMs), this.#ended.then(() => true)])
      if (!hasAnswered) return this.#failed({ text: `${this.#of.names.what} at ${this.#of.names.address} does not answer within ${patienceMs / 1000} s.`, isFinal: false })
      if (this.#isOver) return await this.#ended
      this.#startedAtMs = performance.now()
      this.#open(request)
      if (isPaused) this.pause()
      this.#questions = setInterval(() => this.#ask(), questionEveryMs)
      this.#ask()
      return await this.#ended
    } finally {
      this.#isOver = true
      clearInterval(this.#questions)
      clearTimeout(this.#pausedTimer)
      this.#stream?.cancel()
      this.#client.close()
    }
  }

  pause(): void {
    if (this.#isPaused) return
    this.#isPaused = true
    this.#stream?.pause()
    const { maxPausedMs = 20_000 } = this.#of.options
    this.#pausedTimer = setTimeout(() => this.end({ kind: 'reopened', text: `${this.#of.names.what} at ${this.#of.names.address} waits until the flows before are stored.` }), maxPausedMs)
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    clearTimeout(this.#pausedTimer)
    this.#stream?.resume()
  }

  end(end: CallEnd): void {
    this.#isOver = true
    this.#settle(end)
  }

  /** Resolves when the connection is there or refused; false when neither happens. */
  #hasAnswered(patienceMs: number): Promise<boolean> {
    const channel = this.#client.getChannel()
    const deadline = Date.now() + patienceMs
    return new Promise((done) => {
      const look = (): void => {
        if (this.#isOver) return done(true)
        const state = channel.getConnectivityState(true)
        if (state === connectivityState.READY || state === connectivityState.TRANSIENT_FAILURE) return done(true)
        channel.watchConnectivityState(state, deadline, (error) => {
          if (error === undefined) look()
          else done(false)
        })
      }
      look()
    })
  }

  #open(request: Buffer): void {
    const { service, handler } = this.#of
    const stream = this.#client.makeServerStreamRequest(service.streamMethod, asIs, asIs, request, new Metadata())
    this.#stream = stream
    stream.on('metadata', () => this.#works())
    stream.on('data', (bytes: Buffer) => {
      if (this.#isOver) return
      this.#works()
      handler.message(bytes)
    })
    // Every call ends with exactly one status; an `error` event repeats it.
    stream.on('error', () => undefined)
    stream.on('status', (ended) => {
      if (this.#isOver) return
      void this.#explain({ code: ended.code, details: ended.details })
    })
  }

  #works(): void {
    if (this.#isConnected || this.#isOver) return
    this.#isConnected = true
    const { what, address } = this.#of.names
    this.#of.handler.status({ isConnected: true, text: `${what} at ${address} streams.` })
  }

  #ask(): void {
    const { service, handler, options: { patienceMs = 10_000 }, names } = this.#of
    // A paused call may hold the window of the whole connection, and no answer would fit through.
    const question = this.#isOver || this.#isPaused ? undefined : handler.question()
    if (question === undefined) return
    this.#client.makeUnaryRequest(service.questionMethod, asIs, asIs, question, new Metadata(), { deadline: Date.now() + patienceMs }, (error: ServiceError | null, bytes?: Buffer) => {
      if (this.#isOver || this.#isPaused) return
      if (error === null) {
        this.#unanswered = 0
        this.#works()
        if (bytes !== undefined) handler.answer(bytes)
      } else if (error.code === status.DEADLINE_EXCEEDED && ++this.#unanswered >= MAX_UNANSWERED) {
        this.#settle(this.#failed({ text: `${names.what} at ${names.address} is connected and does not answer any more.`, isFinal: false }))
      }
    })
  }

  async #explain(error: { readonly code: number; readonly details: string }): Promise<void> {
    const { names, tls, isFirst } = this.#of
    this.#settle(this.#failed(await explainFailure(error, names, { tls, isFirst })))
  }

  #failed(failure: StreamFailure): CallEnd {
    const hasWorked = this.#isConnected && (!failure.isFinal || performance.now() - this.#startedAtMs > HEALTHY_MS)
    return { kind: 'failed', failure, hasWorked }
  }
}

function credentialsOf(tls: TlsMaterial | undefined): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure()
  return credentials.createSsl(bytesOf(tls.ca), bytesOf(tls.key), bytesOf(tls.cert))
}

function bytesOf(pem: string | undefined): Buffer | null {
  return pem === undefined ? null : Buffer.from(pem)
}

/** `undefined` when the signal comes first. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  if (signal.aborted) return undefined
  let stop: () => void = () => undefined
  const aborted = new Promise<undefined>((done) => {
    stop = () => done(undefined)
    signal.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
