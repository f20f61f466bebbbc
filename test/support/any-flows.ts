/** Random FlowRecords that use every word, every kind of end and every kind of address that a record can hold. */
import type { EndKind } from '../../src/core/flow/end.ts'
import { FLOW_FORMATS, PROTOCOLS } from '../../src/core/flow/flow-record.ts'
import type { FlowRecord, ObservedVerdict, Orientation, Side } from '../../src/core/flow/flow-record.ts'
import { createIdentity } from '../../src/core/flow/identity.ts'
import type { Identity } from '../../src/core/flow/identity.ts'
import { podIdentity, START_US } from './flow-records.ts'
import type { Random } from './random.ts'

export const SIDES: readonly Side[] = ['client', 'server', 'unknown']
export const VERDICTS: readonly ObservedVerdict[] = ['allowed', 'denied', 'audit', 'error', 'unknown']
export const ORIENTATIONS: readonly Orientation[] = ['unoriented', 'verdict-event', 'tcp-flags', 'is-reply', 'conntrack']
const CLASSES: readonly EndKind[] = ['node', 'host', 'external', 'kube-apiserver', 'ingress', 'health', 'networkset', 'unknown']
const DAY_US = 86_400_000_000

const ends: readonly Identity[] = [
  ...['web', 'db', 'cart', 'mail'].map((name) => podIdentity(name)), podIdentity('odd', { app: 'ünïcode ☃', 'example.com/x': '' }, 'other'),
  ...CLASSES.map((kind) => createIdentity({
    kind, cluster: 'test', namespace: '', labels: {}, namespaceLabels: {}, labelQuality: 'none', workload: null, workloadEvidence: 'none', name: kind === 'networkset' ? 'partners' : '',
  })),
]

function address(random: Random): string {
  return random.pick([
    () => '', () => `10.0.${random.int(3)}.${random.int(5)}`, () => `203.0.113.${random.int(256)}`, () => '255.255.255.254', () => `fd00::${(1 + random.int(0xfffe)).toString(16)}`,
    () => `2001:db8:${(1 + random.int(0xfffe)).toString(16)}::1`, () => '2001:db8:1:2:3:4:5:6', () => '::1', () => 'fe80:0:1:0:1:0:1:1',
  ])()
}

/** Any end with any other, which no log does: what is stored and moved must not care. */
export function anyFlow(random: Random): FlowRecord {
  const lastAtUs = START_US + random.int(2 * DAY_US)
  const length = random.chance(0.05) ? random.int(400 * DAY_US) : random.chance(0.3) ? random.int(1_800_000_000) : 0
  const orientation = random.pick(ORIENTATIONS)
  return {
    kind: 'flow', format: random.pick(FLOW_FORMATS), firstAtUs: lastAtUs - length, lastAtUs, initiator: random.pick(ends), responder: random.pick(ends),
    initiatorIp: address(random), responderIp: address(random),
    initiatorPod: random.pick(['', 'web-0', 'web-1']), responderPod: random.pick(['', 'db-0', 'db-7c9f8d6b5-x2lqz']),
    protocol: random.pick(PROTOCOLS), port: random.pick([0, 53, 443, 32_767, 32_768, 65_535]), initiatorPort: orientation === 'unoriented' ? random.int(65_536) : 0,
    orientation, side: random.pick(SIDES), observedVerdict: random.pick(VERDICTS), node: random.pick(['', 'node-1', 'node-2']),
    flows: random.chance(0.1) ? 1 + random.int(2 ** 31 - 2) : 1, digestHi: random.int(2 ** 32), digestLo: random.int(2 ** 32),
  }
}

/** The same flow as plain data, whatever made it: identities by their keys. */
export function plainFlow(flow: FlowRecord): object {
  const { format, firstAtUs, lastAtUs, initiatorIp, responderIp, initiatorPod, responderPod, protocol, port, initiatorPort, orientation, side, observedVerdict, node, flows } = flow
  return {
    format, firstAtUs, lastAtUs, initiator: flow.initiator.key, responder: flow.responder.key, initiatorIp, responderIp, initiatorPod, responderPod, protocol, port, initiatorPort,
    orientation, side, observedVerdict, node, flows, digestHi: flow.digestHi, digestLo: flow.digestLo,
  }
}
