/** Holds fetched batches against their checksums, which the library does not do. */
import { crc32c, Reader } from '@platformatic/kafka'
import type { FetchedPartition } from '../fetch-response.ts'
import { splitBatches } from '../record-batch.ts'

/** From the first record of a batch back to its checksum, and to what it covers. */
const CHECKSUM_BEFORE = 44
const COVERED_BEFORE = 40

/** The library copies plain bytes first, and takes those of a reader as they are. */
const checksum = (bytes: Buffer): number => crc32c(Reader.from(bytes).buffer)

/** The same partition with the base offsets of its damaged batches; itself, where there are none. */
export function checked(fetched: FetchedPartition): FetchedPartition {
  const { bytes } = fetched
  const damaged = splitBatches(bytes).filter(({ magic, start, end }) =>
    magic === 2 && start < end && checksum(bytes.subarray(start - COVERED_BEFORE, end)) !== bytes.readUInt32BE(start - CHECKSUM_BEFORE))
  return damaged.length === 0 ? fetched : { ...fetched, damaged: new Set(damaged.map(({ baseOffset }) => baseOffset)) }
}
