/**
 * Notices what a live stream does not say: that it stays open and brings nothing although there is something to bring, that nodes are missing from
 * it, and that it was away for longer than the other side remembers. In: what happened, with the time it happened at. Out: coverage events, each once
 * per stretch, and the wish to open the stream anew.
 */
import { formatTimeUs, US_PER_SECOND } from '../core/base/time.ts'
import type { CoverageEvent } from '../core/flow/flow-record.ts'
import type { FlowHead } from '../decode/protobuf/stream-messages.ts'
import type { LiveProtocol, StreamHealth } from './live-protocols.ts'

export interface WatchOptions {
  readonly protocol: LiveProtocol
  readonly address: string
  /** Silence shorter than this is nothing. */
  readonly silenceUs: number
}

/** Nodes whose newest flow is remembered; beyond, all are forgotten, and only the stream as a whole is judged. */
const MAX_NODES = 20_000
/** The first pause between two attempts to wake a silent stream is doubled up to this. */
const MAX_WAKE_US = 600 * US_PER_SECOND
/** A node that sent nothing for this long is quiet, and no longer holds back the position. */
const QUIET_US = 10 * US_PER_SECOND

interface NodeState {
  newestUs: number
  /** When that came, by our clock. */
  cameAtUs: number
  /** The call it came in. */
  call: number
}

export class StreamWatch {
  readonly #options: WatchOptions
  readonly #nodes = new Map<string, NodeState>()
  #call = 0
  #resumedFromUs: number | undefined
  #sinceUs = 0
  #isFirstOfCall = true
  #newestUs: number | undefined
  /** Of the last flow, or of the call's beginning, by our clock. */
  #lastAtUs = 0
  /** Flows seen by the other side when it was first asked after the last delivery. */
  #seenBefore: number | undefined
  #isStretchTold = false
  #wakeUs: number
  #wakeAtUs = 0
  #missing: ReadonlySet<string> = new Set()

  constructor(options: WatchOptions) {
    this.#options = options
    this.#wakeUs = options.silenceUs
  }

  /** Of the newest flow so far. */
  get newestUs(): number | undefined {
    return this.#newestUs
  }

  /** A call begins. `fromUs`: where the stream stopped before; `undefined` for a new one. */
  opened(sinceUs: number, fromUs: number | undefined, nowUs: number): void {
    this.#call++
    this.#sinceUs = sinceUs
    this.#resumedFromUs = fromUs
    this.#isFirstOfCall = true
    this.#lastAtUs = nowUs
    this.#seenBefore = undefined
  }

  /** A message came. Signs of a gap are returned with the first flow of a call, and of each node in it. */
  delivered({ timeUs, node }: FlowHead, nowUs: number): CoverageEvent | undefined {
    // A relay greets every call with the states of its nodes, also one that brings no flow.
    if (timeUs === undefined) return undefined
    this.#lastAtUs = nowUs
    this.#seenBefore = undefined
    this.#isStretchTold = false
    this.#wakeUs = this.#options.silenceUs
    this.#wakeAtUs = 0
    if (this.#newestUs === undefined || timeUs > this.#newestUs) this.#newestUs = timeUs
    const known = this.#nodes.get(node)
    const gap = known?.call === this.#call ? undefined : this.#gapBefore(timeUs, node, known)
    this.#isFirstOfCall = false
    if (known !== undefined) {
      known.newestUs = Math.max(known.newestUs, timeUs)
      known.cameAtUs = nowUs
      known.call = this.#call
    } else {
      if (this.#nodes.size >= MAX_NODES) this.#nodes.clear()
      this.#nodes.set(node, { newestUs: timeUs, cameAtUs: nowUs, call: this.#call })
    }
    return gap
  }

  /**
   * Up to where everything came: the newest flow of the node that is furthest behind among those that are sending. Never ahead of the clock: one node
   * whose clock is fast must not hide the flows of the others.
   */
  completeUs(nowUs: number): number | undefined {
    if (this.#newestUs === undefined) return undefined
    let lowest = Infinity
    for (const { newestUs, cameAtUs } of this.#nodes.values()) if (nowUs - cameAtUs < QUIET_US && newestUs < lowest) lowest = newestUs
    return Math.min(lowest === Infinity ? this.#newestUs : lowest, nowUs)
  }

  /** What the other side said. `wake`: why the stream should be opened anew, for people. */
  asked(health: StreamHealth, nowUs: number): { readonly events: readonly CoverageEvent[]; readonly wake: string | undefined } {
    const events = this.#newlyMissing(health, nowUs)
    const { silenceUs, protocol } = this.#options
    const silentUs = nowUs - this.#lastAtUs
    const { seenFlows } = health
    // One that counts from the start again was restarted.
    if (seenFlows !== undefined && (this.#seenBefore === undefined || seenFlows < this.#seenBefore)) this.#seenBefore = seenFlows
    const unsent = seenFlows === undefined ? 0 : seenFlows - (this.#seenBefore ?? seenFlows)
    if (silentUs < silenceUs || (unsent === 0 && !health.hasUnsent)) return { events, wake: undefined }
    if (!this.#isStretchTold && !protocol.isFiltered) {
      this.#isStretchTold = true
      const seen = unsent > 0 ? `${unsent} flows were seen since` : 'there are flows since'
      events.push(this.#event('gap', this.#lastAtUs, '', `the stream is open and brings nothing, though ${seen}`))
    }
    if (nowUs < this.#wakeAtUs) return { events, wake: undefined }
    this.#wakeAtUs = nowUs + this.#wakeUs
    this.#wakeUs = Math.min(this.#wakeUs * 2, Math.max(MAX_WAKE_US, silenceUs))
    return { events, wake: `${protocol.what} at ${this.#options.address} brought nothing for ${Math.round(silentUs / US_PER_SECOND)} s though there are flows.` }
  }

  /** A message was too large to be taken: everything between is given up. */
  skipped(nowUs: number): CoverageEvent {
    return this.#event('gap', this.#newestUs ?? nowUs, '', `a message was too large; skipped to ${formatTimeUs(Math.floor(nowUs))}`)
  }

  /**
   * A stream resumes before the newest flow that came, so that one comes again. Where it does not, it was forgotten meanwhile, and others with it.
   * Told per node where this process saw the node before, else for the stream by its first flow.
   */
  #gapBefore(timeUs: number, node: string, known: NodeState | undefined): CoverageEvent | undefined {
    if (this.#resumedFromUs === undefined) return undefined
    const stoppedUs = known?.newestUs ?? (this.#isFirstOfCall && this.#nodes.size === 0 ? this.#resumedFromUs : undefined)
    if (stoppedUs === undefined || stoppedUs < this.#sinceUs || timeUs <= stoppedUs) return undefined
    return this.#event('gap', stoppedUs, node, `the stream resumed at ${formatTimeUs(timeUs)}: what was before is no longer remembered there`)
  }

  #newlyMissing({ missingNodes }: StreamHealth, nowUs: number): CoverageEvent[] {
    const before = this.#missing
    this.#missing = new Set(missingNodes)
    return missingNodes.filter((node) => !before.has(node)).map((node) => (
      this.#event('missing-node', nowUs, node, node === '' ? 'nodes that the relay cannot reach' : 'the relay cannot reach this node')))
  }

  #event(type: CoverageEvent['type'], atUs: number, node: string, text: string): CoverageEvent {
    return { type, atUs: Math.floor(atUs), node, lost: 0, detail: `${this.#options.protocol.name}:${this.#options.address}: ${text}` }
  }
}
