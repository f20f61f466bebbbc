/**
 * Walks a JSON record once and puts the values of its fields into their places. In: the bytes of an ASCII line that is one object, and a plan of the
 * keys (core/normalize/field-plan.ts). Out: the fields, each what JSON.parse makes of it; or nothing, and the line is to be parsed: for a key that is
 * not of the plan or comes twice, for blanks between parts, for what is no JSON.
 *
 * Records of a log have the same keys in the same order again and again, and many of the same values: at each place the key that followed last time is
 * tried before all others, and a member whose bytes equal those of the record before is not read at all: its value is still in its place. To be able
 * to compare, the bytes of the last record are kept, because the caller may write over his own.
 */
import type { FieldPlan } from '../core/normalize/field-plan.ts'
import { CLOSE_BRACE, COMMA, OPEN_BRACE, QUOTE, Segment, skipValue } from './fast-hubble-scan.ts'
import { KnownValues, type Known } from './known-values.ts'

/** Longer lines are left to the parser. */
const MAX_LINE = 16_384
/** Members of fewer bytes cannot be compared at once. */
const MIN_COMPARED = 8
/** In the place of a key that is stepped over. */
const UNREAD = -1
const NONE: readonly Member[] = []

/** A key of the plan. */
interface Member {
  /** With quotes and colon. */
  readonly segment: Segment
  readonly keyLength: number
  readonly hash: number
  /** Where its value goes, or UNREAD. */
  readonly place: number
  /** For a nested object. */
  readonly inner: Members | undefined
  /** The member with whose value the value mostly goes, and which of its followers this one is. */
  leader: Member | undefined
  kind: number
  /** The remembered value of the last record that had one. */
  known: Known | undefined
  /** The member that followed last. */
  next: Member | undefined
  /** The walk in which it was met. */
  turn: number
  /** Where key, value and what closes it stood in the last record, counted from its start, and their length; -1 when it had none. */
  from: number
  length: number
}

function memberOf(key: string, place: number, inner?: Members): Member {
  const text = Buffer.from(`"${key}":`, 'latin1')
  return { segment: new Segment(text, 0, text.length), keyLength: text.length, hash: keyHash(text, 0, text.length), place, inner, leader: undefined, kind: 0, known: undefined, next: undefined, turn: 0, from: -1, length: 0 }
}

/** A hash of the key whose opening quote is at `at`. */
function keyHash(bytes: Buffer, at: number, end: number): number {
  let hash = 0
  for (let i = at + 1; i < end && bytes[i] !== QUOTE; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193)
  return hash
}

/** The keys of one object. */
class Members {
  readonly all: readonly Member[]
  readonly #byHash = new Map<number, readonly Member[]>()
  first: Member | undefined
  /** The last member of the last record. */
  last: Member | undefined

  constructor(read: readonly string[], unread: readonly string[], firstPlace: number, nested?: { readonly key: string; readonly members: Members }) {
    const all = [...read.map((key, i) => memberOf(key, firstPlace + i)), ...unread.map((key) => memberOf(key, UNREAD))]
    if (nested !== undefined) all.push(memberOf(nested.key, UNREAD, nested.members))
    this.all = all
    for (const member of all) this.#byHash.set(member.hash, [...this.#byHash.get(member.hash) ?? [], member])
  }

  /** The member of any key at whose opening quote `at` is; `undefined` for a key that is not of the plan. */
  find(bytes: Buffer, view: DataView, at: number, end: number): Member | undefined {
    for (const member of this.#byHash.get(keyHash(bytes, at, end)) ?? NONE) if (member.segment.isAt(view, at, end)) return member
    return undefined
  }
}

export class FieldWalk {
  readonly #members: Members
  readonly #values = new KnownValues()
  readonly #last = Buffer.alloc(MAX_LINE)
  readonly #lastView = new DataView(this.#last.buffer, this.#last.byteOffset, MAX_LINE)
  #turn = 0
  #bytes: Buffer = Buffer.alloc(0)
  #view: DataView = new DataView(new ArrayBuffer(0))
  #start = 0
  #isTouched = false
  readonly fields: unknown[]

