import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { readManifests } from '../../src/manifests/load-manifests.ts'
import { loadPolicies } from '../../src/manifests/load-policies.ts'
import { loadSnapshot } from '../../src/manifests/load-snapshot.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flowfence-manifests-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function write(name: string, text: string | Buffer): string {
  const path = join(folder, name)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, text)
  return path
}

function policyYaml(name: string, spec = '{podSelector: {}}'): string {
  return `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: ${name}, namespace: shop}\nspec: ${spec}\n`
}

/** `name: message` with the temporary folder cut out. */
function errors(inputErrors: readonly { file: string; line?: number; message: string }[]): string[] {
  return inputErrors.map((e) => `${e.file.replace(`${folder}/`, '')}${e.line === undefined ? '' : `:${e.line}`}: ${e.message}`)
}

async function names(...paths: string[]): Promise<unknown[]> {
  const { objects, inputErrors } = await readManifests(paths)
  expect(inputErrors).toEqual([])
  return objects.map((o) => (o.object.metadata as { name: string }).name)
}

describe('reading', () => {
  test('several documents, Lists, typed lists, JSON and JSON arrays', async () => {
    write('a.yaml', `# comment\n---\n${policyYaml('one')}---\n---\n# nothing\n---\n${policyYaml('two')}...\n`)
    write('b.json', JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'three' } }] }))
    write('c.yml', 'apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: four}\n')
    write('d.json', JSON.stringify([{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'five' } }]))
    expect(await names(folder)).toEqual(['one', 'two', 'three', 'four', 'five'])
    const { objects } = await readManifests([join(folder, 'c.yml'), join(folder, 'a.yaml')])
    expect(objects.map((o) => [o.object.kind, o.object.apiVersion, o.document])).toEqual([['Pod', 'v1', 1], ['NetworkPolicy', 'networking.k8s.io/v1', 1], ['NetworkPolicy', 'networking.k8s.io/v1', 2]])
  })

  test('folders are read in order and in depth; other files and hidden ones are left alone; a file given twice is read once', async () => {
    const first = write('b/x.yaml', policyYaml('x'))
    write('a/deep/y.yml', policyYaml('y'))
    write('.hidden/z.yaml', policyYaml('z'))
    write('flows.ndjson', '{}')
    write('README.md', 'text')
    expect(await names(folder, first)).toEqual(['y', 'x'])
  })

  test('links are followed, as in a mounted ConfigMap, and loops end', async () => {
    write('..data/p.yaml', policyYaml('p'))
    symlinkSync(join(folder, '..data/p.yaml'), join(folder, 'p.yaml'))
    symlinkSync(folder, join(folder, 'loop'))
    expect(await names(folder)).toEqual(['p'])
  })

  test('a dash reads stdin', async () => {
    const { objects, inputErrors } = await readManifests(['-'], { stdin: Readable.from([Buffer.from(policyYaml('piped'))]) })
    expect([objects.length, inputErrors]).toEqual([1, []])
  })

  test('Windows line ends, a byte-order mark, anchors and merge keys', async () => {
    const path = write('a.yaml', `\uFEFF${policyYaml('p', '\n  podSelector: &s {matchLabels: {a: b}}\n  ingress: [{from: [{podSelector: *s}, {podSelector: {<<: *s}}]}]').replaceAll('\n', '\r\n')}`)
    const { policies, inputErrors } = await loadPolicies([path])
    expect(inputErrors).toEqual([])
    expect(policies[0]?.ingress[0]?.peers[1]).toEqual({ podSelector: { matchLabels: { a: 'b' }, matchExpressions: [] } })
  })
})

