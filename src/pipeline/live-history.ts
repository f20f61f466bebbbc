/** The cluster's history as a running service uses it: read anew when the stored state has changed. */
import { DEFAULT_RETENTION } from '../core/aggregate/retention.ts'
import { US_PER_DAY, US_PER_SECOND } from '../core/base/time.ts'
import type { Database } from '../store/db/database.ts'
import { selectStateHead } from '../store/read/select-cluster-state.ts'
import type { StateHead } from '../store/read/select-cluster-state.ts'
import { loadConfirmed, loadVersions } from './cluster-state.ts'
import type { Confirmed } from './cluster-state.ts'
import type { HistorySource } from './decode-work.ts'

/** Reading anew takes some seconds per 100,000 versions, so not for every change of a busy cluster. Longer: flows wait longer for their identity. */
const PAUSE_US = 10 * US_PER_SECOND

export interface LiveHistoryOptions {
  readonly nowUs: () => number
  /** Everything that is stored, for files of any age; a service reads as many days as flows may be late, and one. */
  readonly isUnbounded?: boolean
  /** Default: that of DEFAULT_RETENTION. */
  readonly latenessDays?: number | undefined
  /** Objects for which a person vouches, instead of what is stored. */
  readonly vouched?: readonly unknown[] | undefined
}

export class LiveHistory {
  readonly #database: Database
  readonly #clusterId: number
  readonly #options: LiveHistoryOptions
  #source: HistorySource | undefined
  #confirmed: Confirmed | undefined
  #known: StateHead | undefined
  #readAtUs = -Infinity
  #reading: Promise<void> | undefined

  constructor(database: Database, clusterId: number, options: LiveHistoryOptions) {
    this.#database = database
    this.#clusterId = clusterId
    this.#options = options
    if (options.vouched !== undefined) this.#source = { kind: 'vouched', objects: options.vouched }
  }

  /** What was known at the last `refresh`: another object when there was news. */
  get source(): HistorySource | undefined {
    return this.#source
  }

  /** How far it is confirmed, when that has grown since `source` was read. */
  get confirmed(): Confirmed | undefined {
    return this.#confirmed
  }

  /** Looks for news, at most every 10 seconds unless `isNow`. Callers at once share one look. */
  refresh(isNow = false): Promise<void> {
    if (this.#options.vouched !== undefined) return Promise.resolve()
    if (this.#reading !== undefined) return this.#reading
    if (!isNow && this.#options.nowUs() - this.#readAtUs < PAUSE_US) return Promise.resolve()
    this.#reading = this.#read().finally(() => { this.#reading = undefined })
    return this.#reading
  }

  async #read(): Promise<void> {
    const nowUs = this.#options.nowUs()
    const head = await selectStateHead(this.#database, this.#clusterId)
    if (head !== undefined && head.revision === this.#known?.revision) {
      // A watch's word that nothing changed costs next to nothing.
      if (head.confirmedUntilUs !== this.#known.confirmedUntilUs) this.#confirmed = await loadConfirmed(this.#database, this.#clusterId)
    } else if (head !== undefined) {
      const range = this.#options.isUnbounded === true ? {} : { sinceUs: nowUs - (1 + (this.#options.latenessDays ?? DEFAULT_RETENTION.latenessDays)) * US_PER_DAY }
      this.#source = { kind: 'stored', ...await loadVersions(this.#database, this.#clusterId, range) }
      this.#confirmed = undefined
    }
    this.#known = head
    this.#readAtUs = nowUs
  }
}
