/**
 * Who sent a request. Every credential that ingests is bound to one cluster, and the binding wins over what records claim. Keys are compared by their
 * digests, in the same time whatever they are.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Response } from 'express'
import { AppError } from '../../core/base/app-error.ts'
import { invariant } from '../../core/base/invariant.ts'
import type { PrincipalKind } from '../../observe/events.ts'

export interface Principal {
  /** `local`: no key is set, and the request came from this machine. */
  readonly kind: PrincipalKind
  /** What it pushes belongs to this cluster. */
  readonly cluster: string
  /** For logs; never holds a secret. */
  readonly name: string
  /** False for credentials that may push flows and nothing else. */
  readonly isFull: boolean
}

export interface IngestKey {
  readonly cluster: string
  readonly key: string
}

/** A certificate's common name, or one of its DNS names or URIs, exactly. */
export interface IngestClient {
  readonly identity: string
  readonly cluster: string
}

/** What lets clients in. */
export interface Access {
  /** The service's own cluster: of the full key, and of requests without any. */
  readonly cluster: string
  readonly apiKey: string | undefined
  readonly ingestKeys: readonly IngestKey[]
  readonly clients: readonly IngestClient[]
}

/** AppError `usage` when a credential would stand for two principals. */
export function checkAccess({ apiKey, ingestKeys, clients }: Access): void {
  const keys = [...(apiKey === undefined ? [] : [apiKey]), ...ingestKeys.map((each) => each.key)]
  if (new Set(keys).size < keys.length) {
    throw new AppError('usage', 'FLOWFENCE_INGEST_KEYS holds a key twice, or FLOWFENCE_API_KEY: nobody could tell its cluster. Give every cluster its own key (openssl rand -hex 16).')
  }
  const twice = clients.find(({ identity }, at) => clients.findIndex((other) => other.identity === identity) !== at)
  if (twice !== undefined) throw new AppError('usage', `FLOWFENCE_INGEST_CLIENTS names "${twice.identity}" twice. A certificate's identity belongs to one cluster.`)
}

/** The principal of a presented key; `undefined` for a key that is none of ours. */
export function keyMatcher({ cluster, apiKey, ingestKeys }: Access): (presented: string) => Principal | undefined {
  const known = [
    ...(apiKey === undefined ? [] : [{ digest: digestOf(apiKey), principal: { kind: 'api-key', cluster, name: 'api-key', isFull: true } as const }]),
    ...ingestKeys.map((each) => ({ digest: digestOf(each.key), principal: { kind: 'ingest-key', cluster: each.cluster, name: `ingest-key of ${each.cluster}`, isFull: false } as const })),
  ]
  return (presented) => {
    const digest = digestOf(presented)
    // All of them are compared, so that the time tells nothing.
    return known.filter((each) => timingSafeEqual(each.digest, digest))[0]?.principal
  }
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

export function setPrincipal(res: Response, principal: Principal): void {
  res.locals.principal = principal
}

/** Of a request that passed the guard. */
export function principalOf(res: Response): Principal {
  const { principal } = res.locals as { principal?: Principal }
  invariant(principal !== undefined, 'a request without principal passed the guard', {})
  return principal
}
