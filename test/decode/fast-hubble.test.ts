import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import type { Outcome } from '../../src/core/flow/flow-record.ts'
import { createNormalizer, type Normalizer } from '../../src/core/normalize/normalizer.ts'
import { simulate } from '../../src/core/simulate/simulate.ts'
import { createDecoder, type FastPath } from '../../src/decode/decode-chunk.ts'
import { createFastPath } from '../../src/decode/fast-path.ts'
import { loadTopology } from '../../src/manifests/load-topology.ts'
import { START_US } from '../support/flow-records.ts'
import { createRandom, rounds, type Random } from '../support/random.ts'
import { describeShared, sharedPath } from '../support/shared.ts'

/** Without the running numbers of identities, which tell objects apart within one process. */
function comparable(outcome: Outcome | undefined): unknown {
  if (outcome?.kind !== 'flow') return outcome
  return { ...outcome, initiator: { ...outcome.initiator, index: 0 }, responder: { ...outcome.responder, index: 0 } }
}

/** Two normalizers that share nothing: what one remembers cannot hide what the other forgets. */
class Pair {
  readonly #slow: Normalizer = createNormalizer({ cluster: 'default' })
  readonly #fast: FastPath = createFastPath(createNormalizer({ cluster: 'default' }))
  lines = 0
  taken = 0

  /** The outcome of both, or throws where they differ. */
  check(line: string): Outcome | undefined {
    // Among other bytes, so that reading behind either end shows.
    const bytes = Buffer.from(`"}]{${line}"}]},1"`, 'latin1')
    const fast = this.#fast.read(bytes, 4, 4 + line.length)
    this.lines++
    if (fast === undefined) return undefined
    this.taken++
    const slow = this.slow(line)
    // Jest's own comparison only shows what differs: it costs more than all the rest.
    if (!isDeepStrictEqual(comparable(fast), comparable(slow))) expect({ line, outcome: comparable(fast) }).toEqual({ line, outcome: comparable(slow) })
    return fast
  }

  slow(line: string): Outcome | undefined {
    try {
      return this.#slow.normalize(JSON.parse(line))
    } catch {
      return undefined
    }
  }
}

async function simulated(name: string, amount: number, seed = 1): Promise<string[]> {
  const topology = await loadTopology(new URL(`../../examples/${name}`, import.meta.url).pathname)
  const lines: string[] = []
  for (const line of simulate(topology, { format: 'hubble', minutes: 60, seed, startUs: START_US }).lines()) if (lines.push(line) === amount) break
  return lines
}

const FLOW = {
  time: '2026-01-02T03:04:05.123456789Z', uuid: '0b5c1a7e-3f2d-4c8e-9a61-d2f0c4b7e913', verdict: 'FORWARDED',
  ethernet: { source: '0a:58:0a:f4:01:0b', destination: '0a:58:0a:f4:02:16' },
  IP: { source: '10.244.1.11', destination: '10.244.2.22', ipVersion: 'IPv4' },
  l4: { TCP: { source_port: 43210, destination_port: 8080, flags: { SYN: true } } },
  source: { ID: 7, identity: 1001, cluster_name: 'default', namespace: 'shop', labels: ['k8s:app=web', 'k8s:io.kubernetes.pod.namespace=shop'], pod_name: 'web-7c9f8d6b5-x2lqz', workloads: [{ name: 'web', kind: 'Deployment' }] },
  destination: { identity: 1002, cluster_name: 'default', namespace: 'shop', labels: ['k8s:app=cart', 'k8s:io.kubernetes.pod.namespace=shop'], pod_name: 'cart-6b7d9c5f4-q8wzn' },
  Type: 'L3_L4', node_name: 'default/node-1', event_type: { type: 4, sub_type: 3 }, traffic_direction: 'EGRESS', trace_observation_point: 'TO_STACK', trace_reason: 'NEW', is_reply: false,
  Summary: 'TCP Flags: SYN',
}
const asLine = (flow: object): string => JSON.stringify({ flow, node_name: 'default/node-1', time: FLOW.time })
const LINE = asLine(FLOW)

