import { describe, expect, test } from '@jest/globals'
import { buildSnapshot } from '../../../src/core/cluster/build-snapshot.ts'
import type { ClusterSnapshot, SnapshotPod } from '../../../src/core/cluster/snapshot.ts'

function snapshotOf(...objects: unknown[]): ClusterSnapshot {
  const { snapshot, problems } = buildSnapshot(objects)
  expect(problems).toEqual([])
  return snapshot
}

interface PodObject {
  readonly labels?: Record<string, string>
  readonly owner?: { readonly kind: string; readonly name: string }
  readonly spec?: object
  readonly status?: object
}

function podObject(place: string, { labels, owner, spec, status }: PodObject = {}): unknown {
  const [namespace, name] = place.split('/')
  return { apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name, labels, ...(owner === undefined ? {} : { ownerReferences: [{ ...owner, controller: true }] }) }, spec, status }
}

function onlyPod(...objects: unknown[]): SnapshotPod {
  const [pod, ...others] = snapshotOf(...objects).pods
  if (pod === undefined || others.length > 0) throw new Error('not exactly one pod')
  return pod
}

describe('pods', () => {
  test('carry labels, addresses of both families, node and declared ports', () => {
    const pod = onlyPod(podObject('shop/web', {
      labels: { app: 'web' },
      spec: { nodeName: 'n1', containers: [{ ports: [{ name: 'http', containerPort: 8080 }, { containerPort: 53, protocol: 'UDP' }] }, {}] },
      status: { phase: 'Running', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }, { ip: 'FD00::1' }] },
    }))
    expect(pod).toMatchObject({ namespace: 'shop', name: 'web', labels: { app: 'web' }, nodeName: 'n1', phase: 'Running', hostNetwork: false, workload: null })
    expect(pod.ips.map((a) => a.text)).toEqual(['10.0.0.1', 'fd00::1'])
    expect(pod.ports).toEqual([{ name: 'http', containerPort: 8080, protocol: 'TCP' }, { containerPort: 53, protocol: 'UDP' }])
  })

  test('ports of sidecars count, those of ordinary init containers do not', () => {
    const pod = onlyPod(podObject('shop/web', { spec: { initContainers: [{ restartPolicy: 'Always', ports: [{ name: 'mesh', containerPort: 1 }] }, { ports: [{ name: 'setup', containerPort: 2 }] }] } }))
    expect(pod.ports).toEqual([{ name: 'mesh', containerPort: 1, protocol: 'TCP' }])
  })

  test('terminated ones are left out, pending ones with or without an address stay', () => {
    const { pods } = snapshotOf(
      podObject('a/done', { status: { phase: 'Succeeded', podIP: '10.0.0.1' } }), podObject('a/failed', { status: { phase: 'Failed' } }),
      podObject('a/pending', { status: { phase: 'Pending' } }), podObject('a/starting', { status: { phase: 'Pending', podIP: '10.0.0.2' } }), podObject('a/plain'),
    )
    expect(pods.map((p) => [p.name, p.ips.length])).toEqual([['pending', 0], ['plain', 0], ['starting', 1]])
  })

  test('say whether they use the host\'s network', () => {
    expect(onlyPod(podObject('a/agent', { spec: { hostNetwork: true } })).hostNetwork).toBe(true)
  })
})

describe('workloads of pods', () => {
  test.each([
    [{ kind: 'ReplicaSet', name: 'web-6d4f7c9b8d' }, { 'pod-template-hash': '6d4f7c9b8d' }, { kind: 'Deployment', name: 'web' }],
    [{ kind: 'ReplicaSet', name: 'bare-set' }, {}, { kind: 'ReplicaSet', name: 'bare-set' }],
    [{ kind: 'ReplicaSet', name: 'web-1' }, { 'pod-template-hash': '2' }, { kind: 'ReplicaSet', name: 'web-1' }],
    [{ kind: 'Job', name: 'backup-28957440' }, {}, { kind: 'CronJob', name: 'backup' }],
    [{ kind: 'Job', name: 'migrate-v2' }, {}, { kind: 'Job', name: 'migrate-v2' }],
    [{ kind: 'StatefulSet', name: 'db' }, {}, { kind: 'StatefulSet', name: 'db' }],
    [{ kind: 'DaemonSet', name: 'agent' }, {}, { kind: 'DaemonSet', name: 'agent' }],
    [{ kind: 'Node', name: 'n1' }, {}, null],
  ])('%j with labels %j is %j', (owner, labels, expected) => {
    expect(onlyPod(podObject('shop/p', { owner, labels })).workload).toEqual(expected)
  })

  test('the owner of a ReplicaSet or Job in the input counts more than its name', () => {
    const rollout = { kind: 'ReplicaSet', metadata: { namespace: 'shop', name: 'web-abc', ownerReferences: [{ kind: 'Rollout', name: 'web', controller: true }] } }
    const job = { kind: 'Job', metadata: { namespace: 'shop', name: 'by-hand-28957440', ownerReferences: [{ kind: 'Workflow', name: 'w', controller: true }] } }
    expect(onlyPod(rollout, podObject('shop/p', { owner: { kind: 'ReplicaSet', name: 'web-abc' }, labels: { 'pod-template-hash': 'abc' } })).workload).toEqual({ kind: 'Rollout', name: 'web' })
    expect(onlyPod(job, podObject('shop/p', { owner: { kind: 'Job', name: 'by-hand-28957440' } })).workload).toEqual({ kind: 'Workflow', name: 'w' })
    expect(onlyPod(rollout, podObject('other/p', { owner: { kind: 'ReplicaSet', name: 'web-abc' } })).workload).toEqual({ kind: 'ReplicaSet', name: 'web-abc' })
  })

  test('controllers give their template labels, selector and ports; a CronJob those of its jobs', () => {
    const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ ports: [{ containerPort: 80 }] }] } }
    const { workloads } = snapshotOf(
      { kind: 'Deployment', metadata: { namespace: 'shop', name: 'web' }, spec: { selector: { matchLabels: { app: 'web' } }, template } },
      { kind: 'CronJob', metadata: { namespace: 'shop', name: 'nightly' }, spec: { jobTemplate: { spec: { template } } } },
      { kind: 'StatefulSet', metadata: { namespace: 'shop', name: 'db' }, spec: { selector: { matchExpressions: [{ key: 'a', operator: 'Exists' }] }, template } },
    )
    expect(workloads.map((w) => [w.kind, w.name, w.templateLabels, w.selector, w.ports.length])).toEqual([
      ['StatefulSet', 'db', { app: 'web' }, null, 1], ['CronJob', 'nightly', { app: 'web' }, null, 1], ['Deployment', 'web', { app: 'web' }, { app: 'web' }, 1],
    ])
  })
})

