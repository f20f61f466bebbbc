import { DigestSet } from '../../src/core/aggregate/digest-set.ts'
import { EdgeBatch } from '../../src/core/aggregate/edge-batch.ts'
import { foldEdges } from '../../src/core/aggregate/fold-edges.ts'
import { PodNetworks } from '../../src/core/aggregate/pod-networks.ts'
import type { FlowRecord } from '../../src/core/flow/flow-record.ts'
import { createNormalizer, type NormalizerOptions } from '../../src/core/normalize/normalizer.ts'
import { parseTopology } from '../../src/core/simulate/parse-topology.ts'
import type { Topology } from '../../src/core/simulate/topology.ts'
import type { ObservedTraffic } from '../../src/pipeline/observed-traffic.ts'

/** Lines to observed traffic in memory: the same normalizer, batches and fold as ingest, duplicates by digest. */
export function observeLines(lines: Iterable<string>, batchSize = Infinity, options: Partial<NormalizerOptions> = {}): ObservedTraffic {
  const normalizer = createNormalizer({ cluster: 'default', ...options })
  const seen = new DigestSet()
  const networks = new PodNetworks()
  const batches = [new EdgeBatch()]
  let inBatch = 0
  for (const line of lines) {
    const outcome = normalizer.normalize(JSON.parse(line))
    if (outcome.kind !== 'flow' || !seen.add(outcome.digestHi, outcome.digestLo)) continue
    networks.add(outcome)
    if (++inBatch > batchSize) {
      batches.push(new EdgeBatch())
      inBatch = 1
    }
    addTo(batches, outcome)
  }
  const edges = foldEdges(batches.flatMap((b) => [...b.windows()]), batches.flatMap((b) => [...b.externalPeers()]))
  return { edges, podNetworks: networks.list(), sinceUs: 0, untilUs: 1 }
}

function addTo(batches: readonly EdgeBatch[], record: FlowRecord): void {
  batches.at(-1)?.add(record)
}

export function topologyOf(...documents: unknown[]): Topology {
  const result = parseTopology(documents)
  if ('problems' in result) throw new Error(`invalid topology: ${JSON.stringify(result.problems.slice(0, 5))}`)
  return result.topology
}
