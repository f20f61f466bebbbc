import { describe, expect, test } from '@jest/globals'
import type { Identity } from '../../../../src/core/flow/identity.ts'
import { createNormalizer } from '../../../../src/core/normalize/normalizer.ts'
import { DB, flow, flowOf, pod, reserved, tcp, verdictOf, type Json } from '../hubble-records.ts'

/** The identity of `end` as the destination of a flow from a pod. */
function identityOf(end: unknown, ip = '198.51.100.7', options: { podCidrs?: string[] } = {}): Identity {
  return flowOf(flow({ source: DB, destination: end, IP: { source: '10.0.2.20', destination: ip } }), options).responder
}

describe('classes of ends', () => {
  const cases: [string, unknown, string][] = [
    ['world', reserved('world'), 'external'],
    ['world-ipv4', reserved('world-ipv4'), 'external'],
    ['world-ipv6', reserved('world-ipv6'), 'external'],
    ['a CIDR identity', { identity: 16_777_217, labels: ['cidr:198.51.100.0/24', 'reserved:world'] }, 'external'],
    ['a CIDR label alone', { identity: 16_777_217, labels: ['cidr:198.51.100.7/32='] }, 'external'],
    ['a domain name identity', { identity: 16_777_218, labels: ['fqdn:*.example.org', 'reserved:world'] }, 'external'],
    ['host', reserved('host'), 'host'],
    ['remote node', reserved('remote-node'), 'node'],
    ['host that is a remote node, too', { identity: 1, labels: ['reserved:host', 'reserved:remote-node'] }, 'host'],
    ['health', reserved('health'), 'health'],
    ['ingress', reserved('ingress'), 'ingress'],
    ['API server on a remote node', reserved('kube-apiserver', 'remote-node'), 'kube-apiserver'],
    ['API server outside (managed control plane)', { identity: 16_777_217, labels: ['reserved:kube-apiserver', 'reserved:world'] }, 'kube-apiserver'],
    ['API server on the own node', reserved('host', 'kube-apiserver'), 'kube-apiserver'],
    ['unmanaged', reserved('unmanaged'), 'unknown'],
    ['starting up', reserved('init'), 'unknown'],
    ['labels without a namespace', { labels: ['k8s:app=web'] }, 'unknown'],
    ['a host by number only', { identity: 1 }, 'host'],
    ['world by number only', { identity: 2 }, 'external'],
    ['health by number only', { identity: 4 }, 'health'],
    ['remote node by number only', { identity: 6 }, 'node'],
    ['API server by number only', { identity: 7 }, 'kube-apiserver'],
    ['ingress by number only', { identity: 8 }, 'ingress'],
    ['dual-stack world by number only', { identity: 9 }, 'external'],
    ['a local CIDR identity by number only', { identity: 0x01000005 }, 'external'],
    ['a remote node identity by number only', { identity: 0x02000005 }, 'node'],
    ['some pod by number only', { identity: 40_000 }, 'unknown'],
    ['nothing at all, public address', {}, 'external'],
    ['nothing at all', undefined, 'external'],
  ]
  test.each(cases)('%s', (_, end, kind) => {
    expect(identityOf(end)).toMatchObject({ kind, cluster: 'c1', namespace: '', labels: {}, labelQuality: 'none', name: '' })
  })

  test('labels win over the identity number, whose meaning changes', () => {
    expect(identityOf({ identity: 1, labels: ['reserved:world'] }).kind).toBe('external')
  })

  test('a hostNetwork pod is its node, even when it is named', () => {
    expect(identityOf({ namespace: 'kube-system', pod_name: 'kube-proxy-x2k9p', identity: 1, labels: ['reserved:host'] }).kind).toBe('host')
  })

  test('without any identity a private address may be anything', () => {
    expect(identityOf({}, '10.0.0.9').kind).toBe('unknown')
    expect(identityOf(reserved('world'), '10.0.0.9').kind).toBe('external')
  })

  test('an address inside a pod CIDR without a pod is an unknown workload, never outside', () => {
    const options = { podCidrs: ['10.244.0.0/16', '2001:db8:1::/48'] }
    expect(identityOf(reserved('world'), '10.244.3.9', options).kind).toBe('unknown')
    expect(identityOf(reserved('world'), '2001:db8:1::9', options).kind).toBe('unknown')
    expect(identityOf(reserved('world'), '10.245.3.9', options).kind).toBe('external')
    expect(identityOf(undefined, '10.244.3.9', options).kind).toBe('unknown')
    expect(identityOf(reserved('init'), '10.244.3.9', options).kind).toBe('unknown')
  })

  test('the address that stands for a pod calling itself is no outside', () => {
    expect(identityOf(reserved('world'), '169.254.42.1').kind).toBe('unknown')
  })

  test('a malformed pod CIDR is refused when the normalizer is made', () => {
    expect(() => createNormalizer({ cluster: 'c1', podCidrs: ['10.244.0.0'] })).toThrow('Pod CIDR "10.244.0.0" is not a CIDR; write it like 10.244.0.0/16.')
  })

  test('world addresses are one identity; the addresses stay beside it', () => {
    expect(identityOf(reserved('world'), '198.51.100.1')).toBe(identityOf(reserved('world'), '198.51.100.2'))
  })
})

