import type { EvalEnd, NamedPort } from '../../src/core/evaluate/eval-end.ts'
import { compilePolicies } from '../../src/core/evaluate/compile.ts'
import type { CompileOptions, CompiledPolicies } from '../../src/core/evaluate/compile.ts'
import type { EndKind, Labels } from '../../src/core/flow/end.ts'
import type { NetworkPolicy } from '../../src/core/policy/network-policy.ts'
import { parseNetworkPolicy } from '../../src/core/policy/parse-network-policy.ts'
import { parseAddress } from '../../src/core/sets/address.ts'
import type { Address } from '../../src/core/sets/address.ts'
import { parseYaml } from '../../src/manifests/parse-documents.ts'

/** An address that must be one. */
export function ip(text: string): Address {
  const address = parseAddress(text)
  if (address === undefined) throw new Error(`not an address: ${text}`)
  return address
}

export interface PodFields {
  readonly ips?: readonly string[]
  readonly namespaceLabels?: Labels
  readonly namespaceLabelsComplete?: boolean
  /** Keys whose absence is certain; all unless told. */
  readonly completeKeys?: readonly string[]
  readonly namedPorts?: readonly NamedPort[] | undefined
  readonly hostNetwork?: boolean
}

/** A pod of which everything is known, unless `fields` takes it back. */
export function pod(place: string, labels: Labels = {}, fields: PodFields = {}): EvalEnd {
  const { completeKeys } = fields
  return {
    kind: 'pod',
    namespace: place.split('/')[0] ?? '',
    labels,
    labelsComplete: completeKeys === undefined ? () => true : (key) => completeKeys.includes(key),
    namespaceLabels: fields.namespaceLabels ?? {},
    namespaceLabelsComplete: fields.namespaceLabelsComplete ?? true,
    ips: (fields.ips ?? []).map(ip),
    namedPorts: 'namedPorts' in fields ? fields.namedPorts : [],
    hostNetwork: fields.hostNetwork ?? false,
    display: place,
  }
}

/** An end that is no pod, at an address if one is given. */
export function endOf(kind: EndKind, address?: string): EvalEnd {
  return {
    kind, namespace: '', labels: {}, labelsComplete: () => true, namespaceLabels: {}, namespaceLabelsComplete: true,
    ips: address === undefined ? [] : [ip(address)], namedPorts: undefined, hostNetwork: false, display: address ?? kind,
  }
}

export function outside(address?: string): EvalEnd {
  return endOf('external', address)
}

/** Parses an object that must be a valid policy. */
export function policyOf(object: unknown): NetworkPolicy {
  const parsed = parseNetworkPolicy(object)
  if ('problems' in parsed) throw new Error(parsed.problems.map((p) => `${p.field}: ${p.message}`).join('; '))
  return parsed.policy
}

/** Policies from short YAML: each document is `{name: ns/name, ...spec}`. */
export function policies(yaml: string): NetworkPolicy[] {
  return parseYaml(yaml).map((document) => {
    const { name, ...spec } = document as { name: string }
    const [namespace, own] = name.split('/')
    return policyOf({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { namespace, name: own }, spec })
  })
}

export function compiled(yaml: string, options: CompileOptions = {}): CompiledPolicies {
  return compilePolicies(policies(yaml), options)
}
