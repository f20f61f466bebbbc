import { describe, expect, test } from '@jest/globals'
import { createDecoder, type DecoderOptions } from '../../src/decode/decode-chunk.ts'
import type { DecodedItem } from '../../src/decode/item-list.ts'
import { createRandom, rounds, type Random } from '../support/random.ts'

function decode(input: string | Buffer, options?: DecoderOptions): DecodedItem[] {
  const decoder = createDecoder(options)
  return [...decoder.push(Buffer.from(input)), ...decoder.end()]
}

function codeOf(item: DecodedItem): string {
  const { problem } = item
  return problem === null ? 'record' : problem.kind === 'rejected' ? problem.code : problem.reason
}

/** `line kind-or-value` of each item. */
function summary(input: string | Buffer, options?: DecoderOptions): string[] {
  return decode(input, options).map((item) => `${item.line} ${item.problem === null ? JSON.stringify(item.value) : codeOf(item)}`)
}

describe('lines', () => {
  test('one record per line, with line number and the offsets to name and to resume it', () => {
    const items = decode('{"a":1}\n{"b":2}\n')
    expect(items.map((i) => [i.line, i.startOffset, i.byteOffset, i.value])).toEqual([[1, 0, 8, { a: 1 }], [2, 8, 16, { b: 2 }]])
  })

  test('a last line without newline is read when it is complete', () => {
    expect(summary('{"a":1}\n{"b":2}')).toEqual(['1 {"a":1}', '2 {"b":2}'])
  })

  test('a cut-off last line is truncated, and reading resumes at its start so that the rest can still arrive', () => {
    const items = decode('{"a":1}\n{"b":')
    expect(summary('{"a":1}\n{"b":')).toEqual(['1 {"a":1}', '2 truncated'])
    expect(items[1]).toMatchObject({ startOffset: 8, byteOffset: 8, raw: '{"b":' })
  })

  test('carriage returns, a byte order mark and blank lines do no harm; blank lines are counted', () => {
    expect(summary('\ufeff{"a":1}\r\n\r\n  \n{"b":"é"}\r\n')).toEqual(['1 {"a":1}', '2 blank', '3 blank', '4 {"b":"é"}'])
  })

  test('empty input gives nothing', () => {
    expect(decode('')).toEqual([])
  })

  test('one bad line costs only itself', () => {
    expect(summary('{"a":1}\nlevel=info msg="started"\n{"b"\n5\nnull\n"x"\n{"c":1}\n')).toEqual([
      '1 {"a":1}', '2 "level=info msg=\\"started\\""', '3 malformed-json', '4 not-an-object', '5 not-an-object', '6 not-an-object', '7 {"c":1}',
    ])
  })

  test('binary lines and broken UTF-8 are not text', () => {
    const input = Buffer.concat([Buffer.from([0x1f, 0x8b, 0xff, 10]), Buffer.from('{"a":"'), Buffer.from([0xc3]), Buffer.from('"}\n{"b":1}\n\0\0\n')])
    expect(summary(input)).toEqual(['1 not-text', '2 not-text', '3 {"b":1}', '4 not-text'])
  })

  test('a 10 MB line is refused without being held, and the next line is read', () => {
    const decoder = createDecoder()
    const items = decoder.push(Buffer.from('{"a":"'))
    const part = Buffer.alloc(65_536, 'x')
    for (let i = 0; i < 160; i++) items.push(...decoder.push(part))
    items.push(...decoder.push(Buffer.from('"}\n{"b":1}\n')), ...decoder.end())
    expect(items.map(codeOf)).toEqual(['too-long', 'record'])
    expect(items[0]).toMatchObject({ line: 1, problem: { detail: '10485768 bytes, over the limit of 1048576' } })
    expect(items[0]?.raw).toHaveLength(4096)
    expect(items[1]).toMatchObject({ line: 2, startOffset: 10_485_769 })
  })

  test('a log line that starts with a bracket is one text line', () => {
    expect(summary('[2026-01-01 10:00] started\n{"a":1}\n')).toEqual(['1 "[2026-01-01 10:00] started"', '2 {"a":1}'])
  })
})

