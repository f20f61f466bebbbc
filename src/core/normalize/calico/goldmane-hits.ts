/**
 * The policy trace of a Goldmane flow: `{enforced_policies, pending_policies}`, Whisker's `{enforced, pending}`. Enforced hits say what happened, pending
 * ones what would have with staged policies; both are part of the flow's key. Hits that are malformed have no effect; nobody's flow is refused for them.
 */
import type { Digest } from '../digest.ts'
import { readCount } from '../ports.ts'
import { isObject, type RawObject } from '../problems.ts'
import { digestName } from './calico-fields.ts'
import type { EnforcedHits, HitEffect } from './policy-hits.ts'

const NO_HITS: readonly unknown[] = []

/** PolicyKind; the three staged kinds are hypothetical. */
const KINDS = new Map<unknown, number>([
  ['CalicoNetworkPolicy', 1], ['GlobalNetworkPolicy', 2], ['StagedNetworkPolicy', 3], ['StagedGlobalNetworkPolicy', 4], ['StagedKubernetesNetworkPolicy', 5],
  ['NetworkPolicy', 6], ['Profile', 9], ['EndOfTier', 10], ['ClusterNetworkPolicy', 11],
])
const FIRST_STAGED = 3
const LAST_STAGED = 5
/** More than a policy's rules, and an enum's values: two numbers are mixed as one. */
const RULES = 65_536
const KINDS_END = 16
const ACTIONS = new Map<unknown, number>([['Allow', 1], ['Deny', 2], ['Pass', 3], ['allow', 1], ['deny', 2], ['pass', 3]])

/** Adds the enforced hits of a flow. */
export function readEnforced(policies: unknown, enforced: EnforcedHits): void {
  if (!isObject(policies)) return
  for (const hit of listOf(policies.enforced_policies ?? policies.enforcedPolicies ?? policies.enforced)) {
    if (isObject(hit)) enforced.add(readCount(hit.policy_index ?? hit.policyIndex) ?? 0, effectOf(hit))
  }
}

function effectOf(hit: RawObject): HitEffect {
  const kind = kindOf(hit)
  if (kind >= FIRST_STAGED && kind <= LAST_STAGED) return 'none'
  const action = enumOf(ACTIONS, hit.action)
  return action === 1 ? 'allow' : action === 2 ? 'deny' : 'none'
}

/** Mixes all hits, enforced and pending, the same whichever way they are written. */
export function digestHits(policies: unknown, digest: Digest): void {
  const trace = isObject(policies) ? policies : {}
  digestList(trace.enforced_policies ?? trace.enforcedPolicies ?? trace.enforced, digest)
  digestList(trace.pending_policies ?? trace.pendingPolicies ?? trace.pending, digest)
}

function digestList(value: unknown, digest: Digest): void {
  const list = listOf(value)
  digest.number(list.length)
  for (const hit of list) {
    if (!isObject(hit)) continue
    digestHit(hit, digest)
    digest.number((readCount(hit.policy_index ?? hit.policyIndex) ?? 0) * RULES + ruleOf(hit.rule_index ?? hit.ruleIndex))
    // The end of a tier names the policy that led there.
    if (isObject(hit.trigger)) digestHit(hit.trigger, digest)
  }
}

function digestHit(hit: RawObject, digest: Digest): void {
  digest.number(kindOf(hit) * KINDS_END + enumOf(ACTIONS, hit.action))
  digestName(digest, hit.namespace)
  digestName(digest, hit.name)
  digestName(digest, hit.tier)
}

function kindOf(hit: RawObject): number {
  return enumOf(KINDS, hit.kind)
}

/** A number of an enum, 0 for what is absent or not known. */
function enumOf(names: ReadonlyMap<unknown, number>, value: unknown): number {
  return typeof value === 'number' ? value : names.get(value) ?? readCount(value) ?? 0
}

/** Rule indices may be negative (-1 is the end of a tier, -2 not known): moved up, so that what is mixed is not. */
function ruleOf(value: unknown): number {
  const rule = value === undefined || value === null ? 0 : typeof value === 'string' && /^-?\d{1,9}$/.test(value) ? Number(value) : value
  return typeof rule === 'number' && Number.isSafeInteger(rule) ? rule + 2 : 1
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : NO_HITS
}
