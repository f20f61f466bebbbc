/**
 * Many flows in a few typed arrays: what decoding hands to storing, also from one thread to another. Against an object per flow, a block costs 48 bytes
 * a flow, no garbage, and nothing to copy between threads.
 *
 * Ends (identity, address, pod, reporting node) repeat in almost every flow: a writer numbers them once and a block carries the ones that are new
 * since the block before, so the blocks of one writer are read in order by one reader. Invariant: what the reader gives back equals what was added.
 */
import { invariant } from '../base/invariant.ts'
import { presenceWindows } from './edge.ts'
import { flowCode, flowFacts } from './flow-codes.ts'
import type { FlowRecord, ObservedVerdict, Orientation, Protocol, Side, FlowFormat } from './flow-record.ts'
import type { Identity } from './identity.ts'

/** One end of flows, as one object for all flows of a reader that have it. */
export interface FlowEnd {
  readonly identity: Identity
  /** Canonical address text; '' when the format aggregates it away. */
  readonly ip: string
  readonly pod: string
  /** The node that reported, when it reported for this end; else ''. */
  readonly node: string
}

interface NewEnd {
  /** Number of the identity in its writer. */
  readonly identity: number
  readonly ip: string
  readonly pod: string
  readonly node: string
}

/** Plain data: may be posted to another thread. */
export interface FlowBlock {
  readonly flows: number
  /** Per flow: last instant, first instant (microseconds), count. */
  readonly times: Float64Array<ArrayBuffer>
  /** Per flow: digest high and low, numbers of initiator and responder, port x 65536 + initiator's port, code. */
  readonly words: Uint32Array<ArrayBuffer>
  /** Numbers start anew with this block. */
  readonly isReset: boolean
  readonly identities: readonly Identity[]
  readonly ends: readonly NewEnd[]
  /** Ends numbered up to and with this block. */
  readonly endCount: number
  /** Last instants of the flows; Infinity and -Infinity without flows. */
  readonly minLastAtUs: number
  readonly maxLastAtUs: number
  /** Edge-window rows that the flows make at most: what bounds the memory of storing them, about 500 bytes each. */
  readonly windowRows: number
}

const TIMES = 3
const WORDS = 6
/**
 * Ends and identities numbered before numbering starts anew. More: fewer repeats of ends that were sent before; fewer: less memory on both sides, about
 * 200 bytes each.
 */
const MAX_ENDS = 200_000
const FIRST_CAPACITY = 1024

/** Collects flows into blocks. */
export class FlowBlockWriter {
  #times = new Float64Array(FIRST_CAPACITY * TIMES)
  #words = new Uint32Array(FIRST_CAPACITY * WORDS)
  #flows = 0
  #minLastAtUs = Infinity
  #maxLastAtUs = -Infinity
  #windowRows = 0
  #isReset = true
  readonly #identities = new Map<Identity, Map<string, number>>()
  readonly #identityNumbers = new Map<Identity, number>()
  #ends: (NewEnd & { readonly nextSame: number })[] = []
  #newIdentities: Identity[] = []
  #newEnds: NewEnd[] = []

  /** Flows since the last `take`. */
  get flows(): number {
    return this.#flows
  }

  /** See FlowBlock. */
  get windowRows(): number {
    return this.#windowRows
  }