describe('pods', () => {
  test('labels lose their source prefix; synthetic labels are not pod labels', () => {
    const identity = identityOf({
      namespace: 'shop', pod_name: 'web-7d4b9c6f58-x2k9p',
      labels: [
        'k8s:app.kubernetes.io/name=web', 'k8s:note=a=b', 'k8s:empty=', 'k8s:bare', 'plain=x', 'any:dropped=1', 'container:dropped=1', 'unspec:dropped=1',
        'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop', 'k8s:io.cilium.k8s.namespace.labels.team=blue',
        'k8s:io.cilium.k8s.policy.cluster=default', 'k8s:io.cilium.k8s.policy.serviceaccount=web', 'k8s:io.kubernetes.pod.namespace=shop', 'k8s:pod-template-hash=7d4b9c6f58',
      ],
    })
    expect(identity.labels).toEqual({ 'app.kubernetes.io/name': 'web', bare: '', empty: '', note: 'a=b', plain: 'x', 'pod-template-hash': '7d4b9c6f58' })
    expect(identity.namespaceLabels).toEqual({ team: 'blue' })
    expect(identity).toMatchObject({ kind: 'pod', namespace: 'shop', labelQuality: 'identity-subset' })
  })

  test('the namespace comes from its field, else from the label', () => {
    expect(identityOf({ namespace: 'a', labels: ['k8s:app=x', 'k8s:io.kubernetes.pod.namespace=b'] }).namespace).toBe('a')
    expect(identityOf({ labels: ['k8s:app=x', 'k8s:io.kubernetes.pod.namespace=b'] })).toMatchObject({ namespace: 'b', workload: null, workloadEvidence: 'none' })
    // The same labels, another namespace: never mixed up by what is remembered.
    expect(identityOf({ namespace: 'c', labels: ['k8s:app=x'] }).namespace).toBe('c')
    expect(identityOf({ namespace: 'd', labels: ['k8s:app=x'] }).namespace).toBe('d')
    expect(identityOf({ labels: ['k8s:app=x'] }).kind).toBe('unknown')
  })

  test('the workload comes from the record, else from the pod\'s name', () => {
    const logged = { ...pod('shop/web-7d4b9c6f58-x2k9p', 'app=web'), workloads: [{ name: 'web', kind: 'Rollout' }] }
    expect(identityOf(logged)).toMatchObject({ workload: { kind: 'Rollout', name: 'web' }, workloadEvidence: 'record' })
    expect(identityOf(pod('shop/web-7d4b9c6f58-x2k9p', 'app=web'))).toMatchObject({ workload: { kind: 'Deployment', name: 'web' }, workloadEvidence: 'pod-name' })
    expect(identityOf(logged).workloadEvidence).toBe('record')
  })

  test('without labels the quality is none; a pod that nothing else names keeps its own name', () => {
    expect(identityOf({ namespace: 'default', pod_name: 'xwing' })).toMatchObject({ kind: 'pod', labelQuality: 'none', workload: { kind: 'Pod', name: 'xwing' }, name: 'xwing' })
    expect(identityOf({ namespace: 'default', pod_name: 'deathstar-7848d6c4d5-th9v2', labels: [] })).toMatchObject({ labelQuality: 'none', workload: { kind: 'Deployment', name: 'deathstar' }, name: '' })
    expect(identityOf({ namespace: 'default', pod_name: 'xwing', labels: ['k8s:class=xwing'] }).name).toBe('')
  })

  test('a pod that is starting up is known by its name, without labels', () => {
    expect(identityOf({ namespace: 'shop', pod_name: 'db-0', labels: ['reserved:init'] })).toMatchObject({ kind: 'pod', labelQuality: 'none', workload: { kind: 'StatefulSet', name: 'db' } })
  })

  test('equal label sets are one identity, whatever their order and the pod', () => {
    const a = identityOf(pod('shop/web-7d4b9c6f58-aaaaa'.replace('aaaaa', 'bbbbb'), 'app=web', 'tier=front'))
    const b = identityOf(pod('shop/web-7d4b9c6f58-ccccc', 'tier=front', 'app=web'))
    expect(a).toBe(b)
  })

  test('the same labels in two namespaces are two identities', () => {
    expect(identityOf(pod('a/web-0', 'app=web')).key).not.toBe(identityOf(pod('b/web-0', 'app=web')).key)
  })

  test('a pod whose labels change gets another identity from then on', () => {
    const labels = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'a', 'b']
    expect(labels.map((v) => identityOf(pod('shop/changing-0', `app=${v}`)).labels.app)).toEqual(labels)
  })

  test('an address that is used again by another pod is never resolved to the first', () => {
    const ip = { source: '10.0.2.20', destination: '10.0.1.10' }
    const first = flowOf(flow({ source: DB, destination: pod('shop/web-7d4b9c6f58-x2k9p', 'app=web'), IP: ip }))
    const second = flowOf(flow({ source: DB, destination: pod('shop/cart-7d4b9c6f58-x2k9p', 'app=cart'), IP: ip }))
    const nobody = flowOf(flow({ source: DB, destination: {}, IP: ip }))
    expect([first, second, nobody].map((r) => r.responder.labels.app ?? r.responder.kind)).toEqual(['web', 'cart', 'unknown'])
  })
})

