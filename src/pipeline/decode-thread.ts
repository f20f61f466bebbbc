/** A thread of decode-pool.ts: runs the DecodeWork of its lanes. Started by its file name, imported by nobody. */
import { parentPort } from 'node:worker_threads'
import { DecodeWork } from './decode-work.ts'
import type { DecodeRequest, LaneBlock } from './decode-work.ts'

/** One request to a lane of the thread. */
export interface ThreadRequest {
  readonly id: number
  readonly lane: number
  readonly request: DecodeRequest | { readonly kind: 'close-lane' }
}

/** The answer to one request. */
export type ThreadAnswer =
  | { readonly id: number; readonly blocks: readonly LaneBlock[] }
  | { readonly id: number; readonly failure: string }

const lanes = new Map<number, DecodeWork>()

function run({ lane, request }: ThreadRequest): LaneBlock[] {
  if (request.kind === 'close-lane') {
    lanes.delete(lane)
    return []
  }
  if (request.kind === 'open-lane') {
    lanes.set(lane, new DecodeWork(request.options))
    return []
  }
  const work = lanes.get(lane)
  if (work === undefined) throw new Error(`no lane ${lane}`)
  return work.handle(request)
}

parentPort?.on('message', (message: ThreadRequest) => {
  let answer: ThreadAnswer
  try {
    answer = { id: message.id, blocks: run(message) }
  } catch (error) {
    answer = { id: message.id, failure: error instanceof Error ? error.stack ?? error.message : String(error) }
  }
  const buffers = 'blocks' in answer ? answer.blocks.flatMap(({ flows }) => [flows.times.buffer, flows.words.buffer]) : []
  parentPort?.postMessage(answer, buffers)
})
