import { FlowView } from '../../core/flow/flow-block.ts'
import type { FlowEnd } from '../../core/flow/flow-block.ts'
import { addressText } from '../../core/sets/address.ts'
import { parseIdentityKey } from '../../core/flow/identity.ts'
import type { Identity } from '../../core/flow/identity.ts'
import type { Queryable } from '../db/database.ts'
import { timeParameter, timeUs } from '../db/time-columns.ts'

export interface FlowRange {
  /** Last instants: half-open. */
  readonly sinceUs: number
  readonly untilUs: number
  /** Only flows that begin before this instant. */
  readonly firstBeforeUs?: number
}

/** Rows fetched at once. More: fewer round trips; fewer: less memory, about 500 bytes each. */
const FETCH_ROWS = 10_000
/** Ends remembered by their ids. More: fewer looked up again; fewer: less memory, about 500 bytes each. Past it all are forgotten. */
const MAX_ENDS = 400_000

interface Row {
  readonly last_us: string
  readonly lasted_us: string
  readonly initiator_end: string
  readonly responder_end: string
  readonly flows: number
  readonly port: number
  readonly initiator_port: number
  readonly facts: number
  readonly addresses: Buffer
}

/** Names a cursor within a session. */
let cursors = 0

/** Reads raw flows of one cluster. Remembers their ends, so one instance is good for many ranges. */
export class FlowSelector {
  readonly #clusterId: number
  #ends = new Map<string, FlowEnd>()
  readonly #identities = new Map<string, Identity>()

  constructor(clusterId: number) {
    this.#clusterId = clusterId
  }

  /**
   * The flows of a range, in no order that can be relied on; each is shown by the same view, which is filled anew for the next. Memory is that of
   * FETCH_ROWS rows. `tx` must be a transaction; all of the flows are those that it saw at the first.
   */
  async *read(tx: Queryable, query: FlowRange): AsyncGenerator<FlowView> {
    const cursor = `flows_${cursors++}`
    await tx.query(
      `declare ${cursor} no scroll cursor for
       select ${timeUs('f.last_at')} as last_us, f.lasted_us, f.initiator_end, f.responder_end, f.flows, f.port, f.initiator_port, f.facts, f.addresses
       from flows f where f.cluster_id = $1 and f.last_at >= ${timeParameter('$2')} and f.last_at < ${timeParameter('$3')}
         and ($4::bigint is null or f.last_at - f.lasted_us * interval '1 microsecond' < ${timeParameter('$4')})`,
      [this.#clusterId, query.sinceUs, query.untilUs, query.firstBeforeUs ?? null],
    )
    const view = new FlowView()
    for (;;) {
      const { rows } = await tx.query<Row>(`fetch ${FETCH_ROWS} from ${cursor}`)
      if (rows.length === 0) break
      await this.#learn(tx, rows)
      for (const row of rows) if (this.#show(row, view)) yield view
    }
    await tx.query(`close ${cursor}`)
  }

  async #learn(tx: Queryable, rows: readonly Row[]): Promise<void> {
    if (this.#ends.size > MAX_ENDS) {
      this.#ends = new Map()
      this.#identities.clear()
    }
    const missing = new Set<string>()
    for (const row of rows) {
      if (!this.#ends.has(row.initiator_end)) missing.add(row.initiator_end)
      if (!this.#ends.has(row.responder_end)) missing.add(row.responder_end)
    }
    if (missing.size === 0) return
    const found = await tx.query<{ id: string; key: string; ip: string; pod: string; node: string }>(
      `select e.id, i.key, e.ip, e.pod, e.node from flow_ends e join identities i on i.cluster_id = e.cluster_id and i.id = e.identity_id
       where e.cluster_id = $1 and e.id = any($2::bigint[])`, [this.#clusterId, [...missing]],
    )
    for (const { id, key, ip, pod, node } of found.rows) this.#ends.set(id, { identity: this.#identity(key), ip, pod, node })
  }

  #identity(key: string): Identity {
    let identity = this.#identities.get(key)
    if (identity === undefined) this.#identities.set(key, identity = parseIdentityKey(key))
    return identity
  }

  /** False for a flow whose ends are gone: it has expired. */
  #show(row: Row, view: FlowView): boolean {
    const initiator = this.#ends.get(row.initiator_end)
    const responder = this.#ends.get(row.responder_end)
    if (initiator === undefined || responder === undefined) return false
    view.lastAtUs = Number(row.last_us)
    view.firstAtUs = view.lastAtUs - Number(row.lasted_us)
    view.flows = row.flows
    view.port = row.port & 65_535
    view.initiatorPort = row.initiator_port & 65_535
    view.setCode(row.facts)
    const isPod = initiator.identity.kind === 'pod'
    view.initiatorEnd = isPod ? initiator : { ...initiator, ip: addressAt(row.addresses, 0) }
    const place = isPod ? 0 : 1 + (row.addresses[0] ?? 0)
    view.responderEnd = responder.identity.kind === 'pod' ? responder : { ...responder, ip: addressAt(row.addresses, place) }
    return true
  }
}

/** See migrations/000009: a length byte and the address. */
function addressAt(addresses: Buffer, place: number): string {
  const length = addresses[place] ?? 0
  if (length === 0) return ''
  let value = 0n
  for (let i = 1; i <= length; i++) value = value << 8n | BigInt(addresses[place + i] ?? 0)
  return addressText(length === 4 ? 4 : 6, value)
}
