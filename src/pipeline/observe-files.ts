/**
 *  files ─► decode ─► normalize ─► duplicates out ─► EdgeBatch in memory ─► ObservedEdge[]
 *
 * Reads flow logs without a database, for `recommend --flows` and `check --flows`: the same stages as ingest.ts, so the same
 * edges. Memory is bounded by the distinct edges and windows, not by the size of the files. A flow counts as duplicate when
 * it was among the newest one to two million flows before it; beyond, only counts of edges may be too high.
 */
import { DigestSet } from '../core/aggregate/digest-set.ts'
import { EdgeBatch } from '../core/aggregate/edge-batch.ts'
import { foldEdges } from '../core/aggregate/fold-edges.ts'
import { PodNetworks } from '../core/aggregate/pod-networks.ts'
import { AppError } from '../core/base/app-error.ts'
import { NO_HISTORY } from '../core/cluster/cluster-history.ts'
import type { ClusterHistory } from '../core/cluster/cluster-history.ts'
import type { FlowRecord } from '../core/flow/flow-record.ts'
import { createNormalizer } from '../core/normalize/normalizer.ts'
import { createDecoder } from '../decode/decode-chunk.ts'
import { createFastPath } from '../decode/fast-path.ts'
import { openFile } from '../sources/file.ts'
import type { OpenedSource } from '../sources/source.ts'
import { FlowBlockReader, FlowView } from '../core/flow/flow-block.ts'
import { RecordCollector } from './record-collector.ts'
import { addCoverage, addInputError, addInputErrors, addTotals, emptyReport, OutcomeCounts } from './ingest-report.ts'
import type { IngestReport } from './ingest-report.ts'
import type { ObservedTraffic } from './observed-traffic.ts'
import type { IngestProgress } from './ingest.ts'

export interface ObserveOptions {
  readonly cluster: string
  readonly podCidrs?: readonly string[]
  /** Cluster state to resolve addresses and names by; none unless given. */
  readonly history?: ClusterHistory
  /** See NormalizerOptions. */
  readonly ownWorkloads?: readonly string[]
  /** Half-open range; flows that do not overlap it are ignored(outside-range). */
  readonly sinceUs?: number
  readonly untilUs?: number
  readonly onProgress?: (progress: IngestProgress) => void
  /** Stops between two chunks. */
  readonly signal?: AbortSignal
}

export interface ObservedFiles extends ObservedTraffic {
  readonly report: IngestReport
}

/** Digests per generation; two generations are kept. */
const GENERATION = 1_000_000

/** Reads all files. One that cannot be read is listed in the report's inputErrors; the same path or content twice counts as duplicates. */
export async function observeFiles(paths: readonly string[], options: ObserveOptions): Promise<ObservedFiles> {
  const observation = new Observation(options)
  for (const path of paths) {
    try {
      await observation.read(path)
    } catch (error) {
      if (!(error instanceof AppError) || (error.code !== 'input-unreadable' && error.code !== 'bad-encoding')) throw error
      addInputError(observation.report, { file: path, message: error.message })
    }
  }
  return observation.finish()
}

class Observation {
  readonly report = emptyReport()
  private readonly options: ObserveOptions
  private readonly normalizer
  private readonly batch = new EdgeBatch()
  private readonly networks = new PodNetworks()
  private readonly collector: RecordCollector
  private readonly reader = new FlowBlockReader()
  private readonly view = new FlowView()
  private digests = new DigestSet()
  private olderDigests = new DigestSet()

  constructor(options: ObserveOptions) {
    this.options = options
    this.normalizer = createNormalizer({ cluster: options.cluster, podCidrs: options.podCidrs ?? [], ownWorkloads: options.ownWorkloads ?? [], history: () => options.history ?? NO_HISTORY })
    this.collector = new RecordCollector(this.normalizer)
  }

  async read(path: string): Promise<void> {
    const source = await openFile(path)
    const before = this.report.bytes
    try {
      const decoder = createDecoder({ isFinished: source.isFinished, fastPath: createFastPath(this.normalizer) })
      for await (const chunk of source.chunks(0)) {
        this.options.signal?.throwIfAborted()
        this.report.bytes += chunk.length
        this.add(source, decoder.push(chunk))
        const bytes = this.report.bytes - before
        this.options.onProgress?.({ file: source.name, sizeBytes: source.sizeBytes, bytes, records: this.report.received })
      }
      this.add(source, decoder.end())
    } finally {
      await source.close()
    }
  }

  finish(): ObservedFiles {
    const edges = foldEdges(this.batch.windows(), this.batch.externalPeers(), this.batch.externalOverflows())
    let sinceUs: number | null = null
    let untilUs: number | null = null
    for (const { sightings } of edges) {
      for (const { firstAtUs, lastAtUs } of sightings) {
        sinceUs = Math.min(sinceUs ?? firstAtUs, firstAtUs)
        untilUs = Math.max(untilUs ?? 0, lastAtUs + 1)
      }
    }
    return {
      edges, podNetworks: this.networks.list(), report: this.report,
      sinceUs: this.options.sinceUs ?? sinceUs, untilUs: this.options.untilUs ?? untilUs,
    }
  }

  private add(source: OpenedSource, items: ReturnType<ReturnType<typeof createDecoder>['push']>): void {
    for (const item of items) this.collector.add(item, { file: source.name, bounds: undefined })
    const collected = this.collector.take()
    const counts = new OutcomeCounts()
    const rows = this.reader.read(collected.flows)
    const flow = this.view
    for (let i = 0; i < rows.length; i++) {
      rows.show(i, flow)
      if (!this.isInRange(flow)) {
        counts.add(flow.format, 'ignored', 'outside-range')
        continue
      }
      const isNew = this.isNew(flow.digestHi, flow.digestLo)
      counts.add(flow.format, isNew ? 'stored' : 'duplicate', '')
      if (!isNew) continue
      this.batch.add(flow)
      this.networks.add(flow)
    }
    addTotals(this.report, [...counts.list(), ...collected.problems])
    addCoverage(this.report, collected.coverage)
    addInputErrors(this.report, collected.inputErrors)
  }

  private isInRange({ firstAtUs, lastAtUs }: FlowRecord): boolean {
    const { sinceUs, untilUs } = this.options
    return (sinceUs === undefined || lastAtUs >= sinceUs) && (untilUs === undefined || firstAtUs < untilUs)
  }

  private isNew(hi: number, lo: number): boolean {
    if (this.olderDigests.has(hi, lo) || !this.digests.add(hi, lo)) return false
    if (this.digests.size >= GENERATION) {
      this.olderDigests = this.digests
      this.digests = new DigestSet()
    }
    return true
  }
}
