import { describe, expect, test } from '@jest/globals'
import type { FlowRecord, Outcome } from '../../../src/core/flow/flow-record.ts'
import { createNormalizer } from '../../../src/core/normalize/normalizer.ts'
import { createDecoder } from '../../../src/decode/decode-chunk.ts'
import { createFastPath } from '../../../src/decode/fast-path.ts'

const hubble = (nodeName: string): object => ({
  flow: {
    time: '2026-01-02T03:04:05Z', verdict: 'FORWARDED', IP: { source: '10.0.1.1', destination: '10.0.1.2', ipVersion: 'IPv4' },
    l4: { TCP: { source_port: 40_000, destination_port: 80, flags: { SYN: true } } }, source: { namespace: 'a', pod_name: 'p', labels: ['k8s:app=p'] },
    destination: { namespace: 'a', pod_name: 'q', labels: ['k8s:app=q'] }, Type: 'L3_L4', node_name: nodeName, event_type: { type: 4 }, traffic_direction: 'INGRESS', is_reply: false,
  },
  node_name: nodeName, time: '2026-01-02T03:04:05Z',
})
const netobserv = (cluster?: string): object => ({
  SrcAddr: '10.0.1.1', DstAddr: '10.0.1.2', SrcPort: 40_000, DstPort: 80, Proto: 6, Etype: 2048, TimeFlowStartMs: 1_767_323_045_000, TimeFlowEndMs: 1_767_323_045_000,
  SrcK8S_Name: 'p', SrcK8S_Namespace: 'a', SrcK8S_Type: 'Pod', DstK8S_Name: 'q', DstK8S_Namespace: 'a', DstK8S_Type: 'Pod', FlowDirection: 0, Flags: 2, K8S_FlowLayer: 'app',
  ...(cluster !== undefined && { K8S_ClusterName: cluster }),
})
const calico = (cluster?: string): object => ({
  start_time: 1_767_323_000, end_time: 1_767_323_045, source_ip: '10.0.1.1', source_name: 'p', source_name_aggr: 'p', source_namespace: 'a', source_type: 'wep', source_port: 40_000,
  dest_ip: '10.0.1.2', dest_name: 'q', dest_name_aggr: 'q', dest_namespace: 'a', dest_type: 'wep', dest_port: 80, proto: 'tcp', action: 'allow', reporter: 'dst',
  num_flows: 1, num_flows_started: 1, num_flows_completed: 0, policies: null, ...(cluster !== undefined && { cluster }),
})

const bound = { cluster: 'prod', isBound: true, clusterAliases: ['gke_prod'] }

/** By the full parse and by the byte path, which must agree. */
function read(record: object, options: Parameters<typeof createNormalizer>[0]): string {
  const show = (outcome: Outcome): string => (outcome.kind === 'rejected' ? `rejected ${outcome.code}` : outcome.kind === 'flow' ? `flow ${(outcome satisfies FlowRecord).format}` : outcome.reason)
  const full = show(createNormalizer(options).normalize(record))
  const normalizer = createNormalizer(options)
  const decoder = createDecoder({ fastPath: createFastPath(normalizer) })
  const [item] = decoder.push(Buffer.from(`${JSON.stringify(record)}\n`))
  expect(show(item?.problem ?? item?.outcome ?? normalizer.normalize(item?.value))).toBe(full)
  return full
}

describe('a source that is bound to a cluster', () => {
  test.each([
    ['Hubble', hubble('prod/node-1'), 'flow hubble'],
    ['Hubble, an alias', hubble('gke_prod/node-1'), 'flow hubble'],
    ['Hubble of a cluster without a name', hubble('default/node-1'), 'flow hubble'],
    ['Hubble without a claim', hubble('node-1'), 'flow hubble'],
    ['Hubble of another cluster', hubble('dev/node-1'), 'rejected foreign-cluster'],
    ['NetObserv', netobserv('prod'), 'flow netobserv'],
    ['NetObserv without a claim', netobserv(), 'flow netobserv'],
    ['NetObserv of another cluster', netobserv('dev'), 'rejected foreign-cluster'],
    ['Calico', calico('gke_prod'), 'flow calico-enterprise'],
    ['Calico without a claim', calico(), 'flow calico-enterprise'],
    ['Calico of another cluster', calico('dev'), 'rejected foreign-cluster'],
  ])('%s', (_, record, expected) => {
    expect(read(record, bound)).toBe(expected)
    expect(read(record, { cluster: 'prod' })).not.toBe('rejected foreign-cluster')
  })

  test('says what is wrong and what to do', () => {
    expect(createNormalizer(bound).normalize(hubble('dev/node-1'))).toMatchObject({
      code: 'foreign-cluster', detail: 'the record is of cluster "dev", its source is bound to "prod"; if that is its name in the logs, add it to FLOWFENCE_CLUSTER_ALIASES',
    })
  })
})
