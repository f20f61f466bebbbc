import { gzipSync, zstdCompressSync } from 'node:zlib'
import { compressFrameSync } from 'lz4-napi'
import { compressSync } from 'snappy'
import { describe, expect, test } from '@jest/globals'
import type { KafkaRecord } from '../../src/sources/kafka/kafka-driver.ts'
import { decodeBatch, splitBatches } from '../../src/sources/kafka/record-batch.ts'
import { createRandom, rounds } from '../support/random.ts'

const CODECS = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const

interface Written {
  readonly value: string | null
  readonly delta?: number
}

function varint(value: number): Buffer {
  let n = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n))
  const bytes: number[] = []
  do {
    const byte = Number(n & 0x7fn)
    n >>= 7n
    bytes.push(n === 0n ? byte : byte | 0x80)
  } while (n !== 0n)
  return Buffer.from(bytes)
}

function recordsOf(written: readonly Written[]): Buffer {
  return Buffer.concat(written.map(({ value, delta }, i) => {
    const body = Buffer.concat([
      Buffer.from([0]), varint(i * 10), varint(delta ?? i), varint(1), Buffer.from('k'), value === null ? varint(-1) : varint(Buffer.byteLength(value)), Buffer.from(value ?? ''),
      varint(1), varint(1), Buffer.from('h'), varint(2), Buffer.from('vv'),
    ])
    return Buffer.concat([varint(body.length), body])
  }))
}

/** A batch as a broker keeps it, with records as they are given (compressed or not). */
function batchOf(records: Buffer, { codec = 0, base = 100, count = 1, last = count - 1, magic = 2 }: { codec?: number, base?: number, count?: number, last?: number, magic?: number }): Buffer {
  const header = Buffer.alloc(61)
  header.writeBigInt64BE(BigInt(base), 0)
  header.writeInt32BE(records.length + 49, 8)
  header.writeInt8(magic, 16)
  header.writeInt16BE(codec, 21)
  header.writeInt32BE(last, 23)
  header.writeBigInt64BE(1_700_000_000_000n, 27)
  header.writeBigInt64BE(1_700_000_000_999n, 35)
  header.writeInt32BE(count, 57)
  return Buffer.concat([header, records])
}

async function decode(bytes: Buffer, fromOffset = 0): Promise<KafkaRecord[]> {
  const records: KafkaRecord[] = []
  for (const batch of splitBatches(bytes)) {
    const decoded = decodeBatch(batch, bytes, fromOffset)
    records.push(...Array.isArray(decoded) ? decoded : await decoded)
  }
  return records
}

/** snappy-java's framing: header, versions, blocks with their length. */
function xerial(blocks: readonly Buffer[]): Buffer {
  const header = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])
  return Buffer.concat([header, ...blocks.flatMap((block) => {
    const length = Buffer.alloc(4)
    length.writeInt32BE(block.length)
    return [length, block]
  })])
}

const written: Written[] = [{ value: 'a' }, { value: null }, { value: 'b'.repeat(300), delta: 7 }]
const wanted = [
  { offset: 100, timestampMs: 1_700_000_000_000, value: Buffer.from('a') }, { offset: 101, timestampMs: 1_700_000_000_010, value: null },
  { offset: 107, timestampMs: 1_700_000_000_020, value: Buffer.from('b'.repeat(300)) },
]