describe('the fast path of Hubble lines takes', () => {
  test.each(['shop.yaml', 'large-200.yaml'])('at least 95 % of the simulated lines of %s, each with the slow outcome', async (name) => {
    const pair = new Pair()
    for (const line of await simulated(name, rounds({ small: 6_000, full: 60_000 }))) pair.check(line)
    expect(pair.lines).toBeGreaterThan(4_000)
    expect(pair.taken / pair.lines).toBeGreaterThan(0.95)
  })

  test.each([
    ['a flow', FLOW],
    ['a flow without a uuid', { ...FLOW, uuid: undefined }],
    ['a drop by policy', { ...FLOW, verdict: 'DROPPED', drop_reason: 133, event_type: { type: 1, sub_type: 133 }, drop_reason_desc: 'POLICY_DENIED' }],
    ['a translated reply', { ...FLOW, IP: { source: '10.244.1.11', source_xlated: '10.96.0.10', destination: '10.244.2.22', ipVersion: 'IPv4' }, is_reply: true }],
    ['IPv6 addresses', { ...FLOW, IP: { source: 'fd00:10:244:1::b', destination: 'fd00:10:244:2::16', ipVersion: 'IPv6' } }],
    ['UDP', { ...FLOW, l4: { UDP: { source_port: 40000, destination_port: 53 } } }],
    ['Services with names', { ...FLOW, destination_service: { name: 'cart', namespace: 'shop' }, destination_names: ['cart.shop.svc.cluster.local'] }],
    ['a tunnel around other addresses and ports', { ...FLOW, tunnel: { protocol: 'VXLAN', IP: { source: '192.168.0.1', destination: '192.168.0.2' }, l4: { UDP: { source_port: 1, destination_port: 8472 } } } }],
    ['policies with names of their own', { ...FLOW, egress_allowed_by: [{ name: 'source', namespace: 'IP', labels: ['k8s:uuid=x'], kind: 'destination', revision: '3' }] }],
    ['layer 7', { ...FLOW, Type: 'L7', l7: { type: 'REQUEST', http: { url: 'http://a/?q="time":"x"', headers: [{ key: 'source', value: '{"source":{}}' }] } }, event_type: { type: 129 } }],
    ['ICMP', { ...FLOW, l4: { ICMPv4: { type: 8, code: 0 } } }],
    ['the key that Cilium before 1.10 writes', { ...FLOW, is_reply: undefined, reply: true }],
    ['keys in another order', Object.fromEntries(Object.entries(FLOW).reverse())],
    ['another name in the same labels', { ...FLOW, source: { ...FLOW.source, ID: 8, pod_name: 'web-7c9f8d6b5-k4mns' } }],
  ])('%s', (_, flow) => {
    const pair = new Pair()
    // Twice: walked, then recognised.
    const line = asLine(flow)
    const outcomes = [pair.check(line), pair.check(LINE), pair.check(line)]
    expect(outcomes[0]).toBeDefined()
    expect(outcomes[2]).toEqual(outcomes[0])
    expect(pair.taken).toBe(3)
  })
})