describe('bad input names file and line, and loses nothing that is good', () => {
  test('a broken document costs only itself', async () => {
    write('a.yaml', `${policyYaml('one')}---\nkind: [broken\n---\n${policyYaml('two')}`)
    const { policies, inputErrors } = await loadPolicies([folder])
    expect(policies.map((p) => p.name)).toEqual(['one', 'two'])
    expect(errors(inputErrors)).toEqual(['a.yaml:6: document 2: not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]'])
  })

  test('duplicate keys, tabs and truncated JSON are errors with their line', async () => {
    write('a.yaml', 'kind: a\nkind: b\n')
    write('b.yaml', 'a:\n\t- b\n')
    write('c.json', '{"kind": "NetworkPolicy",\n"metadata": {')
    const { inputErrors } = await readManifests([folder])
    expect(errors(inputErrors).map((e) => e.slice(0, 34))).toEqual(['a.yaml:2: document 1: not valid YA', 'b.yaml:2: document 1: not valid YA', 'c.json:2: document 1: not valid YA'])
  })

  test('alias bombs are refused quickly', async () => {
    const levels = 'bcdefghij'.split('').map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghij'[i] ?? ''}`).join(', ')}]`)
    write('bomb.yaml', `a: &a [${Array(9).fill('x').join(', ')}]\n${levels.join('\n')}\n---\n${policyYaml('good')}`)
    const { policies, inputErrors } = await loadPolicies([folder])
    expect(policies.map((p) => p.name)).toEqual(['good'])
    expect(errors(inputErrors)).toEqual(['bomb.yaml:1: document 1: its YAML aliases cannot be expanded (Excessive alias count indicates a resource exhaustion attack): write the repeated parts out'])
  })

  test.each([
    ['flow lists', `${'['.repeat(20_000)}${']'.repeat(20_000)}`],
    ['open flow lists', '['.repeat(20_000)],
    ['open flow maps', '{a: '.repeat(10_000)],
    ['block lists', `${'- '.repeat(20_000)}x`],
    ['JSON lists', `${'['.repeat(30_000)}${']'.repeat(30_000)}`],
    ['lists of lists as objects', `${'{"apiVersion":"v1","kind":"List","items":['.repeat(5000)}${']}'.repeat(5000)}`],
    ['a field of a policy', policyYaml('deep', `{podSelector: {matchLabels: ${'['.repeat(1000)}${']'.repeat(1000)}}}`)],
    ['a field of a JSON policy', JSON.stringify({
      apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'deep' }, spec: { podSelector: { matchLabels: 'DEEP' } },
    }).replace('"DEEP"', `${'['.repeat(30_000)}${']'.repeat(30_000)}`)],
  ])('%s nested without end are an error, and the next document counts', async (_, text) => {
    const file = write('deep.yaml', text)
    const { inputErrors } = await loadPolicies([file])
    expect(inputErrors.length).toBeGreaterThan(0)
    const { policies } = await loadPolicies([file, write('good.yaml', policyYaml('good'))])
    expect(policies.map((p) => p.name)).toEqual(['good'])
  })

  test('the lines of many errors in one document are found in one pass', async () => {
    const items = Array.from({ length: 300 }, (_, i) => `- {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p${i}}, spec: {podSelector: {}, bogus: 1}}`)
    const startedAt = performance.now()
    const { inputErrors } = await loadPolicies([write('many.yaml', `apiVersion: v1\nkind: List\nitems:\n${items.join('\n')}\n`)])
    expect(inputErrors.map((e) => e.line)).toEqual(items.map((_, i) => i + 4))
    expect(performance.now() - startedAt).toBeLessThan(20_000)
  })

  test('a missing file, an empty one, an empty folder, binary, wrong encoding', async () => {
    mkdirSync(join(folder, 'nothing'))
    write('empty.yaml', '')
    write('comments.yaml', '# only\n---\n')
    write('binary.yaml', Buffer.from([0x1f, 0x8b, 0, 0]))
    write('latin1.yaml', Buffer.from([0x61, 0xe9, 0x3a, 0x20, 0x31]))
    const { inputErrors } = await readManifests([join(folder, 'absent'), join(folder, 'nothing'), folder])
    expect(errors(inputErrors)).toEqual([
      'absent: no such file or folder: check the path',
      'nothing: this folder holds no *.yaml, *.yml or *.json file: check the path',
      'binary.yaml: this is a binary file, not YAML or JSON text',
      'comments.yaml: holds no document: it is empty or only comments',
      'empty.yaml: holds no document: it is empty or only comments',
      'latin1.yaml: not UTF-8 text: save it as UTF-8',
    ])
  })

  test('a huge file is refused before it is read', async () => {
    truncateSync(write('huge.yaml', ''), 65 * 1024 * 1024)
    const { inputErrors } = await readManifests([folder])
    expect(errors(inputErrors)).toEqual(['huge.yaml: larger than 64 MiB: split it, or export only namespaces, nodes, pods, services and policies'])
  })

  test('values that are no Kubernetes objects, but a foreign array does not flood the output', async () => {
    write('a.yaml', 'just text\n---\na: 1\n')
    write('truth.json', JSON.stringify(Array.from({ length: 50 }, (_, i) => ({ from: i }))))
    const { inputErrors } = await readManifests([folder])
    expect(errors(inputErrors)).toEqual([
      'a.yaml:1: document 1: not a Kubernetes object, apiVersion or kind is missing',
      'a.yaml:3: document 2: not a Kubernetes object, apiVersion or kind is missing',
      'truth.json:1: document 1 [0]: not a Kubernetes object, apiVersion or kind is missing',
      'truth.json:1: document 1 [1]: not a Kubernetes object, apiVersion or kind is missing',
      'truth.json:1: document 1 [2]: not a Kubernetes object, apiVersion or kind is missing',
      'truth.json:1: document 1: 47 more entries are not Kubernetes objects',
    ])
  })
})