describe('text lines', () => {
  test('a line that is no JSON is handed on as its text, without blanks around it', () => {
    expect(summary('a;b;c\n  x 1,2,3 \r\n{"a":1}\n1767323045,1767323050,10.0.0.1\ntrue story\nnullable\n-5 and 6\n"quoted" text\n')).toEqual([
      '1 "a;b;c"', '2 "x 1,2,3"', '3 {"a":1}', '4 "1767323045,1767323050,10.0.0.1"', '5 "true story"', '6 "nullable"', '7 "-5 and 6"', '8 "\\"quoted\\" text"',
    ])
  })

  test('what begins like JSON and does not parse stays malformed', () => {
    expect(summary('{"a":1\n[{"b":\n  {x}\n["a"\n')).toEqual(['1 malformed-json', '2 malformed-json', '3 malformed-json', '4 malformed-json'])
  })

  test('other alphabets, a byte order mark and NUL', () => {
    expect(summary('\ufeffNode: ü\nö\n')).toEqual(['1 "Node: ü"', '2 "ö"'])
    expect(summary('a\0b\nç\0\n')).toEqual(['1 not-text', '2 not-text'])
  })

  test('a last line without newline may be cut in the middle of a port: it is read only from finished input', () => {
    const input = '10.0.0.1 80\n10.0.0.2 80'
    const [, growing] = decode(input)
    expect(growing).toMatchObject({ startOffset: 12, byteOffset: 12, problem: { code: 'truncated' }, raw: '10.0.0.2 80' })
    const [, finished] = decode(input, { isFinished: true })
    expect(finished).toMatchObject({ startOffset: 12, byteOffset: 23, value: '10.0.0.2 80' })
    expect(summary('{"a":', { isFinished: true })).toEqual(['1 truncated'])
    expect(summary('{"a":1}', { isFinished: true })).toEqual(['1 {"a":1}'])
    expect(summary('a\0', { isFinished: true })).toEqual(['1 not-text'])
  })

  test('text lines cost no exception each', () => {
    const lines = '1767323045,1767323050,10.0.0.1,10.0.0.2,40000,5432,6\n'.repeat(100_000)
    const startedAt = performance.now()
    expect(decode(lines)).toHaveLength(100_000)
    const textMs = performance.now() - startedAt
    const bare = lines.split('\n')
    const beganAt = performance.now()
    for (const line of bare) {
      try {
        JSON.parse(line)
      } catch { /* what an attempt would cost */ }
    }
    expect(textMs).toBeLessThan(performance.now() - beganAt)
  })
})

