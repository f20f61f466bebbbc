/** Protobuf bytes written by hand, so that tests of decoding trust field numbers and not the schemas they test. */

/** A field: numbers are varints, texts and bytes are length-delimited, a list is a message. */
export type WireField = readonly [number, number | bigint | string | Buffer | readonly WireField[]]

export function message(...fields: readonly WireField[]): Buffer {
  return Buffer.concat(fields.map(([number, value]) => {
    if (typeof value === 'number' || typeof value === 'bigint') return Buffer.concat([varint(number * 8), varint(value)])
    const bytes = typeof value === 'string' ? Buffer.from(value) : Buffer.isBuffer(value) ? value : message(...value)
    return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes])
  }))
}

export function fixed32(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return Buffer.concat([varint(number * 8 + 5), bytes])
}

export function fixed64(number: number, value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(value)
  return Buffer.concat([varint(number * 8 + 1), bytes])
}

/** Negative numbers take ten bytes, as 64-bit integers do. */
export function varint(value: number | bigint): Buffer {
  let rest = BigInt.asUintN(64, BigInt(value))
  const bytes: number[] = []
  do {
    const low = Number(rest & 127n)
    rest >>= 7n
    bytes.push(rest === 0n ? low : low | 128)
  } while (rest !== 0n)
  return Buffer.from(bytes)
}
