/** Kubernetes objects for tests of cluster state, as small as they can be. */
type KubernetesObject = Record<string, unknown>

/** Seconds of one day, as RFC 3339; the tests' clock. */
export function timeText(seconds: number): string {
  return new Date(Date.UTC(2026, 0, 5) + seconds * 1000).toISOString().replace('.000Z', 'Z')
}

/** The same in microseconds. */
export function timeUs(seconds: number): number {
  return (Date.UTC(2026, 0, 5) + seconds * 1000) * 1000
}

export interface PodFields {
  readonly uid?: string
  readonly namespace?: string
  readonly ip?: string
  readonly created?: number
  readonly labels?: Record<string, string>
  readonly phase?: string
  /** Its only container started, or ended, then. */
  readonly started?: number
  readonly finished?: number
  readonly deletion?: number
  readonly owner?: { kind: string; name: string }
  readonly hostNetwork?: boolean
  readonly ports?: readonly { name?: string; containerPort: number }[]
}

export function podObject(name: string, fields: PodFields = {}): KubernetesObject {
  const { uid = `uid-${name}`, namespace = 'shop', ip, created, labels, phase = 'Running', started, finished, deletion, owner, hostNetwork, ports } = fields
  const state = finished !== undefined
    ? { terminated: { startedAt: timeText(started ?? finished), finishedAt: timeText(finished) } }
    : { running: { startedAt: timeText(started ?? 0) } }
  return {
    apiVersion: 'v1', kind: 'Pod',
    metadata: {
      name, namespace, ...(uid === '' ? {} : { uid }), ...(labels === undefined ? {} : { labels }),
      ...(created === undefined ? {} : { creationTimestamp: timeText(created) }), ...(deletion === undefined ? {} : { deletionTimestamp: timeText(deletion) }),
      ...(owner === undefined ? {} : { ownerReferences: [{ ...owner, controller: true }] }),
    },
    spec: { nodeName: 'node-1', ...(hostNetwork === true ? { hostNetwork } : {}), containers: [{ name: 'main', env: [{ name: 'TOKEN', value: 's3cret' }], ports: ports ?? [] }] },
    status: {
      phase, ...(ip === undefined ? {} : { podIP: ip, podIPs: [{ ip }] }),
      ...(started === undefined && finished === undefined ? {} : { containerStatuses: [{ name: 'main', restartCount: 0, state }] }),
    },
  }
}

export function namespaceObject(name: string, labels: Record<string, string> = {}): KubernetesObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, uid: `uid-ns-${name}`, creationTimestamp: timeText(-1_000_000), labels } }
}

export function nodeObject(name: string, ip: string, podCidr = '10.244.0.0/16'): KubernetesObject {
  return {
    apiVersion: 'v1', kind: 'Node', metadata: { name, uid: `uid-node-${name}`, creationTimestamp: timeText(-1_000_000) }, spec: { podCIDR: podCidr, podCIDRs: [podCidr] },
    status: { addresses: [{ type: 'InternalIP', address: ip }] },
  }
}

export function serviceObject(name: string, clusterIp: string, spec: { selector?: Record<string, string>; ports?: readonly Record<string, unknown>[]; namespace?: string } = {}): KubernetesObject {
  const { namespace = 'shop', selector, ports = [{ port: 80, targetPort: 8080, protocol: 'TCP' }] } = spec
  return {
    apiVersion: 'v1', kind: 'Service', metadata: { name, namespace, uid: `uid-svc-${name}`, creationTimestamp: timeText(-1_000_000) },
    spec: { type: 'ClusterIP', clusterIP: clusterIp, clusterIPs: [clusterIp], ports, ...(selector === undefined ? {} : { selector }) },
  }
}

/** What every cluster has, so that a state with it is complete. */
export function clusterBase(): KubernetesObject[] {
  return [
    namespaceObject('shop', { team: 'shop' }), nodeObject('node-1', '192.168.0.1'),
    serviceObject('kubernetes', '10.96.0.1', { namespace: 'default', ports: [{ port: 443, targetPort: 6443, protocol: 'TCP' }] }),
  ]
}
