import { describe, expect, test } from '@jest/globals'
import { createNormalizer } from '../../../src/core/normalize/normalizer.ts'
import { createRandom, rounds, type Random } from '../../support/random.ts'
import { flow, normalize, verdictOf, wrap, type Json } from './hubble-records.ts'

const STRANGE: readonly unknown[] = [null, true, false, 0, -1, 1.5, 1e300, NaN, '', 'x', '\0', '😀', 'x'.repeat(5000), [], {}, [null], [[]], { a: { b: {} } }, '10.0.0.1', ['k8s:a=b'], 65_536, '-']

/** `value` with one random part replaced. */
function mutate(random: Random, value: unknown, depth = 0): unknown {
  if (depth > 4 || random.chance(0.2)) return random.pick(STRANGE)
  if (Array.isArray(value)) return value.length === 0 ? [random.pick(STRANGE)] : value.map((v: unknown, i) => (i === 0 ? mutate(random, v, depth + 1) : v))
  if (typeof value !== 'object' || value === null) return random.pick(STRANGE)
  const keys = Object.keys(value)
  if (keys.length === 0) return random.pick(STRANGE)
  const key = random.pick(keys)
  return { ...value, [key]: mutate(random, (value as Json)[key], depth + 1) }
}

const BASES: readonly Json[] = [
  wrap(flow()), flow({ uuid: 'u', aggregate: { egress_flow_count: 1 }, source_service: { name: 'a' }, drop_reason_desc: 'POLICY_DENIED' }),
  { lost_events: { source: 'x', num_events_lost: '1', cpu: 1 }, time: '2026-01-01T00:00:00Z' }, { node_status: { node_names: ['a'], message: 'b' }, time: '2026-01-01T00:00:00Z' },
  {
    start_time: 1_767_323_045, end_time: 1_767_323_345, source_ip: '10.0.1.10', source_name: 'a-b', source_name_aggr: 'a-*', source_namespace: 'x', source_type: 'wep', source_port: 1,
    source_labels: { labels: ['a=b'] }, dest_ip: '10.0.2.20', dest_name: '-', dest_name_aggr: 'pub', dest_namespace: '-', dest_port: 53, dest_type: 'net', dest_labels: null,
    proto: 'udp', action: 'allow', reporter: 'src', num_flows: 1, host: 'n', policies: { enforced_policies: ['a'] },
  },
]

