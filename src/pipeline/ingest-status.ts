/**
 *  totals by source, format, outcome ─┐
 *  received by source ────────────────┼─► what became of everything that was received, and whether the two agree
 *  coverage events, node hours ───────┼─► signs that observation was incomplete, in a range
 *  dead letters, limits ──────────────┘
 *
 * Reads only. Conservation is checked, not assumed: what was received is counted before records are judged, outcomes after.
 */
import { findCoverageGaps } from '../core/aggregate/coverage-gaps.ts'
import type { StateNode } from '../core/aggregate/coverage-gaps.ts'
import { compareText } from '../core/base/order.ts'
import { formatTimeUs, US_PER_DAY, US_PER_SECOND } from '../core/base/time.ts'
import type { CoverageEvent } from '../core/flow/flow-record.ts'
import { withSnapshot } from '../store/db/database.ts'
import type { Database } from '../store/db/database.ts'
import { countIdentities } from '../store/read/count-identities.ts'
import { selectStateHead, selectVersions } from '../store/read/select-cluster-state.ts'
import { countDeadLetters } from '../store/read/select-dead-letters.ts'
import { selectIngestTotals } from '../store/read/select-ingest-totals.ts'
import type { IngestTotal } from '../store/read/select-ingest-totals.ts'
import { countCoverage, selectCoverage, selectLimits, selectNodeHours, selectReceived } from '../store/read/select-ingest-status.ts'
import type { SourceReceived } from '../store/read/select-ingest-status.ts'
import { addTotals, emptyReport } from './ingest-report.ts'
import type { FormatCounts } from './ingest-report.ts'

export interface StatusQuery {
  readonly cluster: { readonly id: number, readonly name: string }
  readonly nowUs: number
  /** Of coverage; half-open. Without a beginning: the 7 days before the newest flow. */
  readonly sinceUs?: number | undefined
  readonly untilUs?: number | undefined
  /** Coverage events listed. */
  readonly limit: number
}

export interface SourceStatus {
  readonly source: string
  /** Counted before any record was judged. */
  readonly received: number
  /** Sum over the outcomes: the same number. */
  readonly accounted: number
  /** Last instant of the newest flow: up to there the source has reported. */
  readonly newestFlow: string | null
  readonly lastStored: string
  /** Nothing came from it for IDLE: it holds the watermark back no longer. */
  readonly isIdle: boolean
}

export interface CoverageSign {
  readonly type: CoverageEvent['type']
  readonly at: string
  /** End of what was found from silence; absent for events of the log. */
  readonly until?: string
  readonly node: string
  readonly lost: number
  readonly detail: string
}

export interface IngestStatus {
  readonly schema: 'flowfence.ingest-status/v1'
  readonly cluster: string
  readonly totals: FormatCounts
  readonly conservation: { readonly holds: boolean, readonly statement: string }
  /** Minimum of newestFlow over sources that are not idle; `null` when all are. */
  readonly watermark: string | null
  readonly sources: readonly SourceStatus[]
  readonly bySource: readonly (FormatCounts & { readonly source: string, readonly format: string })[]
  readonly coverage: {
    readonly window: { readonly since: string | null, readonly until: string | null }
    readonly counts: Readonly<Record<CoverageEvent['type'], number>>
    readonly eventsLost: number
    /** Newest first. */
    readonly newest: readonly CoverageSign[]
  }
  readonly deadLetters: { readonly kept: number, readonly complete: number, readonly notKept: number }
  readonly limits: { readonly identities: number, readonly flowsWithoutNode: number }
}

/** A source of which nothing was stored for so long is idle. */
const IDLE_US = 600 * US_PER_SECOND
/** Coverage shown when no range is asked for. */
const SHOWN_US = 7 * US_PER_DAY
/** Silence before the range that is looked at, to know who is expected in it and since when nothing came. */
const LOOKED_BACK_US = 8 * US_PER_DAY
const STATEMENT = 'received = stored + duplicate + rejected + ignored, per source'

export async function readIngestStatus(database: Database, query: StatusQuery): Promise<IngestStatus> {
  const { cluster: { id: clusterId, name }, untilUs } = query
  const [totals, received] = await readCounts(database, clusterId)
  const newestUs = Math.max(...received.map((r) => r.newestUs ?? -Infinity))
  const sinceUs = query.sinceUs ?? (Number.isFinite(newestUs) ? Math.min(newestUs, untilUs ?? Infinity) - SHOWN_US : undefined)
  const sources = sourcesOf(received, totals, query.nowUs)
  const limits = await selectLimits(database, clusterId)
  const letters = await countDeadLetters(database, clusterId)
  const report = emptyReport()
  addTotals(report, totals)
  const working = sources.flatMap(({ isIdle, newestFlow }) => (isIdle || newestFlow === null ? [] : [newestFlow])).sort()
  return {
    schema: 'flowfence.ingest-status/v1', cluster: name,
    totals: countsOf(report), conservation: { holds: sources.every((s) => s.received === s.accounted), statement: STATEMENT },
    watermark: working[0] ?? null, sources, bySource: bySource(totals),
    coverage: await readCoverage(database, query, { clusterId, sinceUs, untilUs }),
    deadLetters: { kept: letters.kept, complete: letters.complete, notKept: limits.get('dead-letters') ?? 0 },
    limits: { identities: await countIdentities(database, clusterId), flowsWithoutNode: limits.get('nodes') ?? 0 },
  }
}

