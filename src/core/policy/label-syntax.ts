/** The syntax rules of names and labels of Kubernetes objects, with the API server's kind of reason. `undefined` = fine. */

const QUALIFIED_NAME = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const NAME_LIMIT = 63
const SUBDOMAIN_LIMIT = 253
const PORT_NAME_LIMIT = 15

/** A label key: optional DNS prefix and slash, then a name of at most 63 characters. */
export function labelKeyProblem(key: string): string | undefined {
  const parts = key.split('/')
  if (parts.length > 2) return 'a qualified name must consist of a name with an optional DNS subdomain prefix and one \'/\' (e.g. \'example.com/MyName\')'
  const name = parts.at(-1) ?? ''
  const prefix = parts.length === 2 ? parts[0] : undefined
  if (prefix !== undefined) {
    if (prefix === '') return 'prefix part must be non-empty'
    const problem = subdomainProblem(prefix)
    if (problem !== undefined) return `prefix part ${problem}`
  }
  if (name === '') return 'name part must be non-empty'
  if (name.length > NAME_LIMIT) return `name part must be no more than ${NAME_LIMIT} characters`
  if (!QUALIFIED_NAME.test(name)) return 'name part must consist of alphanumeric characters, \'-\', \'_\' or \'.\', and must start and end with an alphanumeric character'
  return undefined
}

export function labelValueProblem(value: string): string | undefined {
  if (value.length > NAME_LIMIT) return `must be no more than ${NAME_LIMIT} characters`
  if (value !== '' && !QUALIFIED_NAME.test(value)) return 'a valid label must be an empty string or consist of alphanumeric characters, \'-\', \'_\' or \'.\', and must start and end with an alphanumeric character'
  return undefined
}

export function subdomainProblem(name: string): string | undefined {
  if (name.length > SUBDOMAIN_LIMIT) return `must be no more than ${SUBDOMAIN_LIMIT} characters`
  if (!DNS_SUBDOMAIN.test(name)) return 'must be a lowercase RFC 1123 subdomain: lower case alphanumeric characters, \'-\' or \'.\', starting and ending with an alphanumeric character'
  return undefined
}

export function dnsLabelProblem(name: string): string | undefined {
  if (name.length > NAME_LIMIT) return `must be no more than ${NAME_LIMIT} characters`
  if (!DNS_LABEL.test(name)) return 'must be a lowercase RFC 1123 label: lower case alphanumeric characters or \'-\', starting and ending with an alphanumeric character'
  return undefined
}

/** An IANA service name, as named ports are. */
export function portNameProblem(name: string): string | undefined {
  if (name.length > PORT_NAME_LIMIT) return `must be no more than ${PORT_NAME_LIMIT} characters`
  if (!/^[-a-z0-9]+$/.test(name)) return 'must contain only lower case letters, digits and hyphens'
  if (!/[a-z]/.test(name)) return 'must contain at least one letter'
  if (name.includes('--')) return 'must not contain consecutive hyphens'
  if (name.startsWith('-') || name.endsWith('-')) return 'must not begin or end with a hyphen'
  return undefined
}
