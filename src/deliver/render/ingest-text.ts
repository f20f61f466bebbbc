import { countText } from './edge-text.ts'
import { escapeText } from './escape-text.ts'
import { renderTable } from './text-table.ts'

/** Records of one source and format by outcome. Conservation: the sum over outcomes is what was received. */
export interface OutcomeCount {
  readonly source: string
  readonly format: string
  readonly outcome: 'stored' | 'duplicate' | 'rejected' | 'ignored'
  /** Code of the rejection or reason of the ignore; '' otherwise. */
  readonly reason: string
  readonly records: number
}

const OUTCOMES = ['stored', 'duplicate', 'ignored', 'rejected'] as const

/** Received = stored + duplicate + ignored + rejected, per source and format, with the reasons below. */
export function renderIngestCounts(counts: readonly OutcomeCount[]): string {
  if (counts.length === 0) return '  no records\n'
  const groups = new Map<string, OutcomeCount[]>()
  for (const count of counts) {
    const key = JSON.stringify([count.source, count.format])
    groups.set(key, [...(groups.get(key) ?? []), count])
  }
  const rows = [...groups.values()].map((group) => {
    const first = group[0] as OutcomeCount
    const sums = OUTCOMES.map((outcome) => sumRecords(group.filter((c) => c.outcome === outcome)))
    return [first.source, first.format === 'unread' ? 'read before' : first.format, sumRecords(group), ...sums]
  })
  return renderTable([{ title: 'source' }, { title: 'format' }, ...['received', ...OUTCOMES].map((title) => ({ title, align: 'right' as const }))], rows)
    + reasonLines(counts)
}

function sumRecords(counts: readonly OutcomeCount[]): number {
  return counts.reduce((sum, c) => sum + c.records, 0)
}

function reasonLines(counts: readonly OutcomeCount[]): string {
  return (['ignored', 'rejected'] as const).map((outcome) => {
    const byReason = new Map<string, number>()
    for (const c of counts) if (c.outcome === outcome) byReason.set(c.reason, (byReason.get(c.reason) ?? 0) + c.records)
    if (byReason.size === 0) return ''
    const parts = [...byReason.entries()].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([reason, n]) => [reason, n, REASON_TEXT[reason] ?? ''])
    return `\n${renderTable([{ title: `${outcome} because` }, { title: 'records', align: 'right' }, { title: 'meaning' }], parts)}`
  }).join('')
}

/** Reasons and codes of core/flow/flow-record.ts in words. */
const REASON_TEXT: Readonly<Record<string, string>> = {
  control: 'events of the CNI itself (lost events, node status): no flow, but a sign of gaps',
  enrichment: 'layer 7 or DNS detail of a connection that is counted by its own record',
  icmp: 'ping and the like: NetworkPolicy does not speak about it',
  'other-protocol': 'a protocol that NetworkPolicy cannot express',
  'multicast-or-link-local': 'traffic that never reaches another pod by policy',
  'socket-translation': 'the address before or after service translation; the real packet has its own record',
  forwarded: 'host forwarding: belongs to neither end',
  'no-endpoint': 'neither end is a pod',
  empty: 'a record without verdict and ports',
  blank: 'an empty line',
  'foreign-log': 'a log line of an agent or tool',
  repeated: 'the same packets seen again on another interface, or a heartbeat',
  self: 'traffic of the collector itself, as configured',
  'outside-range': 'not between --since and --until',
  'malformed-json': 'not valid JSON',
  truncated: 'the last line ends in the middle',
  'too-long': 'longer than the limit for one record',
  'not-text': 'binary data or broken UTF-8',
  'not-an-object': 'JSON, but not an object',
  'unknown-format': 'an object that no supported format writes',
  'wrong-type': 'a field of the wrong type',
  'missing-field': 'a field that must be there is not',
  'bad-address': 'not an IP address',
  'bad-port': 'not a port number',
  'bad-time': 'not a time',
  'no-port': 'the destination port was aggregated away: useless for policy',
  'too-late': 'older than 8 days (the service takes such records with ?backfill=true)',
  'too-early': 'before the year 2000',
  'in-future': 'later than now',
  'too-many-labels': 'more labels than a pod can have',
  'too-many-identities': 'a new label set, and the cluster has as many as FLOWFENCE_MAX_IDENTITIES allows',
  'too-deep': 'wrapped in more envelopes than are unwrapped',
  'malformed-protobuf': 'not a protobuf message of a known flow log',
  'malformed-line': 'a text line of a known format with fields missing or wrong',
}

/** Signs of incomplete observation of one kind. */
export interface CoverageCount {
  readonly type: 'lost-events' | 'node-status' | 'sampling' | 'aggregation' | 'missing-node' | 'gap'
  readonly detail: string
  readonly nodes: readonly string[]
  readonly events: number
  readonly lost: number
}

/** What each kind of sign means for the reader. */
const COVERAGE_TEXT: Readonly<Record<CoverageCount['type'], string>> = {
  'lost-events': 'flows are missing',
  'node-status': 'flows of these times may be missing',
  sampling: 'rare flows are missing',
  aggregation: 'some ends or ports were summed up before they were written',
  'missing-node': 'its flows are missing',
  gap: 'nothing was seen in this time',
}
/** Enough to see that observation was incomplete; the ingest status has all. */
const MAX_COVERAGE_LINES = 10

/** `  note: sampling 1:50 on 3 nodes: rare flows are missing`; '' without signs. */
export function renderCoverage(coverage: readonly CoverageCount[]): string {
  if (coverage.length === 0) return ''
  const lines = coverage.slice(0, MAX_COVERAGE_LINES).map(({ type, detail, nodes, lost }) => {
    const where = nodes.length === 0 ? '' : ` on ${countText(nodes.length, 'node')}`
    const what = type === 'lost-events' ? `${countText(lost, 'lost event')}${detail === '' ? '' : ` (${escapeText(detail)})`}` : escapeText(detail === '' ? type : detail)
    return `  note: ${what}${where}: ${COVERAGE_TEXT[type]}\n`
  })
  const rest = coverage.length - lines.length
  return `\n${lines.join('')}${rest > 0 ? `  note: and ${countText(rest, 'more sign')} of incomplete observation\n` : ''}`
}

/** One sentence: `received 10: 7 stored, 1 duplicate, 1 ignored, 1 rejected`. */
export function ingestSentence(counts: readonly OutcomeCount[]): string {
  const sums = OUTCOMES.map((outcome) => `${sumRecords(counts.filter((c) => c.outcome === outcome))} ${outcome}`)
  return `${countText(sumRecords(counts), 'record')} received: ${sums.join(', ')}`
}
