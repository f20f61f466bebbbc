/** Damages a line of a flow log in ways that logs, shippers and strangers do. The same random numbers give the same bytes. */
import type { Random } from '../random.ts'

const STRANGE: readonly unknown[] = [
  null, true, false, 0, -1, 1.5, 1e300, -0, 65_535, 65_536, 4_294_967_296, 2 ** 53 + 2, '', ' ', 'x', '\0', '\ud800', '😀', '\u202e', '-', '0', '-1', '65536', '1e3', '0x50',
  '9223372036854775807', '18446744073709551615', '18446744073709551616', '-9223372036854775808', 'NaN', 'null', '10.0.0.1', '::1', '::ffff:10.0.0.1', '10.0.0.256', 'fe80::1%eth0',
  '2026-01-01T00:00:00Z', '2026-02-30T00:00:00Z', '0001-01-01T00:00:00Z', '9999-12-31T23:59:59.999999999Z', 'x'.repeat(300), 'x'.repeat(5000), [], {}, [null], [[]], [1], ['k8s:a=b'], ['=', 'a=', '=b', 'a'],
  { a: { b: {} } }, { toString: 1 }, { length: 1e9 },
]
const KEYS = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'length', 'then', 'toJSON', 'flow', 'message', 'log', 'event', 'time', 'verdict']
/** Numbers that JSON can write and a double cannot hold, and others. */
const RAW_NUMBERS = ['9223372036854775807', '-9223372036854775808', '18446744073709551615', '1e400', '-1e400', '1E-400', '-0', '0.1e1', '123456789012345678901234567890']

type Plain = Record<string, unknown>

/** One to four damages. */
export function mutateLine(random: Random, base: string, other: string): Buffer {
  let text = base
  if (random.chance(0.75)) text = mutateJson(random, base) ?? base
  if (random.chance(0.15)) text = mutateTokens(random, text)
  // JSON.stringify takes less depth than JSON.parse; what is nested deeper goes unwrapped.
  if (random.chance(0.1)) text = orElse(text, () => wrap(random, text, other))
  let bytes = Buffer.from(text, 'utf8')
  const damages = random.chance(0.5) ? 0 : 1 + random.int(2)
  for (let i = 0; i < damages; i++) bytes = mutateBytes(random, bytes, other)
  return bytes
}

function orElse<T>(fallback: T, work: () => T): T {
  try {
    return work()
  } catch {
    return fallback
  }
}

function mutateJson(random: Random, line: string): string | undefined {
  let value = orElse<unknown>(undefined, () => JSON.parse(line) as unknown)
  if (value === undefined) return undefined
  const changes = 1 + random.int(3)
  for (let i = 0; i < changes; i++) value = mutateValue(random, value, 0)
  const text = JSON.stringify(value)
  if (random.chance(0.06)) return text.replace(/:"?-?\d+"?/, () => `:${random.pick(RAW_NUMBERS)}`)
  if (random.chance(0.02)) return text.replace(/"x"|""|null|\[\]/, nested(random))
  // A key twice: the second one counts.
  if (random.chance(0.04)) return text.replace(/"(\w+)":/, (whole: string, key: string) => `"${key}":${JSON.stringify(random.pick(STRANGE))},${whole}`)
  return text
}

