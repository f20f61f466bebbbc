import { describe, expect, test } from '@jest/globals'
import { DB, edgeOf, flow, flowOf, pod, reply, reserved, tcp, udp, verdictOf, WEB, WORLD, wrap, type Json } from '../hubble-records.ts'

const FORWARD = 'shop/web -> shop/db:5432'

/** `edge evidence side`. */
function oriented(inner: Json): string {
  const record = flowOf(wrap(inner))
  return `${edgeOf(wrap(inner))} ${record.orientation} ${record.side}`
}

describe('who opened the connection', () => {
  test('a forward packet goes from initiator to responder; is_reply proves it', () => {
    expect(oriented(flow())).toBe(`${FORWARD} is-reply client`)
  })

  test('a reply is swapped, with its ports; the direction is the connection\'s', () => {
    expect(oriented(reply({ traffic_direction: 'INGRESS' }))).toBe(`${FORWARD} is-reply server`)
    expect(oriented(reply({ traffic_direction: 'EGRESS' }))).toBe(`${FORWARD} is-reply client`)
  })

  test('addresses and pod names are swapped with a reply', () => {
    expect(flowOf(wrap(reply()))).toMatchObject({
      initiatorIp: '10.0.1.10', responderIp: '10.0.2.20', initiatorPod: 'web-7d4b9c6f58-x2k9p', responderPod: 'db-0',
    })
  })

  test('the old reply flag counts when is_reply is absent', () => {
    expect(oriented(reply({ is_reply: undefined, reply: true, traffic_direction: 'EGRESS' }))).toBe(`${FORWARD} is-reply client`)
  })

  test('absent is_reply and reply mean unknown, not false', () => {
    expect(flowOf(wrap(flow({ is_reply: undefined }))).orientation).toBe('unoriented')
  })

  test('SYN without ACK is the initiator\'s packet, SYN with ACK the responder\'s', () => {
    expect(oriented(flow({ is_reply: undefined, l4: tcp(40_000, 5432, 'SYN') }))).toBe(`${FORWARD} tcp-flags client`)
    expect(oriented(reply({ is_reply: undefined, l4: tcp(5432, 40_000, 'SYN', 'ACK'), traffic_direction: 'EGRESS' }))).toBe(`${FORWARD} tcp-flags server`)
    expect(oriented(reply({ is_reply: true, l4: tcp(5432, 40_000, 'SYN', 'ACK'), traffic_direction: 'INGRESS' }))).toBe(`${FORWARD} tcp-flags server`)
  })

  test('a late RST or FIN proves nothing by its flags, but is_reply still does', () => {
    expect(oriented(reply({ l4: tcp(5432, 40_000, 'RST') }))).toBe(`${FORWARD} is-reply client`)
    expect(flowOf(wrap(reply({ is_reply: undefined, l4: tcp(5432, 40_000, 'FIN', 'ACK') }))).orientation).toBe('unoriented')
  })

  test('a policy-verdict event is always in the initiator\'s direction', () => {
    const event = { event_type: { type: 5 }, policy_match_type: 2 }
    expect(oriented(flow({ ...event, is_reply: undefined }))).toBe(`${FORWARD} verdict-event client`)
    expect(oriented(flow({ ...event, traffic_direction: 'INGRESS' }))).toBe(`${FORWARD} verdict-event server`)
  })

  test('the strongest evidence wins a contradiction', () => {
    expect(oriented(flow({ event_type: { type: 5 }, is_reply: true }))).toBe(`${FORWARD} verdict-event client`)
    expect(oriented(flow({ event_type: { type: 5 }, l4: tcp(40_000, 5432, 'SYN', 'ACK') }))).toBe(`${FORWARD} verdict-event client`)
    expect(edgeOf(wrap(flow({ is_reply: true, l4: tcp(40_000, 5432, 'SYN') })))).toBe(FORWARD)
  })

  test('UDP replies are swapped: no edge has a client\'s ephemeral port', () => {
    expect(edgeOf(wrap(reply({ l4: udp(5432, 40_000) })))).toBe(FORWARD)
    expect(flowOf(wrap(flow({ l4: { UDP: { source_port: 40_000, destination_port: 5432 } }, is_reply: undefined }))).orientation).toBe('unoriented')
  })
})

