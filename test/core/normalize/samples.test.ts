import { readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import type { FlowRecord, Outcome } from '../../../src/core/flow/flow-record.ts'
import { createNormalizer } from '../../../src/core/normalize/normalizer.ts'
import { createDecoder } from '../../../src/decode/decode-chunk.ts'
import { describeShared, sharedPath } from '../../support/shared.ts'

const CAPTURES = ['10', '330-dns', '348-http', '400-tcp', '400-udp'].map((name) => `hubble/basic-sample-${name}-flows.ndjson`)

function outcomes(...files: string[]): Outcome[] {
  const normalizer = createNormalizer({ cluster: 'c1' })
  return files.flatMap((file) => {
    const decoder = createDecoder()
    const bytes = readFileSync(sharedPath(`formats/samples/${file}`) as string)
    return [...decoder.push(bytes), ...decoder.end()].map((item) => item.problem ?? normalizer.normalize(item.value))
  })
}

function counts(list: readonly Outcome[]): Record<string, number> {
  const result: Record<string, number> = {}
  for (const o of list) {
    const key = o.kind === 'flow' ? `flow ${o.orientation}` : o.kind === 'ignored' ? `ignored ${o.reason}` : `rejected ${o.code}`
    result[key] = (result[key] ?? 0) + 1
  }
  return result
}

function flows(list: readonly Outcome[]): FlowRecord[] {
  return list.filter((o) => o.kind === 'flow')
}

function edge(r: FlowRecord): string {
  const name = (end: FlowRecord['initiator']): string => (end.kind === 'pod' ? `${end.namespace}/${end.labels.app ?? end.labels['k8s-app'] ?? end.workload?.name ?? '?'}` : end.kind)
  return `${name(r.initiator)} -> ${name(r.responder)}:${r.port}/${r.protocol}`
}

describeShared('real Hubble captures', () => {
  test('every line has an outcome: L7 enriches, hosts among themselves are ignored, nothing is refused', () => {
    expect(counts(outcomes(...CAPTURES))).toEqual({
      'flow is-reply': 333, 'flow tcp-flags': 84, 'flow verdict-event': 57, 'flow unoriented': 122, 'ignored enrichment': 891, 'ignored no-endpoint': 1,
    })
  })

  test('no oriented record has an ephemeral responder port', () => {
    const high = flows(outcomes(...CAPTURES)).filter((r) => r.orientation !== 'unoriented' && r.port >= 32_768)
    expect(high.map(edge)).toEqual([])
  })

  test('the application\'s edges are there, once forward', () => {
    const edges = new Set(flows(outcomes(...CAPTURES)).filter((r) => r.orientation !== 'unoriented').map(edge))
    for (const expected of [
      'bookinfo/productpage -> bookinfo/details:9080/TCP', 'bookinfo/productpage -> bookinfo/reviews:9080/TCP', 'bookinfo/productpage -> kube-system/kube-dns:53/UDP',
      'bookinfo/ratings -> kube-system/kube-dns:53/UDP', 'istio-system/prometheus -> bookinfo/reviews:15090/TCP', 'host -> bookinfo/productpage:9080/TCP',
      'kube-system/event-exporter -> external:443/TCP',
    ]) expect(edges).toContain(expected)
    expect([...edges].filter((e) => e.startsWith('bookinfo/details ->') || e.startsWith('kube-system/kube-dns -> bookinfo'))).toEqual([])
  })

  test('labels are the pods\' own', () => {
    for (const { initiator, responder } of flows(outcomes(...CAPTURES))) {
      for (const key of [...Object.keys(initiator.labels), ...Object.keys(responder.labels)]) expect(key).not.toMatch(/^k8s:|^io\.cilium|^io\.kubernetes|:/)
    }
  })

  test('no record is taken for another', () => {
    const seen = new Set(flows(outcomes(...CAPTURES.slice(1))).map((r) => `${r.digestHi}-${r.digestLo}`))
    const lines = flows(outcomes(...CAPTURES.slice(1))).length
    // Some lines occur in two captures.
    expect(lines - seen.size).toBe(duplicateLines())
  })
})

function duplicateLines(): number {
  const lines = CAPTURES.slice(1).flatMap((file) => readFileSync(sharedPath(`formats/samples/${file}`) as string, 'utf8').split('\n')).filter((l) => l.includes('"L3_L4"'))
  return lines.length - new Set(lines).size
}

describeShared('other reference lines', () => {
  test('encoder output: control records, masked and empty flows', () => {
    expect(counts(outcomes('hubble/encoder-golden.ndjson'))).toEqual({ 'ignored control': 6, 'ignored empty': 4 })
  })

  test('lines of a field mask: ICMPv6, and a denied SYN between pods without labels', () => {
    const list = outcomes('hubble/export-fieldmask.ndjson')
    expect(counts(list)).toEqual({ 'ignored icmp': 1, 'flow tcp-flags': 1 })
    expect(flows(list)[0]).toMatchObject({
      initiator: { namespace: 'default', name: 'xwing', labelQuality: 'none' }, responder: { workload: { kind: 'Deployment', name: 'deathstar' } },
      port: 80, observedVerdict: 'denied', side: 'unknown', node: 'kind-worker',
    })
  })

  test('Calico documentation rows: full rows are read, fragments name what they lack', () => {
    const list = outcomes('calico/enterprise-docs.ndjson')
    expect(list.map((o) => (o.kind === 'flow' ? edge(o) : o.kind === 'ignored' ? o.reason : `${o.code} ${o.detail}`))).toEqual([
      'policy-demo/access -> policy-demo/nginx:80/TCP', 'missing-field end_time: absent', 'forwarded', 'policy-demo/access -> policy-demo/nginx:80/TCP',
      'policy-demo/access -> policy-demo/nginx:80/TCP',
    ])
    expect(flows(list).map((r) => [r.flows, r.initiator.labelQuality])).toEqual([[1, 'full'], [1, 'full'], [47, 'intersection']])
  })
})