describe('namespaces, nodes and services', () => {
  test('a namespace carries its own name as label, whatever the input says', () => {
    const { namespaces } = snapshotOf({ kind: 'Namespace', metadata: { name: 'shop', labels: { team: 'a', 'kubernetes.io/metadata.name': 'other' } } })
    expect(namespaces.get('shop')).toEqual({ labels: { team: 'a', 'kubernetes.io/metadata.name': 'shop' }, isComplete: true })
  })

  test('a namespace that only its pods tell of is made with its name alone, and marked incomplete', () => {
    expect([...snapshotOf(podObject('lost/p')).namespaces]).toEqual([['lost', { labels: { 'kubernetes.io/metadata.name': 'lost' }, isComplete: false }]])
  })

  test('nodes carry addresses and pod networks', () => {
    const { nodes } = snapshotOf({
      kind: 'Node', metadata: { name: 'n1', labels: { zone: 'a' } }, spec: { podCIDR: '10.244.1.0/24', podCIDRs: ['10.244.1.0/24', 'fd00:1::/64'] },
      status: { addresses: [{ type: 'InternalIP', address: '192.168.0.4' }, { type: 'Hostname', address: 'n1' }] },
    })
    expect(nodes.map((n) => [n.name, n.labels, n.addresses.map((a) => a.text), n.podCidrs.map((c) => c.text)])).toEqual([['n1', { zone: 'a' }, ['192.168.0.4'], ['10.244.1.0/24', 'fd00:1::/64']]])
  })

  test('services carry selector, addresses and ports; the target port defaults to the port', () => {
    const { services } = snapshotOf(
      { kind: 'Service', metadata: { namespace: 'shop', name: 'web' }, spec: { selector: { app: 'web' }, clusterIP: '10.96.0.1', ports: [{ port: 80, targetPort: 'http' }, { port: 53, protocol: 'UDP' }, { port: 1, targetPort: 2 }] } },
      { kind: 'Service', metadata: { namespace: 'shop', name: 'headless' }, spec: { clusterIP: 'None' } },
    )
    expect(services).toEqual([
      { namespace: 'shop', name: 'headless', type: 'ClusterIP', selector: null, clusterIps: [], ports: [] },
      { namespace: 'shop', name: 'web', type: 'ClusterIP', selector: { app: 'web' }, clusterIps: [{ family: 4, value: 174_063_617n, text: '10.96.0.1' }],
        ports: [{ port: 80, targetPort: 'http', protocol: 'TCP' }, { port: 53, targetPort: 53, protocol: 'UDP' }, { port: 1, targetPort: 2, protocol: 'TCP' }] },
    ])
  })
})

describe('objects', () => {
  test('of other kinds are passed over', () => {
    expect(snapshotOf({ kind: 'EndpointSlice', endpoints: 'anything' }, { kind: 'ConfigMap' }).pods).toEqual([])
  })

  test('with a problem are left out and named, the others stay', () => {
    const { snapshot, problems } = buildSnapshot([
      podObject('a/good'), podObject('a/bad', { status: { podIP: '10.0.0.300' } }), 'text', { kind: 'Namespace', metadata: {} },
      podObject('a/wrong', { spec: { containers: [{ ports: [{ containerPort: 0 }] }] } }), { kind: 'Pod', metadata: { name: 'p', labels: { a: 1 } } },
    ])
    expect(snapshot.pods.map((p) => p.name)).toEqual(['good'])
    expect(problems).toEqual([
      { object: 1, field: 'status.podIPs', message: 'Invalid value: "10.0.0.300": must be a valid IP address' },
      { object: 2, field: '', message: 'Invalid value: "text": must be an object' },
      { object: 3, field: 'metadata.name', message: 'Required value' },
      { object: 4, field: 'spec.containers.ports.containerPort', message: 'Invalid value: 0: must be between 1 and 65535, inclusive' },
      { object: 5, field: 'metadata.labels.a', message: 'Invalid value: 1: must be a string: quote it' },
    ])
  })

  test('in any order give the same snapshot; of two with one name the later counts', () => {
    const objects = [podObject('b/x'), podObject('a/y'), { kind: 'Namespace', metadata: { name: 'b', labels: { t: '1' } } }]
    expect(snapshotOf(...objects)).toEqual(snapshotOf(...objects.reverse()))
    expect(onlyPod(podObject('a/x', { labels: { v: '1' } }), podObject('a/x', { labels: { v: '2' } })).labels).toEqual({ v: '2' })
  })
})
