import type { Identity } from '../core/flow/identity.ts'
import type { Database } from '../store/db/database.ts'
import { countIdentities, selectKnownIds, selectNodes } from '../store/read/count-identities.ts'
import { identityId } from '../store/write/identity-id.ts'

/** How much one cluster may put into the tables that grow with what logs claim, and not with their size. */
export interface LimitOptions {
  /** Distinct identities. */
  readonly identities: number
  /** Dead letters per minute. */
  readonly lettersPerMinute: number
  /** Distinct names of nodes. */
  readonly nodes: number
}

/** The defaults of the settings. */
export const DEFAULT_LIMITS: LimitOptions = { identities: 200_000, lettersPerMinute: 1_000, nodes: 10_000 }

const NOBODY: ReadonlySet<Identity> = new Set()
/** From this share of the limit on, identities are counted for every batch that brings new ones; before, once a minute. */
const NEAR = 0.8
const RECOUNT_US = 60_000_000

/**
 * Tells which identities and node names of a batch are beyond the limits of the cluster. The store is asked, so the limits hold for all
 * processes and through restarts; batches that are stored at the very same moment may each add what was left of the room.
 */
export class ClusterLimits {
  readonly options: LimitOptions
  private readonly database: Database
  private readonly clusterId: number
  private readonly nowUs: () => number
  private identities: { count: number, readonly countedAtUs: number } | undefined
  private nodes: Set<string> | undefined

  constructor(database: Database, clusterId: number, options: { readonly limits: LimitOptions, readonly nowUs: () => number }) {
    this.database = database
    this.clusterId = clusterId
    this.options = options.limits
    this.nowUs = options.nowUs
  }

  /** Those of identities not known to be stored that may not become stored. Classes of ends (host, world) always may: there are a dozen. */
  async refusedIdentities(candidates: readonly Identity[]): Promise<ReadonlySet<Identity>> {
    const asked = candidates.filter((identity) => identity.kind === 'pod' || identity.name !== '')
    if (asked.length === 0) return NOBODY
    const max = this.options.identities
    const isStale = this.identities === undefined || this.nowUs() - this.identities.countedAtUs > RECOUNT_US
    if (isStale || this.estimate() + asked.length > max * NEAR) {
      this.identities = { count: await countIdentities(this.database, this.clusterId), countedAtUs: this.nowUs() }
    }
    if (this.estimate() + asked.length <= max) return NOBODY
    const known = await selectKnownIds(this.database, this.clusterId, asked.map((identity) => identityId(identity).text))
    let room = Math.max(0, max - this.estimate())
    const refused = new Set<Identity>()
    for (const identity of asked) {
      const id = identityId(identity).text
      if (known.has(id)) continue
      if (room === 0) {
        refused.add(identity)
        continue
      }
      room--
      known.add(id)
    }
    return refused
  }

  /** Notes that identities were stored. */
  stored(identities: number): void {
    if (this.identities !== undefined) this.identities.count += identities
  }

  /** Whether a node's name may be kept; to be asked after `loadNodes`. */
  readonly knowsNode = (node: string): boolean => {
    const nodes = this.nodes ??= new Set()
    if (nodes.has(node)) return true
    if (nodes.size >= this.options.nodes) return false
    nodes.add(node)
    return true
  }

  /** Loads the names that are stored, once. */
  async loadNodes(): Promise<void> {
    this.nodes ??= new Set(await selectNodes(this.database, this.clusterId, this.options.nodes))
  }

  private estimate(): number {
    return this.identities?.count ?? 0
  }
}
