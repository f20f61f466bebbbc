import { invariant } from '../base/invariant.ts'
import { isPolicedPod } from './end-state.ts'
import type { Selection } from './end-state.ts'
import { matchPeers, matchPorts } from './match-rule.ts'
import type { RuleContext } from './match-rule.ts'
import type { CompiledPolicy, CompiledRule } from './policy-index.ts'
import type { NearestRule } from './verdict.ts'

/** How far a difference is from a match: a port is nearer than a protocol, a namespace nearer than another peer. */
const DISTANCE: Readonly<Record<string, number>> = { port: 1, protocol: 2, namespace: 3, peer: 4 }
const NO_RULES_DISTANCE = 100

/** The rule of the selecting policies with the smallest difference; the first of equals. `selections` is not empty. */
export function findNearest(selections: readonly Selection[], context: RuleContext): NearestRule {
  let best: NearestRule | undefined
  let bestDistance = Infinity
  const certain = selections.filter((s) => s.match.certainty === 'yes')
  for (const { policy } of certain.length > 0 ? certain : selections) {
    const candidates = policy.rules.length === 0
      ? [{ policy: policy.id, index: -1, differs: 'no rules', distance: NO_RULES_DISTANCE }]
      : policy.rules.map((rule) => compareRule(context, policy, rule))
    for (const { distance, ...nearest } of candidates) {
      if (distance >= bestDistance) continue
      best = nearest
      bestDistance = distance
    }
  }
  invariant(best !== undefined, 'a side without selecting policies has no nearest rule')
  return best
}

function compareRule(context: RuleContext, policy: CompiledPolicy, rule: CompiledRule): NearestRule & { distance: number } {
  const parts = [peerDifference(context, policy, rule), portDifference(context, rule)].filter((part) => part !== undefined)
  // A rule that may match differs only in what is not known.
  const differs = parts.length === 0 ? 'not known' : parts.join(' and ')
  return { policy: policy.id, index: rule.index, differs, distance: parts.reduce((sum, part) => sum + (DISTANCE[part] ?? 0), 0) }
}

function peerDifference(context: RuleContext, policy: CompiledPolicy, rule: CompiledRule): 'peer' | 'namespace' | undefined {
  if (matchPeers(context, policy, rule).certainty !== 'no') return undefined
  const { peer, peerState } = context
  const isOnlyNamespace = isPolicedPod(peer) && rule.peers.some((p) => p.podSelector !== undefined && peerState.matchPod(p.podSelector).certainty !== 'no')
  return isOnlyNamespace ? 'namespace' : 'peer'
}

function portDifference(context: RuleContext, rule: CompiledRule): 'port' | 'protocol' | undefined {
  if (matchPorts(rule.ports, context).certainty !== 'no') return undefined
  const { numbers, named } = rule.ports
  const hasProtocol = !numbers[context.protocol].isEmpty || named.some((n) => n.protocol === context.protocol)
  return hasProtocol ? 'port' : 'protocol'
}
