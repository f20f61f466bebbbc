/**
 * Recognises the parts of lines of Antrea's flow log that repeat: the two columns that name a pod, the one that names its node, and the 17
 * columns behind both ends (Service and policies). In: ASCII bytes and a position. Out: what the normalizer read from the same columns when
 * they were split.
 *
 * Equal bytes with their closing commas are equal columns, because the log quotes nothing. Pods are remembered by address, since mostly an
 * address stands for one pod; a node with the pod that it was met with last, and what ends a line with its destination; both also by a hash
 * of all their bytes, compared afterwards. Parts with blanks or control characters, or with the wrong number of columns, are never
 * remembered. Cost: a comparison of bytes. Memory: bytes of parts; forgotten by generation.
 */
import { RecentMap } from '../core/base/recent-map.ts'
import { NO_ADDRESS, type AddressInfo } from '../core/normalize/address-cache.ts'
import type { KnownPod } from '../core/normalize/antrea/antrea-ends.ts'
import type { LineRest } from '../core/normalize/antrea/antrea-line-facts.ts'
import { readLineRest, type AntreaPlainLines } from '../core/normalize/antrea/antrea-plain-lines.ts'
import type { NodeName } from '../core/normalize/node-names.ts'
import { COMMA, Segment, textOf } from './fast-hubble-scan.ts'

/** Bytes of the pods of a generation: some 100,000. Smaller than what is in use: known pods are read again. */
const POD_BYTES = 32 << 20
/** Nodes of a generation; larger than any cluster. */
const NODES = 20_000
/** Bytes of what ends lines, of a generation. */
const REST_BYTES = 32 << 20
/** Memory of a part beside its bytes. */
const OVERHEAD = 200
/** Longer parts are left to the full parse. */
const MAX_NAMES = 1024
const MAX_REST = 2048
/** Commas of what ends a line. */
const MIN_REST = 16
/** Pods of one address; more make room by forgetting. */
const MAX_CHAIN = 8
const LAST_BITS = 12
const SPACE = 32

interface KnownNode {
  readonly segment: Segment
  readonly node: NodeName
}

interface KnownRest {
  readonly segment: Segment
  readonly rest: LineRest
}

interface Pod {
  readonly address: AddressInfo
  readonly segment: Segment
  readonly pod: KnownPod | undefined
  readonly next: Pod | undefined
  /** What stood behind it last. */
  node: KnownNode | undefined
  /** What ended the line last, where it was the destination. */
  rest: KnownRest | undefined
}

function podOf(address: AddressInfo, segment: Segment, pod: KnownPod | undefined, next: Pod | undefined): Pod {
  return { address, segment, pod, next, node: undefined, rest: undefined }
}

export class FastAntreaParts {
  readonly #lines: AntreaPlainLines
  readonly #pods = new RecentMap<AddressInfo, Pod>(POD_BYTES)
  /** In front of it, by a few bits of the address' hash: the last pod met with them. */
  readonly #lastPods = new Array<Pod | undefined>(1 << LAST_BITS).fill(undefined)
  readonly #nodes = new RecentMap<number, KnownNode>(NODES)
  /** In front of it, likewise. */
  readonly #lastNodes = new Array<KnownNode | undefined>(1 << LAST_BITS).fill(undefined)
  readonly #rests = new RecentMap<number, KnownRest>(REST_BYTES)
  /** Both columns are empty, as for all that is no pod. */
  readonly #noPod = podOf(NO_ADDRESS, Segment.of(',,'), undefined, undefined)
  #bytes: Buffer = Buffer.alloc(0)
  #view: DataView = new DataView(new ArrayBuffer(0))
  #last: Pod = this.#noPod
  /** The results of `readEnd` and `readRest`. */
  pod: KnownPod | undefined
  node: NodeName | undefined
  rest: LineRest | undefined

  constructor(lines: AntreaPlainLines) {
    this.#lines = lines
  }

  /** What is read from then on. `view` shows the same bytes. */
  open(bytes: Buffer, view: DataView): void {
    this.#bytes = bytes
    this.#view = view
  }