describe('policies', () => {
  test('one that the API server would refuse is named with document, line, field and every reason; the others count', async () => {
    write('a.yaml', `${policyYaml('good')}---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: bad
spec:
  podSelector: {}
  ingress:
  - from:
    - {}
    ports:
    - port: 99999
`)
    const { policies, inputErrors } = await loadPolicies([folder])
    expect(policies.map((p) => p.name)).toEqual(['good'])
    expect(errors(inputErrors)).toEqual([
      'a.yaml:14: document 2: NetworkPolicy bad: spec.ingress[0].from[0]: Required value: must specify a peer (podSelector, namespaceSelector or ipBlock)',
      'a.yaml:16: document 2: NetworkPolicy bad: spec.ingress[0].ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive',
    ])
  })

  test('a bad one inside a List is found at its line', async () => {
    write('a.yaml', 'apiVersion: v1\nkind: List\nitems:\n- apiVersion: networking.k8s.io/v1\n  kind: NetworkPolicy\n  metadata: {name: bad}\n  spec:\n    policyTypes:\n    - Nothing\n')
    const { inputErrors } = await loadPolicies([folder])
    expect(errors(inputErrors)).toEqual(['a.yaml:9: document 1: NetworkPolicy bad: spec.policyTypes[0]: Unsupported value: "Nothing": supported values: "Ingress", "Egress"'])
  })

  test.each([
    ['CiliumNetworkPolicy', 'cilium.io/v2'], ['CiliumClusterwideNetworkPolicy', 'cilium.io/v2'], ['AdminNetworkPolicy', 'policy.networking.k8s.io/v1alpha1'],
    ['BaselineAdminNetworkPolicy', 'policy.networking.k8s.io/v1alpha1'], ['ClusterNetworkPolicy', 'policy.networking.k8s.io/v1alpha2'],
    ['NetworkPolicy', 'projectcalico.org/v3'], ['GlobalNetworkPolicy', 'crd.projectcalico.org/v1'], ['StagedKubernetesNetworkPolicy', 'projectcalico.org/v3'],
    ['AuthorizationPolicy', 'security.istio.io/v1'],
  ])('%s of %s is reported as not evaluated yet', async (kind, apiVersion) => {
    write('a.yaml', `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: x}\n`)
    const { policies, inputErrors } = await loadPolicies([folder])
    expect(policies).toEqual([])
    expect(errors(inputErrors)).toEqual([`a.yaml:1: document 1: ${kind} x: ${kind} (${apiVersion}) is not evaluated yet; its effect is not part of the result`])
  })

  test('other kinds are left alone; a path without any policy says so', async () => {
    write('a.yaml', 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n')
    expect(errors((await loadPolicies([folder])).inputErrors)).toEqual([`${folder}: no NetworkPolicy found: check that the path holds objects of kind NetworkPolicy`])
    write('b.yaml', policyYaml('p'))
    expect((await loadPolicies([folder])).inputErrors).toEqual([])
  })

  test('the same policy in two files is one policy', async () => {
    write('a.yaml', policyYaml('p'))
    write('b.yaml', policyYaml('p', '{podSelector: {}, policyTypes: [Ingress], ingress: []}'))
    const { policies, inputErrors } = await loadPolicies([folder])
    expect([policies.length, inputErrors]).toEqual([1, []])
  })

  test('a name defined twice with another meaning is reported and the later one counts', async () => {
    write('a.yaml', policyYaml('p'))
    write('b.yaml', policyYaml('p', '{podSelector: {}, ingress: [{}]}'))
    const { policies, inputErrors } = await loadPolicies([folder])
    expect(policies.map((p) => p.ingress.length)).toEqual([1])
    expect(errors(inputErrors)).toEqual([`b.yaml:1: document 1: NetworkPolicy shop/p: shop/p is defined again (first in ${folder}/a.yaml, document 1); the later one is evaluated, remove one of them`])
  })
})

describe('cluster state', () => {
  test('gives the snapshot, its policies, and what was left out', async () => {
    write('state.yaml', `apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: a}}}
- {apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, status: {podIP: 10.0.0.1}}
- apiVersion: v1
  kind: Pod
  metadata: {name: bad, namespace: shop}
  status:
    podIP: nonsense
---
${policyYaml('p')}`)
    const { snapshot, policies, inputErrors } = await loadSnapshot([folder])
    expect([[...snapshot.namespaces.keys()], snapshot.pods.map((p) => p.name), policies.map((p) => p.name)]).toEqual([['shop'], ['web'], ['p']])
    expect(errors(inputErrors)).toEqual(['state.yaml:10: document 1: Pod bad: status.podIPs: Invalid value: "nonsense": must be a valid IP address; the object is left out'])
  })
})

test('a key that a map has twice is refused with its line, in block and in flow style', async () => {
  const block = write('block.yaml', 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  name: b\n')
  const flow = write('flow.yaml', 'apiVersion: v1\nkind: Pod\nmetadata: {name: a,\n  name: b}\n')
  const { objects, inputErrors } = await readManifests([block, flow])
  expect(objects).toEqual([])
  expect(errors(inputErrors)).toEqual([
    'block.yaml:5: document 1: not valid YAML: Map keys must be unique', 'flow.yaml:4: document 1: not valid YAML: Map keys must be unique',
  ])
})

test('many keys cost as much as they are long, not their square', async () => {
  const seconds = async (keys: number): Promise<number> => {
    const path = write(`${keys}.yaml`, Array.from({ length: keys }, (_, i) => `k${i}: 1\n`).join(''))
    const startedAt = performance.now()
    expect((await readManifests([path])).inputErrors).toHaveLength(1)
    return performance.now() - startedAt
  }
  await seconds(5_000)
  const few = await seconds(5_000)
  // Squared it would be 64 times as much.
  expect(await seconds(40_000) / few).toBeLessThan(30)
}, 60_000)

test('hundreds of thousands of broken documents are one answer, not a crash', async () => {
  const path = write('many.json', `[${'1,'.repeat(300_000)}1]`)
  expect((await readManifests([path])).inputErrors.length).toBeGreaterThan(0)
  const objects = write('objects.json', `[${'{"apiVersion":"v1","kind":"X"},'.repeat(200_000)}{"apiVersion":"v1","kind":"X"}]`)
  expect((await readManifests([objects])).objects).toHaveLength(200_001)
}, 60_000)