function nested(random: Random): string {
  const depth = random.pick([10, 100, 1000, 20_000])
  return random.chance(0.5) ? `${'['.repeat(depth)}${']'.repeat(depth)}` : `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
}

/** `value` with one part changed, removed or added. */
function mutateValue(random: Random, value: unknown, depth: number): unknown {
  if (depth > 6 || random.chance(depth === 0 ? 0.01 : 0.12)) return swapType(random, value)
  if (Array.isArray(value)) return mutateArray(random, value, depth)
  if (typeof value !== 'object' || value === null) return random.chance(0.5) ? swapType(random, value) : random.pick(STRANGE)
  const object = value as Plain
  const keys = Object.keys(object)
  if (keys.length === 0 || random.chance(0.05)) return withKey(object, random.pick(KEYS), random.pick(STRANGE))
  const key = random.pick(keys)
  if (random.chance(0.08)) return Object.fromEntries(Object.entries(object).filter(([k]) => k !== key))
  if (random.chance(0.03)) return Object.fromEntries(Object.entries(object).map(([k, v]) => [k === key ? random.pick(KEYS) : k, v]))
  return withKey(object, key, mutateValue(random, object[key], depth + 1))
}

function mutateArray(random: Random, list: readonly unknown[], depth: number): unknown {
  if (list.length === 0) return [random.pick(STRANGE)]
  if (random.chance(0.1)) return Array.from({ length: random.pick([2, 50, 300]) }, () => list[0])
  const at = random.int(list.length)
  return list.map((item, i) => (i === at ? mutateValue(random, item, depth + 1) : item))
}

/** `__proto__` becomes a key like any other, as JSON.parse makes it. */
function withKey(object: Plain, key: string, value: unknown): Plain {
  const copy: Plain = { ...object }
  Object.defineProperty(copy, key, { value, enumerable: true, configurable: true, writable: true })
  return copy
}

function swapType(random: Random, value: unknown): unknown {
  switch (random.int(5)) {
    case 0: return typeof value === 'number' ? String(value) : typeof value === 'string' ? Number(value) : String(typeof value)
    case 1: return [value]
    case 2: return { value }
    case 3: return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.values(value) : random.pick(STRANGE)
    default: return random.pick(STRANGE)
  }
}

/** Fields of text lines: dropped, doubled, exchanged or replaced. */
function mutateTokens(random: Random, text: string): string {
  const separator = random.pick([' ', ',', ';', ': ', '='])
  const parts = text.split(separator)
  const at = random.int(parts.length)
  const part = parts[at] ?? ''
  switch (random.int(4)) {
    case 0: parts.splice(at, 1); break
    case 1: parts.splice(at, 0, part); break
    case 2: parts[at] = JSON.stringify(random.pick(STRANGE)); break
    default: {
      const other = random.int(parts.length)
      parts[at] = parts[other] ?? ''
      parts[other] = part
    }
  }
  return parts.join(separator)
}

const MAX_WRAPPED = 200_000

/** As shippers wrap records, rightly and wrongly. */
function wrap(random: Random, text: string, other: string): string {
  const inner = (): unknown => orElse<unknown>(text, () => JSON.parse(text) as unknown)
  switch (random.int(10)) {
    case 0: return JSON.stringify({ message: text, '@timestamp': '2026-01-01T00:00:00Z' })
    case 1: return JSON.stringify({ log: `${text}\n`, stream: 'stdout', kubernetes: { pod_name: 'a', host: 'node-1' } })
    case 2: return JSON.stringify({ jsonPayload: inner(), timestamp: '2026-01-01T00:00:00Z' })
    case 3: return JSON.stringify({ _source: inner() })
    case 4: return JSON.stringify({ result: { _raw: text } })
    case 5: return JSON.stringify({ event: inner(), time: '1767323045.678' })
    case 6: return `2026-01-01T00:00:00.1Z stdout F ${text}`
    case 7: return `[${text},${other}]`
    case 8: return JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: [{ timeUnixNano: '1767323045000000000', body: { stringValue: text } }] }] }] })
    default: {
      const deep = JSON.stringify(Array.from({ length: 1 + random.int(8) }).reduce<unknown>((value) => ({ message: JSON.stringify(value) }), inner()))
      // Every level doubles the backslashes.
      return deep.length > MAX_WRAPPED ? text : deep
    }
  }
}

const BAD_BYTES: readonly (readonly number[])[] = [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5], [0], [0xef, 0xbb, 0xbf], [0x0d], [0x0a], [0x0a, 0x7b], [0x0a, 0x5b], [0x1b, 0x5b, 0x33, 0x31, 0x6d], [0x22], [0x5c], [0x7b], [0x5d]]

export function mutateBytes(random: Random, bytes: Buffer, other: string): Buffer<ArrayBuffer> {
  const at = random.int(bytes.length + 1)
  const end = Math.min(bytes.length, at + random.int(40))
  switch (random.int(8)) {
    case 0: {
      const flipped = Buffer.from(bytes)
      for (let i = 0; i <= random.int(8); i++) {
        const place = random.int(flipped.length)
        if (flipped.length > 0) flipped[place] = (flipped[place] as number) ^ (1 << random.int(8))
      }
      return flipped
    }
    case 1: return Buffer.from(bytes.subarray(0, at))
    case 2: return Buffer.concat([bytes.subarray(0, at), Buffer.from(random.pick(BAD_BYTES)), bytes.subarray(at)])
    case 3: return Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)])
    case 4: return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)])
    case 5: return Buffer.concat([bytes, Buffer.from(random.pick(['', '\n', ',', '\r\n', ' '])), Buffer.from(other)])
    case 6: return Buffer.concat([bytes.subarray(0, at), Buffer.from(other).subarray(random.int(other.length + 1))])
    default: return Buffer.concat([bytes.subarray(0, at), Buffer.from(Array.from({ length: random.int(20) }, () => random.int(256))), bytes.subarray(at)])
  }
}
