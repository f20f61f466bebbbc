/**
 * The two texts in which the AWS VPC CNI network policy agent writes one decision: its own log message, and the line it sends to CloudWatch.
 *
 *   Flow Info: Src IP: 10.0.1.28 Src Port: 55484 Dest IP: 10.0.1.132 Dest Port: 80 Proto TCP Verdict ACCEPT Direction egress, Tier NETWORK_POLICY
 *   Node: ip-10-0-1-5.ec2.internal;SIP: 10.0.1.28;SPORT: 55484;DIP: 10.0.1.132;DPORT: 80;PROTOCOL: TCP;PolicyVerdict: ACCEPT;Tier: NETWORK_POLICY
 *
 * Fields have a fixed order; the IPv6 message puts colons behind every name. Source: the agent's pkg/ebpf/events (FORMATS.md §5).
 */

/** The fields as written; reused for every record. '' = absent. Ports are numbers in JSON, text elsewhere. */
export interface AwsFields {
  sourceIp: unknown
  sourcePort: unknown
  destinationIp: unknown
  destinationPort: unknown
  protocol: unknown
  verdict: unknown
  direction: unknown
  tier: unknown
  node: string
}

export function emptyFields(): AwsFields {
  return { sourceIp: '', sourcePort: '', destinationIp: '', destinationPort: '', protocol: '', verdict: '', direction: '', tier: '', node: '' }
}

/** How both texts call the fields; rejections name them as in the agent's message. */
export const MESSAGE_START = 'Flow Info:'
const CLOUDWATCH_START = 'Node: '

/** What a text starts with at `at`: the agent's message, the CloudWatch line, or neither. */
export function awsTextAt(text: string, at: number): 'message' | 'cloudwatch' | undefined {
  if (text.startsWith(MESSAGE_START, at)) return 'message'
  return text.startsWith(CLOUDWATCH_START, at) && (text.includes(';SIP: ', at) || text.includes(';DIP: ', at)) ? 'cloudwatch' : undefined
}

/** Takes one field after the other from a message. */
class FieldScanner {
  #text = ''
  /** Behind the value taken last. */
  #end = 0

  start(text: string, at: number): void {
    this.#text = text
    this.#end = at
  }

  /** The value behind ` NAME` or ` NAME:`; '' when the field is absent, and the next one is looked for from the same place. */
  take(name: string): string {
    const text = this.#text
    const found = text.startsWith(name, this.#end) ? this.#end : text.indexOf(name, this.#end)
    if (found < 0) return ''
    let start = found + name.length
    if (text.charCodeAt(start) === COLON) start++
    if (text.charCodeAt(start) !== SPACE) return ''
    start++
    const space = text.indexOf(' ', start)
    const end = space < 0 ? text.length : space
    this.#end = end
    // The comma closes the value before the tier.
    return text.slice(start, text.charCodeAt(end - 1) === COMMA ? end - 1 : end)
  }
}

const scanner = new FieldScanner()

/** Reads the message from behind `Flow Info:`. Fields that are missing become ''. */
export function readMessage(text: string, at: number, into: AwsFields): void {
  scanner.start(text, at + MESSAGE_START.length)
  into.sourceIp = scanner.take(' Src IP')
  into.sourcePort = scanner.take(' Src Port')
  into.destinationIp = scanner.take(' Dest IP')
  into.destinationPort = scanner.take(' Dest Port')
  into.protocol = scanner.take(' Proto')
  into.verdict = scanner.take(' Verdict')
  into.direction = scanner.take(' Direction')
  into.tier = scanner.take(' Tier')
  into.node = ''
}

const SPACE = 32
const COMMA = 44
const COLON = 58

/** Reads the CloudWatch line from `Node:` on. Fields that are missing become ''. */
export function readCloudWatch(text: string, at: number, into: AwsFields): void {
  let end = at
  const take = (name: string): string => {
    const found = text.startsWith(name, end) ? end : text.indexOf(name, end)
    if (found < 0) return ''
    const start = found + name.length
    const semicolon = text.indexOf(';', start)
    end = semicolon < 0 ? text.length : semicolon
    return text.slice(start, end)
  }
  into.node = take(CLOUDWATCH_START)
  into.sourceIp = take(';SIP: ')
  into.sourcePort = take(';SPORT: ')
  into.destinationIp = take(';DIP: ')
  into.destinationPort = take(';DPORT: ')
  into.protocol = take(';PROTOCOL: ')
  into.verdict = take(';PolicyVerdict: ').trimEnd()
  into.direction = ''
  into.tier = take(';Tier: ').trimEnd()
}