describe('clusters', () => {
  const local = { ...pod('shop/web-7d4b9c6f58-x2k9p', 'app=web'), cluster_name: 'alpha' }
  const remote = { ...pod('shop/db-0', 'app=db'), ID: undefined, cluster_name: 'beta' }
  const clusters = (record: Json, cluster = 'c1'): string[] => {
    const r = flowOf(flow(record), { cluster })
    return [r.initiator.cluster, r.responder.cluster]
  }

  test('the configured cluster wins over what the record calls itself', () => {
    expect(clusters({ node_name: 'alpha/node-1', source: local, destination: { ...remote, cluster_name: 'alpha' } })).toEqual(['c1', 'c1'])
  })

  test('a pod of another cluster of the mesh belongs to that cluster', () => {
    expect(clusters({ node_name: 'alpha/node-1', source: local, destination: remote })).toEqual(['c1', 'beta'])
    expect(clusters({ node_name: undefined, source: local, destination: remote })).toEqual(['c1', 'beta'])
    expect(clusters({ node_name: 'alpha/node-1', source: { ...local, ID: undefined }, destination: remote })).toEqual(['c1', 'beta'])
  })

  test('another cluster never passes for the configured one', () => {
    expect(clusters({ source: local, destination: remote }, 'beta')).toEqual(['beta', 'clustermesh:beta'])
  })

  test('older records tell the cluster by label', () => {
    const old = (path: string, cluster: string, id: number): Json => ({ ...pod(path, 'app=x', `io.cilium.k8s.policy.cluster=${cluster}`), ID: id })
    expect(clusters({ source: old('shop/web-0', 'alpha', 5), destination: old('shop/db-1', 'beta', 0) })).toEqual(['c1', 'beta'])
    expect(clusters({ source: old('shop/web-0', 'alpha', 5), destination: old('shop/db-1', 'alpha', 0) })).toEqual(['c1', 'c1'])
  })
})

