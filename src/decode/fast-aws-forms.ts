/**
 * The forms of the AWS agent's lines, as far as they were met: what stands between the time, the addresses and the ports, and what it means.
 *
 *   {"level":"info","ts":"   TIME   ","logger":…,"Src IP":"   A   ","Src Port":   1   ,"Dest IP":"   B   ","Dest Port":   2   ,"Proto":"TCP",…}
 *   head                            middle                        joints: fixed for a layout                                ending
 *
 * A form is never interpreted here. It is tried out: lines with made-up times, addresses and ports in these places are decoded and read by the
 * normalizer, and only when exactly the made-up values come out, and all else is the same in both, is the form remembered. Times, addresses and
 * ports have no character that could end a JSON string or a field, so what holds for the made-up values holds for all.
 * Memory: at most MAX_FORMS forms of 4 KiB each; then all are forgotten.
 */
import { isObject } from '../core/normalize/problems.ts'
import { readAwsRecord } from '../core/normalize/aws/aws.ts'
import { emptyFields, type AwsFields } from '../core/normalize/aws/aws-fields.ts'
import type { AwsFlows, AwsTerms } from '../core/normalize/aws/aws-flow.ts'
import { readAwsLine } from '../core/normalize/aws/aws-lines.ts'
import { detectShape } from '../core/normalize/detect.ts'
import type { Ignored } from '../core/flow/flow-record.ts'
import { createDecoder } from './decode-chunk.ts'
import { Segment } from './fast-hubble-scan.ts'

/** What a form's lines say beside time, addresses and ports; or what becomes of all of them. */
export interface Ending {
  readonly segment: Segment
  readonly terms: AwsTerms | Ignored
}

export interface Middle {
  readonly segment: Segment
  readonly text: string
  /** Between source address and port, port and destination, destination and port. */
  readonly joints: readonly [Segment, Segment, Segment]
  readonly endings: Ending[]
}

/** How a JSON line starts, with the middles that were met behind. Text lines start with the time; their middles hold the node's name and are found by hash. */
export interface Head {
  readonly segment: Segment
  readonly text: string
  readonly middles: Middle[]
}

interface Layout {
  /** Groups: head, time, middle, source, port, destination, port, ending. */
  readonly pattern: RegExp
  readonly joints: readonly [string, string, string]
}

const TIME = '(\\d{4}-[\\d:.TZ-]{15,25})'
const IP = '([\\da-fA-F:.]+)'
const JSON_HEAD = '(\\{"level":"[a-z]{1,16}","ts":")'
function layout(head: string, marker: string, joints: readonly [string, string, string]): Layout {
  return { pattern: new RegExp(`^${head}${TIME}(${marker})${IP}${joints[0]}(\\d+)${joints[1]}${IP}${joints[2]}(\\d+)(\\D.*)$`), joints }
}
const LAYOUTS: readonly Layout[] = [
  layout(JSON_HEAD, '".*"Src IP":"', ['","Src Port":', ',"Dest IP":"', '","Dest Port":']),
  layout(JSON_HEAD, '".*"Flow Info: Src IP: ', [' Src Port: ', ' Dest IP: ', ' Dest Port: ']),
  layout('()', ' .*;SIP: ', [';SPORT: ', ';DIP: ', ';DPORT: ']),
]
const JOINTS = LAYOUTS.map(({ joints: [a, b, c] }) => [Segment.of(a), Segment.of(b), Segment.of(c)] as const)
/** Two lines that differ in every place. */
const TRIALS = [
  ['2001-02-03T04:05:06.789012345Z', '10.1.2.3', '1111', '10.4.5.6', '2222'],
  ['2013-12-11T10:09:08Z', 'fd00::a:b', '33333', '172.16.250.251', '4'],
] as const
const MAX_LINE = 4096
const MAX_FORMS = 4096
/** Heads, middles of one head, endings of one middle; then that list is begun anew. */
const MAX_LIST = 32
/** Learning costs as much as reading this many lines: where most lines are of a form of their own, it is given up until others were recognised. */
const COST = 50
const MAX_CREDIT = 20_000

export class AwsForms {
  readonly #flows: AwsFlows
  readonly #fields: readonly [AwsFields, AwsFields] = [emptyFields(), emptyFields()]
  readonly heads: Head[] = []
  #middles = new Map<number, Middle>()
  #count = 0
  #credit = MAX_CREDIT

  constructor(flows: AwsFlows) {
    this.#flows = flows
  }

