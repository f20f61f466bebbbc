/**
 * What the silence of nodes and formats says: hours in which observation was incomplete though nothing in the log says so.
 *
 * - `missing-node`: in an hour in which other nodes reported in a format, a node did not that was expected: a node of the cluster state of
 *   that hour, or, where no state covers the hour, one that reported in the format in the 24 hours before. A node without traffic is silent,
 *   too, so this is a sign and no proof.
 * - `gap`: a format of which nothing at all was seen for an hour or longer, though it was before and after.
 *
 * A pure function of the set of rows: partial rows, any order and any split give the same. Only hours that ended before the newest hour of
 * the format are judged: the newest one is still coming in.
 */
import { compareText } from '../base/order.ts'
import type { FlowFormat } from '../flow/flow-record.ts'
import { US_PER_HOUR, type NodeHour } from './node-hours.ts'

export interface CoverageGap {
  readonly type: 'missing-node' | 'gap'
  readonly format: FlowFormat
  /** '' for a gap: all nodes. */
  readonly node: string
  /** Half-open. A missing node: whole hours. A gap: whole windows of 5 minutes. */
  readonly sinceUs: number
  readonly untilUs: number
}

/** A node of the cluster state. Hours outside of every node's validity are not covered by state. */
export interface StateNode {
  readonly name: string
  readonly sinceUs: number
  readonly untilUs: number
}

const WINDOWS = 12
const US_PER_WINDOW = US_PER_HOUR / WINDOWS
/** Hours for which a node that reported is expected again. Longer: a node that was removed counts as missing for longer. */
const REMEMBERED_HOURS = 24

interface FormatHours {
  /** Hour number -> bits of 5 minutes. */
  readonly windows: Map<number, number>
  /** Node -> hour numbers. Without nodes that have no name. */
  readonly nodes: Map<string, Set<number>>
}

/** Sorted by time, format, type and node. */
export function findCoverageGaps(rows: Iterable<NodeHour>, stateNodes: readonly StateNode[] = []): CoverageGap[] {
  const formats = new Map<FlowFormat, FormatHours>()
  for (const row of rows) addRow(formats, row)
  const gaps = [...formats].flatMap(([format, hours]) => [...findGaps(format, hours.windows), ...findMissing(format, hours, stateNodes)])
  return gaps.sort((a, b) => a.sinceUs - b.sinceUs || compareText(a.format, b.format) || compareText(a.type, b.type) || compareText(a.node, b.node))
}

function addRow(formats: Map<FlowFormat, FormatHours>, { format, node, hourStartUs, windows }: NodeHour): void {
  let hours = formats.get(format)
  if (hours === undefined) formats.set(format, hours = { windows: new Map(), nodes: new Map() })
  const hour = Math.floor(hourStartUs / US_PER_HOUR)
  hours.windows.set(hour, (hours.windows.get(hour) ?? 0) | windows)
  if (node === '') return
  const seen = hours.nodes.get(node)
  if (seen === undefined) hours.nodes.set(node, new Set([hour]))
  else seen.add(hour)
}

function findGaps(format: FlowFormat, windows: ReadonlyMap<number, number>): CoverageGap[] {
  const gaps: CoverageGap[] = []
  let before: number | undefined
  for (const [hour, bits] of [...windows].sort((a, b) => a[0] - b[0])) {
    if (bits === 0) continue
    // Where the 32-bit integer has its lowest and highest bit.
    const first = hour * WINDOWS + 31 - Math.clz32(bits & -bits)
    if (before !== undefined && first - before > WINDOWS) {
      gaps.push({ type: 'gap', format, node: '', sinceUs: (before + 1) * US_PER_WINDOW, untilUs: first * US_PER_WINDOW })
    }
    before = hour * WINDOWS + 31 - Math.clz32(bits)
  }
  return gaps
}

function findMissing(format: FlowFormat, { windows, nodes }: FormatHours, stateNodes: readonly StateNode[]): CoverageGap[] {
  // Where no record names its node, nobody can be missed.
  if (nodes.size === 0) return []
  const isCovered = (hour: number): boolean => stateNodes.some((n) => wasThere(n, hour))
  const hours = [...windows.keys()].sort((a, b) => a - b)
  const judged = hours.slice(0, -1).map((hour) => ({ hour, isCovered: isCovered(hour) }))
  const names = new Set([...nodes.keys(), ...stateNodes.map((n) => n.name)])
  return [...names].flatMap((node) => {
    const seen = nodes.get(node) ?? new Set<number>()
    const times = stateNodes.filter((n) => n.name === node)
    const missing = judged.filter((j) => !seen.has(j.hour) && (j.isCovered ? times.some((n) => wasThere(n, j.hour)) : reportedBefore(seen, j.hour)))
    return runsOf(missing.map((j) => j.hour)).map(([first, last]): CoverageGap => (
      { type: 'missing-node', format, node, sinceUs: first * US_PER_HOUR, untilUs: (last + 1) * US_PER_HOUR }))
  })
}

/** During all of the hour: a node that came or went in it may have had nothing to say. */
function wasThere(node: StateNode, hour: number): boolean {
  return node.sinceUs <= hour * US_PER_HOUR && node.untilUs >= (hour + 1) * US_PER_HOUR
}

function reportedBefore(seen: ReadonlySet<number>, hour: number): boolean {
  for (let back = 1; back <= REMEMBERED_HOURS; back++) if (seen.has(hour - back)) return true
  return false
}

/** First and last of runs of consecutive numbers. */
function runsOf(sorted: readonly number[]): (readonly [number, number])[] {
  const runs: [number, number][] = []
  for (const n of sorted) {
    const last = runs.at(-1)
    if (last?.[1] === n - 1) last[1] = n
    else runs.push([n, n])
  }
  return runs
}
