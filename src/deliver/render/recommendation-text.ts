import type { RecommendationDocument } from '../../core/generate/recommendation.ts'
import { renderCertificate } from './certificate-text.ts'
import { countText } from './edge-text.ts'
import { escapeText } from './escape-text.ts'
import { renderRefused, renderReview } from './review-text.ts'
import { renderTable } from './text-table.ts'
import { identityMapText } from './identity-map-text.ts'
import { windowText } from './window-text.ts'
import { wrapText } from './wrap-text.ts'

/** `recommend -o text`: which policies, the certificate, what waits for a person. The policies themselves are in `-o yaml`. */
export function renderRecommendationText(document: RecommendationDocument): string {
  const sections = [
    wrapText(`Recommendation for cluster ${escapeText(document.cluster)}, ${windowText(document.window)}`).trimEnd(),
    `Policies (${document.policies.length}; print them with -o yaml; evidence counts the connections behind the rules)\n${policyTable(document)}`.trimEnd(),
    `Certificate\n${renderCertificate(document.certificate)}`.trimEnd(),
    identityMapText(document.identityMap).trimEnd(),
    `Review (${document.review.length})\n${renderReview(document.review)}`.trimEnd(),
    renderRefused(document.refused).trimEnd(),
  ]
  return `${sections.filter((s) => s !== '').join('\n\n')}\n`
}

/** The lines that go to stderr beside YAML on stdout. */
export function renderRecommendationSummary(document: RecommendationDocument): string {
  const { certificate, policies, review, refused } = document
  const yes = (holds: boolean): string => (holds ? 'yes' : 'NO')
  return `${countText(policies.length, 'policy', 'policies')} for cluster ${escapeText(document.cluster)}, ${windowText(document.window)}. `
    + `Sound: ${yes(certificate.sound)}, tight: ${yes(certificate.tight)}, irredundant: ${yes(certificate.irredundant)}. `
    + `Held back for review: ${review.length}. Refused workloads: ${refused.length}. (All details: -o text or -o json.)\n`
}

function policyTable(document: RecommendationDocument): string {
  if (document.policies.length === 0) return `  none: ${document.review.length === 0 ? 'no connections were seen' : 'no connection could become a rule; Review says what is missing'}\n`
  const rows = document.policies.map((policy) => {
    const { metadata, spec } = policy as { metadata: { namespace?: string; name?: string }; spec: { ingress?: unknown[]; egress?: unknown[]; policyTypes?: string[] } }
    const name = `${metadata.namespace ?? ''}/${metadata.name ?? ''}`
    const edges = Object.values(document.evidence[name] ?? {}).reduce((sum, list) => sum + list.length, 0)
    return [name, (spec.policyTypes ?? []).join(', '), spec.ingress?.length ?? 0, spec.egress?.length ?? 0, edges]
  })
  return renderTable([
    { title: 'policy' }, { title: 'isolates' }, { title: 'ingress rules', align: 'right' }, { title: 'egress rules', align: 'right' }, { title: 'evidence', align: 'right' },
  ], rows)
}