describe('record batches', () => {
  test('are read with gaps, tombstones and keys, from an offset within them', async () => {
    const bytes = batchOf(recordsOf(written), { count: 3, last: 9 })
    expect(await decode(bytes)).toEqual(wanted)
    expect(await decode(bytes, 102)).toEqual(wanted.slice(2))
    expect(splitBatches(bytes)[0]).toMatchObject({ baseOffset: 100, lastOffset: 109 })
  })

  test('of every compression', async () => {
    const records = recordsOf(written)
    const packed: [number, Buffer][] = [
      [CODECS.gzip, gzipSync(records)], [CODECS.snappy, compressSync(records)], [CODECS.snappy, xerial([compressSync(records.subarray(0, 50)), compressSync(records.subarray(50))])],
      [CODECS.lz4, compressFrameSync(records)], [CODECS.zstd, zstdCompressSync(records)],
    ]
    for (const [codec, bytes] of packed) expect(await decode(batchOf(bytes, { codec, count: 3 }))).toEqual(wanted)
  })

  test('at the end of a fetch that are cut off are left for the next one', async () => {
    const whole = batchOf(recordsOf([{ value: 'a' }]), { base: 1 })
    for (let end = whole.length; end < 2 * whole.length; end++) {
      expect(await decode(Buffer.concat([whole, whole]).subarray(0, end))).toMatchObject([{ offset: 1 }])
    }
  })

  test('that cannot be decompressed are one record that says which offsets are lost and why', async () => {
    const bytes = Buffer.concat([batchOf(Buffer.from('no gzip'), { codec: CODECS.gzip, count: 3 }), batchOf(recordsOf([{ value: 'next' }]), { base: 103 })])
    expect(await decode(bytes)).toEqual([
      { offset: 100, timestampMs: 1_700_000_000_000, value: null, problem: 'The records at offsets 100 to 102 cannot be read (gzip: incorrect header check).' },
      { offset: 103, timestampMs: 1_700_000_000_000, value: Buffer.from('next') },
    ])
    for (const [codec, packed, why] of [
      [CODECS.snappy, Buffer.from('no snappy'), 'snappy: '], [CODECS.snappy, xerial([]).subarray(0, 14), 'snappy: '], [CODECS.lz4, Buffer.from('no lz4 at all'), 'lz4: it is not an LZ4 frame'],
      [CODECS.lz4, compressFrameSync(recordsOf(written)).subarray(0, 20), 'lz4: the LZ4 frame is cut off'], [CODECS.zstd, Buffer.from('no zstd'), 'zstd: '], [7, Buffer.from('x'), 'codec 7: the codec is not known'],
    ] as const) {
      const [record] = await decode(batchOf(packed, { codec }))
      expect(record?.problem).toContain(`The record at offset 100 cannot be read (${why}`)
    }
  })

  test('that unfold to more than the limit are refused before they take the memory', async () => {
    const huge = Buffer.alloc(65 * 1024 * 1024)
    for (const [codec, packed] of [[CODECS.gzip, gzipSync(huge)], [CODECS.snappy, compressSync(huge)], [CODECS.lz4, compressFrameSync(huge)], [CODECS.zstd, zstdCompressSync(huge)]] as const) {
      const [record] = await decode(batchOf(packed, { codec }))
      expect(record?.problem).toMatch(/^The record at offset 100 cannot be read \(/)
    }
    expect((await decode(batchOf(Buffer.alloc(100), { count: 2_000_000_000, last: 0 })))[0]?.problem).toBe('The record at offset 100 cannot be read (it holds more than 1000000 records).')
  })

  test('of formats before Kafka 0.11 are told', async () => {
    expect(await decode(batchOf(Buffer.from('old'), { magic: 1 }))).toMatchObject([{ problem: 'The record at offset 100 cannot be read (it is in a format older than Kafka 0.11).' }])
  })

  test('with any damaged byte never throw and never give records out of order', async () => {
    const random = createRandom(20_261_123)
    const sound = batchOf(recordsOf(Array.from({ length: 20 }, (_, i) => ({ value: `value ${i}` }))), { count: 20 })
    for (let round = 0; round < rounds({ small: 300, full: 20_000 }); round++) {
      const bytes = Buffer.from(sound)
      for (let i = 0; i < 1 + random.int(3); i++) bytes[17 + random.int(bytes.length - 17)] = random.int(256)
      for (const record of await decode(bytes)) expect(record.value === null || Buffer.isBuffer(record.value)).toBe(true)
    }
  })
})
