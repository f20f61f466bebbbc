/**
 * Turns drafts into policies that verification has passed, with their certificate.
 *
 * A subject whose policy fails verification is taken out and the rest is verified again, until everything left passes: a
 * set that fails is never emitted. Layers are built from what is left. What is printed is the very model that was verified.
 */
import { compareText, sortedBy } from '../base/order.ts'
import { invariant } from '../base/invariant.ts'
import { poorerQuality, QUALITY_ORDER } from '../flow/edge-view.ts'
import type { LabelQuality } from '../flow/end.ts'
import type { Workload } from '../flow/workloads.ts'
import { PROTOCOLS } from '../flow/flow-record.ts'
import { compilePolicies } from '../evaluate/compile.ts'
import { parseNetworkPolicy } from '../policy/parse-network-policy.ts'
import type { NetworkPolicy } from '../policy/network-policy.ts'
import { policyToObject } from '../policy/print-network-policy.ts'
import { ALLOW_DNS, layerNamespaces } from './namespace-layers.ts'
import type { NamespaceLayer } from './namespace-layers.ts'
import { draftToObject } from './policy-draft.ts'
import type { RuleDraft } from './policy-draft.ts'
import type { Certificate, Widening } from './recommendation.ts'
import type { SubjectDraft } from './subject-draft.ts'
import { verifyPolicies } from './verify.ts'
import type { Expectation, Failure, Verification } from './verify.ts'

export interface Certified {
  readonly policies: readonly Record<string, unknown>[]
  readonly subjects: readonly SubjectDraft[]
  readonly failures: readonly Failure[]
  readonly certificate: Certificate
}

/** `requested`: the namespace that was asked for, if one was. */
export function certify(drafts: readonly SubjectDraft[], known: readonly Workload[], requested?: string): Certified {
  let subjects = drafts
  const refused: Failure[] = []
  for (;;) {
    const layers = layerNamespaces(subjects.map((s) => s.draft), known, requested)
    const objects = [...subjects.map((s) => draftToObject(s.draft)), ...layers.flatMap((l) => l.objects)]
    const policies = objects.map(parsed)
    invariant(new Set(policies.map((p) => `${p.namespace}/${p.name}`)).size === policies.length, 'two generated policies have one name', { names: policies.map((p) => p.name) })
    const verification = verifyPolicies(compilePolicies(policies, { ipBlockMatchesPods: false }), expect(subjects, layers, known), known)
    if (verification.failures.length === 0) {
      const certificate = certificateOf({ subjects, layers, known, verification })
      return { policies: sortObjects(policies.map(policyToObject)), subjects, failures: refused, certificate }
    }
    const failing = new Set(verification.failures.map((f) => f.workload.key))
    const left = subjects.filter((s) => !failing.has(s.draft.workload.key))
    refused.push(...firstPerWorkload(verification.failures))
    // A failure of a workload without a policy means that another policy took it in: nothing is safe to keep.
    subjects = left.length < subjects.length ? left : []
  }
}

function parsed(object: Record<string, unknown>): NetworkPolicy {
  const result = parseNetworkPolicy(object)
  invariant('policy' in result, 'a generated policy does not parse', { object, result })
  return result.policy
}

function expect(subjects: readonly SubjectDraft[], layers: readonly NamespaceLayer[], known: readonly Workload[]): Expectation[] {
  const coversOf = new Map(subjects.map((s) => [s.draft.workload.key, s.covers]))
  return known.map((workload) => ({
    workload,
    covers: coversOf.get(workload.key) ?? new Map(),
    dnsServers: new Set(layers.filter((l) => l.namespace === workload.namespace).flatMap((l) => l.dnsServers.map((w) => w.key))),
  }))
}

function firstPerWorkload(failures: readonly Failure[]): Failure[] {
  const first = new Map<string, Failure>()
  for (const failure of failures) if (!first.has(failure.workload.key)) first.set(failure.workload.key, failure)
  return [...first.values()]
}

function sortObjects(objects: readonly Record<string, unknown>[]): Record<string, unknown>[] {
  const key = (o: Record<string, unknown>): string => {
    const { namespace, name } = o.metadata as { namespace: string; name: string }
    return `${namespace}\u0000${name}`
  }
  return [...objects].sort((a, b) => compareText(key(a), key(b)))
}

interface CertificateInput {
  readonly subjects: readonly SubjectDraft[]
  readonly layers: readonly NamespaceLayer[]
  readonly known: readonly Workload[]
  readonly verification: Verification
}