  constructor({ read, unread, follows, nested }: FieldPlan) {
    const inner = nested === undefined ? undefined : { key: nested.key, members: new Members(nested.read, [], read.length) }
    this.#members = new Members(read, unread, 0, inner)
    const readKeys = [...read, ...nested?.read ?? []]
    const all = [...this.#members.all, ...inner?.members.all ?? []]
    Object.entries(follows).forEach(([key, leader], kind) => {
      const member = all.find(({ place }) => place === readKeys.indexOf(key))
      if (member === undefined) return
      member.leader = all.find(({ place }) => place === readKeys.indexOf(leader))
      member.kind = kind
    })
    this.fields = Array.from({ length: read.length + (nested?.read.length ?? 0) }, () => undefined)
  }

  /** Reads the record at `[start, end)` into `fields`; false, and they are of no use, when it is to be parsed. */
  read(bytes: Buffer, view: DataView, start: number, end: number): boolean {
    if (end - start > MAX_LINE) return false
    this.#bytes = bytes
    this.#view = view
    this.#start = start
    this.#values.open(bytes, view)
    this.#turn++
    this.#isTouched = false
    if (this.#object(this.#members, start, end) !== end) {
      // Some members tell where they stood in this record, others in one before.
      if (this.#isTouched) forget(this.#members)
      return false
    }
    bytes.copy(this.#last, 0, start, end)
    return true
  }

  /** `at` is at the opening brace; the result is behind the closing one, or -1. */
  #object(members: Members, at: number, end: number): number {
    const bytes = this.#bytes
    const turn = this.#turn
    if (at >= end || bytes[at] !== OPEN_BRACE) return -1
    let i = at + 1
    let isInOrder = true
    let last: Member | undefined
    let member = members.first
    for (;;) {
      if (member === undefined || !this.#isKey(member, i, end)) {
        member = members.find(bytes, this.#view, i, end)
        if (member === undefined) return -1
        if (last === undefined) members.first = member
        else last.next = member
        isInOrder = false
      }
      if (!this.#isSame(member, i, end)) {
        this.#isTouched = true
        const next = this.#member(member, i, end)
        if (next < 0) return -1
        member.length = next - i
      }
      if (member.turn === turn) return -1
      member.turn = turn
      this.#isTouched = true
      // The members of a nested object are compared one by one: those of another one would be at other places.
      if (member.inner === undefined) member.from = i - this.#start
      i += member.length
      last = member
      if (bytes[i - 1] === CLOSE_BRACE) break
      member = member.next
    }
    // In the same order from the same first to the same last member: the same members.
    const isSameSet = isInOrder && last === members.last
    members.last = last
    return isSameSet || this.#clear(members) ? i : -1
  }

  /** True when this key is at `at`. The record before lies closer by than the key's own bytes. */
  #isKey({ from, keyLength, segment }: Member, at: number, end: number): boolean {
    if (from < 0 || keyLength < MIN_COMPARED || at + keyLength > end) return segment.isAt(this.#view, at, end)
    const view = this.#view
    const lastView = this.#lastView
    const last = keyLength - 8
    for (let i = 0; i < last; i += 8) if (view.getFloat64(at + i, true) !== lastView.getFloat64(from + i, true)) return false
    return view.getFloat64(at + last, true) === lastView.getFloat64(from + last, true)
  }

  /** True when the record before had the same value, and the same behind it, after the same key: the value is in its place. */
  #isSame({ from, length, keyLength }: Member, at: number, end: number): boolean {
    if (from < 0 || at + length > end || length < MIN_COMPARED) return false
    const view = this.#view
    const lastView = this.#lastView
    const last = length - 8
    for (let i = keyLength; i < last; i += 8) if (view.getFloat64(at + i, true) !== lastView.getFloat64(from + i, true)) return false
    return view.getFloat64(at + last, true) === lastView.getFloat64(from + last, true)
  }

  /** The position behind what closes the member at `at`, or -1. */
  #member(member: Member, at: number, end: number): number {
    const { place, inner, leader } = member
    const values = this.#values
    const from = at + member.keyLength
    let next: number
    if (place !== UNREAD) {
      const led = leader?.turn === this.#turn ? leader.known : undefined
      next = led === undefined ? values.read(from, end) : values.readFollower(from, end, led, member.kind)
      this.fields[place] = values.value
      member.known = values.known
    } else {
      next = inner === undefined ? skipValue(this.#view, from, end) : this.#object(inner, from, end)
    }
    if (next < 0 || next >= end) return -1
    const byte = this.#bytes[next]
    return byte === COMMA || byte === CLOSE_BRACE ? next + 1 : -1
  }

  /** Empties the places of the members that the record lacks; false when it lacks the nested object. */
  #clear(members: Members): boolean {
    for (const member of members.all) {
      if (member.turn === this.#turn) continue
      if (member.inner !== undefined) return false
      member.from = -1
      if (member.place !== UNREAD) this.fields[member.place] = undefined
    }
    return true
  }
}

function forget(members: Members): void {
  members.last = undefined
  for (const member of members.all) {
    member.from = -1
    if (member.inner !== undefined) forget(member.inner)
  }
}
