/**
 * Damaged records of all formats: 100,000 in `npm test`, 1 million in `npm run test:full`, 20 million in `npm run fuzz`.
 *
 * A failure names its seed: FLOWFENCE_FUZZ_SEED=<seed> npm test -- test/fuzz runs that record alone. The fuzz tier starts at a seed of its own.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { Outcome } from '../../src/core/flow/flow-record.ts'
import { createNormalizer } from '../../src/core/normalize/normalizer.ts'
import type { Normalizer } from '../../src/core/normalize/normalizer.ts'
import { createDecoder } from '../../src/decode/decode-chunk.ts'
import type { FastPath } from '../../src/decode/decode-chunk.ts'
import { createFastPath } from '../../src/decode/fast-path.ts'
import type { DecodedItem } from '../../src/decode/item-list.ts'
import { decodeValue } from '../../src/decode/decode-value.ts'
import { letterOf } from '../../src/pipeline/dead-letters.ts'
import { createRandom, rounds } from '../support/random.ts'
import type { Random } from '../support/random.ts'
import { baseLines } from '../support/fuzz/base-lines.ts'
import { problemOf, problemOfCoverage } from '../support/fuzz/check-outcome.ts'
import { mutateBytes, mutateLine } from '../support/fuzz/mutate.ts'
import { antreaFlow, flow, goldmaneFlow, otlp, record, textBody } from '../support/protobuf-messages.ts'
import { message } from '../support/wire.ts'

const OPTIONS = { cluster: 'c1', podCidrs: ['10.0.0.0/8', 'fd00::/8'] }
const NEWLINE = Buffer.from('\n')
/** Of processor time, for everything that is checked of one record. Generous: no hang ends this soon. */
const MAX_RECORD_MS = 3_000
/** What the memory of one normalizer may come to: its caches full of hostile records. */
const MAX_HEAP_GROWTH = 700 << 20

function read(bytes: Buffer, { cut, fastPath }: { cut?: Random; fastPath?: FastPath } = {}): DecodedItem[] {
  const decoder = createDecoder(fastPath === undefined ? {} : { fastPath })
  const items: DecodedItem[] = []
  for (let at = 0; at < bytes.length;) {
    const end = cut === undefined ? bytes.length : Math.min(bytes.length, at + 1 + cut.int(cut.chance(0.3) ? 8 : 400))
    items.push(...decoder.push(bytes.subarray(at, end)))
    at = end
  }
  return [...items, ...decoder.end()]
}

function outcomeOf(item: DecodedItem, normalizer: Normalizer): Outcome {
  return item.problem ?? item.outcome ?? normalizer.normalize(item.value)
}

/** Everything that an outcome says; identities by key, since numbers are those of the process. */
function plain(outcome: Outcome): unknown {
  return outcome.kind === 'flow' ? { ...outcome, initiator: outcome.initiator.key, responder: outcome.responder.key } : outcome
}

