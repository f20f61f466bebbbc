/**
 *  API server: full list, then changes ─► without ballast ─► save the full state │ apply the changes ─► store
 *
 * The stages in order, nothing else. Ends when the events end.
 */
import type { ClusterEvent, KubernetesObject } from '../sources/kubernetes.ts'
import { withRetry } from '../store/db/database.ts'
import type { Database } from '../store/db/database.ts'
import { applyStateChanges, saveClusterState } from './cluster-state.ts'
import type { StateReport } from './cluster-state.ts'

export interface SyncStep {
  readonly type: 'full' | 'changes'
  readonly report: StateReport
  /** The state is known up to here, microseconds. */
  readonly confirmedUntilUs: number
}

export interface SyncOptions {
  /** Ends after the first full state. */
  readonly once?: boolean
  readonly onStep: (step: SyncStep) => void
}

const SOURCE = 'sync'

/** Stores what the events tell. The database may be away for a while: then the watches wait. */
export async function syncCluster(database: Database, clusterId: number, events: AsyncIterable<ClusterEvent>, options: SyncOptions): Promise<void> {
  for await (const event of events) {
    const report = await withRetry(() => (event.type === 'full'
      ? saveClusterState(database, clusterId, { atUs: event.atUs, objects: event.objects, source: SOURCE })
      : applyStateChanges(database, clusterId, { changes: event.changes, confirmedUntilUs: event.confirmedUntilUs, source: SOURCE })))
    options.onStep({ type: event.type, report, confirmedUntilUs: event.type === 'full' ? event.atUs : event.confirmedUntilUs })
    if (options.once === true && event.type === 'full') return
  }
}

/** An object without the parts that are large and never read, so that a list of a big cluster stays small in memory. */
export function withoutBallast(object: KubernetesObject): KubernetesObject {
  const { metadata, spec } = object
  return {
    ...object,
    ...(isObject(metadata) ? { metadata: { ...metadata, managedFields: undefined, annotations: undefined } } : {}),
    ...(isObject(spec) && object.kind === 'Pod' ? { spec: { ...spec, volumes: undefined, ...lean(spec, 'containers'), ...lean(spec, 'initContainers') } } : {}),
  }
}

function lean(spec: KubernetesObject, field: 'containers' | 'initContainers'): KubernetesObject {
  const list: unknown = spec[field]
  if (!Array.isArray(list)) return {}
  return { [field]: (list as unknown[]).map((c) => (isObject(c) ? { name: c.name, ports: c.ports, restartPolicy: c.restartPolicy } : c)) }
}

function isObject(value: unknown): value is KubernetesObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
