/**
 * What policies admit between the ends of one fixed universe, subject by subject.
 *
 * In: compiled policies and ends. Out: for the end at a position the ports on which each other end is admitted, and the
 * outside addresses; the same answers as `admittedPorts` and `admittedAddresses` give one pair at a time.
 * Invariants: an end that is missing from the answer of an isolated subject is admitted on no port: every end that any rule
 * matches is in it. Each distinct selector is resolved once, by labels; the label index only narrows what is then matched in full.
 * Cost: one match per candidate of each distinct selector, then linear in what the rules match.
 */
import { NAMESPACE_NAME_LABEL } from '../cluster/snapshot.ts'
import { canonicalJson } from '../base/order.ts'
import type { Direction } from '../policy/network-policy.ts'
import { addressCells, rulePorts, unionPorts } from './admitted.ts'
import type { AdmittedCell, PortsByProtocol } from './admitted.ts'
import type { CompiledPolicies } from './compile.ts'
import { isPolicedPod } from './end-state.ts'
import type { EvalEnd } from './eval-end.ts'
import { ruleContext } from './evaluate-side.ts'
import { LabelIndex } from './label-index.ts'
import { matchAddresses } from './match-rule.ts'
import type { CompiledPeer, CompiledPolicy, CompiledRule, CompiledSelector } from './policy-index.ts'

export interface AdmittedPeers {
  readonly isIsolated: boolean
  /** By position; when isolated, a peer that is missing is admitted on nothing. Empty when not isolated: everything is admitted. */
  readonly ports: ReadonlyMap<number, PortsByProtocol>
  /** `ns/name`, sorted. */
  readonly selectedBy: readonly string[]
}

/** Pods of one namespace with equal namespace labels. */
interface NamespaceGroup {
  readonly namespace: string
  /** Stands for all of them where only namespace labels count. */
  readonly first: EvalEnd
  readonly pods: LabelIndex
}

export class AdmittedUniverse {
  readonly #compiled: CompiledPolicies
  /** With every absent label certainly absent. */
  readonly #ends: readonly EvalEnd[]
  /** Positions that address blocks can match. */
  readonly #addressable: readonly number[]
  readonly #groups: readonly NamespaceGroup[]
  readonly #groupsByName = new Map<string, NamespaceGroup[]>()
  /** Positions are those of `#groups`. */
  readonly #groupIndex = new LabelIndex()
  readonly #groupsOfSelector = new Map<number, readonly NamespaceGroup[]>()
  readonly #resolved = new Map<string, readonly number[]>()
  readonly #policies: Partial<Record<Direction, readonly CompiledPolicy[][]>> = {}

  constructor(compiled: CompiledPolicies, ends: readonly EvalEnd[]) {
    this.#compiled = compiled
    this.#ends = ends.map((end) => compiled.states.of(end).complete)
    this.#addressable = [...ends.keys()].filter((i) => compiled.ipBlockMatchesPods || !isPolicedPod(ends[i] as EvalEnd))
    this.#groups = this.#groupPods()
    for (const [i, group] of this.#groups.entries()) {
      this.#groupIndex.add(i, { ...group.first.namespaceLabels, [NAMESPACE_NAME_LABEL]: group.namespace })
      const namesakes = this.#groupsByName.get(group.namespace)
      if (namesakes === undefined) this.#groupsByName.set(group.namespace, [group])
      else namesakes.push(group)
    }
  }

