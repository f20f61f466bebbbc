import { canonicalJson, compareText, sortedBy } from '../base/order.ts'
import type { Cidr } from '../sets/cidr.ts'
import type { Labels } from '../flow/end.ts'
import { canonicalSelector } from './label-selector.ts'
import type { LabelSelector } from './label-selector.ts'
import { NETWORK_POLICY_API_VERSION } from './network-policy.ts'
import type { NetworkPolicy, PolicyPeer, PolicyPort, PolicyRule } from './network-policy.ts'

type Plain = Record<string, unknown>

/**
 * The policy as a plain Kubernetes object: keys in a fixed order, defaults written out (policyTypes, protocol), empty
 * lists left out where that means the same. parse(policyToObject(x)) equals x; equal policies print equal objects.
 */
export function policyToObject(policy: NetworkPolicy): Plain {
  return {
    apiVersion: NETWORK_POLICY_API_VERSION,
    kind: 'NetworkPolicy',
    metadata: {
      name: policy.name,
      namespace: policy.namespace,
      ...labelsField('labels', policy.labels),
      ...labelsField('annotations', policy.annotations),
    },
    spec: {
      podSelector: selectorToObject(policy.podSelector),
      policyTypes: [...policy.policyTypes],
      ...(policy.ingress.length === 0 ? {} : { ingress: policy.ingress.map((rule) => ruleToObject(rule, 'from')) }),
      ...(policy.egress.length === 0 ? {} : { egress: policy.egress.map((rule) => ruleToObject(rule, 'to')) }),
    },
  }
}

function sortedLabels(labels: Labels): Plain {
  return Object.fromEntries(Object.entries(labels).sort((a, b) => compareText(a[0], b[0])))
}

function labelsField(name: string, labels: Labels): Plain {
  return Object.keys(labels).length === 0 ? {} : { [name]: sortedLabels(labels) }
}

/** A selector as a plain object; the empty one is `{}`, which is not the same as leaving it out. */
export function selectorToObject(selector: LabelSelector): Plain {
  return {
    ...labelsField('matchLabels', selector.matchLabels),
    ...(selector.matchExpressions.length === 0 ? {} : {
      matchExpressions: selector.matchExpressions.map((r) => ({ key: r.key, operator: r.operator, ...(r.values.length === 0 ? {} : { values: [...r.values] }) })),
    }),
  }
}

function ruleToObject(rule: PolicyRule, peersField: 'from' | 'to'): Plain {
  return {
    ...(rule.peers.length === 0 ? {} : { [peersField]: rule.peers.map(peerToObject) }),
    ...(rule.ports.length === 0 ? {} : { ports: rule.ports.map(portToObject) }),
  }
}

function peerToObject(peer: PolicyPeer): Plain {
  const { namespaceSelector, podSelector, ipBlock } = peer
  return {
    ...(namespaceSelector === undefined ? {} : { namespaceSelector: selectorToObject(namespaceSelector) }),
    ...(podSelector === undefined ? {} : { podSelector: selectorToObject(podSelector) }),
    ...(ipBlock === undefined ? {} : {
      ipBlock: { cidr: ipBlock.cidr.text, ...(ipBlock.except.length === 0 ? {} : { except: ipBlock.except.map((c) => c.text) }) },
    }),
  }
}

function portToObject(port: PolicyPort): Plain {
  return {
    protocol: port.protocol,
    ...(port.port === undefined ? {} : { port: port.port }),
    ...(port.endPort === undefined ? {} : { endPort: port.endPort }),
  }
}

/**
 * The canonical policy of the same meaning: selectors, peers, ports and rules sorted, exact duplicates dropped.
 * Policies that differ only in such order become equal. Indices of rules may change: use it before evidence is attached.
 */
export function canonicalPolicy(policy: NetworkPolicy): NetworkPolicy {
  return {
    ...policy,
    labels: sortedLabels(policy.labels) as Labels,
    annotations: sortedLabels(policy.annotations) as Labels,
    podSelector: canonicalSelector(policy.podSelector),
    policyTypes: (['Ingress', 'Egress'] as const).filter((type) => policy.policyTypes.includes(type)),
    ingress: canonicalRules(policy.ingress),
    egress: canonicalRules(policy.egress),
  }
}

/** Sorted by `key`, one of each key. */
function distinct<T>(items: readonly T[], key: (item: T) => string): T[] {
  return sortedBy(new Map(items.map((item) => [key(item), item])), ([text]) => text).map(([, item]) => item)
}

function canonicalRules(rules: readonly PolicyRule[]): PolicyRule[] {
  const sorted = rules.map((rule): PolicyRule => ({
    peers: distinct(rule.peers.map(canonicalPeer), (peer) => canonicalJson(peerToObject(peer))),
    ports: distinct(rule.ports, portKey),
  }))
  return distinct(sorted, (rule) => canonicalJson(ruleToObject(rule, 'from')))
}

/** Orders ports by protocol, then numbers by value before names. */
function portKey({ protocol, port, endPort }: PolicyPort): string {
  const number = typeof port === 'number' ? `1${String(port).padStart(5, '0')}` : port === undefined ? '0' : `2${port}`
  return `${protocol}\u0000${number}\u0000${endPort === undefined ? '' : String(endPort).padStart(5, '0')}`
}

function canonicalPeer(peer: PolicyPeer): PolicyPeer {
  const { namespaceSelector, podSelector, ipBlock } = peer
  return {
    ...(namespaceSelector === undefined ? {} : { namespaceSelector: canonicalSelector(namespaceSelector) }),
    ...(podSelector === undefined ? {} : { podSelector: canonicalSelector(podSelector) }),
    ...(ipBlock === undefined ? {} : { ipBlock: { cidr: ipBlock.cidr, except: distinct<Cidr>(ipBlock.except, (c) => c.text) } }),
  }
}
