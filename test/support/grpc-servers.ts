/**
 * Real gRPC servers that speak what Hubble Relay and Goldmane speak, with messages written and requests read by hand (wire.ts), so that the tests trust
 * field numbers and not the schemas they test. Each has a memory like the original: a ring of flows per node, replayed from the time that was asked for.
 */
import * as grpc from '@grpc/grpc-js'
import { flowFields } from './protobuf-messages.ts'
import { message } from './wire.ts'
import type { WireField } from './wire.ts'

type WireValue = bigint | Buffer

/** The fields of a message: varints as numbers, everything else as bytes; in the order of the wire. */
export function readWire(bytes: Buffer): Map<number, WireValue[]> {
  const fields = new Map<number, WireValue[]>()
  let at = 0
  const varint = (): bigint => {
    let [value, shift] = [0n, 0n]
    for (;;) {
      const byte = bytes[at++]
      if (byte === undefined) throw new Error('a varint is cut off')
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return BigInt.asUintN(64, value)
      shift += 7n
    }
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    let value: WireValue
    if (tag % 8 === 0) value = varint()
    else if (tag % 8 === 2) {
      const length = Number(varint())
      value = bytes.subarray(at, at += length)
    } else throw new Error(`wire type ${tag % 8} is not expected here`)
    fields.set(Math.floor(tag / 8), [...fields.get(Math.floor(tag / 8)) ?? [], value])
  }
  return fields
}

export function texts(values: readonly WireValue[] | undefined): string[] {
  return (values ?? []).map((value) => value.toString())
}

/** The time in field `number` of a message, microseconds. */
function timeIn(fields: Map<number, WireValue[]>, number: number): number | undefined {
  const [value] = fields.get(number) ?? []
  if (!Buffer.isBuffer(value)) return undefined
  const time = readWire(value)
  return Number(time.get(1)?.[0] ?? 0n) * 1e6 + Number(time.get(2)?.[0] ?? 0n) / 1000
}

const timestampAt = (timeUs: number): WireField[] => [[1, Math.floor(timeUs / 1e6)], [2, Math.floor(timeUs % 1e6) * 1000]]

/** A `GetFlowsResponse` with one flow that no other number has; `names` replaces fields of it. */
export function hubbleMessage(number: number, timeUs: number, node = 'node-1', names: readonly WireField[] = []): Buffer {
  const replaced = new Set([1, 11, 34, ...names.map(([field]) => field)])
  const flow: WireField[] = [
    [1, timestampAt(timeUs)], ...flowFields.filter(([field]) => !replaced.has(field)), [11, node], [34, `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`], ...names,
  ]
  return message([1, flow], [1000, node], [1001, timestampAt(timeUs)])
}

/** Lost events (`lost_events`) or a node's state (`node_status`), as relays send them between the flows. */
export const lostMessage = (lost: number, timeUs: number): Buffer => message([3, [[1, 3], [2, lost]]], [1000, 'node-1'], [1001, timestampAt(timeUs)])
export const nodeMessage = (state: number, node: string, timeUs: number): Buffer => message([2, [[1, state], [2, node]]], [1000, 'relay'], [1001, timestampAt(timeUs)])

/** A `FlowResult` of Goldmane: one flow in a window of 15 seconds. */
export function goldmaneMessage(number: number, startSeconds: number): Buffer {
  const key: WireField[] = [[1, 'web-7d4b9c6f58-*'], [2, 'shop'], [3, 1], [4, `db-${number}-*`], [5, 'shop'], [6, 1], [7, 5432], [12, 'tcp'], [13, 2], [14, 1]]
  return message([1, number + 1], [2, [[1, key], [2, startSeconds], [3, startSeconds + 15], [4, 'app=web'], [5, `app=db-${number}`], [6, 12], [8, 900 + number], [10, 3]]])
}

export interface RelayStatusNumbers {
  seen: number
  connected: number
  unavailable: string[]
}

interface Kept {
  readonly node: string
  readonly timeUs: number
  readonly bytes: Buffer
}

export interface GrpcServerOptions {
  readonly port?: number
  readonly credentials?: grpc.ServerCredentials
  /** Flows kept per node; the oldest is forgotten. */
  readonly capacity?: number
}

const asIs = (bytes: Buffer): Buffer => bytes
const method = (path: string, responseStream: boolean): grpc.MethodDefinition<Buffer, Buffer> => ({
  path, requestStream: false, responseStream, requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs, responseDeserialize: asIs,
})

type StreamCall = grpc.ServerWritableStream<Buffer, Buffer>

/** What both servers share: a memory, calls that follow it, and the requests they got. */
class FlowServer {
  readonly requests: Map<number, WireValue[]>[] = []
  /** Messages given to calls, over all calls. */
  sent = 0
  /** New flows are kept, and given to nobody. */
  isMute = false
  /** Questions get no answer. */
  isDeaf = false
  protected server: grpc.Server | undefined
  port = 0
  readonly calls = new Map<StreamCall, Buffer[]>()
  readonly rings = new Map<string, Kept[]>()
  protected readonly options: GrpcServerOptions

  constructor(options: GrpcServerOptions = {}) {
    this.options = options
    this.port = options.port ?? 0
  }

  /** Keeps a flow and gives it to all who follow. */
  push(bytes: Buffer, timeUs: number, node = 'node-1'): void {
    const ring = this.rings.get(node) ?? []
    ring.push({ node, timeUs, bytes })
    if (ring.length > (this.options.capacity ?? Infinity)) ring.shift()
    this.rings.set(node, ring)
    if (!this.isMute) this.tell(bytes)
  }

  /** Gives a message to all who follow without keeping it. */
  tell(bytes: Buffer): void {
    for (const call of this.calls.keys()) this.write(call, [bytes])
  }

