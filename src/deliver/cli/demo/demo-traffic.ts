import { gzipSync } from 'node:zlib'
import { formatTimeUs, US_PER_DAY, US_PER_SECOND } from '../../../core/base/time.ts'
import { simulate } from '../../../core/simulate/simulate.ts'
import type { Simulation } from '../../../core/simulate/simulate.ts'
import type { Topology } from '../../../core/simulate/topology.ts'

/** The last hour of the example: its first half as Calico Enterprise logs it, its second half as Cilium Hubble does. */
export interface DemoTraffic {
  readonly calico: Simulation
  readonly hubble: Simulation
  readonly startUs: number
  readonly endUs: number
}

const HALF_MINUTES = 30
const HALF_US = HALF_MINUTES * 60 * US_PER_SECOND
/** Records of one pushed body. */
const BODY_LINES = 10_000
/** A sender that restarts sends its last lines again; so does the demo. */
const REPEATED_LINES = 250
/** Calico rows span 5 minutes; shorter ones make the half hour livelier. */
const CALICO_ROW_SECONDS = 60

export function simulateLastHour(topology: Topology, cluster: string, nowUs: number): DemoTraffic {
  const endUs = Math.floor(nowUs / (60 * US_PER_SECOND)) * 60 * US_PER_SECOND
  const middleUs = endUs - HALF_US
  const common = { minutes: HALF_MINUTES, seed: 1, cluster }
  return {
    calico: simulate(topology, { ...common, format: 'calico-enterprise', startUs: middleUs - HALF_US, intervalSeconds: CALICO_ROW_SECONDS }),
    hubble: simulate(topology, { ...common, format: 'hubble', startUs: middleUs }),
    startUs: middleUs - HALF_US,
    endUs,
  }
}

export interface DemoBody {
  readonly gzip: Buffer
  readonly lines: number
}

/** Bodies as a log shipper pushes them: gzip, each beginning with the last lines of the one before; the first holds a few bad lines. */
export function* hubbleBodies(lines: Iterable<string>, nowUs: number): Generator<DemoBody> {
  let body: string[] = []
  let isFirst = true
  const finish = (): DemoBody => {
    if (isFirst) body.unshift(...badHubbleLines(body, nowUs))
    isFirst = false
    const done = { gzip: gzipSync(`${body.join('\n')}\n`, { level: 1 }), lines: body.length }
    body = body.slice(-REPEATED_LINES)
    return done
  }
  let isFresh = false
  for (const line of lines) {
    body.push(line)
    isFresh = true
    if (body.length < BODY_LINES) continue
    yield finish()
    isFresh = false
  }
  if (isFresh) yield finish()
}

/** What real logs hold now and then: a line cut off by a full disk, a line of another program, an impossible address, a record from last month. */
function badHubbleLines(lines: readonly string[], nowUs: number): string[] {
  const sample = lines.find((line) => line.includes('"IP":{"source":"')) ?? '{}'
  const lastMonth = formatTimeUs(nowUs - 30 * US_PER_DAY)
  return [
    sample.slice(0, Math.floor(sample.length / 2)),
    '{"level":"info","msg":"not a flow: a line of another program"}',
    sample.replace(/("IP":\{"source":")[^"]*/, '$1999.1.2.3'),
    sample.replace(/"time":"[^"]*"/g, `"time":"${lastMonth}"`),
  ]
}

/** The text of the Calico file; its last row is cut off, as when a disk is full. */
export function calicoFile(lines: Iterable<string>): string {
  const rows = [...lines]
  const last = rows.at(-1) ?? '{}'
  return `${rows.join('\n')}\n${last.slice(0, Math.floor(last.length / 2))}`
}
