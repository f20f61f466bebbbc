/** What every outcome of the normalizer must be, whatever the record was. */
import { FLOW_FORMATS, PROTOCOLS } from '../../../src/core/flow/flow-record.ts'
import type { CoverageEvent, FlowRecord, Outcome } from '../../../src/core/flow/flow-record.ts'
import { parseIdentityKey } from '../../../src/core/flow/identity.ts'
import type { Identity } from '../../../src/core/flow/identity.ts'

const FORMATS: ReadonlySet<string> = new Set([...FLOW_FORMATS, 'unknown'])
const SIDES = ['client', 'server', 'unknown']
const VERDICTS = ['allowed', 'denied', 'audit', 'error', 'unknown']
const ORIENTATIONS = ['verdict-event', 'tcp-flags', 'is-reply', 'conntrack', 'unoriented']
const YEAR_2000_US = 946_684_800_000_000
/** Beyond, a double no longer holds microseconds. */
const YEAR_2255_US = Number.MAX_SAFE_INTEGER
// eslint-disable-next-line no-control-regex -- control characters are what is searched for.
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\ud800-\udfff]/u
const checked = new WeakSet<Identity>()

/** The first thing that is wrong with an outcome; `undefined` when all is well. */
export function problemOf(outcome: Outcome): string | undefined {
  if (outcome.kind === 'flow') return problemOfFlow(outcome)
  if (!FORMATS.has(outcome.format)) return `format ${outcome.format}`
  if (outcome.kind === 'rejected') return isShown(outcome.detail) && outcome.detail !== '' ? undefined : `detail ${JSON.stringify(outcome.detail)}`
  return outcome.coverage === null ? undefined : problemOfCoverage(outcome.coverage)
}

export function problemOfCoverage(event: CoverageEvent): string | undefined {
  if (!isTime(event.atUs)) return `coverage at ${event.atUs}`
  if (!Number.isSafeInteger(event.lost) || event.lost < 0) return `${event.lost} events lost`
  if (!isStorable(event.node)) return `coverage of node ${JSON.stringify(event.node)}`
  return isShown(event.detail) ? undefined : `coverage detail ${JSON.stringify(event.detail)}`
}

function problemOfFlow(flow: FlowRecord): string | undefined {
  const { port, initiatorPort, orientation } = flow
  if (!isPort(port) || !isPort(initiatorPort)) return `ports ${initiatorPort} and ${port}`
  if (orientation !== 'unoriented' && initiatorPort !== 0) return `an oriented flow with the initiator's port ${initiatorPort}`
  if (!isTime(flow.firstAtUs) || !isTime(flow.lastAtUs) || flow.firstAtUs > flow.lastAtUs) return `times ${flow.firstAtUs} to ${flow.lastAtUs}`
  if (!Number.isSafeInteger(flow.flows) || flow.flows < 1) return `${flow.flows} flows`
  if (flow.digestHi >>> 0 !== flow.digestHi || flow.digestLo >>> 0 !== flow.digestLo) return 'a digest that is no two words'
  const isNamed = PROTOCOLS.includes(flow.protocol) && SIDES.includes(flow.side) && VERDICTS.includes(flow.observedVerdict) && ORIENTATIONS.includes(orientation)
  if (!isNamed || flow.format === ('unknown' as string) || !FORMATS.has(flow.format)) return 'a protocol, side, verdict, orientation or format that is none'
  const text = [flow.initiatorIp, flow.responderIp, flow.initiatorPod, flow.responderPod, flow.node].find((t) => !isStorable(t))
  if (text !== undefined) return `text ${JSON.stringify(text.slice(0, 100))}`
  return problemOfIdentity(flow.initiator) ?? problemOfIdentity(flow.responder)
}

function problemOfIdentity(identity: Identity): string | undefined {
  if (checked.has(identity)) return undefined
  checked.add(identity)
  const again = parseIdentityKey(identity.key)
  const isSame = again.key === identity.key && JSON.stringify({ ...again, index: 0 }) === JSON.stringify({ ...identity, index: 0 })
  if (!isSame) return `identity ${identity.key.slice(0, 300)} reads back as ${again.key.slice(0, 300)}`
  const texts = [identity.namespace, identity.name, identity.workload?.kind ?? '', identity.workload?.name ?? '', ...Object.entries(identity.labels).flat()]
  const text = texts.find((t) => typeof t !== 'string' || !isStorable(t))
  return text === undefined ? undefined : `identity with ${JSON.stringify(text).slice(0, 100)}`
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 0 && port <= 65_535
}

function isTime(timeUs: number): boolean {
  return Number.isSafeInteger(timeUs) && timeUs >= YEAR_2000_US && timeUs <= YEAR_2255_US
}

/** Not too long, no NUL, no half of a surrogate pair. */
function isStorable(text: string): boolean {
  return typeof text === 'string' && text.length <= 1024 && !/[\0\ud800-\udfff]/u.test(text)  
}

function isShown(text: string): boolean {
  return text.length <= 200 && !UNPRINTABLE.test(text)
}
