import { describe, expect, test } from '@jest/globals'
import type { ClusterHistory, HistoryPod } from '../../../../src/core/cluster/cluster-history.ts'
import { createNormalizer } from '../../../../src/core/normalize/normalizer.ts'
import { createRandom, rounds, type Random } from '../../../support/random.ts'

const KEYS = [
  'flowStartSeconds', 'flowEndSeconds', 'sourceIP', 'destinationIP', 'sourceTransportPort', 'destinationTransportPort', 'protocolIdentifier', 'sourcePodName', 'sourcePodNamespace',
  'sourceNodeName', 'destinationPodName', 'destinationPodNamespace', 'destinationNodeName', 'destinationClusterIP', 'destinationServiceIP', 'destinationServicePort',
  'destinationServicePortName', 'ingressNetworkPolicyName', 'ingressNetworkPolicyNamespace', 'ingressNetworkPolicyRuleName', 'ingressNetworkPolicyRuleAction', 'ingressNetworkPolicyType',
  'egressNetworkPolicyName', 'egressNetworkPolicyNamespace', 'egressNetworkPolicyRuleName', 'egressNetworkPolicyRuleAction',
]
const PODS: readonly (readonly string[])[] = [
  ['web-7d4b9c6f58-x2k9p', 'shop', 'worker-1'], ['web-7d4b9c6f58-x2k9p', 'shop', 'worker-2'], ['db-0', 'shop', 'worker-2'], ['db-0', 'other', 'worker-2'], ['db-1', 'shop', 'worker-2'],
  ['', '', ''], ['', '', 'worker-1'], ['job', '', 'worker-1'],
]
const ROUNDS = rounds({ small: 3000, full: 10_000 })
const IPS = ['10.244.1.10', '10.244.2.20', '10.244.2.21', '203.0.113.9', '10.96.0.44', '172.18.0.2', '224.0.0.1', '169.254.169.254', 'fd00::7']
const SERVICES = [['', '', '', ''], ['10.96.0.44', '', '5433', 'shop/db:pg'], ['', '10.96.0.44', '5433', 'shop/db:pg'], ['10.96.0.1', '', '443', 'default/kubernetes:https']]
const ACTIONS = ['', '0', '1', '2', '3', 'Allow', 'Drop', 'Reject', 'NoAction']
const TIMES = ['1767323045', '1767323105', '1767323046']

/** Columns of an ordinary line; most of them repeat, as in logs. */
function columnsOf(random: Random): string[] {
  const policy = (): string[] => [random.pick(['', 'db', 'web']), random.pick(['', 'shop']), '', random.pick(ACTIONS), random.pick(['', '1'])]
  return [
    random.pick(TIMES), random.pick(TIMES), random.pick(IPS), random.pick(IPS), String(random.int(70_000)), random.pick(['80', '5432', '0', '6443', '00443']),
    random.pick(['6', '17', '132', 'TCP', 'UDP', '1', '47']), ...random.pick(PODS), ...random.pick(PODS), ...random.pick(SERVICES), ...policy(), ...policy(), '', '', '',
  ]
}

const known: HistoryPod = {
  namespace: 'shop', name: 'db-0', labels: { app: 'db' }, namespaceLabels: {}, workload: { kind: 'StatefulSet', name: 'db' }, hostNetwork: false, nodeName: 'worker-2', ports: [],
}
/** Knows `db-0` up to a moment between the times. */
const history: ClusterHistory = {
  holderOf: (ip, atUs) => (ip === '10.244.2.20' && atUs < 1_767_323_100_000_000 ? { kind: 'pod', pod: known } : { kind: 'unknown' }),
  podNamed: (namespace, name, atUs) => (namespace === 'shop' && name === 'db-0' && atUs < 1_767_323_100_000_000 ? known : undefined),
  backendsOf: () => undefined,
}

const open = (): ReturnType<typeof createNormalizer> => createNormalizer({ cluster: 'c1', podCidrs: ['10.244.0.0/16'], history: () => history })

describe('ordinary lines of the flow log', () => {
  test('give what records with the same values give, digest included, however often their parts came before', () => {
    const random = createRandom(11)
    const normalizer = open()
    let flows = 0
    for (let i = 0; i < ROUNDS; i++) {
      const columns = columnsOf(random)
      const outcome = normalizer.normalize(columns.join(','))
      const record: Record<string, string> = {}
      for (const [at, key] of KEYS.entries()) if (key !== 'destinationServiceIP' || columns[at] !== '') record[key] = columns[at] ?? ''
      const asRecord = normalizer.normalize(record)
      if (asRecord.kind === 'rejected') {
        expect(outcome.kind).toBe('rejected')
        continue
      }
      if (outcome.kind === 'flow') flows++
      expect(outcome).toEqual(asRecord)
    }
    expect(flows).toBeGreaterThan(ROUNDS / 20)
  })

  test('are told apart by names that end alike', () => {
    const normalizer = open()
    const pods = Array.from({ length: 40 }, (_, i) => `app-${i}-7d4b9c6f58-x2k9p`)
    for (let round = 0; round < 2; round++) {
      for (const pod of pods) {
        const line = `1767323045,1767323105,10.244.1.10,10.244.2.20,40000,5432,6,${pod},shop,worker-1,db-1,shop,worker-2,,,,,,,,1,1,,,,0,0,,,`
        expect(normalizer.normalize(line)).toMatchObject({ kind: 'flow', initiatorPod: pod, responderPod: 'db-1', initiator: { workload: { name: pod.slice(0, -17) } } })
      }
    }
  })

  test('lack an address whether their pods came before or not', () => {
    const line = '1767323045,1767323105,,10.244.2.20,40000,5432,6,web-7d4b9c6f58-x2k9p,shop,worker-1,db-1,shop,worker-2,,,,,,,,1,1,,,,0,0,,,'
    const normalizer = open()
    for (const address of ['', '10.244.1.10', '']) {
      expect(normalizer.normalize(line.replace(',,', `,${address},`)).kind).toBe(address === '' ? 'rejected' : 'flow')
    }
  })
})