function certificateOf(input: CertificateInput): Certificate {
  const { subjects, layers, known, verification } = input
  const covers = subjects.flatMap((s) => [...s.covers.values()])
  const count = covers.reduce((n, c) => n + c.rules.length, 0)
  const lowerBound = covers.reduce((n, c) => n + c.lowerBound, 0)
  const quality: Record<string, number> = {}
  for (const w of known) for (const i of w.identities) quality[i.labelQuality] = (quality[i.labelQuality] ?? 0) + 1
  return {
    // `certify` returns only sets without failures; both kinds are checked over the whole universe below.
    sound: !verification.failures.some((f) => f.kind === 'unsound'),
    tight: !verification.failures.some((f) => f.kind === 'not-tight'),
    irredundant: covers.every((c) => isIrredundant(c.rules)),
    rules: { count, lowerBound, proven: count === lowerBound },
    universe: {
      identities: known.reduce((n, w) => n + w.labelSets.length, 0),
      symbolicPods: verification.symbolicPods,
      namespaces: new Set(known.map((w) => w.namespace)).size,
      protocols: [...PROTOCOLS],
      ports: '1-65535',
      cellsChecked: verification.cellsChecked,
      outside: 'every IPv4 and IPv6 address',
      labelQuality: Object.fromEntries(Object.entries(quality).sort((a, b) => compareText(a[0], b[0]))),
      ...assumptionsOf(input),
    },
    widenings: wideningsOf(subjects, layers),
  }
}

const QUALITY_NOTES: Readonly<Record<LabelQuality, string>> = {
  full: 'All labels of the pods are known.',
  'identity-subset': 'Cilium logs the labels that count for its identities. The pods may carry others, which no selector here uses.',
  intersection: 'The log or the pod template shows the labels that all pods of a group share. Single pods may carry others, by which a selector could pick them as well: see assumedAbsent.',
  none: 'The labels are not in the log.',
}

/** What selectors rest on that no log can tell: labels which label sets may lack, and workloads whose labels are not known. */
function assumptionsOf({ subjects, layers, known }: CertificateInput): Pick<Certificate['universe'], 'assumedAbsent' | 'withoutLabels' | 'selectorQuality' | 'notes'> {
  const assumed = new Set<string>()
  const qualityOf = new Map(known.map((w) => [w.key, w.setQualities.reduce(poorerQuality, 'full')] as const))
  const namespaces = new Set<string>()
  const pickedBy = subjects.map(({ draft }) => {
    const peers = [...draft.rules.values()].flat().flatMap((r) => r.peers).flatMap((p) => (p.kind === 'pods' ? [p] : []))
    const picked = [draft, ...peers]
    for (const { workload, selector } of picked) {
      namespaces.add(workload.namespace)
      if (selector.assumesAbsent === true) assumed.add(workload.key)
    }
    return [`${draft.workload.namespace}/${draft.name}`, picked.map((p) => p.workload.key)] as const
  })
  const layered = layers.filter((l) => l.dnsServers.length > 0).map((l) => [`${l.namespace}/${ALLOW_DNS}`, l.dnsServers.map((w) => w.key)] as const)
  const poorest = [...pickedBy, ...layered].map(([name, keys]) => [name, keys.map((key) => qualityOf.get(key) ?? 'none').reduce(poorerQuality, 'full')] as const)
  const qualities = QUALITY_ORDER.filter((quality) => poorest.some(([, q]) => q === quality))
  return {
    selectorQuality: Object.fromEntries(sortedBy(poorest, ([name]) => name)),
    notes: Object.fromEntries(qualities.map((quality) => [quality, QUALITY_NOTES[quality]])),
    assumedAbsent: [...pickedBy, ...layered].filter(([, keys]) => keys.some((key) => assumed.has(key))).map(([name]) => name).sort(compareText),
    withoutLabels: known.filter((w) => w.labelSets.length === 0 && namespaces.has(w.namespace)).map((w) => w.display).sort(compareText),
  }
}

/** True when no two rules share a (peer, port) and no rule repeats a peer: then each part is the only one that admits its cells. */
function isIrredundant(rules: readonly RuleDraft[]): boolean {
  const seen = new Map<string, RuleDraft[]>()
  for (const rule of rules) {
    if (rule.peers.length === 0) return false
    for (const peer of rule.peers) {
      const key = peer.kind === 'cidr' ? `cidr ${peer.cidr}` : `pods ${peer.workload.key}`
      const earlier = seen.get(key) ?? []
      if (earlier.some((other) => sharesPort(other, rule))) return false
      seen.set(key, [...earlier, rule])
    }
  }
  return true
}

function sharesPort(a: RuleDraft, b: RuleDraft): boolean {
  return a === b || PROTOCOLS.some((p) => {
    const left = a.ports.get(p)
    const right = b.ports.get(p)
    return left !== undefined && right !== undefined && !left.intersect(right).isEmpty
  })
}

function wideningsOf(subjects: readonly SubjectDraft[], layers: readonly NamespaceLayer[]): Widening[] {
  const own = subjects.filter((s) => [...s.covers.values()].some((c) => c.hasDnsWidening)).map((s): Widening => ({
    policy: `${s.draft.workload.namespace}/${s.draft.name}`,
    reason: 'dns-both-protocols',
    text: 'DNS was seen over one of UDP and TCP; both are allowed on port 53, because long answers are asked again over TCP.',
  }))
  const layered = layers.filter((l) => l.dnsServers.length > 0).map((l): Widening => ({
    policy: `${l.namespace}/${ALLOW_DNS}`,
    reason: 'namespace-dns',
    text: `Every pod of ${l.namespace}, also a future one, may ask ${l.dnsServers.map((w) => w.display).join(', ')} on UDP and TCP 53.`,
  }))
  return sortedBy([...own, ...layered], (w) => w.policy)
}
