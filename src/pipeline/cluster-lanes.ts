import type { DecodeLane, DecodePool } from './decode-pool.ts'
import { localLane } from './decode-pool.ts'
import type { HistorySource, LaneOptions } from './decode-work.ts'
import type { LiveHistory } from './live-history.ts'

/** Input below this is read in place: a thread takes a fifth of a second to start. */
const THREAD_BYTES = 16 << 20

interface OpenLane {
  readonly lane: DecodeLane
  history: HistorySource | undefined
  confirmed: unknown
}

/** The lanes on which one cluster's records are read, each with the cluster state as it is known now. */
export class ClusterLanes {
  readonly #pool: DecodePool | undefined
  readonly #options: LaneOptions
  readonly #state: LiveHistory
  #local: OpenLane | undefined
  #threads: OpenLane[] = []
  #next = 0

  /** `pool` is shared by all clusters; without it, everything is read in place. */
  constructor(pool: DecodePool | undefined, options: LaneOptions, state: LiveHistory) {
    this.#pool = pool
    this.#options = options
    this.#state = state
  }

  /** A lane for a stream of so many bytes; for messages of an endless one, Infinity. */
  laneFor(sizeBytes: number): Promise<DecodeLane> {
    if (this.#pool === undefined || this.#pool.size === 0 || sizeBytes < THREAD_BYTES) {
      if (this.#local === undefined || this.#local.lane.isBroken) this.#local = this.#opened(localLane(this.#options))
      return this.#bring(this.#local)
    }
    this.#dropBroken()
    if (this.#threads.length < this.#pool.size) this.#threads.push(this.#opened(this.#pool.openLane(this.#options)))
    this.#next = (this.#next + 1) % this.#threads.length
    return this.#bring(this.#threads[this.#next] as OpenLane)
  }

  #dropBroken(): void {
    if (!this.#threads.some(({ lane }) => lane.isBroken)) return
    for (const { lane } of this.#threads) if (lane.isBroken) lane.close()
    this.#threads = this.#threads.filter(({ lane }) => !lane.isBroken)
  }

  #opened(lane: DecodeLane): OpenLane {
    return { lane, history: undefined, confirmed: undefined }
  }

  async #bring(open: OpenLane): Promise<DecodeLane> {
    const { source, confirmed } = this.#state
    if (open.history !== source) {
      open.history = source
      open.confirmed = confirmed
      await open.lane.request({ kind: 'history', source })
    } else if (confirmed !== undefined && open.confirmed !== confirmed) {
      open.confirmed = confirmed
      await open.lane.request({ kind: 'confirm', confirmed })
    }
    return open.lane
  }
}