describe('the fast path of Hubble lines is not fooled by', () => {
  const cut = (from: string, to: string): string => {
    expect(LINE).toContain(from)
    return LINE.replace(from, to)
  }
  test.each([
    ['a key that comes twice', cut('"verdict":"FORWARDED"', '"verdict":"FORWARDED","verdict":"DROPPED"')],
    ['a second key in the tail', cut('"Summary"', '"uuid":"another","Summary"')],
    ['a second address', cut('"ipVersion"', '"source":"10.0.0.9","ipVersion"')],
    ['a second address of another type', cut('"ipVersion"', '"source":null,"ipVersion"')],
    ['a second port', cut('"destination_port":8080', '"destination_port":8080,"destination_port":9090')],
    ['a flag that is taken back', cut('"SYN":true', '"SYN":true,"SYN":false')],
    ['a second flow', cut('"node_name":"default/node-1","time"', '"flow":{},"time"')],
    ['an endpoint with two numbers', cut('"namespace":"shop","labels":["k8s:app=web"', '"ID":0,"namespace":"shop","labels":["k8s:app=web"')],
    ['an endpoint with two names', cut('"pod_name":"web-7c9f8d6b5-x2lqz"', '"pod_name":"web-7c9f8d6b5-x2lqz","pod_name":"db-0"')],
    ['a key spelled with an escape', cut('"verdict":"FORWARDED"', '"verdict":"FORWARDED","\\u0076erdict":"DROPPED"')],
    ['an escaped quote before a key', cut('"Summary":"TCP', '"Summary":"\\",\\"is_reply\\":true,\\"x\\":\\"TCP')],
    ['keys within a text', cut('TCP Flags: SYN', 'source:{ID:1},destination:{}')],
    ['keys within another object', cut('"Summary"', '"trace_context":{"parent":{"is_reply":true,"verdict":"DROPPED","time":"x"}},"Summary"')],
    ['a key that only starts like a known one', cut('"source":{"ID"', '"source_names":["a"],"source":{"ID"')],
    ['a key that differs in one letter', cut('"source":{"ID"', '"sou_ce":{"ID"')],
    ['a port with a fraction', cut('8080', '8080.5')],
    ['a port with an exponent', cut('8080', '8e3')],
    ['a port out of range', cut('8080', '80800')],
    ['a port with a leading zero', cut('8080', '08080')],
    ['a number of 400 digits', cut('"ID":7', `"ID":${'9'.repeat(400)}`)],
    ['a padded address', cut('10.244.1.11', '10.244.01.11')],
    ['an address with a part over 255', cut('10.244.1.11', '10.244.1.256')],
    ['an address that ends too soon', cut('10.244.1.11', '10.244.1')],
    ['an impossible day', cut('2026-01-02T', '2026-02-30T')],
    ['a time before 2000', cut('2026-01-02T', '1999-01-02T')],
    ['an offset', cut('05.123456789Z"', '05.123456789+01:00"')],
    ['too many digits of a second', cut('05.123456789Z"', '05.1234567890Z"')],
    ['a control character in a name', cut('web-7c9f8d6b5-x2lqz', 'web\u0001')],
    ['a raw tab in the uuid', cut('0b5c1a7e', '0b5c\t7e')],
    ['a null', cut('"is_reply":false', '"is_reply":null')],
    ['a comma too many', cut('"SYN":true}', '"SYN":true,}')],
    ['a comma too many behind a port', cut('8080,"flags":{"SYN":true}', '8080,')],
    ['a bracket that closes a brace', cut('"SYN":true}', '"SYN":true]')],
    ['blanks', cut('"verdict":', '"verdict": ')],
    ['something behind the line', `${LINE}{}`],
    ['a carriage return', `${LINE}\r`],
    ['a wrapper around the wrapper', `{"flow":${LINE}}`],
    ['a time of a shipper', cut('"node_name":"default/node-1","time"', '"node_name":"default/node-1","@timestamp":"2026-05-05T00:00:00Z","time"')],
    ['a node named by a shipper', LINE.replace(/\}$/, ',"kubernetes":{"host":"node-9"}}')],
    ['counters of an exporter that aggregates', cut('"Summary"', '"aggregate":{"ingress_flow_count":3,"egress_flow_count":2},"Summary"')],
    ['another format under the key flow', LINE.replace(/"(verdict|IP|l4)":/g, '"x$1":').replace('"Type":"L3_L4"', '"Type":"L7","connection":{},"disposition":"allow","SrcAddr":"10.0.0.1","DstAddr":"10.0.0.2","Proto":6,"TimeFlowEndMs":1767323045000')],
    ['metadata of another producer', cut('"Summary"', '"extensions":{"@type":"type.googleapis.com/retina.sh"},"Summary"')],
  ])('%s', (_, line) => {
    const pair = new Pair()
    pair.check(LINE)
    pair.check(line)
    pair.check(LINE)
    pair.check(line)
    expect(pair.taken).toBeGreaterThanOrEqual(2)
  })

  test('names of any length that differ in one character', () => {
    const pair = new Pair()
    const names = ['']
    for (let length = 1; length <= 17; length++) {
      const name = 'abcdefghijklmnopq'.slice(0, length)
      names.push(name, ...[...name].map((_, i) => `${name.slice(0, i)}z${name.slice(i + 1)}`))
    }
    for (let time = 0; time < 2; time++) {
      for (const name of names) {
        const outcome = pair.check(asLine({ ...FLOW, source: { ...FLOW.source, pod_name: name } }))
        expect(outcome).toMatchObject({ kind: 'flow', initiatorPod: name })
        expect(pair.check(asLine({ ...FLOW, destination: { ...FLOW.destination, pod_name: name } }))).toMatchObject({ kind: 'flow', responderPod: name })
      }
    }
    expect(pair.taken).toBe(pair.lines)
  })

  test('a line cut off anywhere', () => {
    const pair = new Pair()
    pair.check(LINE)
    for (let length = 0; length < LINE.length; length++) pair.check(LINE.slice(0, length))
    expect(pair.taken).toBe(1)
  })
})