describe('unoriented records', () => {
  const forward = flow({ is_reply: undefined, traffic_direction: undefined })
  const backward = reply({ is_reply: undefined, traffic_direction: undefined })

  test('keep both ports, in an order that does not depend on the packet', () => {
    expect(edgeOf(wrap(forward))).toBe('shop/web:40000 -> shop/db:5432')
    expect(edgeOf(wrap(backward))).toBe('shop/web:40000 -> shop/db:5432')
  })

  test('of one identity are ordered by address, then port', () => {
    const twin = pod('shop/web-7d4b9c6f58-zzzzz', 'app=web')
    const there = flow({ source: WEB, destination: twin, is_reply: undefined, IP: { source: '10.0.0.9', destination: '10.0.0.10' }, l4: tcp(1000, 2000) })
    const back = flow({ source: twin, destination: WEB, is_reply: undefined, IP: { source: '10.0.0.10', destination: '10.0.0.9' }, l4: tcp(2000, 1000) })
    expect(flowOf(there)).toMatchObject({ initiatorIp: '10.0.0.10', initiatorPort: 2000, port: 1000 })
    expect(flowOf(back)).toMatchObject({ initiatorIp: '10.0.0.10', initiatorPort: 2000, port: 1000 })
    const self = (a: number, b: number): Json => flow({ source: WEB, destination: WEB, is_reply: undefined, IP: { source: '10.0.0.9', destination: '10.0.0.9' }, l4: tcp(a, b) })
    expect(flowOf(self(1000, 2000))).toMatchObject({ initiatorPort: 1000, port: 2000 })
    expect(flowOf(self(2000, 1000))).toMatchObject({ initiatorPort: 1000, port: 2000 })
  })

  test('the side reads as if the first end were the initiator', () => {
    // web comes first. EGRESS without is_reply: the packet's source reported.
    expect(flowOf(wrap({ ...forward, traffic_direction: 'EGRESS' })).side).toBe('client')
    expect(flowOf(wrap({ ...forward, traffic_direction: 'INGRESS' })).side).toBe('server')
    expect(flowOf(wrap({ ...backward, traffic_direction: 'EGRESS' })).side).toBe('server')
    expect(flowOf(wrap({ ...backward, traffic_direction: 'INGRESS' })).side).toBe('client')
    expect(flowOf(wrap(forward)).side).toBe('unknown')
  })

  test('need both ports', () => {
    expect(verdictOf(flow({ is_reply: undefined, l4: { TCP: { destination_port: 5432 } } }))).toBe('rejected missing-field')
  })
})

describe('dropped packets', () => {
  const drop = { verdict: 'DROPPED', drop_reason_desc: 'POLICY_DENIED', event_type: { type: 1, sub_type: 133 }, is_reply: undefined }

  test('a dropped reply is not turned round by its direction: that only tells which end is local', () => {
    const record = flowOf(wrap(reply({ ...drop, traffic_direction: 'EGRESS' })))
    expect(record.orientation).toBe('unoriented')
    // The packet's source, db, is local; web comes first.
    expect(record.side).toBe('server')
  })

  test('a dropped SYN is oriented, on the side of the local end', () => {
    expect(oriented(flow({ ...drop, l4: tcp(40_000, 5432, 'SYN') }))).toBe(`${FORWARD} tcp-flags client`)
    expect(oriented(flow({ ...drop, l4: tcp(40_000, 5432, 'SYN'), traffic_direction: 'INGRESS' }))).toBe(`${FORWARD} tcp-flags server`)
  })

  test('a dropped SYN+ACK is reported by the responder\'s node when the packet left it', () => {
    expect(oriented(reply({ ...drop, l4: tcp(5432, 40_000, 'SYN', 'ACK'), traffic_direction: 'EGRESS' }))).toBe(`${FORWARD} tcp-flags server`)
  })
})

