/**
 * Recognises the ends (`src`, `dest`) of GKE's policy log by their bytes. In: the position of the object, and the address that goes with it. Out: what
 * the normalizer read from the same object when it was parsed.
 *
 * Objects are remembered by address, because mostly an address stands for one pod, and compared as a whole: equal bytes prove an equal value. What was
 * not seen with this address is stepped over by the JSON scanner, parsed by JSON.parse and read by the normalizer before it is remembered.
 * Memory: bytes per object; forgotten by generation.
 */
import { RecentMap } from '../core/base/recent-map.ts'
import type { AddressInfo } from '../core/normalize/address-cache.ts'
import type { GkeEnd, GkeEnds } from '../core/normalize/gke/gke-ends.ts'
import { OPEN_BRACE, Segment, skipValue, textOf } from './fast-hubble-scan.ts'

/** Bytes of the ends of a generation: some 150,000. Smaller than what is in use: known ends are parsed again. */
const END_BYTES = 64 << 20
/** Memory of an end beside its bytes. */
const END_OVERHEAD = 200
/** Longer objects are left to the full parse. */
const MAX_END = 2048
/** Ends of one address; more (pods on the host's network share the node's) make room by forgetting. */
const MAX_CHAIN = 8

interface Known {
  readonly segment: Segment
  readonly end: GkeEnd
  readonly next: Known | undefined
}

export class FastGkeEnds {
  readonly #ends: GkeEnds
  readonly #known = new RecentMap<AddressInfo, Known>(END_BYTES)
  #bytes: Buffer = Buffer.alloc(0)
  #view: DataView = new DataView(new ArrayBuffer(0))
  /** The result of `read`. */
  end: GkeEnd | undefined

  constructor(ends: GkeEnds) {
    this.#ends = ends
  }

  /** What `read` reads from then on. `view` shows the same bytes. */
  open(bytes: Buffer, view: DataView): void {
    this.#bytes = bytes
    this.#view = view
  }

  /** The position behind the object at `at`, or -1. */
  read(at: number, end: number, address: AddressInfo): number {
    const first = this.#known.get(address)
    for (let known = first; known !== undefined; known = known.next) {
      if (!known.segment.isAt(this.#view, at, end)) continue
      this.end = known.end
      return at + known.segment.length
    }
    return this.#learn(at, end, address, first)
  }

  #learn(at: number, limit: number, address: AddressInfo, first: Known | undefined): number {
    const bytes = this.#bytes
    if (at >= limit || bytes[at] !== OPEN_BRACE) return -1
    const next = skipValue(this.#view, at, Math.min(limit, at + MAX_END))
    if (next < 0) return -1
    // Whatever would be rejected is left to the parser, so the name of the field is never shown.
    const end = this.#ends.read('src', JSON.parse(textOf(bytes, at, next)) as unknown, address)
    if (end.kind === 'rejected') return -1
    this.#known.set(address, { segment: new Segment(bytes, at, next), end, next: lengthOf(first) < MAX_CHAIN ? first : undefined }, next - at + END_OVERHEAD)
    this.end = end
    return next
  }
}

function lengthOf(first: Known | undefined): number {
  let length = 0
  for (let known = first; known !== undefined; known = known.next) length++
  return length
}
