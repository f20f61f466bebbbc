import type { Outcome } from '../../flow/flow-record.ts'
import { InstantParser } from '../instant.ts'
import type { LineReader } from '../normalize-context.ts'
import { reject, shown } from '../problems.ts'
import { awsTextAt, emptyFields, readCloudWatch, readMessage, type AwsFields } from './aws-fields.ts'
import type { AwsFlows } from './aws-flow.ts'
import { readLoggedTime } from './aws-time.ts'

/** Longest text before the agent's own: a time and a log stream's name. */
const MAX_PREFIX = 600

/**
 * Reads the agent's text lines: `[TIME [STREAM] ]Node: …;SIP: …` and `[TIME [STREAM] ]Flow Info: …`. The text itself has no time: exports of
 * CloudWatch and shippers write it in front, as RFC 3339. A line without it says nothing about when, and is refused.
 */
export class AwsLineReader implements LineReader {
  readonly #flows: AwsFlows
  readonly #instant = new InstantParser()
  readonly #fields = emptyFields()

  constructor(flows: AwsFlows) {
    this.#flows = flows
  }

  read(line: string): Outcome | undefined {
    const time = readAwsLine(line, this.#fields)
    if (time === undefined) return undefined
    const screened = this.#flows.screen(this.#fields)
    if (screened !== undefined) return screened
    if (time === '') return reject('aws-vpc-cni', 'missing-field', 'timestamp: absent; the line needs an RFC 3339 time in front, as CloudWatch exports write it')
    const problem = readLoggedTime(time, this.#instant)
    if (problem !== '') return reject('aws-vpc-cni', problem, `timestamp: ${shown(time)} is no usable time`)
    return this.#flows.record(this.#fields, this.#instant)
  }
}

/** The fields and the time of a line, unchecked; '' where it has none, `undefined` for a line of another format. */
export function readAwsLine(line: string, into: AwsFields): string | undefined {
  const at = startOfText(line)
  if (at < 0) return undefined
  if (awsTextAt(line, at) === 'message') readMessage(line, at, into)
  else readCloudWatch(line, at, into)
  return at === 0 ? '' : line.slice(0, line.indexOf(' '))
}

/** Where the agent's text begins, or -1 when the line is none of its. */
function startOfText(line: string): number {
  const first = line.charCodeAt(0)
  if (first === LETTER_N || first === LETTER_F) return awsTextAt(line, 0) === undefined ? -1 : 0
  if (first < DIGIT_0 || first > DIGIT_9) return -1
  const afterTime = line.indexOf(' ') + 1
  if (afterTime === 0 || afterTime > MAX_PREFIX) return -1
  if (awsTextAt(line, afterTime) !== undefined) return afterTime
  const afterStream = line.indexOf(' ', afterTime) + 1
  return afterStream > 0 && afterStream <= MAX_PREFIX && awsTextAt(line, afterStream) !== undefined ? afterStream : -1
}

const LETTER_N = 78
const LETTER_F = 70
const DIGIT_0 = 48
const DIGIT_9 = 57
