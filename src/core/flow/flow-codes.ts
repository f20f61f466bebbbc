import { FLOW_FORMATS, PROTOCOLS } from './flow-record.ts'
import type { FlowFormat, FlowRecord, ObservedVerdict, Orientation, Protocol, Side } from './flow-record.ts'

/** What a flow record says in words of closed lists. */
export interface FlowFacts {
  readonly protocol: Protocol
  readonly side: Side
  readonly observedVerdict: ObservedVerdict
  readonly orientation: Orientation
  readonly format: FlowFormat
}

/** The order of the words is stored (flows.facts): only add at the end of a list, never beyond the number of places. */
const SIDES: readonly Side[] = ['client', 'server', 'unknown']
const VERDICTS: readonly ObservedVerdict[] = ['allowed', 'denied', 'audit', 'error', 'unknown']
const ORIENTATIONS: readonly Orientation[] = ['unoriented', 'verdict-event', 'tcp-flags', 'is-reply', 'conntrack']

/** Places per list, the first varying fastest: 4 x 4 x 8 x 8 x 32 = 32,768, what a smallint holds. */
const SIDE_STEP = 4
const VERDICT_STEP = 16
const ORIENTATION_STEP = 128
const FORMAT_STEP = 1024

const codes = <T extends string>(words: readonly T[], step: number): Readonly<Record<T, number>> =>
  Object.fromEntries(words.map((word, i) => [word, i * step])) as Record<T, number>

const PROTOCOL_CODES = codes(PROTOCOLS, 1)
const SIDE_CODES = codes(SIDES, SIDE_STEP)
const VERDICT_CODES = codes(VERDICTS, VERDICT_STEP)
const ORIENTATION_CODES = codes(ORIENTATIONS, ORIENTATION_STEP)
const FORMAT_CODES = codes(FLOW_FORMATS, FORMAT_STEP)

/** One number from 0 to 32,767 for all five words; `flow_facts` in migrations/000009 reads it the same way. */
export function flowCode(flow: FlowRecord): number {
  return PROTOCOL_CODES[flow.protocol] + SIDE_CODES[flow.side] + VERDICT_CODES[flow.observedVerdict] + ORIENTATION_CODES[flow.orientation] + FORMAT_CODES[flow.format]
}

const known = new Map<number, FlowFacts>()

/** The inverse of `flowCode`. */
export function flowFacts(code: number): FlowFacts {
  const cached = known.get(code)
  if (cached !== undefined) return cached
  const facts: FlowFacts = {
    protocol: PROTOCOLS[code % SIDE_STEP] as Protocol,
    side: SIDES[Math.floor(code / SIDE_STEP) % 4] as Side,
    observedVerdict: VERDICTS[Math.floor(code / VERDICT_STEP) % 8] as ObservedVerdict,
    orientation: ORIENTATIONS[Math.floor(code / ORIENTATION_STEP) % 8] as Orientation,
    format: FLOW_FORMATS[Math.floor(code / FORMAT_STEP)] as FlowFormat,
  }
  known.set(code, facts)
  return facts
}