  /** As a process that is killed: connections break. Its memory stays, as that of the nodes behind a relay. */
  kill(): void {
    this.calls.clear()
    this.server?.forceShutdown()
    this.server = undefined
  }

  /** Ends all calls as a server does that shuts down in order. */
  endCalls(): void {
    for (const call of this.calls.keys()) call.end()
    this.calls.clear()
  }

  protected async listen(server: grpc.Server): Promise<void> {
    this.server = server
    const { credentials = grpc.ServerCredentials.createInsecure() } = this.options
    this.port = await new Promise((done, fail) => {
      server.bindAsync(`127.0.0.1:${this.port}`, credentials, (error, port) => (error === null ? done(port) : fail(error)))
    })
  }

  protected follow(call: StreamCall, sinceUs: number): void {
    this.requests.push(readWire(call.request))
    const kept = [...this.rings.values()].flatMap((ring) => {
      // As Hubble does it: back from the newest to the first that is too old.
      let from = ring.length
      while (from > 0 && (ring[from - 1] as Kept).timeUs >= sinceUs) from--
      return ring.slice(from)
    })
    this.calls.set(call, [])
    call.on('cancelled', () => this.calls.delete(call))
    if (!this.isMute) this.write(call, kept.sort((a, b) => a.timeUs - b.timeUs).map((one) => one.bytes))
  }

  /** Waits while the client takes nothing, as every server must. */
  private write(call: StreamCall, messages: readonly Buffer[]): void {
    const queue = this.calls.get(call)
    if (queue === undefined) return
    const isWaiting = queue.length > 0
    queue.push(...messages)
    if (!isWaiting) this.drain(call, queue)
  }

  private drain(call: StreamCall, queue: Buffer[]): void {
    while (queue.length > 0 && this.calls.has(call)) {
      this.sent++
      const isRoom = call.write(queue[0] as Buffer)
      if (isRoom) {
        queue.shift()
        continue
      }
      call.once('drain', () => {
        queue.shift()
        this.drain(call, queue)
      })
      return
    }
  }
}

/** `observer.Observer`. */
export class RelayServer extends FlowServer {
  readonly status: RelayStatusNumbers = { seen: 0, connected: 1, unavailable: [] }

  async start(): Promise<this> {
    const server = new grpc.Server()
    server.addService({ GetFlows: method('/observer.Observer/GetFlows', true), ServerStatus: method('/observer.Observer/ServerStatus', false) }, {
      GetFlows: (call: StreamCall) => {
        this.follow(call, timeIn(readWire(call.request), 7) ?? Infinity)
        if (!this.isMute) this.tellNodes(call)
      },
      ServerStatus: (_call: unknown, answer: grpc.sendUnaryData<Buffer>) => {
        if (!this.isDeaf) answer(null, this.statusMessage())
      },
    })
    await this.listen(server)
    return this
  }

  override push(bytes: Buffer, timeUs: number, node = 'node-1'): void {
    this.status.seen++
    super.push(bytes, timeUs, node)
  }

  private tellNodes(call: StreamCall): void {
    call.write(nodeMessage(1, 'node-1', Date.now() * 1000))
  }

  private statusMessage(): Buffer {
    const { seen, connected, unavailable } = this.status
    return message([1, 10], [2, 4095], [3, seen], [4, 1e12], [5, [[1, connected]]], [6, [[1, unavailable.length]]], ...unavailable.map((name): WireField => [7, name]), [8, 'test'])
  }
}

/** `goldmane.Flows`. */
export class GoldmaneServer extends FlowServer {
  readonly lists: Map<number, WireValue[]>[] = []

  async start(): Promise<this> {
    const server = new grpc.Server()
    server.addService({ Stream: method('/goldmane.Flows/Stream', true), List: method('/goldmane.Flows/List', false) }, {
      Stream: (call: StreamCall) => this.follow(call, Number(readWire(call.request).get(1)?.[0] ?? Infinity) * 1e6),
      List: (call: { request: Buffer }, answer: grpc.sendUnaryData<Buffer>) => {
        if (!this.isDeaf) answer(null, this.list(readWire(call.request)))
      },
    })
    await this.listen(server)
    return this
  }

  private list(request: Map<number, WireValue[]>): Buffer {
    this.lists.push(request)
    const [from, to] = [Number(request.get(1)?.[0] ?? 0n) * 1e6, Number(request.get(2)?.[0] ?? 0n) * 1e6]
    const found = [...this.rings.values()].flat().find((one) => one.timeUs >= from && one.timeUs < to)
    return found === undefined ? message([1, [[1, 0]]]) : message([1, [[1, 1]]], [2, found.bytes])
  }
}

/** A gRPC server of something else. */
export async function startOtherServer(credentials = grpc.ServerCredentials.createInsecure()): Promise<{ port: number; stop: () => void }> {
  const server = new grpc.Server()
  server.addService({ Check: method('/grpc.health.v1.Health/Check', false) }, { Check: (_call: unknown, answer: grpc.sendUnaryData<Buffer>) => answer(null, Buffer.alloc(0)) })
  const port = await new Promise<number>((done, fail) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? done(bound) : fail(error)))
  })
  return { port, stop: () => server.forceShutdown() }
}

export function tlsCredentials({ cert, key }: { readonly cert: string; readonly key: string }, clientCa?: string): grpc.ServerCredentials {
  return grpc.ServerCredentials.createSsl(clientCa === undefined ? null : Buffer.from(clientCa), [{ cert_chain: Buffer.from(cert), private_key: Buffer.from(key) }], clientCa !== undefined)
}

/** Polls until something holds; the test's own time limit is the patience. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!await holds()) await new Promise((done) => setTimeout(done, 10))
}
