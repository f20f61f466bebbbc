/**
 * Recognises endpoint objects (`source`, `destination` of a Hubble flow) by their bytes. In: the position of the object. Out: what the normalizer
 * made of the same object when it was parsed.
 *
 * An endpoint is read as  {  "ID":7,   "identity":…,"labels":[…],"pod_name":"   web-0   ","workloads":[…]}
 *                            number    block: shared by the pods of an identity  rest: a pod's own
 * The number is read byte by byte, block and rest are compared with remembered ones. Whatever was not seen in this combination is stepped
 * over by the JSON scanner, parsed by JSON.parse and classified by the normalizer before it is remembered: equal bytes prove an equal value.
 * Memory: bytes per pod and per identity; both forget by generation.
 */
import { RecentMap } from '../core/base/recent-map.ts'
import type { Classified, HubbleEnds } from '../core/normalize/hubble/hubble-ends.ts'
import { isLocalEndpoint } from '../core/normalize/hubble/hubble-fields.ts'
import { CLOSE_BRACE, COLON, COMMA, OPEN_BRACE, plainEnd, QUOTE, Segment, skipValue, textOf, word } from './fast-hubble-scan.ts'

/** Bytes of blocks in a generation. Larger: more identities are known; smaller: less memory. */
const BLOCK_BYTES = 32 << 20
/** Memory of a block beside its bytes. */
const BLOCK_OVERHEAD = 300
/** Memory of the pods of a generation: over 200,000, each counted once with and once without its workload. Smaller than what is in use: known pods are parsed again. */
const POD_BYTES = 64 << 20
/** Memory of a pod beside its bytes. */
const POD_OVERHEAD = 200
/** Longer endpoints are left to the full parse. */
const MAX_ENDPOINT = 8192
/** Entries that share a key; more make room by forgetting. */
const MAX_CHAIN = 4
/** The key of a block is taken from its first member, up to here. */
const KEY_BYTES = 64
/** Characters that identity numbers have at most. */
const MAX_ID_DIGITS = 10
const W_IDENTITY = word('"ide')
/** Names of members that are read: no endpoint that has one twice is remembered. */
const READ = ['ID', 'identity', 'namespace', 'labels', 'pod_name', 'cluster_name', 'workloads']

interface Ending {
  readonly classified: Classified
  /** The number stands in the block or the rest. */
  readonly isLocal: boolean
}

interface Block {
  readonly segment: Segment
  /** Tells blocks apart in the keys of their pods. */
  readonly salt: number
  /** Of a block that is the whole rest of the object; `null`: a pod's name follows. */
  readonly ending: Ending | null
  readonly next: Block | undefined
}

interface Pod extends Ending {
  readonly block: Block
  /** From the pod's name to the end of the object. */
  readonly rest: Segment
  readonly next: Pod | undefined
}

/** An endpoint that is not known: its opening brace, its first member behind the number, the end of the line, the key of its block. */
interface Found {
  readonly at: number
  readonly from: number
  readonly end: number
  readonly key: number
}

/** Where the parts of an endpoint lie. */
interface Parts {
  readonly from: number
  readonly block: number
  /** The closing quote of the pod's name; -1: there is none. */
  readonly nameEnd: number
  readonly end: number
}

export class FastEnds {
  readonly #ends: HubbleEnds
  readonly #blocks = new RecentMap<number, Block>(BLOCK_BYTES)
  readonly #pods = new RecentMap<number, Pod>(POD_BYTES)
  #blockCount = 0
  /** The results of `read`: the endpoint, and whether it belongs to the reporting node. */
  classified: Classified | undefined
  isLocal = false

  constructor(ends: HubbleEnds) {
    this.#ends = ends
  }

  /** The position behind the endpoint at `at`, or -1. `view` shows the same bytes. */
  read(bytes: Buffer, view: DataView, at: number, end: number): number {
    if (at >= end || bytes[at] !== OPEN_BRACE) return -1
    const from = numberEnd(bytes, at + 1, end)
    if (from < 0) return -1
    const key = blockKey(bytes, view, from, end)
    let block = this.#blocks.get(key)
    while (block !== undefined && !block.segment.isAt(view, from, end)) block = block.next
    if (block === undefined) return this.#learn(bytes, view, { at, from, end, key })
    const blockEnd = from + block.segment.length
    if (block.ending !== null) return this.#found(block.ending, from > at + 1, blockEnd)
    let pod = this.#pods.get(podKey(bytes, view, { at: blockEnd, end }, block.salt))
    while (pod !== undefined && !(pod.block === block && pod.rest.isAt(view, blockEnd, end))) pod = pod.next
    if (pod === undefined) return this.#learn(bytes, view, { at, from, end, key }, block)
    return this.#found(pod, from > at + 1, blockEnd + pod.rest.length)
  }

