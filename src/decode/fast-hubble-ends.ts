/**
 * Recognises endpoint objects (`source`, `destination` of a Hubble flow) by their bytes. In: the position of the object. Out: what the normalizer
 * made of the same object when it was parsed.
 *
 * An endpoint is read as  {  "ID":7,   "identity":…,"labels":[…],"pod_name":"   web-0   ","workloads":[…]}
 *                            number    block: shared by the pods of an identity  name   suffix
 * Number and name are read byte by byte, block and suffix are compared with remembered ones. Whatever was not seen in this combination is stepped
 * over by the JSON scanner, parsed by JSON.parse and classified by the normalizer before it is remembered: equal bytes prove an equal value.
 * Memory: a text per pod, bytes per identity; both forget by generation.
 */
import { RecentMap } from '../core/base/recent-map.ts'
import type { Classified, HubbleEnds } from '../core/normalize/hubble/hubble-ends.ts'
import { isLocalEndpoint } from '../core/normalize/hubble/hubble-fields.ts'
import { CLOSE_BRACE, COLON, COMMA, isText, OPEN_BRACE, PLAIN, plainEnd, QUOTE, Segment, skipValue, textOf, word } from './fast-hubble-scan.ts'

/** Bytes of blocks in a generation. Larger: more identities are known; smaller: less memory. */
const BLOCK_BYTES = 32 << 20
/** Memory of a block beside its bytes. */
const BLOCK_OVERHEAD = 300
/** Pods of a generation, each counted once with and once without its workload. Smaller than what is in use: known pods are parsed again. */
const PODS = 250_000
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
  /** The number stands in the block or the suffix. */
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
  readonly name: string
  readonly suffix: Segment
  readonly next: Pod | undefined
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
  readonly #pods = new RecentMap<number, Pod>(PODS)
  readonly #suffixes = new RecentMap<string, Segment>(PODS)
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
    if (block === undefined) return this.#learn(bytes, { at, from, end, key })
    const blockEnd = from + block.segment.length
    if (block.ending !== null) return this.#found(block.ending, from > at + 1, blockEnd)
    // The name's end is found and its key made in one walk.
    let nameEnd = blockEnd
    let hash = block.salt
    while (nameEnd < end && PLAIN[bytes[nameEnd] as number] === 1) hash = Math.imul(hash ^ (bytes[nameEnd++] as number), 0x01000193)
    if (nameEnd + 1 >= end || bytes[nameEnd] !== QUOTE) return -1
    let pod = this.#pods.get(keyOf(hash, bytes[nameEnd + 1] as number))
    while (pod !== undefined && !(pod.block === block && isName(bytes, blockEnd, nameEnd, pod.name) && pod.suffix.isAt(view, nameEnd, end))) pod = pod.next
    if (pod === undefined) return this.#learn(bytes, { at, from, end, key }, block)
    return this.#found(pod, from > at + 1, nameEnd + pod.suffix.length)
  }

  #found(ending: Ending, hasNumber: boolean, next: number): number {
    this.classified = ending.classified
    this.isLocal = hasNumber || ending.isLocal
    return next
  }

  #learn(bytes: Buffer, { at, from, end, key }: { at: number; from: number; end: number; key: number }, known?: Block): number {
    const hasNumber = from > at + 1
    const parts = partsOf(bytes, from, end, hasNumber)
    if (parts === undefined || parts.end - at > MAX_ENDPOINT) return -1
    const value = JSON.parse(textOf(bytes, at, parts.end)) as unknown
    const classified = this.#ends.classify('source', value)
    if (classified.kind === 'rejected') return -1
    const ending: Ending = { classified, isLocal: !hasNumber && isLocalEndpoint(value) }
    if (parts.nameEnd < 0) this.#addBlock(bytes, parts, key, ending)
    else this.#addPod(bytes, parts, known ?? this.#addBlock(bytes, parts, key, null), ending)
    return this.#found(ending, hasNumber, parts.end)
  }

  #addBlock(bytes: Buffer, { from, block: end }: Parts, key: number, ending: Ending | null): Block {
    const block: Block = { segment: new Segment(bytes, from, end), salt: Math.imul(++this.#blockCount, 0x9e3779b1), ending, next: shortened(this.#blocks.get(key)) }
    this.#blocks.set(key, block, end - from + BLOCK_OVERHEAD)
    return block
  }

  #addPod(bytes: Buffer, parts: Parts, block: Block, ending: Ending): void {
    const key = podKey(bytes, parts.block, parts.nameEnd, block.salt)
    const pod: Pod = {
      ...ending, block, name: textOf(bytes, parts.block, parts.nameEnd), suffix: this.#suffix(bytes, parts), next: shortened(this.#pods.get(key)),
    }
    this.#pods.set(key, pod)
  }

  #suffix(bytes: Buffer, { nameEnd, end }: Parts): Segment {
    const text = textOf(bytes, nameEnd, end)
    const known = this.#suffixes.get(text)
    if (known !== undefined) return known
    const suffix = new Segment(bytes, nameEnd, end)
    this.#suffixes.set(text, suffix)
    return suffix
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

function podKey(bytes: Uint8Array, from: number, nameEnd: number, salt: number): number {
  let hash = salt
  for (let i = from; i < nameEnd; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193)
  return keyOf(hash, bytes[nameEnd + 1] as number)
}

/** What follows the name tells the endpoint as its own node sees it from what others see. */
function keyOf(hash: number, next: number): number {
  const key = Math.imul(hash ^ next, 0x01000193)
  return key ^ (key >>> 15)
}

function isName(bytes: Uint8Array, from: number, nameEnd: number, name: string): boolean {
  return nameEnd - from === name.length && isText(bytes, from, nameEnd, name)
}

/** Steps over the object whose members start at `from`; `undefined`: no endpoint to remember. */
function partsOf(bytes: Buffer, from: number, end: number, hasNumber: boolean): Parts | undefined {
  if (from < end && bytes[from] === CLOSE_BRACE) return hasNumber ? undefined : { from, block: from + 1, nameEnd: -1, end: from + 1 }
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
    i = skipValue(bytes, keyEnd + 2, end)
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
