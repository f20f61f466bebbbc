import { isDeepStrictEqual } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import type { ClusterHistory } from '../../src/core/cluster/cluster-history.ts'
import type { Outcome } from '../../src/core/flow/flow-record.ts'
import { createNormalizer, type Normalizer } from '../../src/core/normalize/normalizer.ts'
import { createDecoder, type FastPath } from '../../src/decode/decode-chunk.ts'
import { createFastPath } from '../../src/decode/fast-path.ts'
import { createRandom, rounds, type Random } from '../support/random.ts'

const TS = '2026-01-02T03:04:05.678Z'
const KEYED = `{"level":"info","ts":"${TS}","logger":"ebpf-client","caller":"events/events.go:193","msg":"Flow Info:  ","Src IP":"10.0.1.28","Src Port":40000,"Dest IP":"10.0.1.132","Dest Port":5432,"Proto":"TCP","Verdict":"ACCEPT"}`
const SAID = `{"level":"debug","ts":"${TS}","caller":"runtime/asm_amd64.s:1700","msg":"Flow Info: Src IP: 10.0.1.28 Src Port: 40000 Dest IP: 10.0.1.132 Dest Port: 5432 Proto TCP Verdict ACCEPT Direction egress, Tier NETWORK_POLICY"}`
const CLOUDWATCH = `${TS} Node: ip-10-0-1-5.ec2.internal;SIP: 10.0.1.28;SPORT: 40000;DIP: 10.0.1.132;DPORT: 5432;PROTOCOL: TCP;PolicyVerdict: ACCEPT;Tier: NETWORK_POLICY`
const LINES = [KEYED, SAID, CLOUDWATCH]

/** One address is a Service's, from which nobody connects. */
const HISTORY: ClusterHistory = {
  holderOf: (ip) => (ip === '172.20.0.10' ? { kind: 'service', namespace: 'shop', name: 'db' } : { kind: 'unknown' }),
  podNamed: () => undefined,
  backendsOf: () => undefined,
}
const open = (): Normalizer => createNormalizer({ cluster: 'default', history: () => HISTORY })

/** Without the running numbers of identities, which tell objects apart within one process. */
function comparable(outcome: Outcome | undefined): unknown {
  if (outcome?.kind !== 'flow') return outcome
  return { ...outcome, initiator: { ...outcome.initiator, index: 0 }, responder: { ...outcome.responder, index: 0 } }
}

/** The outcome of decoding and normalizing one line; `undefined` when it gives no or several records. */
function slowOutcome(line: string, normalizer: Normalizer): Outcome | undefined {
  const decoder = createDecoder()
  const [item, ...others] = decoder.push(Buffer.from(`${line}\n`, 'latin1'))
  return item === undefined || others.length > 0 ? undefined : item.problem ?? normalizer.normalize(item.value)
}

/** Two normalizers that share nothing. */
class Pair {
  readonly #slow = open()
  readonly #fast: FastPath = createFastPath(open())
  lines = 0
  taken = 0

