/** The words of the demo. A stranger must understand every line. */
import { formatTimeUs } from '../../../core/base/time.ts'
import type { RecommendationDocument } from '../../../core/generate/recommendation.ts'
import { printYaml } from '../../../manifests/print-manifests.ts'
import { renderCertificate } from '../../render/certificate-text.ts'
import { renderFindings } from '../../render/check-text.ts'
import { countText } from '../../render/edge-text.ts'
import { escapeText } from '../../render/escape-text.ts'
import { ingestSentence, renderIngestCounts } from '../../render/ingest-text.ts'
import type { OutcomeCount } from '../../render/ingest-text.ts'
import { renderRefused, renderReview } from '../../render/review-text.ts'
import { wrapText } from '../../render/wrap-text.ts'
import type { WrongPolicy } from './wrong-policies.ts'

const SHOWN_FINDINGS = 5
const SHOWN_REVIEW = 3

function heading(number: number, title: string): string {
  const text = `${number}. ${title}`
  return `\n${text}\n${'='.repeat(text.length)}\n\n`
}

export function receivedText(counts: readonly OutcomeCount[], range: { startUs: number; endUs: number }): string {
  return heading(1, 'What the cluster logged, and what became of it')
    + wrapText(`An invented shop (examples/shop.yaml) ran from ${formatTimeUs(range.startUs)} to ${formatTimeUs(range.endUs)}. The first half hour came as a log file of Calico Enterprise, `
      + 'the second as log lines of Cilium Hubble pushed to the running service. Both hold a few broken records, and the sender repeated some lines, as happens.')
    + `\n${wrapText(`${ingestSentence(counts)}. Every record is accounted for:`)}\n${renderIngestCounts(counts)}`
}

export function policiesText(document: RecommendationDocument, namespace: string): string {
  return heading(2, `Recommended policies of the namespace ${namespace}`)
    + wrapText(`${countText(document.policies.length, 'NetworkPolicy', 'NetworkPolicies')}, made only of connections that were observed. Ready for kubectl apply; nothing is applied by flowfence.`)
    + `\n${printYaml(document.policies)}`
}

export function certificateText(document: RecommendationDocument): string {
  return heading(3, 'The certificate: why these policies can be trusted')
    + wrapText('Before policies are shown, a separate evaluator judges them as the Kubernetes documentation says they work. Policies that fail are never shown.')
    + `\n${renderCertificate(document.certificate)}`
}

export function wrongPoliciesText(wrong: readonly WrongPolicy[]): string {
  return heading(4, 'What wrong policies would deny')
    + wrapText('Each file of examples/wrong-policies holds a mistake that people make. This is what would have happened to the connections of the last hour:')
    + wrong.map(wrongPolicyText).join('')
}

function wrongPolicyText({ file, about, document }: WrongPolicy): string {
  const { totals } = document
  const denied = document.findings.filter((f) => f.verdict === 'denied')
  const undecided = totals.uncertain === 0 ? '' : ` ${totals.uncertain} more cannot be decided, because one end is not known.`
  const result = denied.length === 0
    ? wrapText(`None of the ${totals.evaluated} observed connections would be denied.${undecided}`, '  ')
    : `${wrapText(`Of ${totals.evaluated} observed connections ${totals.denied} would be denied.${undecided}`, '  ')}\n${renderFindings(denied, SHOWN_FINDINGS)}`
  return `\n${escapeText(file)}\n${wrapText(escapeText(about), '  ')}${result}`
}

export function reviewText(document: RecommendationDocument): string {
  return heading(5, 'What waits for a person')
    + wrapText('Some connections were seen but must not become rules by themselves. Nothing is lost: each has its reason and the next step.')
    + `\n${renderReview(document.review, SHOWN_REVIEW)}${document.refused.length === 0 ? '' : `\n${renderRefused(document.refused)}`}`
}

export function serviceText(url: string): string {
  return `${heading(6, 'The service is running')}  ${url}

Try it from another terminal:

  curl '${url}/api/v1/namespaces'
  curl '${url}/api/v1/edges?namespace=shop&limit=5'
  curl '${url}/api/v1/recommendations?namespace=payments'
  curl -H 'content-type: application/yaml' --data-binary @examples/wrong-policies/1-dns-forgotten.yaml '${url}/api/v1/check'
  curl '${url}/metrics'

Press Ctrl-C to stop. The temporary database is removed then.
`
}

export function endText(url: string): string {
  return heading(6, 'The service') + wrapText(`It ran at ${url} and has stopped; without --once it keeps running for you to try.`)
}
