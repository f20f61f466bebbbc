import { describe, expect, test } from '@jest/globals'
import { buildSnapshot } from '../../src/core/cluster/build-snapshot.ts'
import { evaluateQueries } from '../../src/pipeline/eval.ts'
import { policies } from '../support/ends.ts'

const denyAll = policies('{name: shop/deny, podSelector: {}, policyTypes: [Ingress]}')

function podObject(place: string, podIP: string, spec: object): unknown {
  const [namespace, name] = place.split('/')
  return { kind: 'Pod', metadata: { namespace, name, labels: { app: name } }, spec, status: { phase: 'Running', podIP } }
}

const node = { kind: 'Node', metadata: { name: 'n1' }, status: { addresses: [{ type: 'InternalIP', address: '172.18.0.2' }] } }
const pods = [
  podObject('shop/a', '10.244.0.5', { nodeName: 'n1' }), podObject('shop/far', '10.244.1.5', { nodeName: 'n2' }), podObject('shop/pending', '10.244.2.5', {}),
  podObject('kube-system/agent', '172.18.0.2', { nodeName: 'n1', hostNetwork: true }),
]

/** `from -> to verdict` of every query that could be answered. */
function verdicts(objects: readonly unknown[], ...queries: readonly (readonly [string, string])[]): string[] {
  const { snapshot } = buildSnapshot(objects)
  const { results, problems } = evaluateQueries(queries.map(([from, to]) => ({ from, to, port: 80 })), { policies: denyAll, snapshot })
  return [...results.map((r) => `${r.from} -> ${r.to} ${r.verdict}`), ...problems.map((p) => p.message)]
}

describe('what policies never block', () => {
  test.each([
    ['a pod on the host\'s network of the same node', 'kube-system/agent', 'shop/a'],
    ['the node by its address', '172.18.0.2', 'shop/a'],
    ['the node by its address, the pod by its own', '172.18.0.2', '10.244.0.5'],
    ['the pod itself by name', 'shop/a', 'shop/a'],
    ['the pod itself by address', '10.244.0.5', 'shop/a'],
    ['the pod itself by address at both ends', '10.244.0.5', '10.244.0.5'],
  ])('%s', (_name, from, to) => {
    expect(verdicts([node, ...pods], [from, to])).toEqual([`${from} -> ${to} allowed`])
  })

  test('the node\'s address is known from its host-network pods where the node object is missing', () => {
    expect(verdicts(pods, ['172.18.0.2', 'shop/a'])).toEqual(['172.18.0.2 -> shop/a allowed'])
  })
})

test('another node, another pod and a pod without node are judged', () => {
  expect(verdicts([node, ...pods], ['kube-system/agent', 'shop/far'], ['172.18.0.2', '10.244.1.5'], ['10.244.1.5', '10.244.0.5'], ['172.18.0.2', 'shop/pending'])).toEqual([
    'kube-system/agent -> shop/far denied', '172.18.0.2 -> 10.244.1.5 denied', '10.244.1.5 -> 10.244.0.5 denied', '172.18.0.2 -> shop/pending denied',
  ])
})

test('a pod that is not in the cluster state is a problem of that query only', () => {
  expect(verdicts(pods, ['shop/a', 'shop/a'], ['shop/lost', 'shop/a'])).toEqual([
    'shop/a -> shop/a allowed', 'shop/lost -> shop/a uncertain', 'from: no running pod "shop/lost" in the cluster state; give the folder that holds it with --cluster-state.',
  ])
})
