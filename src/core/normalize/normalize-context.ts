import type { CoverageNotes } from './coverage-notes.ts'
import type { AddressCache } from './address-cache.ts'
import type { ClusterClaims } from './cluster-claims.ts'
import type { EndResolver } from './end-resolver.ts'
import type { IdentityCache } from './identity-cache.ts'
import type { Outcome } from '../flow/flow-record.ts'
import type { OwnWorkloads } from './own-workloads.ts'
import type { RawObject } from './problems.ts'

/** What all formats of one normalizer share. */
export interface NormalizeContext {
  /** The cluster the source is bound to. */
  readonly cluster: string
  readonly identities: IdentityCache
  readonly addresses: AddressCache
  /** Ends that the record names only by address or pod name: cluster state at the flow's time. */
  readonly resolver: EndResolver
  readonly coverage: CoverageNotes
  /** Applied to every outcome by the normalizer; who makes records beside it (Hubble's fast path) applies it, too. */
  readonly own: OwnWorkloads
  readonly claims: ClusterClaims
}

/** Reads one format's records; exactly one outcome each, never throws on input. */
export interface RecordReader {
  read(record: RawObject): Outcome
}

/** Reads one format's text lines; `undefined` for a line of another format. */
export interface LineReader {
  read(line: string): Outcome | undefined
}