/** Lines that hold something: each gives at least one item, unless it only opens or closes an array, or goes on a value. */
function mustGiveItems(bytes: Buffer): boolean {
  const text = bytes.toString('latin1')
  return !text.trimEnd().includes('\n') && text.replace(/^\u00ef\u00bb\u00bf/, '').trim() !== '' && !/^[\s\u00ef\u00bb\u00bf]*\[[\s,[\]\u00ef\u00bb\u00bf]*$/.test(text)
}

class Fuzz {
  readonly #groups: readonly (readonly string[])[]
  readonly #normalizer = createNormalizer(OPTIONS)
  readonly #fastPath = createFastPath(this.#normalizer)
  readonly seen = new Map<string, number>()

  constructor(groups: readonly (readonly string[])[]) {
    this.#groups = groups
  }

  /** Throws with the seed when anything is wrong with what becomes of the record. */
  run(seed: number): void {
    const random = createRandom(seed)
    const line = (): string => random.pick(random.pick(this.#groups))
    const mutated = mutateLine(random, line(), line())
    const bytes = random.chance(0.8) ? Buffer.concat([mutated, NEWLINE]) : mutated
    const before = process.cpuUsage()
    try {
      this.#check(bytes, random)
    } catch (error) {
      throw new Error(`seed ${seed}: ${String(error)}\n${bytes.toString('latin1').slice(0, 2000)}`, { cause: error })
    }
    const ms = process.cpuUsage(before).user / 1000
    if (ms > MAX_RECORD_MS) throw new Error(`seed ${seed}: took ${ms} ms`)
  }

  #check(bytes: Buffer, random: Random): void {
    const items = read(bytes)
    if (items.length === 0 && mustGiveItems(bytes)) throw new Error('a line that is not blank gives nothing')
    const outcomes = items.map((item) => outcomeOf(item, this.#normalizer))
    for (const outcome of outcomes) {
      const problem = problemOf(outcome)
      if (problem !== undefined) throw new Error(`${problem} in ${JSON.stringify(plain(outcome))}`)
      const name = outcome.kind === 'flow' ? 'flow' : `${outcome.kind} ${outcome.kind === 'rejected' ? outcome.code : outcome.reason}`
      this.seen.set(name, (this.seen.get(name) ?? 0) + 1)
      this.seen.set(outcome.format, (this.seen.get(outcome.format) ?? 0) + 1)
    }
    for (const event of this.#normalizer.takeCoverage()) {
      const problem = problemOfCoverage(event)
      if (problem !== undefined) throw new Error(problem)
    }
    if (random.chance(0.25)) this.#checkFast(bytes, outcomes)
    if (random.chance(0.02)) this.#checkAlone(bytes, outcomes)
    if (random.chance(0.02)) checkCuts(bytes, items, random)
    if (random.chance(0.02)) for (const [i, item] of items.entries()) checkLetter(item, outcomes[i] as Outcome)
    if (random.chance(0.05)) checkValue(bytes, this.#normalizer)
  }

  /** What came before does not matter: a normalizer that knows nothing says the same. */
  #checkAlone(bytes: Buffer, outcomes: readonly Outcome[]): void {
    const fresh = createNormalizer(OPTIONS)
    const again = read(bytes).map((item) => outcomeOf(item, fresh))
    const [first, second] = [JSON.stringify(outcomes.map(plain)), JSON.stringify(again.map(plain))]
    if (first !== second) throw new Error(`after other records ${first}\nalone ${second}`)
  }

  /** What the fast path reads without parsing is what parsing reads. */
  #checkFast(bytes: Buffer, outcomes: readonly Outcome[]): void {
    const again = read(bytes, { fastPath: this.#fastPath }).map((item) => outcomeOf(item, this.#normalizer))
    const [first, second] = [JSON.stringify(outcomes.map(plain)), JSON.stringify(again.map(plain))]
    if (first !== second) throw new Error(`parsed ${first}\nfast ${second}`)
  }
}

/** How the bytes were cut into chunks does not matter. */
function checkCuts(bytes: Buffer, items: readonly DecodedItem[], random: Random): void {
  const cut = read(bytes, { cut: random })
  const shown = (list: readonly DecodedItem[]): string => JSON.stringify(list.map((i) => [i.line, i.startOffset, i.byteOffset, safely(i.value), i.problem, i.raw]))
  if (shown(cut) !== shown(items)) throw new Error(`in one piece ${shown(items)}\nin pieces ${shown(cut)}`)
}

function safely(value: unknown): unknown {
  try {
    JSON.stringify(value)
    return value
  } catch {
    return 'nested too deeply'
  }
}

/** A letter is bounded, and a complete one is refused for the same reason when it is read again. */
function checkLetter(item: DecodedItem, outcome: Outcome): void {
  if (outcome.kind !== 'rejected') return
  const letter = letterOf(outcome, item)
   
  if (Buffer.byteLength(letter.sample) > 4096 || /[\0\ud800-\udfff]/u.test(letter.sample)) throw new Error(`a letter of ${letter.sample.length} characters`)
  if (!letter.isComplete || item.value === undefined) return
  const normalizer = createNormalizer(OPTIONS)
  const again = read(Buffer.from(`${letter.sample}\n`)).map((i) => outcomeOf(i, normalizer))
  if (!again.some((o) => o.kind === 'rejected')) throw new Error(`refused as ${outcome.code}: ${outcome.detail}, but its letter is accepted: ${letter.sample}`)
}

/** The bytes as one value of a message, whatever they are. */
function checkValue(bytes: Buffer, normalizer: Normalizer): void {
  for (const kind of [undefined, 'protobuf'] as const) {
    const items = decodeValue(bytes, kind === undefined ? {} : { kind })
    if (items.length === 0 && mustGiveItems(bytes)) throw new Error(`a value that is not blank gives nothing (${kind ?? 'detected'})`)
    for (const item of items) {
      const problem = problemOf(outcomeOf(item, normalizer))
      if (problem !== undefined) throw new Error(`${problem} in a value (${kind ?? 'detected'})`)
    }
  }
}

/** One of each message that is read, alone and in what carries it. */
const MESSAGES: readonly Buffer[] = [
  flow, message([1, flow], [1000, 'c1/node-1'], [1001, [[1, 1_767_323_045]]]), message([3, [[1, 3], [2, 17]]], [1000, 'node-1'], [1001, [[1, 1_767_323_045]]]), goldmaneFlow, message([1, 7], [2, goldmaneFlow]),
  record(6), message([1, record(6)], [1, record(17)]), antreaFlow, otlp(textBody('{"flow":{}}'), textBody('level=info msg=x')),
]

function heapBytes(): number {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  gc()
  return process.memoryUsage().heapUsed
}

/** Messages are fewer than lines: each costs a walk over its fields and a full decode. */
const messages = rounds({ small: 10_000, full: 200_000 })
const amount = rounds({ small: 100_000, full: 1_000_000 })
const isFuzz = process.env.FLOWFENCE_TIER === 'fuzz'

/** Building the stack of an error costs more than reading a record, and most damaged records are errors of JSON.parse. */
beforeAll(() => { Error.stackTraceLimit = 0 })
afterAll(() => { Error.stackTraceLimit = 10 })

test(`${amount} damaged records: each gives well-formed outcomes, by itself, in time and within bounds`, () => {
  const fuzz = new Fuzz(baseLines())
  const wanted = process.env.FLOWFENCE_FUZZ_SEED
  if (wanted !== undefined) {
    fuzz.run(Number(wanted))
    return
  }
  const start = isFuzz ? Date.now() % 1_000_000_000 : 0
  const before = heapBytes()
  for (let i = 0; i < amount; i++) {
    fuzz.run(start + i)
    if (isFuzz && i % 250_000 === 0) process.stderr.write(`fuzz: ${i} of ${amount} records, seeds from ${start}, ${Math.round((heapBytes() - before) / 1e6)} MB\n`)
  }
  expect(heapBytes() - before).toBeLessThan(MAX_HEAP_GROWTH)
  // The harness reaches what it is for: flows, refusals and ignored records, and many kinds of them.
  expect(fuzz.seen.get('flow') ?? 0).toBeGreaterThan(amount / 20)
  for (const name of ['rejected malformed-json', 'rejected wrong-type', 'rejected bad-port', 'rejected bad-address', 'rejected bad-time', 'rejected not-text', 'rejected unknown-format']) {
    expect([name, (fuzz.seen.get(name) ?? 0) > 0]).toEqual([name, true])
  }
}, isFuzz ? 12 * 3_600_000 : 1_800_000)

test(`${messages} damaged protobuf messages: each gives well-formed outcomes, and undamaged ones are read`, () => {
  const normalizer = createNormalizer(OPTIONS)
  for (const bytes of MESSAGES) expect(decodeValue(bytes, { kind: 'protobuf' }).map((item) => outcomeOf(item, normalizer).kind)).not.toContain('rejected')
  const start = isFuzz ? Date.now() % 1_000_000_000 : 0
  for (let seed = start; seed < start + messages; seed++) {
    const random = createRandom(seed)
    let bytes = random.pick(MESSAGES)
    for (let damages = 1 + random.int(3); damages > 0; damages--) bytes = mutateBytes(random, bytes, random.pick(MESSAGES).toString('latin1'))
    try {
      checkValue(bytes, normalizer)
    } catch (error) {
      throw new Error(`seed ${seed}: ${String(error)}\n${bytes.toString('hex')}`, { cause: error })
    }
  }
}, isFuzz ? 3_600_000 : 600_000)
