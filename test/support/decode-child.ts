/**
 * A process that decodes on threads, for tests of how threads end: `node decode-child.ts idle` uses them and just stops; `node decode-child.ts break`
 * breaks one by a message that nobody sends, while a request waits. Prints what became of it.
 */
import type { Worker } from 'node:worker_threads'
import { DecodePool } from '../../src/pipeline/decode-pool.ts'
import type { DecodeLane } from '../../src/pipeline/decode-pool.ts'

const workers: Worker[] = []
process.on('worker', (worker) => workers.push(worker))

const say = (...said: unknown[]): void => { process.stdout.write(`${JSON.stringify(said)}\n`) }
const pool = new DecodePool(2)
const options = { cluster: 'test', podCidrs: [], ownWorkloads: [], isBound: false, clusterAliases: [] }
const line = Buffer.from('{"some":"thing"}\n')

async function records(lane: DecodeLane): Promise<number> {
  const values = { bytes: new Uint8Array(line), ends: Uint32Array.of(line.length), offsets: Float64Array.of(0), source: 'test', bounds: undefined }
  return (await lane.request({ kind: 'values', values })).reduce((sum, { block }) => sum + block.records, 0)
}

const lanes = [pool.openLane(options), pool.openLane(options)]
say(await Promise.all(lanes.map(records)))
if (process.argv[2] === 'break') {
  const [lane] = lanes as [DecodeLane]
  workers[0]?.postMessage(null)
  const waiting = records(lane)
  say(await waiting.catch((error: unknown) => (error as { code: string }).code), lanes.map((l) => l.isBroken))
  say(await records(lane).catch((error: unknown) => (error as { code: string }).code))
  lane.close()
  const next = pool.openLane(options)
  // When the broken thread says that it has ended, the next one must not be taken for it.
  say(await records(next), next.isBroken)
  await new Promise((resolve) => setTimeout(resolve, 300))
  say(await records(next), await records(lanes[1] as DecodeLane), next.isBroken)
}