  /** The position behind an end's three columns and their commas, or -1. */
  readEnd(from: number, end: number, address: AddressInfo): number {
    const pod = this.#pod(from, end, address)
    if (pod === undefined) return -1
    const at = from + pod.segment.length
    const last = pod.node
    const node = last?.segment.isAt(this.#view, at, end) === true ? last : this.#findNode(at, end)
    if (node === undefined) return -1
    pod.node = node
    this.#last = pod
    this.pod = pod.pod
    this.node = node.node
    return at + node.segment.length
  }

  #pod(at: number, end: number, address: AddressInfo): Pod | undefined {
    const place = address.hash.a & ((1 << LAST_BITS) - 1)
    const last = this.#lastPods[place]
    if (last !== undefined && last.address === address && last.segment.isAt(this.#view, at, end)) return last
    if (this.#noPod.segment.isAt(this.#view, at, end)) return this.#noPod
    const found = this.#findPod(at, end, address)
    if (found !== undefined) this.#lastPods[place] = found
    return found
  }

  #findPod(at: number, end: number, address: AddressInfo): Pod | undefined {
    const first = this.#pods.get(address)
    let length = 0
    for (let known = first; known !== undefined; known = known.next) {
      if (known.segment.isAt(this.#view, at, end)) return known
      length++
    }
    const middle = this.#columnEnd(at, end)
    const last = middle < 0 ? -1 : this.#columnEnd(middle + 1, end)
    if (last < 0) return undefined
    const pod = this.#lines.pod(textOf(this.#bytes, at, middle), textOf(this.#bytes, middle + 1, last))
    if (pod === null) return undefined
    const made = podOf(address, new Segment(this.#bytes, at, last + 1), pod, length < MAX_CHAIN ? first : undefined)
    this.#pods.set(address, made, last - at + OVERHEAD)
    return made
  }

  #findNode(at: number, limit: number): KnownNode | undefined {
    const comma = this.#columnEnd(at, limit)
    if (comma < 0) return undefined
    let hash = 0
    for (let i = at; i < comma; i++) hash = Math.imul(hash ^ (this.#bytes[i] as number), 0x01000193)
    const place = (hash ^ (hash >>> 16)) & ((1 << LAST_BITS) - 1)
    const last = this.#lastNodes[place]
    if (last?.segment.isAt(this.#view, at, limit) === true) return last
    const known = this.#nodes.get(hash)
    if (known?.segment.isAt(this.#view, at, limit) === true) return (this.#lastNodes[place] = known)
    const node = this.#lines.node(textOf(this.#bytes, at, comma))
    if (node === undefined) return undefined
    const made: KnownNode = { segment: new Segment(this.#bytes, at, comma + 1), node }
    this.#nodes.set(hash, made)
    return made
  }

  /** The position of the comma behind a column without blanks, or -1. */
  #columnEnd(at: number, limit: number): number {
    const bytes = this.#bytes
    const end = Math.min(limit, at + MAX_NAMES)
    let i = at
    while (i < end && (bytes[i] as number) > SPACE && bytes[i] !== COMMA) i++
    return i < end && bytes[i] === COMMA ? i : -1
  }

  /** True when what stands from `at` to the end of the line, behind the end that was read last, is as usual. */
  readRest(at: number, end: number): boolean {
    const destination = this.#last
    const last = destination.rest
    const known = last?.segment.length === end - at && last.segment.isAt(this.#view, at, end) ? last : this.#findRest(at, end)
    if (known === undefined) return false
    destination.rest = known
    this.rest = known.rest
    return true
  }

  #findRest(at: number, end: number): KnownRest | undefined {
    if (end - at < MIN_REST || end - at > MAX_REST) return undefined
    const hash = this.#hash(at, end)
    const known = this.#rests.get(hash)
    if (known?.segment.length === end - at && known.segment.isAt(this.#view, at, end)) return known
    for (let i = at; i < end; i++) if ((this.#bytes[i] as number) <= SPACE) return undefined
    const rest = readLineRest(textOf(this.#bytes, at, end))
    if (rest === undefined) return undefined
    const made: KnownRest = { segment: new Segment(this.#bytes, at, end), rest }
    this.#rests.set(hash, made, end - at + OVERHEAD)
    return made
  }

  /** Of all bytes, four at a time, the last ones overlapping those before. Small enough to be cheap. */
  #hash(at: number, end: number): number {
    const view = this.#view
    const last = end - 4
    let hash = 0
    for (let i = at; ; i += 4) {
      hash = Math.imul(hash ^ view.getInt32(i < last ? i : last, true), 0x9e3779b1)
      hash ^= hash >>> 15
      if (i >= last) return hash & 0x3fff_ffff
    }
  }
}
