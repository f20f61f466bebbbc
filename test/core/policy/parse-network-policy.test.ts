import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { parseNetworkPolicy } from '../../../src/core/policy/parse-network-policy.ts'
import { policyToObject } from '../../../src/core/policy/print-network-policy.ts'
import { policyOf } from '../../support/ends.ts'
import { describeShared, sharedPath } from '../../support/shared.ts'

function withSpec(spec: unknown, metadata: unknown = { name: 'p', namespace: 'shop' }): unknown {
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec }
}

/** `field: message` of every problem. */
function problems(object: unknown): string[] {
  const parsed = parseNetworkPolicy(object)
  return 'problems' in parsed ? parsed.problems.map((p) => `${p.field}: ${p.message}`) : []
}

function inIngress(rule: unknown): string[] {
  return problems(withSpec({ podSelector: {}, ingress: [rule] })).map((p) => p.replace('spec.ingress[0].', ''))
}

describeShared('the API server\'s own validation table', () => {
  interface Row { readonly name: string; readonly valid: boolean; readonly policy: unknown; readonly why: string }
  const path = sharedPath('semantics/cases/kubernetes-validation/validation.json')
  const rows = path === undefined ? [] : (JSON.parse(readFileSync(path, 'utf8')) as Row[])

  test('every row is valid or invalid as the API server says, and valid ones survive printing', () => {
    const wrong: string[] = []
    for (const row of rows) {
      const parsed = parseNetworkPolicy(row.policy)
      if (('policy' in parsed) !== row.valid) wrong.push(row.name)
      if ('policy' in parsed) expect(parseNetworkPolicy(policyToObject(parsed.policy))).toEqual(parsed)
    }
    expect(wrong).toEqual([])
    expect(rows).toHaveLength(54)
  })

  test('problems carry the field path and reason that the table states', () => {
    const stated = rows.filter((r) => /^spec\./.test(r.why))
    expect(stated.length).toBeGreaterThan(0)
    for (const row of stated) expect(problems(row.policy)).toContain(row.why)
  })

  test('policyTypes default as the API server defaults them', () => {
    const file = sharedPath('semantics/cases/kubernetes-validation/policytypes_defaulting.json')
    const table = file === undefined ? [] : (JSON.parse(readFileSync(file, 'utf8')) as { spec: unknown; defaulted: string[] }[])
    for (const { spec, defaulted } of table) expect(policyOf(withSpec(spec)).policyTypes).toEqual(defaulted)
    expect(table).toHaveLength(13)
  })
})

describe('defaults', () => {
  test('a missing namespace is that of the apply context, a missing protocol is TCP, missing lists are empty', () => {
    const object = withSpec({ ingress: [{ ports: [{ port: 80 }, {}] }] }, { name: 'p' })
    expect(policyOf(object)).toEqual({
      namespace: 'default', name: 'p', labels: {}, annotations: {}, podSelector: { matchLabels: {}, matchExpressions: [] },
      policyTypes: ['Ingress'], ingress: [{ peers: [], ports: [{ protocol: 'TCP', port: 80 }, { protocol: 'TCP' }] }], egress: [],
    })
    expect(parseNetworkPolicy(object, { defaultNamespace: 'shop' })).toMatchObject({ policy: { namespace: 'shop' } })
  })

  test('null reads as absent, except that a null item is an empty one', () => {
    expect(policyOf(withSpec({ podSelector: { matchLabels: null }, policyTypes: null, ingress: [null], egress: null }))).toMatchObject({
      policyTypes: ['Ingress'], ingress: [{ peers: [], ports: [] }], egress: [],
    })
    expect(policyOf(withSpec({ ingress: [{ from: [{ namespaceSelector: null, podSelector: {} }] }] })).ingress[0]?.peers).toEqual([{ podSelector: { matchLabels: {}, matchExpressions: [] } }])
  })

  test('a policy without spec denies all ingress of its namespace', () => {
    expect(policyOf({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'p' } })).toMatchObject({ policyTypes: ['Ingress'], ingress: [] })
  })

  test('host bits of blocks are masked', () => {
    const block = policyOf(withSpec({ ingress: [{ from: [{ ipBlock: { cidr: '10.10.1.12/24', except: ['10.10.1.9/30'] } }] }] })).ingress[0]?.peers[0]?.ipBlock
    expect([block?.cidr.text, block?.except.map((e) => e.text)]).toEqual(['10.10.1.0/24', ['10.10.1.8/30']])
  })
})

