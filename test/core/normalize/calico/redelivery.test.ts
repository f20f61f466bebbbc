import { describe, expect, test } from '@jest/globals'
import { NO_HISTORY } from '../../../../src/core/cluster/cluster-history.ts'
import type { ClusterHistory, HistoryPod } from '../../../../src/core/cluster/cluster-history.ts'
import { createNormalizer } from '../../../../src/core/normalize/normalizer.ts'

const POD: HistoryPod = {
  namespace: 'shop', name: 'web-7d4b9c6f58-x2k9p', labels: { app: 'web' }, namespaceLabels: {}, workload: { kind: 'Deployment', name: 'web' }, hostNetwork: false, nodeName: 'n1', ports: [],
}
/** A state that knows the pod by its name and its address, and a Service's backends. */
const STATE: ClusterHistory = {
  ...NO_HISTORY,
  holderOf: (ip) => (ip === '10.0.1.10' ? { kind: 'pod', pod: POD } : ip === '10.96.0.9' ? { kind: 'service', namespace: 'shop', name: 'web' } : { kind: 'unknown' }),
  podNamed: (namespace, name) => (namespace === 'shop' && name === POD.name ? POD : undefined),
  backendsOf: () => ({ pods: [POD], port: 8080 }),
}

const WEP = { dest_ip: null, dest_name: 'db-0', dest_name_aggr: 'db-*', dest_namespace: 'shop', dest_type: 'wep', dest_labels: { labels: ['app=db'] }, dest_port: 5432 }
const ROW = { start_time: 1_767_323_045, end_time: 1_767_323_345, proto: 'tcp', action: 'allow', reporter: 'src', num_flows: 1, host: 'n1', source_port: null, ...WEP }
const NAMED = { source_ip: null, source_name: POD.name, source_name_aggr: 'web-7d4b9c6f58-*', source_namespace: 'shop', source_type: 'wep', source_labels: null }
const NETWORK = { source_ip: '10.0.1.10', source_name: '-', source_name_aggr: 'pvt', source_namespace: '-', source_type: 'net', source_labels: null }
const TO_SERVICE = { ...NAMED, dest_ip: '10.96.0.9', dest_name: '-', dest_name_aggr: 'pvt', dest_namespace: '-', dest_type: 'net', dest_labels: null, dest_port: 80 }
const KEY = { source_name: POD.name, source_namespace: 'shop', source_type: 1, dest_name: 'db-*', dest_namespace: 'shop', dest_type: 1, dest_port: 5432, proto: 'tcp', reporter: 1, action: 1 }

describe('a row that is delivered again after cluster state has arrived is the same row', () => {
  test.each<[string, object]>([
    ['a pod without labels', { ...ROW, ...NAMED }], ['an address', { ...ROW, ...NETWORK }], ['a Service before translation', { ...ROW, ...TO_SERVICE }],
    ['a Goldmane flow without labels', { Key: KEY, start_time: 1_767_323_045, end_time: 1_767_323_060, dest_labels: ['app=db'], num_connections_started: 1 }],
    ['a text line', '1767323045 1767323345 wep shop web-7d4b9c6f58-x2k9p - wep shop db-* [app=db] - - 6 - 5432 1 1 1 out 1 1 1 1 allow' as unknown as object],
  ])('%s', (_, row) => {
    const read = (history: ClusterHistory) => {
      const outcome = createNormalizer({ cluster: 'c1', history: () => history }).normalize(row)
      if (outcome.kind !== 'flow') throw new Error(JSON.stringify(outcome))
      return outcome
    }
    const [before, after] = [read(NO_HISTORY), read(STATE)]
    // State does change who the end is, or the test shows nothing.
    expect(after.initiator.key === before.initiator.key && after.responder.key === before.responder.key).toBe(false)
    expect([after.digestHi, after.digestLo]).toEqual([before.digestHi, before.digestLo])
  })
})
