/**
 * Reads a NetworkPolicy object as the API server would: applies the defaults it applies and refuses what it refuses.
 *
 * In: one plain object of unknown shape. Out: the policy, or every problem found with its field path; never both.
 * Invariant: an object with a problem is not evaluated, because a guess at its meaning would be a wrong verdict.
 * Leaves to others: files, documents, lists (manifests). Cost: linear in the object.
 */
import { labelKeyProblem, dnsLabelProblem, subdomainProblem } from './label-syntax.ts'
import { NETWORK_POLICY_API_VERSION } from './network-policy.ts'
import type { NetworkPolicy, PolicyRule, PolicyType } from './network-policy.ts'
import { ObjectReader } from '../base/object-reader.ts'
import type { FieldProblem } from '../base/object-reader.ts'
import { parseRule } from './parse-rule.ts'
import { parseLabels, parseSelector } from './parse-selector.ts'

export type ParsedPolicy = { readonly policy: NetworkPolicy } | { readonly problems: readonly FieldProblem[] }

export interface ParsePolicyOptions {
  /** Namespace of objects that name none, as `kubectl apply -n` would give them; `default` unless told. */
  readonly defaultNamespace?: string
}

const POLICY_TYPES: readonly PolicyType[] = ['Ingress', 'Egress']

/** Parses and validates; `{problems}` is never empty. */
export function parseNetworkPolicy(object: unknown, options: ParsePolicyOptions = {}): ParsedPolicy {
  const reader = new ObjectReader()
  const root = reader.object(object, '', ['apiVersion', 'kind', 'metadata', 'spec', 'status'])
  if (root.kind !== 'NetworkPolicy') reader.invalid('kind', root.kind ?? '', 'must be NetworkPolicy')
  if (root.apiVersion !== NETWORK_POLICY_API_VERSION) reader.invalid('apiVersion', root.apiVersion ?? '', `must be ${NETWORK_POLICY_API_VERSION}`)
  const metadata = parseMetadata(root.metadata, options.defaultNamespace ?? 'default', reader)
  const spec = reader.object(root.spec, 'spec', ['podSelector', 'policyTypes', 'ingress', 'egress'])
  const ingress = parseRules(spec.ingress, 'ingress', reader)
  const egress = parseRules(spec.egress, 'egress', reader)
  const policyTypes = parsePolicyTypes(spec.policyTypes, egress.length > 0, reader)
  const podSelector = parseSelector(spec.podSelector, 'spec.podSelector', reader)
  if (reader.problems.length > 0) return { problems: reader.problems }
  return { policy: { ...metadata, podSelector, policyTypes, ingress, egress } }
}

function parseRules(value: unknown, direction: 'ingress' | 'egress', reader: ObjectReader): PolicyRule[] {
  const peersField = direction === 'ingress' ? 'from' : 'to'
  return reader.list(value, `spec.${direction}`).map((item, i) => parseRule(item, `spec.${direction}[${i}]`, peersField, reader))
}

/** Absent or empty types default to Ingress, and to Ingress and Egress where there is an egress rule. */
function parsePolicyTypes(value: unknown, hasEgress: boolean, reader: ObjectReader): PolicyType[] {
  const items = reader.list(value, 'spec.policyTypes')
  if (items.length === 0) return hasEgress ? ['Ingress', 'Egress'] : ['Ingress']
  if (items.length > POLICY_TYPES.length) reader.invalid('spec.policyTypes', items, 'may not specify more than two policyTypes')
  for (const [i, item] of items.entries()) {
    if (!POLICY_TYPES.some((t) => t === item)) reader.add(`spec.policyTypes[${i}]`, `Unsupported value: ${JSON.stringify(item)}: supported values: "Ingress", "Egress"`)
  }
  return POLICY_TYPES.filter((type) => items.includes(type))
}

function parseMetadata(value: unknown, defaultNamespace: string, reader: ObjectReader): Pick<NetworkPolicy, 'namespace' | 'name' | 'labels' | 'annotations'> {
  const metadata = reader.object(value, 'metadata')
  const name = reader.text(metadata.name, 'metadata.name') ?? reader.text(metadata.generateName, 'metadata.generateName')?.replace(/-$/, '') ?? ''
  const nameProblem = subdomainProblem(name)
  if (name === '') reader.add('metadata.name', 'Required value: name or generateName is required')
  else if (nameProblem !== undefined) reader.invalid('metadata.name', name, nameProblem)
  const given = reader.text(metadata.namespace, 'metadata.namespace') ?? ''
  const namespace = given === '' ? defaultNamespace : given
  const namespaceProblem = dnsLabelProblem(namespace)
  if (namespaceProblem !== undefined) reader.invalid('metadata.namespace', namespace, namespaceProblem)
  const annotations = reader.texts(metadata.annotations, 'metadata.annotations')
  for (const key of Object.keys(annotations)) {
    const problem = labelKeyProblem(key.toLowerCase())
    if (problem !== undefined) reader.invalid('metadata.annotations', key, problem)
  }
  return { namespace, name, labels: parseLabels(metadata.labels, 'metadata.labels', reader), annotations }
}
