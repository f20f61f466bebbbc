/**
 * Decoding on threads beside the one that stores, so that all cores work. A lane is a place where records of one cluster are read, with caches of its
 * own; each stream keeps to one lane, and the lanes are spread over the threads. Without threads a lane works in place.
 *
 * Cost: a request costs about 30 microseconds beside its work, so callers send pieces of half a megabyte and more; what is posted is moved, not
 * copied. Memory: what is in flight, and the caches of each lane.
 */
import { Worker } from 'node:worker_threads'
import { AppError } from '../core/base/app-error.ts'
import { FlowBlockReader } from '../core/flow/flow-block.ts'
import type { FlowRows } from '../core/flow/flow-block.ts'
import { adoptIdentity } from '../core/flow/identity.ts'
import type { Identity } from '../core/flow/identity.ts'
import { DecodeWork } from './decode-work.ts'
import type { DecodeRequest, LaneBlock, LaneOptions } from './decode-work.ts'
import type { ThreadAnswer, ThreadRequest } from './decode-thread.ts'

export type LaneRequest = Exclude<DecodeRequest, { kind: 'open-lane' }>

/** A block of a lane, and its flows as this thread reads them. */
export interface ReadBlock {
  readonly block: LaneBlock
  readonly rows: FlowRows
}

/** Where records of one cluster are read. Requests are answered in order. */
export interface DecodeLane {
  /** Whether chunks are worth being gathered before they are sent; then they must be the sender's to give away. */
  readonly isThread: boolean
  /** Its thread ended, or a request failed halfway: it answers no more, another lane must be opened. */
  readonly isBroken: boolean
  /** Takes over the buffers of the request. Rejects only when the lane broke. */
  request(request: LaneRequest): Promise<readonly ReadBlock[]>
  close(): void
}

/** A lane that works in place, at once. */
export function localLane(options: LaneOptions): DecodeLane {
  const work = new DecodeWork(options)
  const reader = new FlowBlockReader()
  let isBroken = false
  return {
    isThread: false,
    get isBroken() { return isBroken },
    request: (request) => {
      if (isBroken) return Promise.reject(broken(FAILED_BEFORE))
      try {
        return Promise.resolve(readBlocks(work.handle(request), reader))
      } catch (error) {
        isBroken = true
        return Promise.reject(error instanceof Error ? error : new Error(String(error)))
      }
    },
    close: () => undefined,
  }
}

function readBlocks(blocks: readonly LaneBlock[], reader: FlowBlockReader): ReadBlock[] {
  return blocks.map((block) => ({ block, rows: reader.read(block.flows) }))
}

/** Threads that decode; they start when their first lane is opened. */
export class DecodePool {
  readonly #threads: DecodeThread[]

  constructor(threads: number) {
    this.#threads = Array.from({ length: threads }, () => new DecodeThread())
  }

  /** Threads of the pool. */
  get size(): number {
    return this.#threads.length
  }

  /** A lane on the thread that has the fewest; in place without threads. */
  openLane(options: LaneOptions): DecodeLane {
    const thread = [...this.#threads].sort((a, b) => a.lanes - b.lanes)[0]
    return thread === undefined ? localLane(options) : thread.openLane(options)
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.stop()))
  }
}

interface OpenedLane {
  readonly worker: Worker
  readonly lane: number
  /** Its blocks are read in the order of the answers. */
  readonly reader: FlowBlockReader
  /** A request failed: blocks are missing, and records of it may be among those of the next. */
  hasFailed: boolean
}

interface Waiting {
  readonly open: OpenedLane
  readonly resolve: (blocks: readonly ReadBlock[]) => void
  readonly reject: (error: Error) => void
}

/** Built and unbuilt, the thread's file lies beside this one. */
const ENTRY = new URL(import.meta.url.endsWith('.ts') ? './decode-thread.ts' : './decode-thread.js', import.meta.url)

class DecodeThread {
  lanes = 0
  #worker: Worker | undefined
  #nextId = 0
  #nextLane = 0
  readonly #waiting = new Map<number, Waiting>()

