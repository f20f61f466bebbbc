/**
 * Text lines of Calico Enterprise in which every column is as Felix writes it: nearly all of them. In: a line. Out: its record, or `undefined` for a line
 * that has anything else to it (calico-lines.ts reads those by name, with the same outcome for what both understand).
 *
 * Cost: about one and a half times that of finding the spaces: numbers are taken from the line, and an end is looked up by the text of its four columns.
 */
import { US_PER_SECOND } from '../../base/time.ts'
import type { Outcome, Side } from '../../flow/flow-record.ts'
import { NO_ADDRESS, type AddressCache, type AddressInfo } from '../address-cache.ts'
import type { CoverageNotes } from '../coverage-notes.ts'
import { Digest, hashText, type TextHash } from '../digest.ts'
import { checkTimeUs } from '../instant.ts'
import { hashPart, LinePartCache, ownText } from '../line-parts.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import { asFlows } from '../ports.ts'
import { CalicoEnds, noteAggregation, saidHash, type CalicoEnd, type CalicoType } from './calico-ends.ts'
import { digestRow, flowRecordOf, nameOf, problemOf, readProtocol, type CalicoRow } from './calico-fields.ts'

const FORMAT = 'calico-enterprise'
const COLUMNS = 24
/** Places of columns. */
const SOURCE = 2
const DESTINATION = 6
const SOURCE_IP = 10
const DESTINATION_IP = 11
const PROTO = 12
const SOURCE_PORT = 13
const DESTINATION_PORT = 14
const FLOWS = 15
const STARTED = 16
const REPORTER = 18
const ACTION = 23
const DASH = 45
/** Characters of ends that one of two generations remembers. Larger: fewer label lists are parsed again; smaller: less memory. */
const MAX_CHARACTERS = 32 << 20

/** Service of a line: none of its columns tells. */
const NO_SERVICE = { namespace: undefined, name: undefined }
/** For digests. */
const SIDE_NUMBERS: Readonly<Record<Side, number>> = { unknown: 0, client: 1, server: 2 }

/** A number that a column does not hold, and one that is no number. */
const NONE = -1
const OTHER = -2

/** An end as its columns say it; the same object for every line that has the same text. */
interface LineEnd {
  readonly said: CalicoEnd
  /** The aggregate's, for ends that are told apart by it alone. */
  readonly nameHash: TextHash | undefined
}

/** Reads the ordinary lines. */
export class CalicoPlainLines {
  readonly #ends: CalicoEnds
  readonly #addresses: AddressCache
  readonly #coverage: CoverageNotes
  readonly #sources = new LinePartCache<LineEnd>(MAX_CHARACTERS)
  readonly #destinations = new LinePartCache<LineEnd>(MAX_CHARACTERS)
  /** Where the columns of the current line start, and where one more would. */
  readonly #starts = new Int32Array(COLUMNS + 1)
  readonly #digest = new Digest()
  readonly #seed: TextHash

  constructor(context: NormalizeContext) {
    this.#ends = new CalicoEnds(FORMAT, context)
    this.#addresses = context.addresses
    this.#coverage = context.coverage
    this.#seed = hashText(`${context.cluster}\n${FORMAT}\nline`)
  }

  read(line: string): Outcome | undefined {
    if (!this.#findColumns(line)) return undefined
    const firstAtUs = this.#time(line, 0)
    const lastAtUs = this.#time(line, 1)
    if (firstAtUs < 0 || lastAtUs < firstAtUs) return undefined
    const protocol = readProtocol(FORMAT, this.#text(line, PROTO))
    if (protocol !== 'TCP' && protocol !== 'UDP' && protocol !== 'SCTP') return undefined
    const side = this.#side(line)
    const action = this.#text(line, ACTION)
    if (side === 'unknown' || (action !== 'allow' && action !== 'deny')) return undefined
    const digest = this.#digest
    digest.start(this.#seed)
    // All counters.
    for (let column = FLOWS; column < ACTION; column++) {
      if (column === REPORTER) continue
      const count = this.#number(line, column)
      if (count === OTHER) return undefined
      digest.number(count === NONE ? 0 : count)
    }
    const started = this.#number(line, STARTED)
    const flows = started === NONE ? this.#number(line, FLOWS) : started
    return this.#between(line, {
      protocol, firstAtUs, lastAtUs, side, observedVerdict: action === 'allow' ? 'allowed' : 'denied', host: '', flows: asFlows(flows),
    })
  }

  #between(line: string, row: CalicoRow): Outcome | undefined {
    const from = this.#end(line, SOURCE, this.#sources)
    const to = this.#end(line, DESTINATION, this.#destinations)
    if (from === undefined || to === undefined) return undefined
    const sourceAddress = this.#address(line, SOURCE_IP)
    const destinationAddress = this.#address(line, DESTINATION_IP)
    const sourcePort = this.#number(line, SOURCE_PORT)
    const port = this.#number(line, DESTINATION_PORT)
    if (sourceAddress === null || destinationAddress === null || sourcePort === OTHER || sourcePort > 65_535 || port <= 0 || port > 65_535) return undefined
    from.said.address = sourceAddress
    from.said.port = Math.max(0, sourcePort)
    to.said.address = destinationAddress
    to.said.port = port
    const source = this.#ends.source(from.said, row)
    if (source.kind === 'rejected') return undefined
    const destination = this.#ends.destination(to.said, row, NO_SERVICE)
    if (destination.kind === 'rejected') return undefined
    noteAggregation(this.#coverage, { from: from.said, to: to.said }, row)
    const problem = problemOf(FORMAT, source, destination)
    if (problem !== null) return problem
    const ends = { source, destination }
    const digest = this.#digest
    digestRow(digest, row, { source: saidHash(from.said), destination: saidHash(to.said), destinationPort: port })
    digest.hash(sourceAddress.hash)
    digest.hash(destinationAddress.hash)
    if (from.nameHash !== undefined) digest.hash(from.nameHash)
    if (to.nameHash !== undefined) digest.hash(to.nameHash)
    digest.number((from.said.port * 4 + SIDE_NUMBERS[row.side]) * 2 + (row.observedVerdict === 'allowed' ? 1 : 0))
    digest.finish()
    return flowRecordOf(FORMAT, row, ends, digest)
  }

  /** False when the line has more or fewer columns. */
  #findColumns(line: string): boolean {
    const starts = this.#starts
    let at = 0
    for (let column = 1; column < COLUMNS; column++) {
      at = line.indexOf(' ', at) + 1
      if (at === 0) return false
      starts[column] = at
    }
    starts[COLUMNS] = line.length + 1
    return !line.includes(' ', at)
  }