describe('what the API server refuses', () => {
  test('an empty peer is refused, never read as everybody', () => {
    expect(inIngress({ from: [{}] })).toEqual(['from[0]: Required value: must specify a peer (podSelector, namespaceSelector or ipBlock)'])
    expect(inIngress({ from: [null] })).toHaveLength(1)
  })

  test('a field that does not exist is refused: a misspelt from would open the port to everybody', () => {
    expect(inIngress({ form: [{ podSelector: {} }] })).toEqual(['form: unknown field; known here: from, ports'])
    expect(problems(withSpec({ podSelector: {}, ingres: [] }))).toEqual(['spec.ingres: unknown field; known here: podSelector, policyTypes, ingress, egress'])
    expect(inIngress({ to: [] })).toHaveLength(1)
  })

  test('every problem is reported, not only the first', () => {
    expect(problems(withSpec({ podSelector: { matchLabels: { 'a b': 'c' } }, policyTypes: ['ingress'], ingress: [{ ports: [{ port: 0 }, { protocol: 'tcp' }] }] }, { name: 'Bad' }))).toEqual([
      'metadata.name: Invalid value: "Bad": must be a lowercase RFC 1123 subdomain: lower case alphanumeric characters, \'-\' or \'.\', starting and ending with an alphanumeric character',
      'spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive',
      'spec.ingress[0].ports[1].protocol: Unsupported value: "tcp": supported values: "TCP", "UDP", "SCTP"',
      'spec.policyTypes[0]: Unsupported value: "ingress": supported values: "Ingress", "Egress"',
      'spec.podSelector.matchLabels: Invalid value: "a b": name part must consist of alphanumeric characters, \'-\', \'_\' or \'.\', and must start and end with an alphanumeric character',
    ])
  })

  test.each([
    [{ ports: [{ port: '80' }] }, 'ports[0].port: Invalid value: "80": a port number must not be quoted; as a name it must contain at least one letter'],
    [{ ports: [{ port: 'Http' }] }, 'ports[0].port: Invalid value: "Http": must contain only lower case letters, digits and hyphens'],
    [{ ports: [{ port: 'a-very-long-port-name' }] }, 'ports[0].port: Invalid value: "a-very-long-port-name": must be no more than 15 characters'],
    [{ ports: [{ port: 'a--b' }] }, 'ports[0].port: Invalid value: "a--b": must not contain consecutive hyphens'],
    [{ ports: [{ port: 80.5 }] }, 'ports[0].port: Invalid value: 80.5: must be between 1 and 65535, inclusive'],
    [{ ports: [{ port: 90, endPort: 80 }] }, 'ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`'],
    [{ ports: [{ endPort: 80 }] }, 'ports[0].endPort: Invalid value: 80: may not be specified when `port` is not specified'],
    [{ ports: [{ port: 'http', endPort: 80 }] }, 'ports[0].endPort: Invalid value: 80: may not be specified when `port` is non-numeric'],
    [{ ports: [{ port: 1, endPort: 65_536 }] }, 'ports[0].endPort: Invalid value: 65536: must be between 1 and 65535, inclusive'],
    [{ ports: 80 }, 'ports: Invalid value: 80: must be a list'],
    [{ from: { podSelector: {} } }, 'from: Invalid value: {"podSelector":{}}: must be a list'],
    [{ from: [{ podSelector: { matchLabels: { app: 1 } } }] }, 'from[0].podSelector.matchLabels.app: Invalid value: 1: must be a string: quote it'],
    [{ from: [{ podSelector: { matchLabels: { app: 'a b' } } }] }, 'from[0].podSelector.matchLabels: Invalid value: "a b": a valid label must be an empty string or consist of alphanumeric characters, \'-\', \'_\' or \'.\', and must start and end with an alphanumeric character'],
    [{ from: [{ podSelector: { matchLabels: { [`${'x'.repeat(64)}`]: 'a' } } }] }, `from[0].podSelector.matchLabels: Invalid value: "${'x'.repeat(64)}": name part must be no more than 63 characters`],
    [{ from: [{ podSelector: { matchLabels: { '/a': 'a' } } }] }, 'from[0].podSelector.matchLabels: Invalid value: "/a": prefix part must be non-empty'],
    [{ from: [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'in', values: ['x'] }] } }] }, 'from[0].podSelector.matchExpressions[0].operator: Invalid value: "in": not a valid selector operator: use one of In, NotIn, Exists, DoesNotExist'],
    [{ from: [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } }] }, 'from[0].podSelector.matchExpressions[0].values: Required value: must be specified when `operator` is \'In\' or \'NotIn\''],
    [{ from: [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'Exists', values: ['x'] }] } }] }, 'from[0].podSelector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is \'Exists\' or \'DoesNotExist\''],
    [{ from: [{ ipBlock: {} }] }, 'from[0].ipBlock.cidr: Required value'],
    [{ from: [{ ipBlock: { cidr: '010.0.0.0/8' } }] }, 'from[0].ipBlock.cidr: Invalid value: "010.0.0.0/8": octets must not have leading zeros: write them in plain decimal'],
    [{ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/8'] } }] }, 'from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr` 10.0.0.0/8'],
    [{ from: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['fd00::/8'] } }] }, 'from[0].ipBlock.except[0]: Invalid value: "fd00::/8": must be a strict subset of `cidr` 0.0.0.0/0'],
    [{ from: [{ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }] }, 'from[0]: Forbidden: may not specify both ipBlock and another peer'],
  ])('%j', (rule, expected) => {
    expect(inIngress(rule)).toEqual([expected])
  })

  test.each([
    [undefined, 'kind'], [null, 'kind'], ['text', ''], [[], ''], [{ kind: 'NetworkPolicy', apiVersion: 'extensions/v1beta1', metadata: { name: 'p' } }, 'apiVersion'],
    [withSpec({}, { name: '' }), 'metadata.name'], [withSpec({}, 'p'), 'metadata'], [withSpec('x'), 'spec'], [withSpec({}, { name: 'p', namespace: 'a.b' }), 'metadata.namespace'],
    [{ ...(withSpec({}) as object), specs: {} }, 'specs'], [withSpec({ podSelector: [] }), 'spec.podSelector'],
  ])('%j has a problem at its field', (object, field) => {
    const parsed = parseNetworkPolicy(object)
    expect('problems' in parsed ? parsed.problems[0]?.field : undefined).toBe(field)
  })

  test('what only a cluster adds is accepted: status, managed fields, annotations of tools', () => {
    const object = {
      ...(withSpec({ podSelector: {} }, { name: 'p', namespace: 'shop', uid: 'x', resourceVersion: '1', managedFields: [{}], annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}' } }) as object), status: {},
    }
    expect(policyOf(object)).toMatchObject({ name: 'p', annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}' } })
  })
})