describe('records by strangers', () => {
  test('anything but an object is refused', () => {
    for (const raw of [undefined, null, 5, [], true]) expect(normalize(raw)).toMatchObject({ kind: 'rejected', code: 'not-an-object' })
  })

  test('unknown formats are refused with the keys they have', () => {
    expect(normalize({ foo: 1, 'b\nr': 2 })).toEqual({ kind: 'rejected', format: 'unknown', code: 'unknown-format', detail: 'no known flow log has the keys foo, b\\u000ar' })
    expect(verdictOf({})).toBe('rejected unknown-format')
  })

  test.each<[string, Json, string]>([
    ['flow that is text', { flow: 'x' }, 'wrong-type'],
    ['l4 that is text', { l4: 'tcp' }, 'wrong-type'],
    ['segment that is text', { l4: { TCP: 'x' } }, 'wrong-type'],
    ['flags that are a list', { l4: { TCP: { destination_port: 1, flags: ['SYN'] } } }, 'wrong-type'],
    ['port text', { l4: { TCP: { destination_port: 'http' } } }, 'wrong-type'],
    ['port above 65535', { l4: { TCP: { destination_port: 65_536 } } }, 'bad-port'],
    ['port below 0', { l4: { TCP: { source_port: -1, destination_port: 1 } } }, 'bad-port'],
    ['port fraction', { l4: { TCP: { destination_port: 1.5 } } }, 'bad-port'],
    ['no l4', { l4: undefined }, 'missing-field'],
    ['IP that is text', { IP: '10.0.0.1' }, 'wrong-type'],
    ['address number', { IP: { source: 5 } }, 'wrong-type'],
    ['address with leading zeros', { IP: { source: '010.0.0.1' } }, 'bad-address'],
    ['address text', { IP: { source: 'localhost' } }, 'bad-address'],
    ['empty address', { IP: { source: '' } }, 'bad-address'],
    ['event type number', { event_type: 4 }, 'wrong-type'],
    ['is_reply text', { is_reply: 'true' }, 'wrong-type'],
    ['verdict object', { verdict: {} }, 'wrong-type'],
    ['node name number', { node_name: 5 }, 'wrong-type'],
    ['node name with NUL', { node_name: 'a\0' }, 'wrong-type'],
    ['aggregate text', { aggregate: 'x' }, 'wrong-type'],
  ])('%s is refused', (_, changes, code) => {
    expect(verdictOf('flow' in changes ? changes : flow(changes))).toBe(`rejected ${code}`)
  })

  test('details name field and value, printable and at most 200 characters', () => {
    expect(normalize(flow({ IP: { source: '\u001b[31m\n' } }))).toMatchObject({ detail: 'IP.source: "\\u001b[31m\\n" is not an IP address' })
    const outcome = normalize(Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`${'\0'.repeat(100)}${i}`, 1])))
    expect(outcome.kind === 'rejected' && outcome.detail.length <= 200 && !outcome.detail.includes('\0')).toBe(true)
  })

  test('nothing throws, and every record has exactly one well-formed outcome', () => {
    const normalizer = createNormalizer({ cluster: 'c1', podCidrs: ['10.0.0.0/8'] })
    for (let seed = 1; seed <= rounds({ small: 5000, full: 300_000 }); seed++) {
      const random = createRandom(seed)
      let raw: unknown = random.pick(BASES)
      const changes = 1 + random.int(4)
      for (let i = 0; i < changes; i++) raw = mutate(random, raw)
      const outcome = normalizer.normalize(raw)
      if (outcome.kind !== 'flow') {
        if (outcome.kind === 'rejected' || outcome.kind === 'ignored') continue
        throw new Error(`seed ${seed}: ${JSON.stringify(raw)} gives ${JSON.stringify(outcome)}`)
      }
      const ports = [outcome.port, outcome.initiatorPort]
      const isSound = ports.every((p) => Number.isInteger(p) && p >= 0 && p <= 65_535) && outcome.flows >= 1 && Number.isSafeInteger(outcome.lastAtUs) &&
        outcome.firstAtUs <= outcome.lastAtUs && outcome.digestHi >>> 0 === outcome.digestHi && outcome.digestLo >>> 0 === outcome.digestLo &&
        (outcome.orientation === 'unoriented' || outcome.initiatorPort === 0) && !JSON.stringify(outcome).includes('\\u0000')
      if (!isSound) throw new Error(`seed ${seed}: ${JSON.stringify(raw)} gives ${JSON.stringify(outcome)}`)
    }
  })

  test('labels that are no texts are refused, also where nothing else names the end', () => {
    const nested: unknown = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)
    for (const label of [{ toString: 1, valueOf: 1 }, nested]) {
      expect(verdictOf(wrap(flow({ source: { labels: [label] } })))).toBe('rejected wrong-type')
      expect(verdictOf(wrap(flow({ source: { namespace: 'shop', labels: [label] } })))).toBe('rejected wrong-type')
      expect(verdictOf(wrap(flow({ source: { namespace: label, labels: ['k8s:a=b'] } })))).toBe('rejected wrong-type')
      expect(verdictOf({ ...BASES[4], source_labels: { labels: [label] } })).toBe('rejected wrong-type')
    }
  })

  test('line ends in names never make two ends one', () => {
    const normalizer = createNormalizer({ cluster: 'c' })
    const keyOf = (labels: string[]): string => {
      const outcome = normalizer.normalize({ ...BASES[4], source_labels: { labels } })
      return outcome.kind === 'flow' ? outcome.initiator.key : outcome.kind
    }
    expect(keyOf(['a=1', 'b=2'])).not.toBe(keyOf(['a=1\nb=2']))
  })
})