test('a pod that has __proto__ in a label is read like others', () => {
  const labels = ['k8s:app=a__proto__b', 'k8s:a__proto__b=x', 'k8s:constructor=x', 'k8s:hasOwnProperty=y']
  expect(flowOf(flow({ destination: { namespace: 'a', labels } })).responder.labels).toEqual({ app: 'a__proto__b', a__proto__b: 'x', constructor: 'x', hasOwnProperty: 'y' })
})

describe('wrong endpoints are refused by field', () => {
  const cases: [string, unknown, string][] = [
    ['endpoint text', 'web', 'wrong-type'],
    ['endpoint array', [], 'wrong-type'],
    ['labels text', { namespace: 'a', labels: 'app=web' }, 'wrong-type'],
    ['label number', { namespace: 'a', labels: [5] }, 'wrong-type'],
    ['label with NUL', { namespace: 'a', labels: ['k8s:a=\0'] }, 'wrong-type'],
    ['label with half a surrogate pair', { namespace: 'a', labels: ['k8s:a=\ud800'] }, 'wrong-type'],
    ['label that attacks prototypes', { namespace: 'a', labels: ['k8s:__proto__=x'] }, 'wrong-type'],
    ['namespace label that attacks prototypes', { namespace: 'a', labels: ['k8s:io.cilium.k8s.namespace.labels.__proto__=x'] }, 'wrong-type'],
    ['too many labels', { namespace: 'a', labels: Array.from({ length: 257 }, (_, i) => `k8s:l${i}=x`) }, 'too-many-labels'],
    ['a long label value', { namespace: 'a', labels: [`k8s:a=${'x'.repeat(1025)}`] }, 'too-many-labels'],
    ['a long label key', { namespace: 'a', labels: [`${'x'.repeat(1025)}=a`] }, 'too-many-labels'],
    ['namespace number', { namespace: 5 }, 'wrong-type'],
    ['pod name object', { namespace: 'a', pod_name: {} }, 'wrong-type'],
    ['a long pod name', { namespace: 'a', pod_name: 'x'.repeat(2000) }, 'wrong-type'],
    ['workloads text', { namespace: 'a', pod_name: 'b', workloads: 'web' }, 'wrong-type'],
    ['workload text', { namespace: 'a', pod_name: 'b', workloads: ['web'] }, 'wrong-type'],
    ['workload name number', { namespace: 'a', pod_name: 'b', workloads: [{ name: 5 }] }, 'wrong-type'],
    ['identity text', { identity: '5' }, 'wrong-type'],
    ['cluster name number', { namespace: 'a', cluster_name: 5 }, 'wrong-type'],
  ]
  test.each(cases)('%s', (_, end, code) => {
    expect(verdictOf(flow({ destination: end }))).toBe(`rejected ${code}`)
  })

  test('the same pod name is read again after a refusal', () => {
    expect(verdictOf(flow({ destination: { namespace: 'a', pod_name: 'p', labels: 'x' } }))).toBe('rejected wrong-type')
    expect(verdictOf(flow({ destination: { namespace: 'a', pod_name: 'p', labels: ['k8s:app=p'] }, l4: tcp(1, 2) }))).toBe('flow')
  })
})

describe('pods whose namespace stands in the labels alone', () => {
  test('two pods of the same labels keep their own names, in any order', () => {
    const named = (name: string): Json => ({ identity: 4711, labels: ['k8s:app=web', 'k8s:io.kubernetes.pod.namespace=shop'], pod_name: name })
    const nameless: Json = { identity: 4711, labels: ['k8s:app=web', 'k8s:io.kubernetes.pod.namespace=shop'] }
    const normalizer = createNormalizer({ cluster: 'c1' })
    const podOf = (end: Json): string => {
      const outcome = normalizer.normalize(flow({ source: DB, destination: end }))
      return outcome.kind === 'flow' ? `${outcome.responder.namespace}/${outcome.responderPod}` : outcome.kind
    }
    for (const name of ['web-7d4b9c6f58-x2k9p', 'api-6c9f8b7d54-q4w7z', 'web-7d4b9c6f58-x2k9p']) expect(podOf(named(name))).toBe(`shop/${name}`)
    expect(podOf(nameless)).toBe('shop/')
    expect(podOf(named('web-7d4b9c6f58-b4k2z'))).toBe('shop/web-7d4b9c6f58-b4k2z')
  })
})
