import type { EndKind } from '../flow/end.ts'
import { createIdentity, identityKey, type Identity, type IdentityFields } from '../flow/identity.ts'
import { hashText, type TextHash } from './digest.ts'

/** One end of a record, ready for a FlowRecord. */
export interface End {
  readonly kind: 'end'
  readonly identity: Identity
  /** The pod's name, or ''. */
  readonly pod: string
  /** Digest of identity and pod name. */
  readonly hash: TextHash
}

/** Identities kept. Larger: fewer rebuilt; smaller: less memory. Past it everything is forgotten at once, and equal identities may be built anew. */
const MAX_IDENTITIES = 100_000

/** Makes equal identities one object, so that the stages behind compare by reference or index. */
export class IdentityCache {
  readonly #cluster: string
  readonly #known = new Map<string, Identity>()
  readonly #special = new Map<string, End>()

  constructor(cluster: string) {
    this.#cluster = cluster
  }

  intern(fields: IdentityFields): Identity {
    const key = identityKey(fields)
    const known = this.#known.get(key)
    if (known !== undefined) return known
    if (this.#known.size >= MAX_IDENTITIES) this.#known.clear()
    const identity = createIdentity(fields)
    this.#known.set(key, identity)
    return identity
  }

  /** The end of a class without labels and names: host, external, unknown... */
  special(kind: EndKind, name = ''): End {
    const key = name === '' ? kind : `${kind} ${name}`
    const known = this.#special.get(key)
    if (known !== undefined) return known
    const end = endOf(createIdentity({
      kind, cluster: this.#cluster, namespace: '', labels: {}, namespaceLabels: {}, labelQuality: 'none', workload: null, workloadEvidence: 'none', name,
    }), '')
    this.#special.set(key, end)
    return end
  }
}

export function endOf(identity: Identity, pod: string): End {
  return { kind: 'end', identity, pod, hash: hashText(`${identity.key}\n${pod}`) }
}