  /** Hot: allocates only for ends that are new. */
  add(flow: FlowRecord): void {
    const i = this.#flows
    if ((i + 1) * WORDS > this.#words.length) this.#grow()
    const isServer = flow.side === 'server'
    const initiator = this.#endNumber(flow.initiator, flow.initiatorIp, flow.initiatorPod, isServer ? '' : flow.node)
    const responder = this.#endNumber(flow.responder, flow.responderIp, flow.responderPod, isServer ? flow.node : '')
    const times = this.#times
    times[i * TIMES] = flow.lastAtUs
    times[i * TIMES + 1] = flow.firstAtUs
    times[i * TIMES + 2] = flow.flows
    const words = this.#words
    const at = i * WORDS
    words[at] = flow.digestHi
    words[at + 1] = flow.digestLo
    words[at + 2] = initiator
    words[at + 3] = responder
    words[at + 4] = flow.port * 65_536 + flow.initiatorPort
    words[at + 5] = flowCode(flow)
    if (flow.lastAtUs < this.#minLastAtUs) this.#minLastAtUs = flow.lastAtUs
    if (flow.lastAtUs > this.#maxLastAtUs) this.#maxLastAtUs = flow.lastAtUs
    this.#windowRows += flow.firstAtUs === flow.lastAtUs ? 1 : presenceWindows(flow)
    this.#flows = i + 1
  }

  /** The flows added since the last time. */
  take(): FlowBlock {
    const block: FlowBlock = {
      flows: this.#flows,
      times: this.#times.slice(0, this.#flows * TIMES), words: this.#words.slice(0, this.#flows * WORDS),
      isReset: this.#isReset, identities: this.#newIdentities, ends: this.#newEnds, endCount: this.#ends.length,
      minLastAtUs: this.#minLastAtUs, maxLastAtUs: this.#maxLastAtUs, windowRows: this.#windowRows,
    }
    this.#flows = 0
    this.#minLastAtUs = Infinity
    this.#maxLastAtUs = -Infinity
    this.#windowRows = 0
    this.#isReset = false
    this.#newIdentities = []
    this.#newEnds = []
    // Only between blocks: a block must not mix two numberings.
    if (this.#ends.length > MAX_ENDS) this.#startAnew()
    return block
  }

  #startAnew(): void {
    this.#isReset = true
    this.#identities.clear()
    this.#identityNumbers.clear()
    this.#ends = []
  }

  #endNumber(identity: Identity, ip: string, pod: string, node: string): number {
    let byIp = this.#identities.get(identity)
    if (byIp === undefined) {
      byIp = new Map()
      this.#identities.set(identity, byIp)
    }
    const first = byIp.get(ip) ?? -1
    for (let number = first; number >= 0;) {
      const end = this.#ends[number] as NewEnd & { readonly nextSame: number }
      if (end.pod === pod && end.node === node) return number
      number = end.nextSame
    }
    const end = { identity: this.#identityNumber(identity), ip, pod, node, nextSame: first }
    byIp.set(ip, this.#ends.length)
    this.#newEnds.push({ identity: end.identity, ip, pod, node })
    return this.#ends.push(end) - 1
  }

  #identityNumber(identity: Identity): number {
    let number = this.#identityNumbers.get(identity)
    if (number === undefined) {
      number = this.#identityNumbers.size
      this.#identityNumbers.set(identity, number)
      this.#newIdentities.push(identity)
    }
    return number
  }

  #grow(): void {
    const times = new Float64Array(this.#times.length * 2)
    times.set(this.#times)
    this.#times = times
    const words = new Uint32Array(this.#words.length * 2)
    words.set(this.#words)
    this.#words = words
  }
}

/** Reads the blocks of one writer, in their order; a block that is missing throws. */
export class FlowBlockReader {
  readonly #adopt: (identity: Identity) => Identity
  #identities: Identity[] = []
  #ends: FlowEnd[] = []

  /** `adopt` makes identities of another thread this one's own; the same thread's are taken as they are. */
  constructor(adopt: (identity: Identity) => Identity = (identity) => identity) {
    this.#adopt = adopt
  }

  read(block: FlowBlock): FlowRows {
    if (block.isReset) {
      this.#identities = []
      this.#ends = []
    }
    for (const identity of block.identities) this.#identities.push(this.#adopt(identity))
    for (const { identity, ip, pod, node } of block.ends) this.#ends.push({ identity: this.#identities[identity] as Identity, ip, pod, node })
    // A block that was left out would give the ends of its flows to others.
    invariant(this.#ends.length === block.endCount, 'blocks of flows are read out of order', { read: this.#ends.length, written: block.endCount })
    return new FlowRows(block, this.#ends)
  }
}

/** The flows of a block, readable one after the other without an object per flow. */
export class FlowRows {
  readonly length: number
  readonly block: FlowBlock
  readonly #ends: readonly FlowEnd[]

  constructor(block: FlowBlock, ends: readonly FlowEnd[]) {
    this.length = block.flows
    this.block = block
    this.#ends = ends
  }

  /** The last instant of the i-th flow, microseconds. */
  lastAtUs(i: number): number {
    return this.block.times[i * TIMES] as number
  }

  /** Puts the i-th flow into `view`. */
  show(i: number, view: FlowView): void {
    const { times, words } = this.block
    const at = i * WORDS
    const ports = words[at + 4] as number
    view.lastAtUs = times[i * TIMES] as number
    view.firstAtUs = times[i * TIMES + 1] as number
    view.flows = times[i * TIMES + 2] as number
    view.digestHi = words[at] as number
    view.digestLo = words[at + 1] as number
    view.initiatorEnd = this.#ends[words[at + 2] as number] as FlowEnd
    view.responderEnd = this.#ends[words[at + 3] as number] as FlowEnd
    view.port = ports >>> 16
    view.initiatorPort = ports & 65_535
    view.setCode(words[at + 5] as number)
  }
}

const NO_END = {} as FlowEnd

/** A FlowRecord that is filled again for every flow: keep what it says, never the view itself. */
export class FlowView implements FlowRecord {
  readonly kind = 'flow'
  lastAtUs = 0.5
  firstAtUs = 0.5
  flows = 0.5
  digestHi = 0
  digestLo = 0
  port = 0
  initiatorPort = 0
  initiatorEnd: FlowEnd = NO_END
  responderEnd: FlowEnd = NO_END
  /** See flow-codes.ts. */
  code = -1
  protocol: Protocol = 'TCP'
  side: Side = 'unknown'
  observedVerdict: ObservedVerdict = 'unknown'
  orientation: Orientation = 'unoriented'
  format: FlowFormat = 'hubble'

  setCode(code: number): void {
    if (code === this.code) return
    this.code = code
    const facts = flowFacts(code)
    this.protocol = facts.protocol
    this.side = facts.side
    this.observedVerdict = facts.observedVerdict
    this.orientation = facts.orientation
    this.format = facts.format
  }

  get initiator(): Identity {
    return this.initiatorEnd.identity
  }

  get responder(): Identity {
    return this.responderEnd.identity
  }

  get initiatorIp(): string {
    return this.initiatorEnd.ip
  }

  get responderIp(): string {
    return this.responderEnd.ip
  }

  get initiatorPod(): string {
    return this.initiatorEnd.pod
  }

  get responderPod(): string {
    return this.responderEnd.pod
  }

  get node(): string {
    return this.side === 'server' ? this.responderEnd.node : this.initiatorEnd.node
  }
}
