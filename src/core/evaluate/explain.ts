import type { Direction } from '../policy/network-policy.ts'
import type { ConnectionVerdict, SideResult } from './verdict.ts'

/** The verdict for people, e.g. `shop/web -> shop/db TCP 5432: denied.` and one sentence per side. */
export function explainText(verdict: ConnectionVerdict): string {
  const { from, to, protocol, port } = verdict.connection
  const head = `${from} -> ${to} ${protocol} ${port === 0 ? '(unknown port)' : port}: ${verdict.verdict}.`
  const missing = verdict.missing.length === 0 ? [] : [`Missing: ${verdict.missing.join('; ')}.`]
  return [head, explainSide('egress', verdict.egress), explainSide('ingress', verdict.ingress), ...missing].join(' ')
}

/** One side in a sentence, e.g. `Ingress is denied: selected by shop/db; nearest rule shop/db ingress[0] differs in port.` */
export function explainSide(direction: Direction, side: SideResult): string {
  const name = direction === 'egress' ? 'Egress' : 'Ingress'
  if (side.exempt !== undefined) return `${name} is allowed: ${side.exempt === 'own-node' ? 'traffic from a pod\'s own node is always allowed' : 'a pod cannot block access to itself'}.`
  switch (side.verdict) {
    case 'not-isolated': return `${name} is allowed: no policy isolates it.`
    case 'allowed': return `${name} is allowed${side.rule === undefined ? '' : ` by ${ruleText(direction, side.rule)}`}.`
    case 'denied': return `${name} is denied: ${selectionText(side)}; ${nearestText(direction, side)}.`
    case 'uncertain': return `${name} is uncertain: ${selectionText(side)}; not known: ${side.missing.join('; ')}.`
  }
}

function ruleText(direction: Direction, rule: { policy: string; index: number }): string {
  return `${rule.policy} ${direction}[${rule.index}]`
}

function selectionText({ selectedBy, maybeSelectedBy }: SideResult): string {
  const certain = selectedBy.length === 0 ? [] : [`selected by ${selectedBy.join(', ')}`]
  const maybe = maybeSelectedBy.length === 0 ? [] : [`maybe selected by ${maybeSelectedBy.join(', ')}`]
  return [...certain, ...maybe].join(' and ')
}

function nearestText(direction: Direction, { nearest }: SideResult): string {
  if (nearest === undefined) return 'no rule admits it'
  if (nearest.differs === 'no rules') return `${nearest.policy} has no ${direction} rules`
  return `no rule admits it, the nearest is ${ruleText(direction, nearest)}, which differs in ${nearest.differs}`
}
