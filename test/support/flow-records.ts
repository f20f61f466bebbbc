/** Builders of identities and FlowRecords for tests of the stages after `normalize`. */
import { createIdentity } from '../../src/core/flow/identity.ts'
import type { Identity } from '../../src/core/flow/identity.ts'
import type { FlowRecord } from '../../src/core/flow/flow-record.ts'
import type { Labels } from '../../src/core/flow/end.ts'
import type { Random } from './random.ts'

/** 2026-01-01T00:00:00Z. */
export const START_US = Date.UTC(2026, 0, 1) * 1000

const interned = new Map<string, Identity>()

function intern(identity: Identity): Identity {
  const known = interned.get(identity.key)
  if (known !== undefined) return known
  interned.set(identity.key, identity)
  return identity
}

export function podIdentity(name: string, labels: Labels = { app: name }, namespace = 'shop'): Identity {
  return intern(createIdentity({
    kind: 'pod', cluster: 'test', namespace, labels, namespaceLabels: {}, labelQuality: 'full',
    workload: { kind: 'Deployment', name }, workloadEvidence: 'record', name: '',
  }))
}

export function externalIdentity(): Identity {
  return intern(createIdentity({
    kind: 'external', cluster: 'test', namespace: '', labels: {}, namespaceLabels: {}, labelQuality: 'none',
    workload: null, workloadEvidence: 'none', name: '',
  }))
}

let nextDigest = 1

/** A flow web -> db:5432/TCP at START_US, seen by the server; every call has its own digest. */
export function flowRecord(fields: Partial<FlowRecord> = {}): FlowRecord {
  const atUs = fields.firstAtUs ?? fields.lastAtUs ?? START_US
  return {
    kind: 'flow', format: 'hubble', firstAtUs: atUs, lastAtUs: fields.lastAtUs ?? atUs,
    initiator: podIdentity('web'), responder: podIdentity('db'), initiatorIp: '10.0.1.2', responderIp: '10.0.2.3',
    initiatorPod: 'web-0', responderPod: 'db-0', protocol: 'TCP', port: 5432, initiatorPort: 0, orientation: 'tcp-flags', side: 'server',
    observedVerdict: 'allowed', node: 'node-1', flows: 1, digestHi: 0x5eed, digestLo: nextDigest++,
    ...fields,
  }
}

/** Random flows over few workloads, ports, verdicts and two hours, some long, some to the outside, some unoriented. */
export function randomFlows(random: Random, amount: number): FlowRecord[] {
  const workloads = ['web', 'db', 'cart', 'mail', 'dns'].map((name) => podIdentity(name))
  return Array.from({ length: amount }, () => randomFlow(random, workloads))
}

function randomFlow(random: Random, workloads: readonly Identity[]): FlowRecord {
  const lastAtUs = START_US + random.int(7_200_000_000)
  const length = random.chance(0.02) ? random.int(50 * 3_600_000_000) : random.chance(0.2) ? random.int(1_800_000_000) : 0
  const isOutside = random.chance(0.2)
  const isOriented = random.chance(0.9)
  return flowRecord({
    firstAtUs: lastAtUs - length, lastAtUs, initiator: random.pick(workloads),
    responder: isOutside ? externalIdentity() : random.pick(workloads),
    responderIp: isOutside ? `203.0.${random.int(4)}.${random.int(256)}` : `10.0.2.${random.int(9)}`,
    protocol: random.chance(0.8) ? 'TCP' : 'UDP', port: random.pick([53, 80, 443, 5432]),
    initiatorPort: isOriented ? 0 : 32_768 + random.int(3), orientation: isOriented ? random.pick(['tcp-flags', 'is-reply'] as const) : 'unoriented',
    side: random.pick(['client', 'server', 'unknown'] as const), observedVerdict: random.pick(['allowed', 'allowed', 'denied', 'audit'] as const),
    flows: 1 + random.int(3), digestHi: random.int(2 ** 32), digestLo: random.int(2 ** 32),
  })
}