describe('ports after translation', () => {
  test('a reply with a translated source teaches no port', () => {
    expect(edgeOf(wrap(reply({ IP: { source: '10.0.2.20', source_xlated: '10.96.0.5', destination: '10.0.1.10' }, l4: tcp(80, 40_000, 'ACK') })))).toBe('shop/web -> shop/db:0')
  })

  test('masquerading of a forward packet changes nothing', () => {
    expect(edgeOf(wrap(flow({ destination: WORLD, IP: { source: '10.0.1.10', source_xlated: '192.0.2.1', destination: '203.0.113.9' }, l4: tcp(40_000, 443, 'ACK') })))).toBe('shop/web -> external:443')
  })

  test('an unoriented packet with a translated source keeps its ports only when the source port is ephemeral', () => {
    const xlated = { source: '10.0.1.10', source_xlated: '192.0.2.1', destination: '10.0.2.20' }
    expect(verdictOf(flow({ is_reply: undefined, IP: xlated }))).toBe('flow')
    expect(verdictOf(flow({ is_reply: undefined, IP: xlated, l4: tcp(80, 40_000) }))).toBe('rejected no-port')
  })

  test('a ClusterIP before translation is an unknown end without port, never an outside address', () => {
    const service = { destination_service: { name: 'db', namespace: 'shop' } }
    const record = flowOf(wrap(flow({ ...service, destination: WORLD, IP: { source: '10.0.1.10', destination: '10.96.0.5' } })))
    expect(record).toMatchObject({ responder: { kind: 'unknown' }, port: 0 })
    // Some clusters take Services' addresses from public ranges.
    expect(flowOf(flow({ ...service, destination: WORLD, IP: { source: '10.0.1.10', destination: '34.118.225.9' } }))).toMatchObject({ responder: { kind: 'unknown' }, port: 0 })
    // A translated backend is a pod, and its port is the pod's.
    expect(edgeOf(flow(service))).toBe(FORWARD)
  })

  test('a private address seen before translation may be a ClusterIP, although a field mask dropped the Service', () => {
    const untranslated = { destination: WORLD, IP: { source: '10.0.1.10', destination: '10.96.0.5' } }
    for (const trace_observation_point of ['FROM_ENDPOINT', 5]) {
      expect(flowOf(flow({ ...untranslated, trace_observation_point }))).toMatchObject({ responder: { kind: 'unknown' }, port: 0 })
    }
    expect(flowOf(flow({ ...untranslated, trace_observation_point: 'TO_STACK' }))).toMatchObject({ responder: { kind: 'external' }, port: 5432 })
    // The answer goes to who asked.
    const answered = flowOf(flow({ source: pod('web'), destination: WORLD, is_reply: true, l4: tcp(8080, 40_000, 'ACK'), IP: { source: '10.0.1.10', destination: '10.96.0.5' }, trace_observation_point: 'FROM_ENDPOINT' }))
    expect(answered).toMatchObject({ initiator: { kind: 'external' }, port: 8080 })
  })

  test('absent ports leave port 0 when the initiator is known, and nothing when both are absent', () => {
    expect(flowOf(flow({ l4: { TCP: { source_port: 40_000 } } })).port).toBe(0)
    expect(verdictOf(flow({ l4: { TCP: {} } }))).toBe('rejected missing-field')
  })

  test('an incoming connection from outside through a node keeps the node as initiator', () => {
    expect(edgeOf(wrap(flow({ source: reserved('remote-node'), destination: DB, traffic_direction: 'INGRESS' })))).toBe('node -> shop/db:5432')
  })
})