  openLane(options: LaneOptions): DecodeLane {
    this.lanes++
    const worker = this.#worker ??= this.#start()
    const open: OpenedLane = { worker, lane: this.#nextLane++, reader: new FlowBlockReader(identityAdopter()), hasFailed: false }
    // A failure shows with the first real request.
    this.#send(open, { kind: 'open-lane', options }).catch(() => undefined)
    const isBroken = (): boolean => this.#worker !== worker || open.hasFailed
    return {
      isThread: true,
      get isBroken() { return isBroken() },
      request: (request) => this.#send(open, request),
      close: () => {
        this.lanes--
        this.#send(open, { kind: 'close-lane' }).catch(() => undefined)
      },
    }
  }

  async stop(): Promise<void> {
    await this.#worker?.terminate()
  }

  #send(open: OpenedLane, request: ThreadRequest['request']): Promise<readonly ReadBlock[]> {
    const { worker, lane } = open
    if (worker !== this.#worker) return Promise.reject(broken('it has ended'))
    if (open.hasFailed && request.kind !== 'close-lane') return Promise.reject(broken(FAILED_BEFORE))
    const id = this.#nextId++
    const answer = new Promise<readonly ReadBlock[]>((resolve, reject) => this.#waiting.set(id, { open, resolve, reject }))
    // What waits for an answer keeps the process running; an idle thread does not.
    worker.ref()
    worker.postMessage({ id, lane, request } satisfies ThreadRequest, buffersOf(request))
    return answer
  }

  #start(): Worker {
    const worker = new Worker(ENTRY, { name: 'decode' })
    worker.on('message', (answer: ThreadAnswer) => this.#answer(answer))
    worker.on('error', (error) => this.#fail(worker, error))
    worker.on('exit', () => this.#fail(worker, undefined))
    return worker
  }

  #answer(answer: ThreadAnswer): void {
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if (this.#waiting.size === 0) this.#worker?.unref()
    if (waiting === undefined) return
    const { open } = waiting
    try {
      if ('failure' in answer) throw new AppError('internal', `Decoding failed: ${answer.failure}`)
      if (open.hasFailed) throw broken(FAILED_BEFORE)
      waiting.resolve(readBlocks(answer.blocks, open.reader))
    } catch (error) {
      open.hasFailed = true
      waiting.reject(error as Error)
    }
  }

  /** A thread that broke tells so twice: by its error, and by its exit when the next one may be at work already. */
  #fail(worker: Worker, cause: unknown): void {
    if (worker !== this.#worker) return
    this.#worker = undefined
    const error = broken(cause instanceof Error ? cause.message : 'it has ended', cause)
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}

const FAILED_BEFORE = 'a request before failed'

/** Another lane can read the same input again: nothing of it was stored. */
function broken(why: string, cause?: unknown): AppError {
  return new AppError('unavailable', `The decoding thread broke: ${why}. What it was reading is read again by the next try.`, { cause, retryable: true })
}

/** Buffers that are moved to the thread: those of their own; slices of a shared pool are copied. */
function buffersOf(request: ThreadRequest['request']): ArrayBuffer[] {
  const views = request.kind === 'push' ? request.chunks : request.kind === 'values' ? [request.values.bytes, request.values.ends, request.values.offsets] : []
  return views.filter((view) => view.byteLength === view.buffer.byteLength).map((view) => view.buffer)
}

/** Identities of other threads that are remembered by key. More: fewer objects for one identity; fewer: less memory. */
const MAX_ADOPTED = 400_000

/** Makes equal identities of the lane's thread one object of this one. */
function identityAdopter(): (identity: Identity) => Identity {
  const known = new Map<string, Identity>()
  return (identity) => {
    const found = known.get(identity.key)
    if (found !== undefined) return found
    if (known.size >= MAX_ADOPTED) known.clear()
    const adopted = adoptIdentity(identity)
    known.set(adopted.key, adopted)
    return adopted
  }
}
