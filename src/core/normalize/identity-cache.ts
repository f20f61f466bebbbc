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

/**
 * What one of the two generations holds at most: identities, and characters of their keys (an identity with 256 long labels is half a
 * megabyte). Larger: fewer identities are built twice; smaller: less memory.
 */
const GENERATION = { identities: 200_000, characters: 64 << 20 }

/**
 * Makes equal identities one object, so that the stages behind compare by reference. Those in use are kept; what was not asked for during a
 * whole generation is forgotten, and built anew when it comes again.
 */
export class IdentityCache {
  readonly #cluster: string
  readonly #limits: typeof GENERATION
  #young = new Map<string, Identity>()
  #old = new Map<string, Identity>()
  #characters = 0
  readonly #special = new Map<string, End>()
  /** The class asked for last is that of most. */
  #lastKind: EndKind = 'unknown'
  #lastName = ''
  #last: End | undefined

  constructor(cluster: string, limits = GENERATION) {
    this.#cluster = cluster
    this.#limits = limits
  }

  /** Identities held now; at most two generations. */
  get size(): number {
    return this.#young.size + this.#old.size
  }

  intern(fields: IdentityFields): Identity {
    const key = identityKey(fields)
    const known = this.#young.get(key)
    if (known !== undefined) return known
    const identity = this.#old.get(key) ?? createIdentity(fields)
    if (this.#young.size >= this.#limits.identities || this.#characters + key.length > this.#limits.characters) {
      this.#old = this.#young
      this.#young = new Map()
      this.#characters = 0
    }
    this.#old.delete(key)
    this.#young.set(key, identity)
    this.#characters += key.length
    return identity
  }

  /** The end of a class without labels and names: host, external, unknown... */
  special(kind: EndKind, name = ''): End {
    if (this.#last !== undefined && kind === this.#lastKind && name === this.#lastName) return this.#last
    this.#lastKind = kind
    this.#lastName = name
    this.#last = this.#findSpecial(kind, name)
    return this.#last
  }

  #findSpecial(kind: EndKind, name: string): End {
    const key = name === '' ? kind : `${kind} ${name}`
    const known = this.#special.get(key)
    if (known !== undefined) return known
    const end = endOf(createIdentity({
      kind, cluster: this.#cluster, namespace: '', labels: {}, namespaceLabels: {}, labelQuality: 'none', workload: null, workloadEvidence: 'none', name,
    }), '')
    if (this.#special.size >= MAX_SPECIAL) this.#special.clear()
    this.#special.set(key, end)
    return end
  }
}

/** Ends without labels that are remembered: the classes, and names of network sets, which logs give. */
const MAX_SPECIAL = 10_000

export function endOf(identity: Identity, pod: string): End {
  return { kind: 'end', identity, pod, hash: hashText(`${identity.key}\n${pod}`) }
}
