import { NO_NODE, type NodeName } from '../core/normalize/node-names.ts'
import { Segment } from './fast-hubble-scan.ts'

/** What the members behind the destination say. */
export class HubbleTail {
  /** Which members were seen; bits as in fast-hubble.ts. */
  seen = 0
  type: 'l3-l4' | 'l7' | 'socket' = 'l3-l4'
  eventType = 0
  subType = 0
  node: NodeName = NO_NODE
  direction: 'ingress' | 'egress' | 'unknown' = 'unknown'
  /** `trace_observation_point`; 0 = absent. */
  point: string | 0 = 0
  isReply: boolean | undefined = undefined
  /** The key that Cilium before 1.10 writes. */
  oldReply = false
  dropReason: string | undefined = undefined
  sourceService = ''
  destinationService = ''

  /** Itself, as if new. */
  reset(): this {
    this.seen = this.eventType = this.subType = 0
    this.type = 'l3-l4'
    this.node = NO_NODE
    this.direction = 'unknown'
    this.point = 0
    this.sourceService = this.destinationService = ''
    this.isReply = this.dropReason = undefined
    this.oldReply = false
    return this
  }
}

interface KnownTail {
  readonly segment: Segment
  readonly tail: HubbleTail
}

/** There are 2,048 places for this many tails each. */
const WAYS = 4
const PLACE_SHIFT = 32 - 11
/** Tails of other lengths are walked. */
const MIN_LENGTH = 48
const MAX_LENGTH = 1024
/** One word in three is looked at to find the place, and all of the last ones: the reporting node's name is there. */
const STRIDE = 12
const LAST_BYTES = 28

/** Remembers tails by their bytes; at most 8,192 of them, each at most 1 KiB. */
export class FastTails {
  readonly #known: (KnownTail | undefined)[] = []
  #turn = 0

  /** The tail with the bytes from `at` to `end`. */
  find(view: DataView, at: number, end: number): HubbleTail | undefined {
    const length = end - at
    if (length < MIN_LENGTH || length > MAX_LENGTH) return undefined
    const place = placeOf(view, at, end)
    for (let way = place; way < place + WAYS; way++) {
      const known = this.#known[way]
      if (known !== undefined && known.segment.length === length && known.segment.isAt(view, at, end)) return known.tail
    }
    return undefined
  }

  add(bytes: Uint8Array, view: DataView, span: { at: number; end: number }, tail: HubbleTail): void {
    const { at, end } = span
    if (end - at < MIN_LENGTH || end - at > MAX_LENGTH) return
    const known = { segment: new Segment(bytes, at, end), tail }
    const place = placeOf(view, at, end)
    for (let way = place; way < place + WAYS; way++) {
      if (this.#known[way] !== undefined) continue
      this.#known[way] = known
      return
    }
    this.#turn = (this.#turn + 1) % WAYS
    this.#known[place + this.#turn] = known
  }
}

function placeOf(view: DataView, at: number, end: number): number {
  let hash = end - at
  const last = end - LAST_BYTES
  for (let i = at; i < last; i += STRIDE) hash = Math.imul(hash ^ view.getInt32(i, true), 0x01000193)
  for (let i = last; i < end; i += 4) hash = Math.imul(hash ^ view.getInt32(i, true), 0x01000193)
  hash ^= hash >>> 15
  return (Math.imul(hash, 0x2c1b3c6d) >>> PLACE_SHIFT) * WAYS
}
