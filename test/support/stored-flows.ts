/** Sends FlowRecords through the batch writer, as ingest does after `normalize`. */
import { FlowBlockReader } from '../../src/core/flow/flow-block.ts'
import type { FlowRecord } from '../../src/core/flow/flow-record.ts'
import { createNormalizer } from '../../src/core/normalize/normalizer.ts'
import type { Normalizer } from '../../src/core/normalize/normalizer.ts'
import { BatchWriter } from '../../src/pipeline/batch-writer.ts'
import type { StoredBatch, WriterOptions } from '../../src/pipeline/batch-writer.ts'
import { CollectedRecords } from '../../src/pipeline/collected-records.ts'
import { RecordCollector } from '../../src/pipeline/record-collector.ts'
import type { Database } from '../../src/store/db/database.ts'
import { START_US } from './flow-records.ts'

/** Takes flows as they are. */
const passThrough: Normalizer = { ...createNormalizer({ cluster: 'test' }), normalize: (raw) => raw as FlowRecord, takeCoverage: () => [] }

export function collect(flows: readonly FlowRecord[]): CollectedRecords {
  const collected = new CollectedRecords()
  const collector = new RecordCollector(passThrough)
  flows.forEach((value, i) => collector.add({ line: i + 1, startOffset: i, byteOffset: i + 1, value, outcome: null, problem: null, raw: '' }, { file: 'test', bounds: undefined }))
  const block = collector.take()
  collected.add(block, new FlowBlockReader().read(block.flows))
  return collected
}

export function createWriter(database: Database, clusterId: number, nowUs = START_US, options: Partial<WriterOptions> = {}): BatchWriter {
  return new BatchWriter(database, clusterId, { nowUs: () => nowUs, retry: { giveUpAfterMs: 20_000 }, ...options })
}

/** Records by outcome. */
export function outcomes({ totals }: StoredBatch): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const total of totals) counts[total.outcome] = (counts[total.outcome] ?? 0) + total.records
  return counts
}
