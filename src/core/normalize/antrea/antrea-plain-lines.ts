/**
 * Lines of Antrea's flow log (CSV) in which every column is as the flow aggregator writes it: nearly all of them. In: a line. Out: its outcome, or
 * `undefined` for a line that has anything else to it (antrea-lines.ts reads those column by column, with the same outcome for what both understand).
 *
 * Cost: numbers are taken from the line; each pod (3 columns), and what follows the pods (17 columns, the same for all connections of a Service and its
 * policies), is looked up by its text.
 */
import { US_PER_SECOND } from '../../base/time.ts'
import type { Outcome, Protocol } from '../../flow/flow-record.ts'
import { NO_ADDRESS, type AddressCache, type AddressInfo } from '../address-cache.ts'
import { checkTimeUs } from '../instant.ts'
import { hashPart, LinePartCache, ownText } from '../line-parts.ts'
import { NodeNames, type NodeName } from '../node-names.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import type { Located } from '../orientation.ts'
import type { OwnWorkloads } from '../own-workloads.ts'
import { AntreaEnds, type EndQuestion, type KnownPod } from './antrea-ends.ts'
import { AntreaFlows } from './antrea-flow.ts'
import { LineFacts, type LineAction, type LineRest } from './antrea-line-facts.ts'

const COMMA = 44
/** Columns after those of the pods. */
const REST_COLUMNS = 17
/** Characters of parts of lines that one of two generations remembers. Larger: fewer are read again; smaller: less memory. */
const MAX_CHARACTERS = 16 << 20
/** Characters of the rest of a line that hold its Service's or a policy's name. */
const REST_HASHED = 48
const API_SERVER = 'default/kubernetes:'

/** Three columns: pod, namespace, node; with the address it had in the last line, and its text there ('' before any). */
interface LineEnd {
  /** `undefined`: no pod is named. */
  readonly pod: KnownPod | undefined
  readonly node: NodeName
  addressText: string
  address: AddressInfo
}

/** Reads the ordinary lines. */
export class AntreaPlainLines {
  readonly #flows: AntreaFlows
  readonly #ends: AntreaEnds
  readonly #own: OwnWorkloads
  /** Those that all of a normalizer's formats share. */
  readonly addresses: AddressCache
  readonly #nodes = new NodeNames('antrea', 'NodeName')
  readonly #known = new LinePartCache<LineEnd>(MAX_CHARACTERS)
  readonly #rests = new LinePartCache<LineRest>(MAX_CHARACTERS)
  readonly #facts = new LineFacts()
  /** Where the next column of the current line starts. */
  #at = 0

  constructor(context: NormalizeContext) {
    this.#flows = new AntreaFlows(context)
    this.#ends = new AntreaEnds(context)
    this.#own = context.own
    this.addresses = context.addresses
  }

  read(line: string): Outcome | undefined {
    const facts = this.#facts
    this.#at = 0
    facts.firstAtUs = this.#time(line)
    if (facts.firstAtUs < 0) return undefined
    facts.lastAtUs = this.#time(line)
    if (facts.lastAtUs < facts.firstAtUs) return undefined
    const sourceIp = this.#text(line)
    const destinationIp = this.#text(line)
    facts.sourcePort = this.#number(line, 5)
    facts.port = this.#number(line, 5)
    const protocol = LINE_PROTOCOLS.get(this.#text(line))
    const { sourcePort, port } = facts
    if (protocol === undefined || sourcePort < 0 || sourcePort > 65_535 || port <= 0 || port > 65_535) return undefined
    const source = this.#end(line)
    const destination = this.#end(line)
    const rest = this.#rest(line)
    if (source === undefined || destination === undefined || rest === undefined) return undefined
    const from = this.#address(source, sourceIp)
    const to = this.#address(destination, destinationIp)
    if (from === null || to === null) return undefined
    facts.protocol = protocol
    facts.from = from
    facts.to = to
    facts.toText = destinationIp
    facts.sourcePod = source.pod
    facts.destinationPod = destination.pod
    facts.sourceNode = source.node
    facts.destinationNode = destination.node
    facts.rest = rest
    return this.decide(facts)
  }

  /** The outcome of a line that was read and checked; `undefined`: columns must tell. */
  decide(facts: LineFacts): Outcome | undefined {
    const { sourcePod, destinationPod, lastAtUs, protocol, from, to, sourcePort, port } = facts
    const initiator = sourcePod === undefined
      ? this.#unnamed(from.text, sourcePort, { protocol, atUs: lastAtUs, place: 'unknown', serviceIp: undefined, isApiServer: false })
      : { end: this.#ends.podEnd(sourcePod, lastAtUs), address: from, port: sourcePort, isService: false }
    const { serviceIp, isApiServer } = facts.rest
    const responder = destinationPod === undefined
      ? this.#unnamed(facts.toText, port, { protocol, atUs: lastAtUs, place: 'unknown', serviceIp, isApiServer })
      : { end: this.#ends.podEnd(destinationPod, lastAtUs), address: to, port, isService: false }
    if (initiator === undefined || responder === undefined || responder.port === 0) return undefined
    return this.#own.screen(this.#flows.plain(facts, initiator, responder))
  }

  #unnamed(address: string, port: number, question: EndQuestion): Located | undefined {
    const raw = { prefix: '', addressName: '', portName: '', address, port, pod: '', namespace: '', labels: undefined }
    const located = this.#ends.locate(raw, question)
    return 'code' in located ? undefined : located
  }

  #address(end: LineEnd, text: string): AddressInfo | null {
    if (text !== '' && end.addressText === text) return end.address
    const address = this.addresses.get(text)
    if (address === null) return null
    end.addressText = ownText(text)
    end.address = address
    return address
  }

  #end(line: string): LineEnd | undefined {
    const start = this.#at
    const end = line.indexOf(',', line.indexOf(',', line.indexOf(',', start) + 1) + 1)
    if (end < 0) return undefined
    this.#at = end + 1
    const text = line.slice(start, end)
    const hash = hashPart(line, start, end)
    const known = this.#known.get(hash, text)
    if (known !== undefined) return known
    const own = ownText(text)
    const made = this.#makeEnd(own)
    if (made !== undefined) this.#known.set(hash, own, made)
    return made
  }

