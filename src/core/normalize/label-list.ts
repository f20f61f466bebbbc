import type { Labels } from '../flow/end.ts'
import type { FlowFormat, Rejection } from '../flow/flow-record.ts'
import { isStorable, MAX_TEXT, reject, wrongType } from './problems.ts'

/** More labels on one end are refused: a pod has ten to thirty, and with its namespace's labels rarely sixty. Beyond, memory is what a hostile log costs. */
const MAX_LABELS = 256
const NAMESPACE_LABEL = 'io.cilium.k8s.namespace.labels.'
/** Kubernetes puts this one on every namespace; identities imply it. */
const IMPLIED_NAMESPACE_LABEL = 'kubernetes.io/metadata.name'

/** The first problem of a label list, or `null`. `field` names it. */
export function checkLabelList(format: FlowFormat, field: string, list: unknown): Rejection | null {
  if (!Array.isArray(list)) return wrongType(format, field, 'an array of texts', list)
  if (list.length > MAX_LABELS) return reject(format, 'too-many-labels', `${field}: ${list.length} labels; at most ${MAX_LABELS} are read`)
  for (let i = 0; i < list.length; i++) {
    const label: unknown = list[i]
    if (typeof label !== 'string') return wrongType(format, `${field}[${i}]`, 'a text', label)
    const equals = label.indexOf('=')
    const longest = equals < 0 ? label.length : Math.max(equals, label.length - equals - 1)
    if (longest > MAX_TEXT) return reject(format, 'too-many-labels', `${field}[${i}]: a key or value of ${longest} characters; at most ${MAX_TEXT} are read`)
    // Rejected by Kubernetes, too; and no plain object can hold it as a key.
    if (!isStorable(label.slice(0, MAX_TEXT)) || !isStorable(label.slice(-MAX_TEXT)) || isPrototypeKey(label)) {
      return wrongType(format, `${field}[${i}]`, 'a label', label)
    }
  }
  return null
}

/**
 * Texts as one text that tells them apart, to look up what was made of them before; `undefined` when it cannot: a part holds the separator, or
 * is no text. Nothing of an unchecked list may be turned into text: an object may refuse to become one, and nested arrays overflow the stack.
 */
export function joinTexts(parts: readonly unknown[]): string | undefined {
  for (const part of parts) if (typeof part !== 'string' || part.includes('\n')) return undefined
  return parts.join('\n')
}

/** True for the one key that no plain object can hold, behind any prefix. Values and longer keys may hold the word: a pod's owner chooses them. */
function isPrototypeKey(label: string): boolean {
  if (!label.includes('__proto__')) return false
  const equals = label.indexOf('=')
  return /(?:^|[:.])__proto__$/.test(equals < 0 ? label : label.slice(0, equals))
}

/** Memory that a remembered list costs, in characters: a hostile log writes 256 labels of full length on every pod. */
export function charactersOf(list: readonly unknown[] | null): number {
  let characters = 0
  for (const text of list ?? []) if (typeof text === 'string') characters += text.length
  return characters
}

/** Splits `key=value` at the first `=`; a label without `=` has the value ''. */
export function addLabel(labels: Record<string, string>, text: string): void {
  const equals = text.indexOf('=')
  if (equals < 0) labels[text] = ''
  else labels[text.slice(0, equals)] = text.slice(equals + 1)
}

/** What a Cilium label list says, sorted by meaning. */
export interface CiliumLabels {
  /** The pod's own labels, source prefix stripped. */
  readonly labels: Labels
  readonly namespaceLabels: Labels
  /** Values of the synthetic namespace and cluster labels, or ''. */
  readonly namespace: string
  readonly cluster: string
  /** Names behind `reserved:`, each between spaces: ' host kube-apiserver '. */
  readonly reserved: string
  /** A `cidr:`, `fqdn:` or `cidrgroup:` label. */
  readonly isCidr: boolean
}

/** Reads a checked list of Cilium labels (`source:key=value`); labels that Cilium made up are not pod labels. */
export function readCiliumLabels(list: readonly string[]): CiliumLabels {
  const labels: Record<string, string> = {}
  const namespaceLabels: Record<string, string> = {}
  let [namespace, cluster, reserved, isCidr] = ['', '', ' ', false]
  for (const label of list) {
    const equals = label.indexOf('=')
    const colon = label.indexOf(':')
    const hasSource = colon >= 0 && (equals < 0 || colon < equals)
    const source = hasSource ? label.slice(0, colon) : 'k8s'
    const text = hasSource ? label.slice(colon + 1) : label
    if (source === 'reserved') reserved += `${text} `
    else if (source === 'cidr' || source === 'fqdn' || source === 'cidrgroup') isCidr = true
    else if (source !== 'k8s') continue
    else if (text.startsWith(NAMESPACE_LABEL)) {
      const own = text.slice(NAMESPACE_LABEL.length)
      if (!own.startsWith(`${IMPLIED_NAMESPACE_LABEL}=`)) addLabel(namespaceLabels, own)
    } else if (text.startsWith('io.kubernetes.pod.namespace=')) namespace = text.slice(text.indexOf('=') + 1)
    else if (text.startsWith('io.cilium.k8s.policy.cluster=')) cluster = text.slice(text.indexOf('=') + 1)
    else if (!text.startsWith('io.cilium.k8s.')) addLabel(labels, text)
  }
  return { labels, namespaceLabels, namespace, cluster, reserved, isCidr }
}
