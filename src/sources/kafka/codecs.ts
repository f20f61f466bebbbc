/**
 * Decompression of Kafka record batches, by the codec number of their attributes: gzip and zstd by Node's zlib, snappy (raw, and in the framing that
 * Java clients add) and LZ4 frames by libraries. The result is at most MAX_DECOMPRESSED_BYTES: what claims or turns out to be more is refused, before
 * its memory is taken where the format tells sizes, else while it unfolds. Throws an Error with a plain reason.
 */
import { promisify } from 'node:util'
import { gunzip, zstdDecompress } from 'node:zlib'
import { decompressFrameSync } from 'lz4-napi'
import { uncompressSync } from 'snappy'

/** More: larger batches are read; fewer: less memory for a hostile one. Producers send 1 MiB compressed by default, which rarely unfolds to more than 20. */
const MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024

const gunzipAsync = promisify(gunzip)
const zstdAsync = promisify(zstdDecompress)

const NAMES = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

export function codecName(codec: number): string {
  return NAMES[codec] ?? `codec ${codec}`
}

/** gzip and zstd run beside the main thread; snappy and LZ4 unfold a megabyte in about a millisecond and are done at once. */
export async function decompress(codec: number, bytes: Buffer): Promise<Buffer> {
  switch (codec) {
    case 0: return bytes
    case 1: return gunzipAsync(bytes, { maxOutputLength: MAX_DECOMPRESSED_BYTES })
    case 2: return unsnappy(bytes)
    case 3: return unlz4(bytes)
    case 4: return zstdAsync(bytes, { maxOutputLength: MAX_DECOMPRESSED_BYTES })
    default: throw new Error('the codec is not known')
  }
}

const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
const XERIAL_HEADER_BYTES = 16

function unsnappy(bytes: Buffer): Buffer {
  const blocks = bytes.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC) ? xerialBlocks(bytes) : [bytes]
  let total = 0
  for (const block of blocks) total += snappySize(block)
  refuseAbove(total)
  const parts = blocks.map((block) => uncompressSync(block, { asBuffer: true }) as Buffer)
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)
}

/** snappy-java's stream: header, version and compatible version, then blocks with their length before them. */
function xerialBlocks(bytes: Buffer): Buffer[] {
  const blocks: Buffer[] = []
  let at = XERIAL_HEADER_BYTES
  while (at < bytes.length) {
    if (at + 4 > bytes.length) throw new Error('the snappy framing is cut off')
    // Several streams may follow each other, each with its own header.
    if (bytes.subarray(at, at + XERIAL_MAGIC.length).equals(XERIAL_MAGIC)) {
      at += XERIAL_HEADER_BYTES
      continue
    }
    const length = bytes.readUInt32BE(at)
    if (at + 4 + length > bytes.length) throw new Error('the snappy framing is cut off')
    blocks.push(bytes.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return blocks
}

/** Raw snappy begins with its unfolded length as a varint. */
function snappySize(block: Buffer): number {
  let size = 0
  for (let i = 0; i < 5; i++) {
    const byte = block[i]
    if (byte === undefined) break
    size += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) return size
  }
  throw new Error('the snappy length is damaged')
}

const LZ4_MAGIC = 0x184d2204
/** LZ4 cannot unfold a byte to more than this many. */
const LZ4_MAX_RATIO = 255

/** Frame: magic, FLG, BD, [content size], [dictionary id], header checksum, blocks with their length, end mark 0, [content checksum]. */
function unlz4(bytes: Buffer): Buffer {
  if (bytes.length < 11 || bytes.readUInt32LE(0) !== LZ4_MAGIC) throw new Error('it is not an LZ4 frame')
  const flags = bytes.readUInt8(4)
  const hasBlockChecksums = (flags & 0x10) !== 0
  const blockMaxBytes = 2 ** (8 + 2 * ((bytes.readUInt8(5) >> 4) & 7))
  let at = 7 + ((flags & 0x08) === 0 ? 0 : 8) + ((flags & 0x01) === 0 ? 0 : 4)
  let most = 0
  for (;;) {
    if (at + 4 > bytes.length) throw new Error('the LZ4 frame is cut off')
    const word = bytes.readUInt32LE(at)
    if (word === 0) break
    const length = word & 0x7fffffff
    most += Math.min(blockMaxBytes, length * (word === length ? LZ4_MAX_RATIO : 1))
    at += 4 + length + (hasBlockChecksums ? 4 : 0)
  }
  refuseAbove(most)
  return decompressFrameSync(bytes)
}

function refuseAbove(sizeBytes: number): void {
  if (sizeBytes > MAX_DECOMPRESSED_BYTES) throw new Error(`it would unfold to more than ${MAX_DECOMPRESSED_BYTES / 1024 / 1024} MiB`)
}
