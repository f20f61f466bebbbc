/**
 * The fast path of the AWS VPC CNI agent's lines: JSON with a key for each field, JSON with everything in the message, CloudWatch text with a time in
 * front. In: the bytes of an ASCII line. Out: what the normalizer would make of it, or `undefined`: then the line is parsed.
 *
 * Such lines are a few constant texts around a time, two addresses and two ports. The texts are compared with remembered ones (fast-aws-forms.ts),
 * the rest is read from the bytes. Whatever would be rejected, and every form not met before, is left to the parser. What the facts mean is decided
 * by the normalizer's own AwsFlows.
 */
import type { Outcome } from '../core/flow/flow-record.ts'
import { AwsFacts, type AwsFlows } from '../core/normalize/aws/aws-flow.ts'
import { checkTimeUs } from '../core/normalize/instant.ts'
import type { FastPath } from './decode-chunk.ts'
import { AwsForms, middleHash, type Ending, type Middle } from './fast-aws-forms.ts'
import { isText, OPEN_BRACE, textOf } from './fast-hubble-scan.ts'
import { AddressSlot, PortSlot, TimeSlot } from './fast-slots.ts'

const JSON_START = '{"level":"'
/** Longer texts before the node's semicolon are left to the parser. */
const MAX_MIDDLE = 600
const MIN_LINE = 64
const SPACE = 32
const MINUS = 45
const MAX_PORT = 65_535

export class FastAws implements FastPath {
  readonly #flows: AwsFlows
  readonly #forms: AwsForms
  readonly #time = new TimeSlot()
  readonly #source: AddressSlot
  readonly #port = new PortSlot()
  readonly #facts = new AwsFacts()
  #bytes: Buffer = Buffer.alloc(0)
  #view: DataView = new DataView(new ArrayBuffer(0))

  constructor(flows: AwsFlows) {
    this.#flows = flows
    this.#forms = new AwsForms(flows)
    this.#source = new AddressSlot(flows.addresses)
  }

  read(chunk: Buffer, start: number, end: number): Outcome | undefined {
    if (end - start < MIN_LINE) return undefined
    const isJson = chunk[start] === OPEN_BRACE
    // Lines of other formats end here.
    if (isJson ? !isText(chunk, start, end, JSON_START) : chunk[start + 4] !== MINUS || chunk[start + 7] !== MINUS) return undefined
    if (chunk !== this.#bytes) {
      this.#bytes = chunk
      this.#view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length)
    }
    const outcome = isJson ? this.#readJson(start, end) : this.#readText(start, end)
    if (outcome === 'new-form') {
      this.#learn(start, end)
      return undefined
    }
    if (outcome !== undefined) this.#forms.earn()
    return outcome
  }

  #learn(start: number, end: number): void {
    const line = textOf(this.#bytes, start, end)
    if (line.includes('Flow Info:') || line.includes(';SIP: ')) this.#forms.learn(line)
  }

  #readJson(start: number, end: number): Outcome | 'new-form' | undefined {
    const view = this.#view
    for (const { segment, middles } of this.#forms.heads) {
      if (!segment.isAt(view, start, end)) continue
      const at = this.#time.read(this.#bytes, start + segment.length, end)
      if (at < 0) return undefined
      for (const middle of middles) if (middle.segment.isAt(view, at, end)) return this.#readEnds(middle, at + middle.segment.length, end)
      return 'new-form'
    }
    return 'new-form'
  }

  #readText(start: number, end: number): Outcome | 'new-form' | undefined {
    const at = this.#time.read(this.#bytes, start, end)
    if (at < 0 || at >= end || this.#bytes[at] !== SPACE) return undefined
    const middle = this.#forms.middle(middleHash(this.#bytes, at, Math.min(end, at + MAX_MIDDLE)))
    return middle?.segment.isAt(this.#view, at, end) === true ? this.#readEnds(middle, at + middle.segment.length, end) : 'new-form'
  }

  /** From the source address on. */
  #readEnds({ joints, endings }: Middle, from: number, end: number): Outcome | 'new-form' | undefined {
    const bytes = this.#bytes
    const view = this.#view
    const facts = this.#facts
    const address = this.#source
    let at = address.read(bytes, from, end)
    if (at < 0 || address.info === undefined || !joints[0].isAt(view, at, end)) return undefined
    facts.from = address.info
    at = this.#port.read(bytes, at + joints[0].length, end)
    if (at < 0 || !joints[1].isAt(view, at, end)) return undefined
    facts.sourcePort = this.#port.port
    at = address.read(bytes, at + joints[1].length, end)
    if (at < 0 || !joints[2].isAt(view, at, end)) return undefined
    facts.to = address.info
    at = this.#port.read(bytes, at + joints[2].length, end)
    if (at < 0) return undefined
    facts.destinationPort = this.#port.port
    for (const ending of endings) if (ending.segment.length === end - at && ending.segment.isAt(view, at, end)) return this.#decide(ending)
    return 'new-form'
  }

  #decide({ terms }: Ending): Outcome | undefined {
    const facts = this.#facts
    facts.us = this.#time.us
    facts.ns = this.#time.ns
    if (checkTimeUs(facts.us) !== '') return undefined
    if (terms.kind === 'ignored') return terms
    if (facts.sourcePort === 0 || facts.sourcePort > MAX_PORT || facts.destinationPort === 0 || facts.destinationPort > MAX_PORT) return undefined
    facts.terms = terms
    const outcome = this.#flows.decide(facts)
    // What is refused is parsed, so that its dead letter shows it.
    return outcome.kind === 'rejected' ? undefined : outcome
  }
}
