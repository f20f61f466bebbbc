/**
 * Raw records of any known flow-log format to Outcomes, one at a time. In: what `decode` unwrapped: an object, or a text line. Out: a FlowRecord, a
 * Rejection that names the field, or Ignored with the reason; exactly one per record.
 *
 * Invariants: a pure function of the record, the options and the cluster state at the flow's time (its memory only makes equal identities one
 * object and saves work), so order and batching never matter; it never throws on input. Leaves to others: duplicates (by digest), label rules,
 * workloads, and orientation by other records. Cost: about as much as JSON.parse of the same record; memory bounded by the caches' limits.
 */
import { NO_HISTORY, type ClusterHistory } from '../cluster/cluster-history.ts'
import type { CoverageEvent, Outcome } from '../flow/flow-record.ts'
import { AddressCache } from './address-cache.ts'
import { ClusterClaims } from './cluster-claims.ts'
import { AntreaReader } from './antrea/antrea.ts'
import { AntreaLineReader } from './antrea/antrea-lines.ts'
import type { AntreaPlainLines } from './antrea/antrea-plain-lines.ts'
import { AwsReader } from './aws/aws.ts'
import { AwsFlows } from './aws/aws-flow.ts'
import { AwsLineReader } from './aws/aws-lines.ts'
import { CalicoLineReader } from './calico/calico-lines.ts'
import { CalicoNormalizer } from './calico/calico-enterprise.ts'
import { GoldmaneReader } from './calico/goldmane.ts'
import { CoverageNotes } from './coverage-notes.ts'
import { detectShape, type RecordShape } from './detect.ts'
import { EndResolver } from './end-resolver.ts'
import type { FieldReader } from './field-plan.ts'
import { GkeReader } from './gke/gke.ts'
import { GkeFlows } from './gke/gke-flow.ts'
import { HubbleNormalizer } from './hubble/hubble.ts'
import { normalizeHubbleControl } from './hubble/hubble-control.ts'
import { IdentityCache } from './identity-cache.ts'
import { NetObservReader } from './netobserv/netobserv.ts'
import type { LineReader, NormalizeContext, RecordReader } from './normalize-context.ts'
import { isForeignLine, FOREIGN_LOG } from './foreign-log.ts'
import { OwnWorkloads } from './own-workloads.ts'
import { isObject, reject, wrongType } from './problems.ts'

export interface NormalizerOptions {
  /** The cluster that the source is bound to; it wins over what records claim. */
  readonly cluster: string
  /** Addresses of pods: without a pod's name they are an unknown workload, never an outside address. */
  readonly podCidrs?: readonly string[]
  /** The collector's own workloads, `namespace` or `namespace/workload`: what they send each other is ignored `self`. */
  readonly ownWorkloads?: readonly string[]
  /** The source is bound to the cluster by configuration: records that say they are of another one are rejected(foreign-cluster). Default false. */
  readonly isBound?: boolean
  /** What the cluster's own records may call it beside `cluster`. */
  readonly clusterAliases?: readonly string[]
  /** The cluster state as it is known now; asked with each flow's own time. */
  readonly history?: () => ClusterHistory
}

export interface Normalizer {
  /** The outcome of one unwrapped record: an object, or the text of a line. */
  normalize(raw: unknown): Outcome
  /** Signs of incomplete observation that flow records carried since the last call. */
  takeCoverage(): CoverageEvent[]
  /** Reads Hubble's flows; what a fast path in front of `normalize` shares with it. */
  readonly hubble: HubbleNormalizer
  /** Decides AWS' decisions; likewise. */
  readonly aws: AwsFlows
  /** Decides GKE's policy verdicts; likewise. */
  readonly gke: GkeFlows
  /** Decides ordinary lines of Antrea's flow log; likewise. */
  readonly antreaLines: AntreaPlainLines
  /** Read records by position; likewise. */
  readonly fieldReaders: readonly FieldReader[]
}

/** Throws AppError `usage` when a pod CIDR is malformed. Keep one per source: it remembers the pods it has seen. */
export function createNormalizer(options: NormalizerOptions): Normalizer {
  const { cluster } = options
  const identities = new IdentityCache(cluster)
  const addresses = new AddressCache(options.podCidrs ?? [])
  const history = options.history ?? (() => NO_HISTORY)
  const coverage = new CoverageNotes()
  const own = new OwnWorkloads(cluster, options.ownWorkloads ?? [])
  const claims = new ClusterClaims(cluster, { isBound: options.isBound ?? false, aliases: options.clusterAliases ?? [] })
  const context: NormalizeContext = { cluster, claims, identities, addresses, resolver: new EndResolver(cluster, identities, history), coverage, own }
  const hubble = new HubbleNormalizer(context)
  const aws = new AwsFlows(context)
  const gke = new GkeFlows(context)
  const fieldReaders = [new CalicoNormalizer(context), new GoldmaneReader(context), new NetObservReader(context), new AntreaReader(context)] as const
  const readers = createReaders(fieldReaders, { hubble, aws, gke })
  const antrea = new AntreaLineReader(context)
  const lineReaders: readonly LineReader[] = [new AwsLineReader(aws), antrea, new CalicoLineReader(context)]

  function normalizeLine(line: string): Outcome {
    for (const reader of lineReaders) {
      const outcome = reader.read(line)
      if (outcome !== undefined) return own.screen(outcome)
    }
    return isForeignLine(line) ? FOREIGN_LOG : reject('unknown', 'malformed-json', 'the line is neither JSON nor a text line of a known flow log')
  }

  function normalize(raw: unknown): Outcome {
    if (typeof raw === 'string') return normalizeLine(raw)
    if (!isObject(raw)) return reject('unknown', 'not-an-object', 'a record must be a JSON object')
    return own.screen(readers[detectShape(raw)].read(raw))
  }

  return {
    normalize, takeCoverage: () => coverage.take(), hubble, aws, gke, antreaLines: antrea.plain, fieldReaders: fieldReaders.map((reader) => screened(reader, own)),
  }
}

/** The reader with the collector's own records ignored, as `normalize` does. */
function screened(reader: FieldReader, own: OwnWorkloads): FieldReader {
  return {
    plan: reader.plan,
    readFields: (fields) => {
      const outcome = reader.readFields(fields)
      return outcome === undefined ? undefined : own.screen(outcome)
    },
  }
}

type FieldReaders = readonly [CalicoNormalizer, GoldmaneReader, NetObservReader, AntreaReader]

function createReaders(
  [calico, goldmane, netobserv, antrea]: FieldReaders, { hubble, aws, gke }: Pick<Normalizer, 'hubble' | 'aws' | 'gke'>,
): Readonly<Record<RecordShape, RecordReader>> {
  return {
    'hubble-wrapped': { read: (raw) => (isObject(raw.flow) ? hubble.normalize(raw, raw.flow) : wrongType('hubble', 'flow', 'an object', raw.flow)) },
    'hubble-bare': { read: (raw) => hubble.normalize(raw, raw) },
    'hubble-control': { read: normalizeHubbleControl },
    'calico-enterprise': { read: (raw) => calico.normalize(raw) },
    goldmane,
    netobserv,
    antrea,
    gke: new GkeReader(gke),
    'aws-vpc-cni': new AwsReader(aws),
    'foreign-log': { read: () => FOREIGN_LOG },
    unknown: { read: (raw) => reject('unknown', 'unknown-format', `no known flow log has the keys ${Object.keys(raw).slice(0, 8).join(', ') || '(none)'}`) },
  }
}
