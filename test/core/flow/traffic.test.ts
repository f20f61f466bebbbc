import { describe, expect, test } from '@jest/globals'
import type { ObservedEdge } from '../../../src/core/flow/edge.ts'
import type { Orientation } from '../../../src/core/flow/flow-record.ts'
import { buildIdentityMap } from '../../../src/core/flow/identity-map.ts'
import { buildTraffic } from '../../../src/core/flow/traffic.ts'
import type { Listeners } from '../../../src/core/flow/orient.ts'
import { groupWorkloads } from '../../../src/core/flow/workloads.ts'
import { classEnd, edge, pod } from '../../support/observed-edges.ts'
import { createRandom } from '../../support/random.ts'

const web = pod('shop/web', { app: 'web' })
const db = pod('shop/db', { app: 'db' })

function read(edges: readonly ObservedEdge[], isDeclared?: Listeners): string[] {
  const identities = edges.flatMap((e) => [e.from, e.to])
  const traffic = buildTraffic(edges, groupWorkloads(identities, buildIdentityMap(identities)), isDeclared)
  return traffic.map((t) => `${t.from.identity.workload?.name ?? t.from.identity.kind}->${t.to.identity.workload?.name ?? t.to.identity.kind}:${t.port}/${t.protocol} ${t.orientation} ${t.sightings.map((s) => `${s.side}:${s.verdict}x${s.flows}`).join(' ')}`)
}

describe('orientation from other records', () => {
  test('an unoriented reply follows the edge seen forward, with sides mirrored', () => {
    expect(read([edge(web, db, '40000/TCP', { seen: 'server:allowed' }), edge(db, web, '51000/TCP', { fromPort: 40000, seen: 'client:allowed' })]))
      .toEqual(['web->db:40000/TCP verdict-event server:allowedx2'])
  })

  test('a known listener decides, even on a high port', () => {
    const other = pod('shop/api', { app: 'api' })
    expect(read([edge(other, db, '40000/TCP'), edge(db, web, '51000/TCP', { fromPort: 40000 })])).toContain('web->db:40000/TCP listener client:allowedx1 server:allowedx1')
  })

  test('a port that cluster state declares is a listener', () => {
    expect(read([edge(db, web, '51000/TCP', { fromPort: 40000 })], (party, _protocol, port) => party.identity.workload?.name === 'db' && port === 40000))
      .toEqual(['web->db:40000/TCP listener client:allowedx1 server:allowedx1'])
  })

  test('port ranges decide when one port is a service port and the other ephemeral', () => {
    expect(read([edge(db, web, '51000/UDP', { fromPort: 53 })])).toEqual(['web->db:53/UDP port-range client:allowedx1 server:allowedx1'])
  })

  test('a port of the NodePort range is neither a server\'s nor a client\'s', () => {
    expect(read([edge(db, web, '51000/TCP', { fromPort: 30_080 })])[0]).toContain('unoriented')
  })

  test('a high port that met several low ones is no client\'s: hosts may take client ports from a wider range', () => {
    const calls = [20_001, 20_002, 20_003].map((fromPort) => edge(db, web, '50051/TCP', { fromPort }))
    expect(read(calls).every((text) => text.includes('unoriented'))).toBe(true)
    expect(read([edge(db, web, '50051/TCP', { fromPort: 5432 }), edge(db, web, '50052/TCP', { fromPort: 5432 })])).toEqual(['web->db:5432/TCP port-range client:allowedx2 server:allowedx2'])
  })

  test('contradictory evidence leaves an edge unoriented, whatever weaker evidence says', () => {
    const both = [edge(web, db, '40000/TCP'), edge(db, web, '8080/TCP')]
    expect(read([...both, edge(db, web, '8080/TCP', { fromPort: 40_000 })]).filter((text) => text.includes('unoriented'))).toHaveLength(1)
  })

  test('two ephemeral ports without evidence stay unoriented', () => {
    expect(read([edge(db, web, '51000/TCP', { fromPort: 40000 })])[0]).toContain('unoriented')
  })

  test('a proof that arrives later re-judges by itself, in any order', () => {
    const random = createRandom(3)
    const edges = [
      edge(db, web, '51000/TCP', { fromPort: 40000 }), edge(web, db, '40000/TCP'), edge(db, web, '52000/TCP', { fromPort: 40000 }),
      edge(web, classEnd('external'), '443/TCP', { ips: ['192.0.2.1'] }), edge(web, classEnd('external'), '443/TCP', { ips: ['192.0.2.2'], fromPort: 50000 }),
    ]
    const expected = read(edges)
    for (let i = 0; i < 20; i++) expect(read(random.shuffle(edges))).toEqual(expected)
  })
})