  /** To be called for each line that was recognised. */
  earn(): void {
    if (this.#credit < MAX_CREDIT) this.#credit++
  }

  /** The middle of a text line by the hash of its bytes; those of the same hash take each other's place. */
  middle(hash: number): Middle | undefined {
    return this.#middles.get(hash)
  }

  /** Remembers the form of a line, when it is one. */
  learn(line: string): void {
    if (this.#credit < COST || line.length > MAX_LINE) return
    this.#credit -= COST
    for (const [i, { pattern, joints }] of LAYOUTS.entries()) {
      const parts = pattern.exec(line)
      if (parts === null) continue
      const [, head = '', , middle = '', , , , , ending = ''] = parts
      const trials = TRIALS.map(([time, from, source, to, port]) => `${head}${time}${middle}${from}${joints[0]}${source}${joints[1]}${to}${joints[2]}${port}${ending}`)
      const terms = this.#try(trials)
      if (terms !== undefined) this.#add({ head, middle, ending }, JOINTS[i] as Middle['joints'], terms)
      return
    }
  }

  /** What the lines of a form have in common; `undefined`: it is none. */
  #try(lines: readonly string[]): AwsTerms | Ignored | undefined {
    const [first, second] = this.#fields
    if (![first, second].every((fields, i) => isRead(lines[i] ?? '', fields, TRIALS[i] as readonly string[]))) return undefined
    const isSame = first.protocol === second.protocol && first.verdict === second.verdict && first.direction === second.direction &&
      first.tier === second.tier && first.node === second.node
    const terms = isSame ? this.#flows.terms(first) : undefined
    return terms?.kind === 'terms' || terms?.kind === 'ignored' ? terms : undefined
  }

  #add(text: { head: string; middle: string; ending: string }, joints: Middle['joints'], terms: AwsTerms | Ignored): void {
    if (++this.#count > MAX_FORMS) {
      this.heads.length = 0
      this.#middles = new Map()
      this.#count = 1
    }
    const middle = text.head === '' ? this.#textMiddle(text.middle, joints) : this.#jsonMiddle(text.head, text.middle, joints)
    if (middle.endings.length >= MAX_LIST) middle.endings.length = 0
    middle.endings.push({ segment: Segment.of(text.ending), terms })
  }

  #textMiddle(text: string, joints: Middle['joints']): Middle {
    const bytes = Buffer.from(text, 'latin1')
    const hash = middleHash(bytes, 0, bytes.length)
    const known = this.#middles.get(hash)
    if (known?.text === text) return known
    const middle: Middle = { segment: Segment.of(text), text, joints, endings: [] }
    this.#middles.set(hash, middle)
    return middle
  }

  #jsonMiddle(headText: string, text: string, joints: Middle['joints']): Middle {
    let head = this.heads.find((h) => h.text === headText)
    if (head === undefined) {
      head = { segment: Segment.of(headText), text: headText, middles: [] }
      if (this.heads.length >= MAX_LIST) this.heads.length = 0
      this.heads.push(head)
    }
    const known = head.middles.find((m) => m.text === text)
    if (known !== undefined) return known
    const middle: Middle = { segment: Segment.of(text), text, joints, endings: [] }
    if (head.middles.length >= MAX_LIST) head.middles.length = 0
    head.middles.push(middle)
    return middle
  }
}

const SEMICOLON = 59

/** A hash of the bytes up to the first semicolon, where the node's name ends. */
export function middleHash(bytes: Uint8Array, at: number, end: number): number {
  let hash = 0
  for (let i = at; i < end; i++) {
    const byte = bytes[i] as number
    if (byte === SEMICOLON) break
    hash = Math.imul(hash ^ byte, 0x01000193)
  }
  return hash
}

/** True when decoding and reading the line gives exactly these values in their places. */
function isRead(line: string, fields: AwsFields, [time, from, sourcePort, to, port]: readonly string[]): boolean {
  const decoder = createDecoder()
  const [item, ...others] = [...decoder.push(Buffer.from(`${line}\n`, 'latin1')), ...decoder.end()]
  if (item === undefined || others.length > 0 || item.problem !== null) return false
  return readTime(item.value, fields) === time && fields.sourceIp === from && fields.destinationIp === to &&
    isPort(fields.sourcePort, sourcePort) && isPort(fields.destinationPort, port)
}

/** The time of a record of the agent as the normalizer finds it, and into `fields` the rest. */
function readTime(value: unknown, fields: AwsFields): unknown {
  if (typeof value === 'string') return readAwsLine(value, fields)
  return isObject(value) && detectShape(value) === 'aws-vpc-cni' ? readAwsRecord(value, fields) : undefined
}

function isPort(value: unknown, text: string | undefined): boolean {
  return value === text || value === Number(text)
}