  #groupPods(): NamespaceGroup[] {
    const groups = new Map<string, NamespaceGroup>()
    for (const [i, end] of this.#ends.entries()) {
      if (!isPolicedPod(end)) continue
      const key = canonicalJson([end.namespace, end.namespaceLabels])
      let group = groups.get(key)
      if (group === undefined) groups.set(key, group = { namespace: end.namespace, first: end, pods: new LabelIndex() })
      group.pods.add(i, end.labels)
    }
    return [...groups.values()]
  }

  /** On which ports the subject's policies admit every end of the universe in one direction. */
  admittedPeers(subject: number, direction: Direction): AdmittedPeers {
    const policies = this.#selecting(subject, direction)
    const ports = new Map<number, PortsByProtocol>()
    for (const policy of policies) {
      for (const rule of policy.rules) {
        const isPerPeer = direction === 'egress' && rule.ports.named.length > 0
        const shared = rulePorts(rule.ports, direction === 'ingress' ? this.#end(subject) : undefined)
        for (const peer of this.#matched(subject, direction, policy, rule)) {
          const admitted = isPerPeer ? rulePorts(rule.ports, this.#end(peer)) : shared
          const known = ports.get(peer)
          ports.set(peer, known === undefined ? admitted : unionPorts(known, admitted))
        }
      }
    }
    return { isIsolated: policies.length > 0, ports, selectedBy: [...new Set(policies.map((p) => p.id))] }
  }

  /** As `admittedAddresses`: what the subject's policies admit from or to outside. */
  admittedAddresses(subject: number, direction: Direction): AdmittedCell[] {
    return addressCells(this.#selecting(subject, direction), direction === 'ingress' ? this.#end(subject) : undefined)
  }

  #end(position: number): EvalEnd {
    return this.#ends[position] as EvalEnd
  }

  #selecting(subject: number, direction: Direction): readonly CompiledPolicy[] {
    let all = this.#policies[direction]
    if (all === undefined) {
      const lists: CompiledPolicy[][] = this.#ends.map(() => [])
      for (const policy of this.#compiled.everywhere[direction]) {
        const selected = this.#resolve({ podSelector: policy.subject, namespaceSelector: undefined }, policy.namespace)
        for (const i of selected) (lists[i] as CompiledPolicy[]).push(policy)
      }
      all = this.#policies[direction] = lists
    }
    return all[subject] as CompiledPolicy[]
  }

  /** Every end that the rule's peers match, each once. */
  #matched(subject: number, direction: Direction, policy: CompiledPolicy, rule: CompiledRule): Iterable<number> {
    if (rule.isAnyPeer) return this.#ends.keys()
    const positions = new Set<number>()
    for (const peer of rule.peers) for (const i of this.#resolve(peer, policy.namespace)) positions.add(i)
    if (rule.addresses.isEmpty) return positions
    for (const i of this.#addressable) {
      if (positions.has(i)) continue
      const [from, to] = direction === 'egress' ? [this.#end(subject), this.#end(i)] : [this.#end(i), this.#end(subject)]
      const context = ruleContext(this.#compiled, { from, to, protocol: 'TCP', port: 0 }, direction)
      if (matchAddresses(context, rule.addresses).certainty === 'yes') positions.add(i)
    }
    return positions
  }

  /** The pods that a peer's selectors match; without a namespace selector those of the policy's namespace. */
  #resolve({ podSelector, namespaceSelector }: CompiledPeer, ownNamespace: string): readonly number[] {
    const key = `${podSelector?.id ?? ''} ${namespaceSelector?.id ?? `of ${ownNamespace}`}`
    let found = this.#resolved.get(key)
    if (found === undefined) {
      const groups = namespaceSelector === undefined ? this.#groupsByName.get(ownNamespace) ?? [] : this.#groupsOf(namespaceSelector)
      found = groups.flatMap((group) => this.#podsOf(group, podSelector))
      this.#resolved.set(key, found)
    }
    return found
  }

  #podsOf({ pods }: NamespaceGroup, selector: CompiledSelector | undefined): readonly number[] {
    if (selector === undefined) return pods.all
    return pods.candidates(selector).filter((i) => this.#compiled.states.of(this.#end(i)).matchPod(selector).certainty === 'yes')
  }

  #groupsOf(selector: CompiledSelector): readonly NamespaceGroup[] {
    let found = this.#groupsOfSelector.get(selector.id)
    if (found === undefined) {
      found = this.#groupIndex.candidates(selector).map((i) => this.#groups[i] as NamespaceGroup)
        .filter(({ first }) => this.#compiled.states.of(first).matchNamespace(selector).certainty === 'yes')
      this.#groupsOfSelector.set(selector.id, found)
    }
    return found
  }
}
