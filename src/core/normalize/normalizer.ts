/**
 * Raw records of any known flow-log format to Outcomes, one at a time. In: what `decode` unwrapped. Out: a FlowRecord, a Rejection that names
 * the field, or Ignored with the reason; exactly one per record.
 *
 * Invariants: a pure function of the record and the options (its memory only makes equal identities one object and saves work), so order and
 * batching never matter; it never throws on input. Leaves to others: duplicates (by digest), label rules, workloads, and orientation by other
 * records. Cost: about as much as JSON.parse of the same record; memory bounded by the caches' limits.
 */
import type { Outcome } from '../flow/flow-record.ts'
import { AddressCache } from './address-cache.ts'
import { CalicoNormalizer } from './calico-enterprise.ts'
import { detectShape } from './detect.ts'
import { HubbleNormalizer } from './hubble.ts'
import { normalizeHubbleControl } from './hubble-control.ts'
import { IdentityCache } from './identity-cache.ts'
import { isObject, reject, wrongType } from './problems.ts'

export interface NormalizerOptions {
  /** The cluster that the source is bound to; it wins over what records claim. */
  readonly cluster: string
  /** Addresses of pods: without a pod's name they are an unknown workload, never an outside address. */
  readonly podCidrs?: readonly string[]
}

export interface Normalizer {
  /** The outcome of one unwrapped record. */
  normalize(raw: unknown): Outcome
}

/** Throws AppError `usage` when a pod CIDR is malformed. Keep one per source: it remembers the pods it has seen. */
export function createNormalizer(options: NormalizerOptions): Normalizer {
  const identities = new IdentityCache(options.cluster)
  const addresses = new AddressCache(options.podCidrs ?? [])
  const hubble = new HubbleNormalizer(options.cluster, identities, addresses)
  const calico = new CalicoNormalizer(options.cluster, identities, addresses)

  function normalize(raw: unknown): Outcome {
    if (!isObject(raw)) return reject('unknown', 'not-an-object', 'a record must be a JSON object')
    switch (detectShape(raw)) {
      case 'hubble-wrapped': return isObject(raw.flow) ? hubble.normalize(raw, raw.flow) : wrongType('hubble', 'flow', 'an object', raw.flow)
      case 'hubble-bare': return hubble.normalize(raw, raw)
      case 'hubble-control': return normalizeHubbleControl(raw)
      case 'calico-enterprise': return calico.normalize(raw)
      case 'unknown': return reject('unknown', 'unknown-format', `no known flow log has the keys ${Object.keys(raw).slice(0, 8).join(', ') || '(none)'}`)
    }
  }

  return { normalize }
}