  #found(ending: Ending, hasNumber: boolean, next: number): number {
    this.classified = ending.classified
    this.isLocal = hasNumber || ending.isLocal
    return next
  }

  #learn(bytes: Buffer, view: DataView, { at, from, end, key }: Found, known?: Block): number {
    const hasNumber = from > at + 1
    const parts = partsOf(bytes, from, end, hasNumber)
    if (parts === undefined || parts.end - at > MAX_ENDPOINT) return -1
    const value = JSON.parse(textOf(bytes, at, parts.end)) as unknown
    const classified = this.#ends.classify('source', value)
    if (classified.kind === 'rejected') return -1
    const ending: Ending = { classified, isLocal: !hasNumber && isLocalEndpoint(value) }
    if (parts.nameEnd < 0) this.#addBlock(bytes, parts, key, ending)
    else this.#addPod(bytes, view, parts, { ...ending, block: known ?? this.#addBlock(bytes, parts, key, null) })
    return this.#found(ending, hasNumber, parts.end)
  }

  #addBlock(bytes: Buffer, { from, block: end }: Parts, key: number, ending: Ending | null): Block {
    const block: Block = { segment: new Segment(bytes, from, end), salt: Math.imul(++this.#blockCount, 0x9e3779b1), ending, next: shortened(this.#blocks.get(key)) }
    this.#blocks.set(key, block, end - from + BLOCK_OVERHEAD)
    return block
  }

  #addPod(bytes: Buffer, view: DataView, { block: at, end }: Parts, pod: Ending & { readonly block: Block }): void {
    const key = podKey(bytes, view, { at, end }, pod.block.salt)
    this.#pods.set(key, { ...pod, rest: new Segment(bytes, at, end), next: shortened(this.#pods.get(key)) }, end - at + POD_OVERHEAD)
  }
}

/** The chain that a new entry is put in front of: nothing when it is full. */
function shortened<T extends { readonly next: T | undefined }>(first: T | undefined): T | undefined {
  let length = 0
  for (let entry = first; entry !== undefined; entry = entry.next) length++
  return length < MAX_CHAIN ? first : undefined
}

/** Behind `"ID":7,` when the object starts with it, else `at`; -1 when the number is none that an endpoint has. */
function numberEnd(bytes: Uint8Array, at: number, end: number): number {
  if (at + 6 > end || bytes[at + 1] !== 73 || bytes[at + 2] !== 68 || bytes[at + 3] !== QUOTE) return at
  if (bytes[at] !== QUOTE || bytes[at + 4] !== COLON) return -1
  let i = at + 5
  let digit = bytes[i] as number
  if (digit === 48) return -1
  while (digit >= 48 && digit <= 57 && i < end) digit = bytes[++i] as number
  return i > at + 5 && i <= at + 5 + MAX_ID_DIGITS && i < end && digit === COMMA ? i + 1 : -1
}

/** A number from the first member: the identity, or the namespace where a field mask left it out. */
function blockKey(bytes: Uint8Array, view: DataView, from: number, end: number): number {
  // `"identity":` and eight characters: all digits of any identity that policies know.
  if (from + 19 <= end && view.getInt32(from, true) === W_IDENTITY) return Math.imul(view.getInt32(from + 11, true), 0x01000193) ^ view.getInt32(from + 15, true)
  const limit = Math.min(end, from + KEY_BYTES)
  let key = 0
  for (let i = from; i < limit; i++) {
    const byte = bytes[i] as number
    if (byte === COMMA) break
    key = Math.imul(key, 31) + byte | 0
  }
  return key
}

/**
 * A number from the pod's name and the two characters behind it, which tell the endpoint as its own node sees it from what others see. Whether the
 * name is one at all is told by comparing.
 */
function podKey(bytes: Uint8Array, view: DataView, { at, end }: { readonly at: number; readonly end: number }, salt: number): number {
  let hash = salt
  let i = at
  for (const last = end - 4; i <= last; i += 4) {
    const four = view.getInt32(i, true)
    const quotes = four ^ 0x22222222
    // A byte that was a quote is zero now, and borrows into its top bit when 1 is taken from it.
    if (((quotes - 0x01010101) & 0x80808080) !== 0) break
    hash = Math.imul(hash ^ four, 0x01000193)
    hash ^= hash >>> 15
  }
  while (i < end && bytes[i] !== QUOTE) hash = Math.imul(hash ^ (bytes[i++] as number), 0x01000193)
  hash = Math.imul(hash ^ (i + 1 < end ? bytes[i + 1] as number : 0), 0x01000193)
  return hash ^ (hash >>> 15)
}

/** Steps over the object whose members start at `from`; `undefined`: no endpoint to remember. */
function partsOf(bytes: Buffer, from: number, end: number, hasNumber: boolean): Parts | undefined {
  if (from < end && bytes[from] === CLOSE_BRACE) return hasNumber ? undefined : { from, block: from + 1, nameEnd: -1, end: from + 1 }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const seen = new Set<string>(hasNumber ? ['ID'] : [])
  let nameStart = -1
  let nameEnd = -1
  let i = from
  for (;;) {
    const keyEnd = i < end && bytes[i] === QUOTE ? plainEnd(bytes, i + 1, end) : -1
    if (keyEnd < 0 || keyEnd + 2 >= end || bytes[keyEnd + 1] !== COLON) return undefined
    const name = textOf(bytes, i + 1, keyEnd)
    if (seen.has(name)) return undefined
    if (READ.includes(name)) seen.add(name)
    i = skipValue(view, keyEnd + 2, end)
    if (i < 0 || i >= end) return undefined
    if (name === 'pod_name' && bytes[keyEnd + 2] === QUOTE && plainEnd(bytes, keyEnd + 3, end) === i - 1) {
      nameStart = keyEnd + 3
      nameEnd = i - 1
    }
    const byte = bytes[i++]
    if (byte === CLOSE_BRACE) return { from, block: nameStart < 0 ? i : nameStart, nameEnd, end: i }
    if (byte !== COMMA) return undefined
  }
}