describe('arrays', () => {
  test('elements of a whole-input array are records, however it is printed', () => {
    const records = [{ a: 1 }, { b: ['x]}', { c: '\\"' }] }, { d: {} }]
    for (const text of [JSON.stringify(records), JSON.stringify(records, null, 2), `\n ${JSON.stringify(records, null, '\t')}\n`]) {
      expect(decode(text).filter((i) => i.problem === null).map((i) => i.value)).toEqual(records)
    }
  })

  test('several lines may hold arrays, beside plain records', () => {
    expect(summary('[{"a":1},{"b":2}]\n{"c":3}\n[]\n[{"d":4}]\n')).toEqual(['1 {"a":1}', '1 {"b":2}', '2 {"c":3}', '4 {"d":4}'])
  })

  test('elements that are no objects are refused one by one', () => {
    expect(summary('[{"a":1},2,[3],"x",{"b":1}]')).toEqual(['1 {"a":1}', '1 not-an-object', '1 not-an-object', '1 not-an-object', '1 {"b":1}'])
    expect(summary('[1,{"a":1}]\n')).toEqual(['1 not-an-object', '1 {"a":1}'])
  })

  test('a malformed element costs only itself', () => {
    expect(summary('[{"a":1},{"b":},{"c":1}]\n{"d":1}')).toEqual(['1 {"a":1}', '1 malformed-json', '1 {"c":1}', '2 {"d":1}'])
  })

  test('an array that ends early keeps its elements and says so', () => {
    expect(summary('[{"a":1},{"b":2}')).toEqual(['1 {"a":1}', '1 {"b":2}', '1 truncated'])
    expect(summary('[{"a":1},{"b":')).toEqual(['1 {"a":1}', '1 truncated'])
  })

  test('a cut-off array line does not swallow the lines after it', () => {
    expect(summary('[{"a":1},{"b":\n{"c":2}\n{"d":3}\n')).toEqual(['1 {"a":1}', '1 malformed-json', '2 {"c":2}', '3 {"d":3}'])
    expect(summary('[{"a":1},{"b":"x\n{"c":2}\n{"d":3}\n')).toEqual(['1 {"a":1}', '1 malformed-json', '2 {"c":2}', '3 {"d":3}'])
    const many = Array.from({ length: 60 }, (_, i) => `{"n":${i}}`)
    expect(summary(`[{"a":\n${many.join('\n')}\n`, { maxLineBytes: 64 })).toEqual(['1 malformed-json', ...many.map((text, i) => `${i + 2} ${text}`)])
  })

  test('an overlong element is refused and the array goes on', () => {
    expect(summary(`[{"a":"${'x'.repeat(99)}"},{"b":1}]\n{"c":1}\n`, { maxLineBytes: 50 })).toEqual(['1 too-long', '1 {"b":1}', '2 {"c":1}'])
  })

  test('a reader that resumes after an element goes on in the array', () => {
    const text = '[{"a":1},\n{"b":2}, {"c":3}]\n{"d":4}\n'
    const first = decode(text)[0]
    const rest = decode(text.slice(first?.byteOffset), { startOffset: first?.byteOffset ?? 0 })
    expect(rest.map((i) => i.value)).toEqual([{ b: 2 }, { c: 3 }, { d: 4 }])
    expect(rest.map((i) => i.byteOffset)).toEqual(decode(text).slice(1).map((i) => i.byteOffset))
  })
})

describe('objects over several lines', () => {
  test('printed objects one after the other are records', () => {
    const records = [{ a: 1, b: { c: [1, 2] } }, { d: '{' }]
    const text = records.map((r) => JSON.stringify(r, null, 2)).join('\n')
    expect(decode(text).map((i) => [i.line, i.value])).toEqual([[1, records[0]], [10, records[1]]])
  })

  test('a stray opening brace costs only its line', () => {
    expect(summary('{\n{"a":1}\n{"b":2}\n')).toEqual(['1 malformed-json', '2 {"a":1}', '3 {"b":2}'])
  })

  test('many stray braces cost no more than reading them', () => {
    const startedAt = performance.now()
    expect(decode('{\n'.repeat(50_000))).toHaveLength(50_000)
    expect(performance.now() - startedAt).toBeLessThan(20_000)
  })
})

const PIECES = [
  '{"a":1}', '{"s":"é€😀"}', '{"s":"a\\"b\\\\"}', '[{"x":1},{"y":[1,{"z":"]"}]}]', '[\n  {\n    "p": 1\n  },\n  {"q":2}\n]', '{\n  "m": {\n    "n": []\n  }\n}',
  '', '   ', '[]', 'garbage', '[oops', '[{"cut":', '{"cut":"', '{', '}', ']', ',', '42', '[1,2]', '10.0.0.1,80', '[2026] log', '{"log":"{\\"flow\\":{}}\\n[{\\"flow\\":{}}]"}', '2026-01-02T03:04:05Z stdout F {"flow":{}}', `{"long":"${'y'.repeat(300)}"}`, '\ufeff{"bom":1}', '[{"u":"é"}, 7 ,{"v":',
]