  check(line: string): Outcome | undefined {
    // Among other bytes, so that reading behind either end shows.
    const bytes = Buffer.from(`1:"}${line}23,"}`, 'latin1')
    const fast = this.#fast.read(bytes, 4, 4 + line.length)
    this.lines++
    if (fast === undefined) return undefined
    this.taken++
    const slow = slowOutcome(line, this.#slow)
    if (!isDeepStrictEqual(comparable(fast), comparable(slow))) expect({ line, outcome: comparable(fast) }).toEqual({ line, outcome: comparable(slow) })
    return fast
  }
}

/** Lines of all forms with times, addresses, ports, nodes and verdicts of their own. */
function generated(random: Random, amount: number): string[] {
  const address = (): string => (random.chance(0.9) ? `10.${random.int(3)}.${random.int(256)}.${random.int(256)}` : random.pick(['fd00::1:2', '8.8.8.8', '224.0.0.251', '172.20.0.10', '169.254.169.254']))
  const port = (): number => (random.chance(0.5) ? random.pick([53, 80, 443, 5432]) : 1 + random.int(65_535))
  return Array.from({ length: amount }, (_, i) => {
    const ts = new Date(Date.UTC(2026, 0, 1) + i * 37).toISOString()
    const [from, to, source, destination] = [address(), address(), port(), port()]
    const [protocol, verdict] = [random.pick(['TCP', 'UDP', 'SCTP', 'ICMP', 'UNKNOWN']), random.pick(['ACCEPT', 'DENY', 'EXPIRED/DELETED'])]
    switch (random.int(4)) {
      case 0: return KEYED.replace(TS, ts).replace('10.0.1.28', from).replace('10.0.1.132', to).replace('40000', String(source)).replace('5432', String(destination)).replace('TCP', protocol).replace('ACCEPT', verdict)
      case 1: return `{"level":"debug","ts":"${ts}","caller":"x.s:1","msg":"Flow Info: Src IP: ${from} Src Port: ${source} Dest IP: ${to} Dest Port: ${destination} Proto ${protocol} Verdict ${verdict} Direction ${random.pick(['egress', 'ingress'])}"}`
      case 2: return `{"level":"info","ts":"${ts}","caller":"x.s:1","msg":"Flow Info: Src IP: ${from} Src Port: ${source} Dest IP: ${to} Dest Port: ${destination} Proto: ${protocol} Verdict: ${verdict} Direction: egress Tier: ADMIN"}`
      default: return `${ts} ${random.pick(['', 'aws-network-policy-agent-audit-7 '])}Node: ip-10-0-1-${random.int(5)}.ec2.internal;SIP: ${from};SPORT: ${source};DIP: ${to};DPORT: ${destination};PROTOCOL: ${protocol};PolicyVerdict: ${verdict}`
    }
  })
}

describe('the fast path of AWS lines takes', () => {
  test('at least 95 % of generated lines of all forms, each with the slow outcome', () => {
    const pair = new Pair()
    const lines = generated(createRandom(11), rounds({ small: 12_000, full: 100_000 }))
    const flows = lines.filter((line) => pair.check(line)?.kind === 'flow')
    // What would be rejected is left to the parser; there is one address that gives rejections.
    expect(pair.taken / pair.lines).toBeGreaterThan(0.95)
    expect(flows.length).toBeGreaterThan(lines.length / 3)
  })

  test.each(LINES)('a line whose form it met before: %s', (line) => {
    const pair = new Pair()
    expect([pair.check(line), pair.check(line)?.kind, pair.taken]).toEqual([undefined, 'flow', 1])
  })
})

describe('the fast path of AWS lines is not fooled by', () => {
  test.each<[string, (line: string) => string]>([
    ['a port of 0', (line) => line.replace('40000', '0')],
    ['a port over 65535', (line) => line.replace('40000', '65536')],
    ['a port with a leading zero', (line) => line.replace('5432', '05432')],
    ['a port with a fraction', (line) => line.replace('5432', '5432.5')],
    ['a port with an exponent', (line) => line.replace('5432', '54e2')],
    ['a padded address', (line) => line.replace('10.0.1.28', '10.0.01.28')],
    ['an address with a part over 255', (line) => line.replace('10.0.1.28', '10.0.1.256')],
    ['an address with a part too many', (line) => line.replace('10.0.1.28', '10.0.1.28.1')],
    ['an address that ends too soon', (line) => line.replace('10.0.1.28', '10.0.1')],
    ['an address with four digits in a part', (line) => line.replace('10.0.1.132', '10.0.1.1320')],
    ['an impossible day', (line) => line.replace('2026-01-02', '2026-02-30')],
    ['a time before 2000', (line) => line.replace('2026-01-02', '1999-01-02')],
    ['an offset', (line) => line.replace('678Z', '678+01:00')],
    ['a time without Z', (line) => line.replace('678Z', '678')],
    ['a verdict that is none', (line) => line.replace('ACCEPT', 'MAYBE')],
    ['a second verdict', (line) => line.replace('"}', '","Verdict":"DENY"}')],
    ['a second source', (line) => line.replace('"}', '","Src IP":"10.9.9.9"}')],
    ['a second time', (line) => line.replace('"}', '","ts":"2020-01-02T03:04:05Z"}')],
    ['a second message', (line) => line.replace('"}', '","msg":"Flow Info: Src IP: 10.9.9.9"}')],
    ['a message without a field', (line) => line.replace(/ Proto TCP|PROTOCOL: TCP;|"Proto":"TCP",/, '')],
    ['keys of another format', (line) => line.replace('"}', '","flow":{}}')],
    ['a key spelled with an escape', (line) => line.replace('"}', '","\\u0056erdict":"DENY"}')],
    ['something behind the line', (line) => `${line}{}`],
    ['a carriage return', (line) => `${line}\r`],
    ['a NUL', (line) => line.replace('Tier', 'T\0er')],
    ['a container runtime in front', (line) => line.replace(' Node', ' stdout F Node')],
    ['a node name that is none', (line) => line.replace('ip-10', '\u0001')],
    ['a second source behind the tier', (line) => `${line};SIP: 10.9.9.9;SPORT: 1;DIP: 10.9.9.8;DPORT: 2`],
    ['an answer from a Service', (line) => line.replace('10.0.1.28', '172.20.0.10')],
  ])('%s', (_, change) => {
    for (const line of LINES) {
      const pair = new Pair()
      for (const each of [line, change(line), line, change(line), change(line), line]) pair.check(each)
      expect(pair.taken).toBeGreaterThanOrEqual(2)
    }
  })

  test('a line cut off anywhere', () => {
    for (const line of LINES) {
      const pair = new Pair()
      for (let length = line.length; length >= 0; length--) pair.check(line.slice(0, length))
      for (let length = 0; length <= line.length; length++) pair.check(line.slice(0, length))
      expect(pair.taken).toBeGreaterThan(0)
    }
  })

  test('masses of forms of their own: it gives up learning them, and takes known ones as before', () => {
    const pair = new Pair()
    pair.check(KEYED)
    for (let i = 0; i < 3_000; i++) pair.check(SAID.replace('1700', String(i)))
    expect(pair.taken).toBe(0)
    expect(pair.check(KEYED)?.kind).toBe('flow')
  })
})

function mutate(random: Random, line: string, other: string): string {
  const at = random.int(line.length)
  const end = Math.min(line.length, at + random.int(40))
  switch (random.int(7)) {
    case 0: return line.slice(0, at) + random.pick([...'{}[]",:;\\0123456789.eE-TZ \t\u0000\r']) + line.slice(at + 1)
    case 1: return line.slice(0, at) + line.slice(end)
    case 2: return line.slice(0, end) + line.slice(at)
    case 3: return line.slice(0, at) + String.fromCharCode(random.int(128)) + line.slice(at)
    case 4: return line.slice(0, at) + other.slice(at)
    case 5: return line.slice(0, at) + String.fromCharCode(line.charCodeAt(at) ^ (1 << random.int(7))) + line.slice(at + 1)
    default: return line.replace(/\d+/g, (digits) => (random.chance(0.9) ? digits : String(random.int(70_000))))
  }
}

describe('law: the fast path says what the slow path says, or nothing', () => {
  test('for mutated lines', () => {
    const random = createRandom(20260103)
    const lines = [...generated(random, 400), ...LINES]
    // Forms are forgotten with their path: several, so that each mutant may be the first of its form.
    const pairs = Array.from({ length: 6 }, () => new Pair())
    const total = rounds({ small: 24_000, full: 400_000 })
    for (let i = 0; i < total; i++) {
      const pair = random.pick(pairs)
      const line = random.pick(lines)
      let changed = mutate(random, line, random.pick(lines))
      if (random.chance(0.3)) changed = mutate(random, changed, line)
      if (changed.includes('\n')) continue
      pair.check(changed)
      // Again, since its form may be known now; and the original, so that what a mutant left behind is met.
      if (random.chance(0.3)) pair.check(changed)
      pair.check(line)
    }
    expect(pairs.reduce((sum, { taken }) => sum + taken, 0)).toBeGreaterThan(total / 4)
  })
})

describe('the decoder with the fast path', () => {
  test('gives the same items, whatever the chunks, as without it', () => {
    const bytes = Buffer.from(`${generated(createRandom(3), 1_500).join('\n')}\n\nnot json\n${CLOUDWATCH}`)
    const normalizer = open()
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
    for (const size of [997, 65_536]) expect(outcomes(createFastPath(open()), size)).toEqual(expected)
  })
})
