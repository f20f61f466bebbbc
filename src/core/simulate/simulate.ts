/**
 * Flow logs of an invented cluster with known truth.
 *
 * In: a topology and options. Out: lines of a log format, the cluster's objects, the true edges. Invariants: the same
 * topology, options and seed give the same bytes; the three outputs speak of the same connections; every edge active in
 * the range is in the lines with evidence of its direction unless it has `loss`. Pure: time and seed are arguments.
 * Cost: lines are made as they are read; `truth` walks the connections once more without making lines.
 */
import { US_PER_SECOND } from '../base/time.ts'
import { AntreaWriter } from './antrea-rows.ts'
import { CalicoWriter } from './calico-rows.ts'
import { clusterObjectsOf } from './cluster-objects.ts'
import { ConnectionStream } from './connection-stream.ts'
import { EndpointTable } from './endpoints.ts'
import { GoldmaneWriter } from './goldmane-rows.ts'
import { HubbleWriter } from './hubble-lines.ts'
import { NetObservWriter } from './netobserv-records.ts'
import { planCluster } from './plan-cluster.ts'
import type { PlannedPod } from './plan-cluster.ts'
import type { Topology } from './topology.ts'
import { truthOf } from './truth.ts'
import type { TruthEdge } from './truth.ts'

/** Formats that are written; each by its own writer. */
export const SIMULATED_FORMATS = ['hubble', 'calico-enterprise', 'goldmane', 'netobserv', 'antrea'] as const
export type SimulatedFormat = (typeof SIMULATED_FORMATS)[number]

export interface SimulationOptions {
  readonly format: SimulatedFormat
  readonly minutes: number
  readonly seed: number
  readonly startUs: number
  /** Multiplies every edge's connections a minute. Default 1. */
  readonly rate?: number
  /** Name of the cluster. Default `default`. */
  readonly cluster?: string
  /** Length of a Calico row, seconds. Default 300, Calico's own. */
  readonly intervalSeconds?: number
}

export interface Simulation {
  /** JSON lines without line ends, made on demand; every call starts anew. */
  lines(): Iterable<string>
  /** Kubernetes objects at the end of the range: valid cluster state. */
  clusterObjects(): unknown[]
  truth(): TruthEdge[]
  /** Every pod that lived in the range, with its times and address. */
  readonly pods: readonly PlannedPod[]
}

/** `minutes` may be a fraction; see the head of the file. */
export function simulate(topology: Topology, options: SimulationOptions): Simulation {
  const { format, seed, startUs } = options
  const clusterName = options.cluster ?? 'default'
  const range = { startUs, endUs: startUs + Math.round(options.minutes * 60 * US_PER_SECOND), seed }
  const cluster = planCluster(topology, range)
  const endpoints = new EndpointTable(cluster, topology)
  const world = { topology, cluster, endpoints }
  const openStream = (): ConnectionStream => new ConnectionStream(world, range, options.rate ?? 1)
  const intervalUs = (options.intervalSeconds ?? 300) * US_PER_SECOND
  const writers: Readonly<Record<SimulatedFormat, () => { lines(): Iterable<string> }>> = {
    hubble: () => new HubbleWriter(world, { range, stream: openStream(), clusterName }),
    'calico-enterprise': () => new CalicoWriter(world, { range, stream: openStream(), intervalUs }),
    goldmane: () => new GoldmaneWriter(world, { range, stream: openStream(), intervalUs }),
    netobserv: () => new NetObservWriter(world, { range, stream: openStream(), clusterName }),
    antrea: () => new AntreaWriter(world, { range, stream: openStream() }),
  }
  const lines = (): Iterable<string> => writers[format]().lines()
  return {
    lines,
    clusterObjects: () => clusterObjectsOf(topology, cluster, range),
    truth: () => truthOf(openStream(), clusterName),
    pods: cluster.pods,
  }
}