describe('stray late packets', () => {
  test('an ephemeral port vouched for only by is_reply is taken back where the opposite direction was seen', () => {
    expect(read([edge(web, db, '5432/TCP'), edge(db, web, '51000/TCP', { orientation: 'is-reply' })])).toEqual([
      'db->web:51000/TCP unoriented client:allowedx1 server:allowedx1', 'web->db:5432/TCP verdict-event client:allowedx1 server:allowedx1',
    ])
  })

  test('are taken back also where several raw identities show them, and towards other replicas of the same workload', () => {
    const rollout = (hash: string): ReturnType<typeof pod> => pod('shop/db', { app: 'db', 'controller-revision-hash': hash })
    const strays = ['a', 'b'].map((hash) => edge(rollout(hash), web, '51000/TCP', { orientation: 'conntrack' }))
    expect(read([edge(web, rollout('a'), '5432/TCP'), ...strays])[0]).toMatch(/^db->web:51000\/TCP unoriented /)
    expect(read([edge(db, db, '5432/TCP'), edge(db, db, '51234/TCP', { orientation: 'conntrack' })])[1]).toMatch(/^db->db:51234\/TCP unoriented /)
  })

  test('a real server on a high port keeps its proof', () => {
    expect(read([edge(web, db, '5432/TCP'), edge(db, web, '51000/TCP', { orientation: 'tcp-flags' })])[0]).toContain('tcp-flags')
    expect(read([edge(db, web, '51000/TCP', { orientation: 'is-reply' }), edge(web, web, '51000/TCP', { orientation: 'tcp-flags' })])[0]).toContain('is-reply')
    const isDeclared: Listeners = (party, _protocol, port) => party.identity.workload?.name === 'web' && port === 51_000
    expect(read([edge(web, db, '5432/TCP'), edge(db, web, '51000/TCP', { orientation: 'is-reply' })], isDeclared)[0]).toContain('is-reply')
  })

  test('an ephemeral port without a handshake is no server\'s, unless connections to it repeat', () => {
    const once = (protocol: string, orientation: Orientation): ObservedEdge => edge(db, web, `51000/${protocol}`, { orientation })
    const often = (observed: ObservedEdge): ObservedEdge => ({ ...observed, sightings: observed.sightings.map((s) => ({ ...s, flows: 3 })) })
    expect(read([once('TCP', 'is-reply')])[0]).toContain('unoriented')
    expect(read([often(once('TCP', 'is-reply'))])[0]).toContain('unoriented')
    expect(read([once('TCP', 'conntrack')])[0]).toContain('unoriented')
    expect(read([often(once('TCP', 'conntrack'))])[0]).toContain('conntrack')
    expect(read([often(once('UDP', 'is-reply'))])[0]).toContain('is-reply')
    expect(read([often(once('UDP', 'is-reply')), edge(web, db, '53/UDP')])[0]).toContain('unoriented')
  })
})

test('raw label sets of one workload merge into one edge and stay listed as pairs', () => {
  const next = pod('shop/web', { app: 'web', 'pod-template-hash': '86c57db685' })
  const identities = [web, next, db]
  const [only, ...rest] = buildTraffic([edge(web, db, '5432/TCP'), edge(next, db, '5432/TCP')], groupWorkloads(identities, buildIdentityMap(identities)))
  expect(rest).toEqual([])
  expect(only?.pairs.map((p) => p.from.labels)).toHaveLength(2)
  expect(only?.sightings.map((s) => s.flows)).toEqual([2, 2])
})

test('one unoriented edge per ephemeral port costs no more than its size', () => {
  const edges = Array.from({ length: 100_000 }, (_, i) => edge(i % 2 === 0 ? web : db, i % 2 === 0 ? db : web, `${32_768 + (i % 28_000)}/TCP`, { fromPort: 40_000 + Math.floor(i / 28_000) }))
  const identities = [web, db]
  const start = performance.now()
  expect(buildTraffic(edges, groupWorkloads(identities, buildIdentityMap(identities))).length).toBeGreaterThan(50_000)
  expect(performance.now() - start).toBeLessThan(15_000)
})