  #text(line: string, column: number): string {
    return line.slice(this.#starts[column], (this.#starts[column + 1] as number) - 1)
  }

  /** The number of a column of up to 15 digits. */
  #number(line: string, column: number): number {
    const start = this.#starts[column] as number
    const end = (this.#starts[column + 1] as number) - 1
    const length = end - start
    if (length === 1 && line.charCodeAt(start) === DASH) return NONE
    if (length < 1 || length > 15) return OTHER
    let number = 0
    for (let at = start; at < end; at++) {
      const digit = line.charCodeAt(at) - 48
      if (digit < 0 || digit > 9) return OTHER
      number = number * 10 + digit
    }
    return number
  }

  /** Microseconds; negative for what is no time. */
  #time(line: string, column: number): number {
    const length = (this.#starts[column + 1] as number) - (this.#starts[column] as number) - 1
    const us = length < 9 || length > 11 ? OTHER : this.#number(line, column) * US_PER_SECOND
    return checkTimeUs(us) === '' ? us : OTHER
  }

  /** Whose node reports: `in` and `out`, or `dst` and `src`; 'unknown' for anything else. */
  #side(line: string): Side {
    const reporter = this.#text(line, REPORTER)
    if (reporter === 'out' || reporter === 'src') return 'client'
    return reporter === 'in' || reporter === 'dst' ? 'server' : 'unknown'
  }

  #address(line: string, column: number): AddressInfo | null {
    const start = this.#starts[column] as number
    const end = (this.#starts[column + 1] as number) - 1
    return end - start === 1 && line.charCodeAt(start) === DASH ? NO_ADDRESS : this.#addresses.get(line.slice(start, end))
  }

  #end(line: string, column: typeof SOURCE | typeof DESTINATION, ends: LinePartCache<LineEnd>): LineEnd | undefined {
    const text = line.slice(this.#starts[column], (this.#starts[column + 4] as number) - 1)
    const hash = hashPart(line, this.#starts[column + 1] as number, this.#starts[column + 3] as number)
    const known = ends.get(hash, text)
    if (known !== undefined) return known
    const own = ownText(text)
    const made = makeEnd(own, column === SOURCE ? 'source' : 'dest')
    if (made !== undefined) ends.set(hash, own, made)
    return made
  }
}

/** An end of four columns; `undefined` when one of them is not as Felix writes it. */
function makeEnd(text: string, prefix: CalicoEnd['prefix']): LineEnd | undefined {
  const [typeText = '', namespaceText, nameText = '', labelText = ''] = text.split(' ')
  const type = TYPES.get(typeText)
  const isListed = labelText.startsWith('[') && labelText.endsWith(']') && labelText.length >= 2
  if (type === undefined || !(isListed || labelText === '-')) return undefined
  const labels = !isListed ? null : labelText === '[]' ? [] : labelText.slice(1, -1).split(',')
  const aggregate = nameOf(aggregateOf(typeText, nameText)) ?? ''
  const said: CalicoEnd = {
    kind: 'said', prefix, type, namespace: nameOf(namespaceText) ?? '', name: nameOf(podOf(typeText, nameText)) ?? '', aggregate, labels,
    address: NO_ADDRESS, port: 0, settled: undefined,
  }
  return { said, nameHash: type === 'hep' || type === 'net' ? hashText(aggregate) : undefined }
}

const TYPES = new Map<string, CalicoType>([['wep', 'wep'], ['hep', 'hep'], ['ns', 'ns'], ['net', 'net'], ['pub', 'net'], ['pvt', 'net']])

/** `pub` and `pvt` were types once. */
export function typeOf(type: string): string {
  return type === 'pub' || type === 'pvt' ? 'net' : type
}

/** The pod's name where the column holds one. */
export function podOf(type: string, name: string): string {
  return type === 'wep' && !name.endsWith('*') ? name : '-'
}

/** The aggregate's name as rows write it: the common prefix of its pods' names ends in a dash. */
export function aggregateOf(type: string, name: string): string {
  if (type === 'pub' || type === 'pvt') return type
  if (type !== 'wep') return name
  if (!name.endsWith('*')) return '-'
  return name.length < 2 || name.endsWith('-*') ? name : `${name.slice(0, -1)}-*`
}
