/**
 * The older text form of Calico Enterprise flow logs, as CloudWatch has it: 24 columns between spaces. In: a line. Out: one Outcome, or `undefined` for a
 * line of another format.
 *
 * Columns: start end | type namespace name labels of the source | the same of the destination | source and destination address | protocol | source and
 * destination port | flows, started, completed | reporter (`out` source, `in` destination; also `src`, `dst`) | packets in and out | bytes in and out |
 * action. `-` is none; labels are `[key=value,...]`; a name is a pod's, or an aggregate's with `*`. A line with 24 columns of which the first two are
 * Unix seconds and the types are Calico's is of this form; another column that is wrong makes it malformed. Source: FORMATS 2.1 and Felix' writer.
 */
import type { Outcome, Rejection } from '../../flow/flow-record.ts'
import type { LineReader, NormalizeContext } from '../normalize-context.ts'
import { reject, shown, type RawObject } from '../problems.ts'
import { CalicoNormalizer } from './calico-enterprise.ts'
import { aggregateOf, CalicoPlainLines, podOf, typeOf } from './calico-plain-lines.ts'

const COLUMNS = 24
const TYPES = new Set(['wep', 'hep', 'ns', 'net', 'pvt', 'pub'])
/** The columns after the ports; the reporter stands between the third and the fourth. */
const COUNTERS = ['num_flows', 'num_flows_started', 'num_flows_completed', 'packets_in', 'packets_out', 'bytes_in', 'bytes_out']
const FIRST_COUNTER = 15
const REPORTERS = new Set(['in', 'out', 'src', 'dst', 'fwd'])
const ACTIONS = new Set(['allow', 'deny', '-'])

export class CalicoLineReader implements LineReader {
  readonly #plain: CalicoPlainLines
  readonly #rows: CalicoNormalizer

  constructor(context: NormalizeContext) {
    this.#plain = new CalicoPlainLines(context)
    this.#rows = new CalicoNormalizer(context)
  }

  read(line: string): Outcome | undefined {
    if (!isDigit(line.charCodeAt(0))) return undefined
    const plain = this.#plain.read(line)
    if (plain !== undefined) return plain
    const columns = columnsOf(line)
    if (columns === undefined) return undefined
    const row = rowOf(columns)
    if (isRejection(row)) return row
    const outcome = this.#rows.normalize(row)
    // A wrong value of a column that a row has, too: named by the row's reader.
    return outcome.kind === 'rejected' && MALFORMED.has(outcome.code) ? reject('calico-enterprise', 'malformed-line', outcome.detail) : outcome
  }
}

const MALFORMED = new Set(['wrong-type', 'bad-address', 'bad-port', 'missing-field'])

/** The columns when the line is of this form. */
function columnsOf(line: string): string[] | undefined {
  const columns = line.split(' ', COLUMNS + 1)
  const [start = '', end = '', source = ''] = columns
  return columns.length === COLUMNS && isSeconds(start) && isSeconds(end) && TYPES.has(source) && TYPES.has(columns[6] ?? '') ? columns : undefined
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}

function isSeconds(text: string): boolean {
  return text.length >= 9 && text.length <= 11 && isNumber(text)
}

/** Digits only, and few enough for a number to hold them. */
function isNumber(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (!isDigit(text.charCodeAt(i))) return false
  return text.length > 0 && text.length <= 15
}

/** The columns under the names that rows have. */
function rowOf(columns: readonly string[]): RawObject | Rejection {
  const [
    start = '', end = '', sourceType = '', sourceNamespace, sourceName = '', sourceLabels = '', destType = '', destNamespace, destName = '', destLabels = '', sourceIp, destIp,
    proto, sourcePort = '', destPort = '', flows = '', started = '', completed = '', reporter = '', packetsIn = '', packetsOut = '', bytesIn = '', bytesOut = '', action = '',
  ] = columns
  const source_labels = labelsOf('source labels', sourceLabels)
  if (source_labels !== null && 'kind' in source_labels) return source_labels
  const dest_labels = labelsOf('destination labels', destLabels)
  if (dest_labels !== null && 'kind' in dest_labels) return dest_labels
  if (!REPORTERS.has(reporter)) return malformed('reporter', reporter, 'in or out')
  if (!ACTIONS.has(action)) return malformed('action', action, 'allow or deny')
  for (let i = 0; i < COUNTERS.length; i++) {
    const text = columns[FIRST_COUNTER + (i < 3 ? i : i + 1)] ?? ''
    if (text !== '-' && !isNumber(text)) return malformed(COUNTERS[i] as string, text, 'a count')
  }
  return {
    start_time: Number(start), end_time: Number(end),
    source_type: typeOf(sourceType), source_namespace: sourceNamespace, source_name: podOf(sourceType, sourceName), source_name_aggr: aggregateOf(sourceType, sourceName),
    source_labels, source_ip: sourceIp, source_port: numberOf(sourcePort),
    dest_type: typeOf(destType), dest_namespace: destNamespace, dest_name: podOf(destType, destName), dest_name_aggr: aggregateOf(destType, destName),
    dest_labels, dest_ip: destIp, dest_port: numberOf(destPort),
    proto, reporter, action, num_flows: numberOf(flows), num_flows_started: numberOf(started), num_flows_completed: numberOf(completed),
    packets_in: numberOf(packetsIn), packets_out: numberOf(packetsOut), bytes_in: numberOf(bytesIn), bytes_out: numberOf(bytesOut),
  }
}

function isRejection(value: RawObject | Rejection): value is Rejection {
  return value.kind === 'rejected'
}

function malformed(column: string, text: string, expected: string): Rejection {
  return reject('calico-enterprise', 'malformed-line', `${column}: expected ${expected}, got ${shown(text)}`)
}

/** The number; other texts stay for the row's reader to refuse, and `-` is none. */
function numberOf(text: string): number | string | null {
  return isNumber(text) ? Number(text) : text === '-' ? null : text
}

/** `[a=b,c=d]`, or `-` for none. */
function labelsOf(column: string, text: string): { readonly labels: readonly string[] } | null | Rejection {
  if (text === '-') return null
  if (!text.startsWith('[') || !text.endsWith(']') || text.length < 2) return malformed(column, text, '[key=value,...] or -')
  return { labels: text === '[]' ? [] : text.slice(1, -1).split(',') }
}
