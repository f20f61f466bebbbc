import type { IdentityMapView } from '../../core/flow/identity-map-view.ts'
import { escapeText } from './escape-text.ts'
import { wrapText } from './wrap-text.ts'

const LISTED = 10

/** Label keys that were not taken for identity, with reasons; '' where there are none. All of them are in the JSON document. */
export function identityMapText({ version, ignoredLabels }: IdentityMapView): string {
  if (ignoredLabels.length === 0) return ''
  const rest = ignoredLabels.length - LISTED
  const lines = ignoredLabels.slice(0, LISTED).map(({ namespace, key, reason }) => `${namespace} ${key}: ${reason}`)
  const heading = `Labels that are not identity (${ignoredLabels.length}${version === null ? '' : `; identity map version ${version}`})\n`
  return heading + [...lines, ...(rest > 0 ? [`and ${rest} more`] : [])].map((line) => wrapText(escapeText(line), '  ', '      ')).join('')
}
