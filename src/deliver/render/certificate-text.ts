import type { Certificate } from '../../core/generate/recommendation.ts'
import { countText } from './edge-text.ts'
import { escapeText } from './escape-text.ts'
import { wrapText } from './wrap-text.ts'

const LISTED = 5

/** The certificate in words and numbers, one statement per line, indented. */
export function renderCertificate(certificate: Certificate): string {
  const { universe, rules } = certificate
  const shared = Object.entries(universe.selectorQuality).flatMap(([policy, quality]) => (quality === 'intersection' ? [policy] : []))
  const lines = [
    statement(certificate.sound, 'sound', 'every accepted connection is allowed by the policies'),
    statement(certificate.tight, 'tight', certificate.widenings.length === 0
      ? 'nothing else is allowed'
      : `nothing else is allowed, except ${countText(certificate.widenings.length, 'widening')} declared below`),
    statement(certificate.irredundant, 'irredundant', 'no rule, peer or port of a workload\'s policy can be dropped without losing an accepted connection'),
    `rules: ${rules.count}; at least ${rules.lowerBound} are needed${rules.proven ? ', so this is the smallest number' : ' (not proven to be the smallest number)'}`,
    `checked against: ${countText(universe.identities, 'known workload identity', 'known workload identities')}, ${countText(universe.symbolicPods, 'imagined unknown pod')} in ${countText(universe.namespaces, 'namespace')}, `
      + `${universe.protocols.join(', ')} ports ${universe.ports}, outside addresses: ${universe.outside}`,
    `questions asked: ${universe.cellsChecked} (subject, direction, peer, protocol, ports)`,
    `labels in the logs: ${qualityText(universe.labelQuality)}`,
    ...(universe.assumedAbsent.length === 0 ? [] : [`assumed in ${listText(universe.assumedAbsent)}: labels that the pods of a group do not share are absent from all of them`]),
    ...(universe.withoutLabels.length === 0 ? [] : [`labels not in the logs of ${listText(universe.withoutLabels)}: a selector of the namespace may pick them as well`]),
    ...(shared.length === 0 ? [] : [`selectors of ${listText(shared)} rest on labels that all pods of a group share: single pods may carry others`]),
    ...certificate.widenings.map((w) => `widening in ${w.policy}: ${w.text}`),
  ]
  return lines.map((line) => wrapText(escapeText(line), '  ', '      ')).join('')
}

/** The first few; all of them are in the JSON document. */
function listText(names: readonly string[]): string {
  const rest = names.length - LISTED
  return names.slice(0, LISTED).join(', ') + (rest > 0 ? ` and ${rest} more` : '')
}

function statement(holds: boolean, name: string, meaning: string): string {
  return holds ? `${name}: yes, ${meaning}` : `${name}: NO, not proven that ${meaning}`
}

const QUALITY_TEXT: Readonly<Record<string, string>> = {
  full: 'all labels', 'identity-subset': 'the labels Cilium counts as identity', intersection: 'only labels that all pods of a group share', none: 'no labels',
}

function qualityText(quality: Readonly<Record<string, number>>): string {
  const parts = Object.entries(quality).filter(([, n]) => n > 0).map(([name, n]) => `${QUALITY_TEXT[name] ?? name} for ${countText(n, 'identity', 'identities')}`)
  return parts.length === 0 ? 'none' : parts.join('; ')
}