/** A line with some bytes changed: ASCII, since other lines never come here. */
function mutate(random: Random, line: string, other: string): string {
  const at = random.int(line.length)
  const end = Math.min(line.length, at + random.int(40))
  switch (random.int(7)) {
    case 0: return line.slice(0, at) + random.pick([...'{}[]",:\\0123456789.eE-truefalsn \t\u0000']) + line.slice(at + 1)
    case 1: return line.slice(0, at) + line.slice(end)
    case 2: return line.slice(0, end) + line.slice(at)
    case 3: return line.slice(0, at) + String.fromCharCode(random.int(128)) + line.slice(at)
    case 4: return line.slice(0, at) + other.slice(at)
    case 5: return line.slice(0, at) + String.fromCharCode(line.charCodeAt(at) ^ (1 << random.int(7))) + line.slice(at + 1)
    default: return swapMembers(random, line)
  }
}

/** Takes one `"key":value` in front of another one: reordered and doubled keys that are still JSON. */
function swapMembers(random: Random, line: string): string {
  const members = line.match(/"[A-Za-z_0-9]+":(?:"[^"]*"|\d+|true|false|\{[^{}]*\})/g) ?? []
  const [one, two] = [random.pick(members), random.pick(members)]
  return line.replace(one, random.chance(0.5) ? `${two},${one}` : two)
}

describe('law: the fast path says what the slow path says, or nothing', () => {
  test('for mutated lines', async () => {
    const lines = [...(await simulated('shop.yaml', 400, 7)), ...(await simulated('large-200.yaml', 400, 8)), LINE]
    const random = createRandom(20260102)
    const pair = new Pair()
    const total = rounds({ small: 24_000, full: 400_000 })
    for (let i = 0; i < total; i++) {
      const line = random.pick(lines)
      let changed = mutate(random, line, random.pick(lines))
      if (random.chance(0.3)) changed = mutate(random, changed, line)
      // The original as well, so that what a mutant left behind is met.
      pair.check(changed)
      if (i % 8 === 0) pair.check(line)
    }
    expect(pair.taken).toBeGreaterThan(total / 8)
  })
})

describe('the decoder with the fast path', () => {
  test('gives the same items, whatever the chunks, as without it', async () => {
    const lines = await simulated('shop.yaml', 2_000, 3)
    const bytes = Buffer.from(`${lines.join('\n')}\n\nnot json\n{"flow":`)
    const normalizer = createNormalizer({ cluster: 'default' })
    const outcomes = (fastPath: FastPath | undefined, size: number): unknown[] => {
      const decoder = createDecoder(fastPath === undefined ? {} : { fastPath })
      const found: unknown[] = []
      const take = (items: ReturnType<typeof decoder.push>): void => {
        for (const item of items) found.push([item.line, item.startOffset, item.byteOffset, comparable(item.problem ?? item.outcome ?? normalizer.normalize(item.value))])
      }
      for (let at = 0; at < bytes.length; at += size) take(decoder.push(bytes.subarray(at, at + size)))
      take(decoder.end())
      return found
    }
    const expected = outcomes(undefined, bytes.length)
    for (const size of [997, 65_536, bytes.length]) expect(outcomes(createFastPath(createNormalizer({ cluster: 'default' })), size)).toEqual(expected)
  })
})

/** Places and outcomes of all lines, read in chunks of `size` bytes; and how many the fast path took. */
function decodeAll(text: string, size: number, isFast: boolean): { readonly items: readonly unknown[]; readonly taken: number } {
  const normalizer = createNormalizer({ cluster: 'default' })
  const decoder = createDecoder(isFast ? { fastPath: createFastPath(normalizer) } : {})
  const bytes = Buffer.from(text)
  const items: unknown[] = []
  let taken = 0
  const take = (read: ReturnType<typeof decoder.push>): void => {
    for (const item of read) {
      if (item.outcome !== null) taken++
      items.push([item.line, item.startOffset, item.byteOffset, comparable(item.problem ?? item.outcome ?? normalizer.normalize(item.value))])
    }
  }
  for (let at = 0; at < bytes.length; at += size) take(decoder.push(bytes.subarray(at, at + size)))
  take(decoder.end())
  return { items, taken }
}

describe('the decoder gives the fast path', () => {
  const { time, ...timeless } = FLOW
  const { node_name: node, ...nodeless } = FLOW
  const shipper = { '@timestamp': '2026-05-05T00:00:00.5Z', kubernetes: { host: 'node-9' } }

  test('lines that begin in one chunk and end in another', () => {
    const text = Array.from({ length: 200 }, (_, i) => `${asLine({ ...FLOW, uuid: `0b5c1a7e-3f2d-4c8e-9a61-${String(i).padStart(12, '0')}` })}\n`).join('')
    const expected = decodeAll(text, text.length, false).items
    for (const size of [1, 64, LINE.length, LINE.length + 1, 997, 4096]) {
      const { items, taken } = decodeAll(text, size, true)
      expect(taken).toBe(200)
      expect(items).toEqual(expected)
    }
  })

  test('and what a shipper adds counts as without it, where the record lost its own and where it did not', () => {
    const lines = [FLOW, timeless, nodeless].flatMap((flow) => [
      { flow, ...shipper }, { ...shipper, flow }, { flow, node_name: node, time, ...shipper }, { flow, time, ...shipper }, { flow, node_name: node, ...shipper }, { flow },
    ])
    const text = [FLOW, ...lines, ...lines].map((line) => ('flow' in line ? JSON.stringify(line) : asLine(line))).map((line) => `${line}\n`).join('')
    const slow = decodeAll(text, text.length, false)
    expect(decodeAll(text, text.length, true).items).toEqual(slow.items)
    // The shipper's time and node are there, and only where the record has none.
    expect(slow.items[7]).toMatchObject([8, expect.anything(), expect.anything(), { firstAtUs: Date.UTC(2026, 4, 5) * 1000 + 500_000 }])
    expect(slow.items[1]).toMatchObject([2, expect.anything(), expect.anything(), { firstAtUs: Date.UTC(2026, 0, 2, 3, 4, 5) * 1000 + 123_456, node: 'node-1' }])
    expect(slow.items[13]).toMatchObject([14, expect.anything(), expect.anything(), { node: 'node-9' }])
  })
})

describeShared('the fast path on real captures', () => {
  test.each(['basic-sample-10-flows', 'basic-sample-330-dns-flows', 'basic-sample-348-http-flows', 'basic-sample-400-tcp-flows', 'basic-sample-400-udp-flows', 'encoder-golden', 'export-fieldmask'])('%s', (name) => {
    const path = sharedPath(`formats/samples/hubble/${name}.ndjson`)
    const lines = readFileSync(path ?? '', 'utf8').split('\n').filter((line) => line !== '' && /^[\0-\x7f]*$/.test(line))
    const pair = new Pair()
    for (const line of [...lines, ...lines]) pair.check(line)
    if (name.startsWith('basic')) expect(pair.taken / pair.lines).toBeGreaterThan(0.9)
  })
})