  #makeEnd(text: string): LineEnd | undefined {
    const columns = text.split(',')
    const [name = '', namespace = '', nodeName = ''] = columns
    const node = this.node(nodeName)
    const pod = this.pod(name, namespace)
    return columns.length !== 3 || node === undefined || pod === null ? undefined : { pod, node, addressText: '', address: NO_ADDRESS }
  }

  /** The pod that two columns name; `undefined` where none is named, `null` where they are not as usual. */
  pod(name: string, namespace: string): KnownPod | undefined | null {
    if (name === '') return undefined
    const pod = this.#ends.pod({ prefix: '', addressName: '', portName: '', address: '', port: 0, pod: name, namespace, labels: undefined })
    return 'code' in pod ? null : pod
  }

  /** The node that a column names; `undefined` where it is not as usual. */
  node(name: string): NodeName | undefined {
    const node = this.#nodes.read(name)
    return node.kind === 'rejected' ? undefined : node
  }

  #rest(line: string): LineRest | undefined {
    const start = this.#at
    const text = line.slice(start)
    const hash = hashPart(line, start, Math.min(line.length, start + REST_HASHED))
    const known = this.#rests.get(hash, text)
    if (known !== undefined) return known
    const own = ownText(text)
    const made = readLineRest(own)
    if (made !== undefined) this.#rests.set(hash, own, made)
    return made
  }

  /** Microseconds of the next column; negative for what is no time of nine to eleven digits. */
  #time(line: string): number {
    const start = this.#at
    const us = this.#number(line, 11) * US_PER_SECOND
    return this.#at - start >= 10 && checkTimeUs(us) === '' ? us : -1
  }

  /** The number of the next column, which has at least one digit and at most so many; negative for anything else. */
  #number(line: string, maxDigits: number): number {
    const start = this.#at
    let at = start
    let number = 0
    for (let digit = line.charCodeAt(at) - 48; digit >= 0 && digit <= 9; digit = line.charCodeAt(at) - 48) {
      number = number * 10 + digit
      at++
      if (at - start > maxDigits) return -1
    }
    if (at === start || line.charCodeAt(at) !== COMMA) return -1
    this.#at = at + 1
    return number
  }

  #text(line: string): string {
    const start = this.#at
    const end = line.indexOf(',', start)
    if (end < 0) return ''
    this.#at = end + 1
    return line.slice(start, end)
  }
}

/** Numbers, and what the log writes for them where it prints prettily; likewise below. */
export const LINE_PROTOCOLS: ReadonlyMap<string, Protocol> = new Map<string, Protocol>([
  ['6', 'TCP'], ['TCP', 'TCP'], ['17', 'UDP'], ['UDP', 'UDP'], ['132', 'SCTP'], ['SCTP', 'SCTP'],
])
const ACTIONS = new Map<string, LineAction>([
  ['0', 'none'], ['', 'none'], ['None', 'none'], ['NoAction', 'none'], ['1', 'allow'], ['Allow', 'allow'], ['2', 'deny'], ['Drop', 'deny'], ['3', 'deny'], ['Reject', 'deny'],
])

/** Columns 14 to 30; `undefined` where they are not as usual. */
export function readLineRest(text: string): LineRest | undefined {
  const columns = text.split(',')
  const [clusterIp = '', serviceIp = '', servicePort = '', servicePortName = ''] = columns
  const ingress = ACTIONS.get(columns[7] ?? 'absent')
  const egress = ACTIONS.get(columns[12] ?? 'absent')
  if (columns.length !== REST_COLUMNS || ingress === undefined || egress === undefined || !/^\d{0,5}$/.test(servicePort)) return undefined
  return { serviceIp: serviceIp === '' ? clusterIp : serviceIp, isApiServer: servicePortName.startsWith(API_SERVER), ingress, egress }
}