/** Both from one moment: a batch that is stored between two statements would look like a loss. */
async function readCounts(database: Database, clusterId: number): Promise<[IngestTotal[], SourceReceived[]]> {
  return withSnapshot(database, async (tx) => [await selectIngestTotals(tx, clusterId), await selectReceived(tx, clusterId)])
}

function sourcesOf(received: readonly SourceReceived[], totals: readonly IngestTotal[], nowUs: number): SourceStatus[] {
  const accounted = new Map<string, number>()
  for (const total of totals) accounted.set(total.source, (accounted.get(total.source) ?? 0) + total.records)
  const known = new Set(received.map((r) => r.source))
  const unknown = [...accounted.keys()].filter((source) => !known.has(source))
  return [...received, ...unknown.map((source): SourceReceived => ({ source, records: 0, newestUs: null, recordedAtUs: 0 }))].map((r) => ({
    source: r.source, received: r.records, accounted: accounted.get(r.source) ?? 0, newestFlow: r.newestUs === null ? null : formatTimeUs(r.newestUs),
    lastStored: formatTimeUs(r.recordedAtUs), isIdle: nowUs - r.recordedAtUs > IDLE_US,
  }))
}

function bySource(totals: readonly IngestTotal[]): IngestStatus['bySource'] {
  const groups = new Map<string, IngestTotal[]>()
  for (const total of totals) {
    const key = JSON.stringify([total.source, total.format])
    groups.set(key, [...(groups.get(key) ?? []), total])
  }
  return [...groups.values()].map((group) => {
    const report = emptyReport()
    addTotals(report, group)
    return { source: group[0]?.source ?? '', format: group[0]?.format ?? '', ...countsOf(report) }
  })
}

function countsOf({ received, stored, duplicate, rejected, ignored }: FormatCounts): FormatCounts {
  return { received, stored, duplicate, rejected, ignored }
}

/** Nodes of the cluster state, each with the times at which it is known to have been there; the versions of one that follow on each other as one. */
async function readStateNodes(database: Database, clusterId: number): Promise<StateNode[]> {
  const head = await selectStateHead(database, clusterId)
  if (head === undefined) return []
  const nodes: StateNode[] = []
  const versions = await selectVersions(database, { clusterId, kind: 'Node' })
  for (const { name, seenFromUs, seenUntilUs, endedUs } of [...versions].sort((a, b) => compareText(a.name, b.name) || a.seenFromUs - b.seenFromUs)) {
    const untilUs = endedUs ?? seenUntilUs ?? head.confirmedUntilUs
    const last = nodes.at(-1)
    if (last?.name === name && last.untilUs >= seenFromUs) nodes.push({ name, sinceUs: last.sinceUs, untilUs: Math.max(untilUs, nodes.pop()?.untilUs ?? 0) })
    else nodes.push({ name, sinceUs: seenFromUs, untilUs })
  }
  return nodes
}

async function readCoverage(
  database: Database, query: StatusQuery, range: { clusterId: number, sinceUs: number | undefined, untilUs: number | undefined },
): Promise<IngestStatus['coverage']> {
  const counted = await countCoverage(database, range)
  const events = await selectCoverage(database, range, query.limit)
  const hours = await selectNodeHours(database, { ...range, sinceUs: range.sinceUs === undefined ? undefined : range.sinceUs - LOOKED_BACK_US })
  const gaps = findCoverageGaps(hours, await readStateNodes(database, range.clusterId)).filter((g) => g.untilUs > (range.sinceUs ?? -Infinity) && g.sinceUs < (range.untilUs ?? Infinity))
  const counts: Record<CoverageEvent['type'], number> = { 'lost-events': 0, 'node-status': 0, sampling: 0, aggregation: 0, 'missing-node': 0, gap: 0 }
  for (const row of counted) counts[row.type] += row.events
  for (const gap of gaps) counts[gap.type]++
  const signs = [
    ...events.map((e) => ({ atUs: e.atUs, sign: { type: e.type, at: formatTimeUs(e.atUs), node: e.node, lost: e.lost, detail: e.detail } })),
    ...gaps.map((g) => ({ atUs: g.sinceUs, sign: { type: g.type, at: formatTimeUs(g.sinceUs), until: formatTimeUs(g.untilUs), node: g.node, lost: 0, detail: g.format } })),
  ]
  return {
    window: { since: range.sinceUs === undefined ? null : formatTimeUs(range.sinceUs), until: range.untilUs === undefined ? null : formatTimeUs(range.untilUs) },
    counts, eventsLost: counted.reduce((sum, row) => sum + row.lost, 0),
    newest: signs.sort((a, b) => b.atUs - a.atUs).slice(0, query.limit).map((s) => s.sign),
  }
}
