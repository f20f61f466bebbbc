/**
 * Reading, per format: records a second, and how long JSON.parse of the same lines (or splitting them into fields) takes in comparison. Reading is
 * decoding and normalizing, from bytes to records. And memory: what reading holds depends on the pods of a cluster, not on the lines.
 */
import { simulate, SIMULATED_FORMATS, type SimulatedFormat } from '../../src/core/simulate/simulate.ts'
import { createNormalizer, type Normalizer } from '../../src/core/normalize/normalizer.ts'
import { createDecoder, type Decoder } from '../../src/decode/decode-chunk.ts'
import { createFastPath } from '../../src/decode/fast-path.ts'
import type { DecodedItem } from '../../src/decode/item-list.ts'
import { loadTopology } from '../../src/manifests/load-topology.ts'
import { antreaCsvLines, awsLines, awsMessageLines, awsTextLines, gkeLines } from './format-lines.ts'
import { largeClusterChunks } from './large-cluster.ts'
import { secondsOf, type Line } from './measure.ts'

const START_US = Date.UTC(2026, 0, 1) * 1000
const LINES = 60_000
const ROUNDS = 7
const CHUNK_BYTES = 256 << 10
const TURN_BYTES = 16 * CHUNK_BYTES

interface Source {
  readonly normalizer: Normalizer
  readonly decoder: Decoder
}

function openSource(): Source {
  const normalizer = createNormalizer({ cluster: 'default' })
  return { normalizer, decoder: createDecoder({ fastPath: createFastPath(normalizer) }) }
}

/** Normalizes items; how many were flows. */
function flowsOf(items: readonly DecodedItem[], normalizer: Normalizer): number {
  let flows = 0
  for (const item of items) if ((item.problem ?? item.outcome ?? normalizer.normalize(item.value)).kind === 'flow') flows++
  return flows
}

interface Case {
  readonly name: string
  readonly lines: readonly string[]
  readonly reference: 'JSON.parse' | 'split'
  /** Splits a line into its fields. */
  readonly split?: (line: string) => unknown
  readonly atLeast: number
}

/** The reference and reading take turns every few chunks, so that a busy machine slows both; the median of the rounds' ratios counts, after one to warm up. */
async function benchCase({ name, lines, reference, split = (line) => line, atLeast }: Case, report: (line: Line) => void): Promise<void> {
  const bytes = Buffer.from(`${lines.join('\n')}\n`)
  // As JSON.parse gets them from a decoder: strings of their own.
  const texts = lines.map((line) => Buffer.from(line).toString('latin1'))
  const { normalizer, decoder } = openSource()
  const ratios: number[] = []
  const seconds: number[] = []
  let flows = 0
  for (let round = 0; round <= ROUNDS; round++) {
    let wanted = 0
    let taken = 0
    let items = 0
    flows = 0
    for (let at = 0; at < bytes.length; at += TURN_BYTES) {
      const first = items
      taken += await secondsOf(() => {
        for (let from = at; from < Math.min(at + TURN_BYTES, bytes.length); from += CHUNK_BYTES) {
          const read = decoder.push(bytes.subarray(from, from + CHUNK_BYTES))
          items += read.length
          flows += flowsOf(read, normalizer)
        }
      })
      const turn = texts.slice(first, items)
      wanted += await secondsOf(() => {
        let kept: unknown
        if (reference === 'JSON.parse') for (const text of turn) kept = JSON.parse(text)
        else for (const text of turn) kept = split(text)
        return kept
      })
    }
    if (round === 0) continue
    ratios.push(wanted / taken)
    seconds.push(taken)
  }
  if (flows < lines.length * 0.5) throw new Error(`${name}: only ${flows} of ${lines.length} lines are flows`)
  report({ name: `read ${name}`, value: lines.length / median(seconds), unit: 'records/s' })
  report({ name: `  ... against ${reference} of the same lines`, value: median(ratios), unit: `x ${reference}`, limit: { atLeast } })
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number
}

async function simulatedLines(topology: string, format: SimulatedFormat): Promise<string[]> {
  const loaded = await loadTopology(new URL(`../../examples/${topology}`, import.meta.url).pathname)
  const lines: string[] = []
  // Short rows, where rows have a length: more of them.
  for (const line of simulate(loaded, { format, minutes: 24 * 60, seed: 1, startUs: START_US, intervalSeconds: 15 }).lines()) if (lines.push(line) === LINES) break
  return lines
}

/** Heap in use after a collection, MiB. */
function heapMiB(): number {
  global.gc?.()
  return process.memoryUsage().heapUsed / 2 ** 20
}

const LINES_OF_CHUNK = 100

/** Heap after each of the given numbers of records (whole hundreds) of a cluster with that many pods. */
export function heapAfter(marks: readonly number[], podCount: number): number[] {
  const next = largeClusterChunks(podCount, LINES_OF_CHUNK)
  const { normalizer, decoder } = openSource()
  const heaps: number[] = []
  let flows = 0
  for (let records = 0; records < (marks.at(-1) ?? 0);) {
    flows += flowsOf(decoder.push(next()), normalizer)
    records += LINES_OF_CHUNK
    if (marks.includes(records)) heaps.push(heapMiB())
  }
  if (flows !== marks.at(-1)) throw new Error(`only ${flows} lines are flows`)
  return heaps
}

async function benchHeap(report: (line: Line) => void): Promise<void> {
  const million = 1_000_000
  let heaps: number[] = []
  const seconds = await secondsOf(() => (heaps = heapAfter([2 * million, 5 * million], 100_000)))
  const [first = 0, second = 0] = heaps
  report({ name: 'read 5 million records of 100,000 pods', value: seconds, unit: 's', limit: { atMost: 90 } })
  report({ name: 'heap after 2 million records of 100,000 pods', value: first, unit: 'MiB' })
  report({ name: '  ... after 5 million, as a multiple', value: second / first, unit: 'x', limit: { atMost: 1.1 } })
}

export async function benchFormats(report: (line: Line) => void): Promise<void> {
  for (const topology of ['shop.yaml', 'large-200.yaml']) {
    await benchCase({ name: `hubble, ${topology}`, lines: await simulatedLines(topology, 'hubble'), reference: 'JSON.parse', atLeast: 2 }, report)
  }
  for (const format of SIMULATED_FORMATS) {
    if (format !== 'hubble') await benchCase({ name: format, lines: await simulatedLines('large-200.yaml', format), reference: 'JSON.parse', atLeast: 0.7 }, report)
  }
  await benchCase({ name: 'gke', lines: gkeLines(LINES), reference: 'JSON.parse', atLeast: 0.7 }, report)
  await benchCase({ name: 'aws-vpc-cni', lines: awsLines(LINES), reference: 'JSON.parse', atLeast: 0.7 }, report)
  await benchCase({ name: 'aws-vpc-cni, all in the message', lines: awsMessageLines(LINES), reference: 'JSON.parse', atLeast: 0.7 }, report)
  await benchCase({ name: 'aws-vpc-cni, CloudWatch text', lines: awsTextLines(LINES), reference: 'split', split: (l) => l.split(';').map((field) => field.split(': ')), atLeast: 0.5 }, report)
  await benchCase({ name: 'antrea, CSV', lines: antreaCsvLines(LINES), reference: 'split', split: (l) => l.split(','), atLeast: 0.5 }, report)
  await benchHeap(report)
}