function randomInput(random: Random): Buffer {
  const parts: Buffer[] = []
  const count = 1 + random.int(12)
  for (let i = 0; i < count; i++) {
    parts.push(random.chance(0.05) ? Buffer.from([random.int(256), random.int(256), 0]) : Buffer.from(random.pick(PIECES)))
    if (i < count - 1 || random.chance(0.7)) parts.push(Buffer.from(random.pick(['\n', '\n', '\n', '\r\n', '\n\n'])))
  }
  return Buffer.concat(parts)
}

describe('laws', () => {
  test('however the input is cut into chunks, the items are the same', () => {
    const total = rounds({ small: 600, full: 30_000 })
    for (let seed = 1; seed <= total; seed++) {
      const random = createRandom(seed)
      const input = randomInput(random)
      const options = { maxLineBytes: random.pick([40, 200, 100_000]), isFinished: random.chance(0.5) }
      const decoder = createDecoder(options)
      const cut: DecodedItem[] = []
      for (let at = 0; at < input.length;) {
        const size = 1 + random.int(random.pick([1, 5, 50]))
        // A fresh copy that is overwritten afterwards: the decoder must not keep views of it.
        const chunk = Buffer.from(input.subarray(at, at + size))
        cut.push(...decoder.push(chunk))
        chunk.fill(0x58)
        at += size
      }
      cut.push(...decoder.end())
      const repro = `seed ${seed}, maxLineBytes ${options.maxLineBytes}, input ${JSON.stringify(input.toString('latin1'))}`
      const whole = decode(input, options)
      // Deep comparison by text first: matchers cost more than decoding.
      if (JSON.stringify(cut) !== JSON.stringify(whole)) expect({ repro, items: cut }).toEqual({ repro, items: whole })
    }
  })

  test('every good line between garbage lines is read', () => {
    const garbage = ['garbage', '{"cut":"', '{"cut":', '[oops', ']', '}', ',', '42', '{"a":1', '[{"cut":"', '\\', '"']
    const total = rounds({ small: 500, full: 10_000 })
    for (let seed = 1; seed <= total; seed++) {
      const random = createRandom(seed)
      const lines: string[] = []
      let good = 0
      for (let i = 0; i < 10; i++) lines.push(random.chance(0.5) ? random.pick(garbage) : `{"good":${good++}}`)
      const read = decode(`${lines.join('\n')}\n`).filter((i) => typeof i.value === 'object').map((i) => i.value)
      const repro = `seed ${seed}: ${JSON.stringify(lines)}`
      expect({ repro, read }).toEqual({ repro, read: Array.from({ length: good }, (_, i) => ({ good: i })) })
    }
  })

  test('resuming at the offset of any item gives the items after it', () => {
    const total = rounds({ small: 500, full: 10_000 })
    for (let seed = 1; seed <= total; seed++) {
      const random = createRandom(seed)
      const records = Array.from({ length: 1 + random.int(5) }, (_, i) => JSON.stringify({ i, s: random.pick(['a', 'é', ']', '}\\"']) }))
      const input = Buffer.from(random.pick([records.join('\n'), `${records.join('\n')}\n`, `[${records.join(',')}]`, `[\n${records.join(',\n')}\n]\n`]))
      const all = decode(input)
      const from = random.int(all.length)
      const offset = all[from]?.byteOffset ?? 0
      const rest = decode(input.subarray(offset), { startOffset: offset })
      const repro = `seed ${seed}, from ${from}, input ${JSON.stringify(input.toString())}`
      // The line feed before a closing bracket counts as a blank line when reading begins there.
      expect({ repro, rest: rest.filter((i) => codeOf(i) !== 'blank').map((i) => i.value) }).toEqual({ repro, rest: all.slice(from + 1).map((i) => i.value) })
    }
  })
})
