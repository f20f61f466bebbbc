import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { createNormalizer } from '../../../../src/core/normalize/normalizer.ts'
import { edgeOf, flow, flowOf, tcp, verdictOf, wrap, type Json } from '../hubble-records.ts'

const raw = (namespace: string, name: string, app: string): Json => ({ namespace, pod_name: name, labels: [`app=${app}`, 'pod-template-hash=7d4b9c6f58'], workloads: [{ name: app, kind: 'Deployment' }] })
const WEB = raw('shop', 'web-7d4b9c6f58-x2k9p', 'web')
const API = raw('shop', 'api-7d4b9c6f58-2zj8k', 'api')
const METADATA = { '@type': 'type.googleapis.com/utils.RetinaMetadata', bytes: '60', tcp_id: '7' }

/** A packet from api back to web, as Retina writes it without connection tracking. */
function packet(changes: Json = {}): Json {
  return flow({
    source: API, destination: WEB, IP: { source: '10.0.2.20', destination: '10.0.1.10' }, l4: tcp(8080, 40_000, 'ACK'), is_reply: false,
    event_type: { type: 4, sub_type: 10 }, traffic_direction: 'INGRESS', trace_observation_point: 'FROM_NETWORK', extensions: METADATA, ...changes,
  })
}

describe('is_reply false', () => {
  test.each<[string, unknown]>([
    ['the metadata of its own type', METADATA],
    ['metadata in a Struct', { '@type': 'type.googleapis.com/google.protobuf.Struct', value: { bytes: 60 } }],
    ['metadata without type', { bytes: '60' }],
    ['metadata as bytes', { type_url: 'type.googleapis.com/utils.RetinaMetadata', value: 'CDwQBw==' }],
    ['no metadata, but labels without source', undefined],
  ])('of Retina proves nothing: %s', (_, extensions) => {
    expect(flowOf(packet({ extensions }))).toMatchObject({ orientation: 'unoriented', observedVerdict: 'allowed' })
    expect([flowOf(packet({ extensions })).port, flowOf(packet({ extensions })).initiatorPort].sort()).toEqual([40_000, 8080])
  })

  test('still proves the direction where another producer adds metadata', () => {
    expect(flowOf(flow({ extensions: { '@type': 'type.example.org/vendor.Extra', bytes: 5 } })).orientation).toBe('is-reply')
    expect(flowOf(flow({ extensions: 'x' })).orientation).toBe('is-reply')
  })
})

test('the handshake and is_reply true prove the direction', () => {
  expect(edgeOf(packet({ l4: tcp(8080, 40_000, 'SYN', 'ACK') }))).toBe('shop/web -> shop/api:8080')
  expect(edgeOf(packet({ is_reply: true }))).toBe('shop/web -> shop/api:8080')
})

test('the verdicts of its own: a retransmission is no verdict, a DNS message enriches', () => {
  expect(flowOf(packet({ verdict: 15 })).observedVerdict).toBe('unknown')
  expect(verdictOf(packet({ verdict: 16 }))).toBe('ignored enrichment')
})

test('labels are the pod\'s own, the namespace its field', () => {
  expect(flowOf(packet({ is_reply: true })).initiator).toMatchObject({ kind: 'pod', namespace: 'shop', labels: { app: 'web', 'pod-template-hash': '7d4b9c6f58' }, workload: { kind: 'Deployment', name: 'web' } })
})

test('the same packet at several points is told apart, and makes one edge', () => {
  const points = ['FROM_NETWORK', 'TO_NETWORK', 'TO_STACK', 'TO_ENDPOINT'].map((point) => flowOf(packet({ is_reply: true, trace_observation_point: point })))
  expect(new Set(points.map((p) => `${p.digestHi}-${p.digestLo}`)).size).toBe(4)
  expect(new Set(points.map((p) => `${p.initiator.key} ${p.responder.key} ${p.port}`)).size).toBe(1)
})

test('packets that it left out are a coverage event', () => {
  const notes = (extensions: unknown): string[] => {
    const normalizer = createNormalizer({ cluster: 'c1' })
    normalizer.normalize(packet({ extensions }))
    return normalizer.takeCoverage().map((c) => `${c.type} ${c.node}`)
  }
  expect(notes({ ...METADATA, previously_observed_packets: '3' })).toEqual(['sampling node-1'])
  expect(notes({ '@type': 'type.googleapis.com/google.protobuf.Struct', value: { previouslyObservedPackets: 3 } })).toEqual(['sampling node-1'])
  expect(notes({ ...METADATA, previously_observed_packets: 0 })).toEqual([])
  expect(notes(METADATA)).toEqual([])
})

test('the format page shows a line that is read', () => {
  const page = readFileSync(new URL('../../../../docs/sources/retina.md', import.meta.url), 'utf8')
  const line = /```json\n([^\n]+)\n```/.exec(page)?.[1] ?? ''
  expect(edgeOf(JSON.parse(line))).toBe(edgeOf(wrap(packet({ l4: tcp(8080, 40_000, 'SYN', 'ACK') }))))
})
