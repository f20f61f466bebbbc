/**
 * Antrea's text lines: the flow aggregator's CSV (30 columns, no header, no quoting) and the audit log of network policies (`np.log`). In: one line.
 * Out: one Outcome, or `undefined` for a line of another format. Field by field: docs/sources/antrea.md.
 */
import type { Outcome } from '../../flow/flow-record.ts'
import type { LineReader, NormalizeContext } from '../normalize-context.ts'
import { reject } from '../problems.ts'
import { AntreaAudit } from './antrea-audit.ts'
import type { AntreaRow, RowNames } from './antrea-fields.ts'
import { AntreaFlows } from './antrea-flow.ts'
import { AntreaPlainLines } from './antrea-plain-lines.ts'

const COLUMNS = 30
const CSV_NAMES: RowNames = {
  start: 'column 1 (flow start)', end: 'column 2 (flow end)', sourceIp: 'column 3 (source IP)', destinationIp: 'column 4 (destination IP)', sourcePort: 'column 5 (source port)',
  destinationPort: 'column 6 (destination port)', protocol: 'column 7 (protocol)', sourcePrefix: 'columns 8 and 9: source pod ', destinationPrefix: 'columns 11 and 12: destination pod ',
}
/** Problems of one column; the others (too early, no port) say enough by themselves. */
const COLUMN_PROBLEMS = new Set(['wrong-type', 'bad-address', 'bad-port', 'bad-time', 'missing-field'])
const COMMA = 44
const SPACE = 32
const SLASH = 47

export class AntreaLineReader implements LineReader {
  readonly #flows: AntreaFlows
  /** Reads the ordinary lines of the flow log; what a fast path shares with it. */
  readonly plain: AntreaPlainLines
  readonly #audit: AntreaAudit

  constructor(context: NormalizeContext) {
    this.#flows = new AntreaFlows(context)
    this.plain = new AntreaPlainLines(context)
    this.#audit = new AntreaAudit(context)
  }

  read(line: string): Outcome | undefined {
    // `2026/01/02 03:04:05.` opens an audit line, `1767323045,1767323050,` a flow.
    if (line.charCodeAt(4) === SLASH && line.charCodeAt(10) === SPACE) return this.#audit.read(line)
    const plain = this.plain.read(line)
    if (plain !== undefined) return plain
    return isFlowLine(line) ? this.#readFlow(line) : undefined
  }

  #readFlow(line: string): Outcome {
    const columns = line.split(',')
    if (columns.length !== COLUMNS) return reject('antrea', 'malformed-line', `${columns.length} columns; the flow log has ${COLUMNS}`)
    const problem = checkNumbers(columns)
    if (problem !== '') return reject('antrea', 'malformed-line', problem)
    const outcome = this.#flows.read(rowOf(columns), CSV_NAMES)
    if (outcome.kind !== 'rejected' || !COLUMN_PROBLEMS.has(outcome.code)) return outcome
    return reject('antrea', 'malformed-line', outcome.detail)
  }
}

/** Two columns of nine to eleven digits: Unix seconds since 1973. */
function isFlowLine(line: string): boolean {
  const first = digitsFrom(line, 0)
  if (first < 9 || first > 11 || line.charCodeAt(first) !== COMMA) return false
  const second = digitsFrom(line, first + 1)
  return second >= 9 && second <= 11 && line.charCodeAt(first + 1 + second) === COMMA
}

function digitsFrom(line: string, start: number): number {
  let at = start
  while (at < line.length && at - start < 12 && line.charCodeAt(at) >= 48 && line.charCodeAt(at) <= 57) at++
  return at - start
}

const ACTIONS = new Set(['0', '1', '2', '3', '', 'None', 'NoAction', 'Allow', 'Drop', 'Reject'])

/** The columns that nothing else checks: they are numbers or names of a closed list, or a column has slipped. */
function checkNumbers(columns: readonly string[]): string {
  if (!ACTIONS.has(columns[20] as string)) return `column 21 (ingress rule action): ${JSON.stringify((columns[20] as string).slice(0, 40))}`
  if (!ACTIONS.has(columns[25] as string)) return `column 26 (egress rule action): ${JSON.stringify((columns[25] as string).slice(0, 40))}`
  const servicePort = columns[15] as string
  return servicePort === '' || (servicePort.length <= 5 && digitsFrom(servicePort, 0) === servicePort.length) ? '' : `column 16 (service port): ${JSON.stringify(servicePort.slice(0, 40))}`
}

/** The number of one to five digits; other texts as they are, to be refused as such. */
function numberOf(text = ''): number | string {
  const { length } = text
  if (length === 0 || length > 5) return text
  let number = 0
  for (let i = 0; i < length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return text
    number = number * 10 + digit
  }
  return number
}

/** The flow log has neither labels nor flow type. */
function rowOf(c: readonly string[]): AntreaRow {
  return {
    start: c[0], end: c[1], sourceIp: c[2], destinationIp: c[3], sourcePort: numberOf(c[4]), destinationPort: numberOf(c[5]), protocol: c[6], sourcePod: c[7], sourceNamespace: c[8], sourceNode: c[9],
    destinationPod: c[10], destinationNamespace: c[11], destinationNode: c[12], serviceIp: c[14] === '' ? c[13] : c[14], servicePortName: c[16], ingressAction: c[20],
    egressAction: c[25], flowType: undefined, sourceLabels: undefined, destinationLabels: undefined, tcpState: undefined, packets: undefined, reversePackets: undefined,
    bytes: undefined,
  }
}
