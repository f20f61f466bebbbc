/** What label values look like: whether anybody would have written them by hand to name a workload. */

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
/** Kubernetes' own hash alphabet (no vowels, no 0, 1, 3), as in pod-template-hash; a digit is required so that words do not count. */
const KUBERNETES_HASH = /^(?=.*\d)(?=.*[a-z])[bcdfghjklmnpqrstvwxz2456789]{8,10}$/
const HEX_HASH = /^(?=.*\d)(?=.*[a-f])[0-9a-f]{12,64}$/
const LONG_NUMBER = /^\d{8,}$/
/** An IPv4 address, also as cloud providers write it into names: `10.0.3.17`, `ip-10-0-3-17`, `ip-10-0-3-17.ec2.internal`. */
const ADDRESS = /^(ip-)?(\d{1,3}[.-]){3}\d{1,3}(\.[a-z][a-z0-9.-]*)?$/
/** A day, alone or with a time: `2026-03-01`, `2026-03-01T10.15.00Z`. */
const DATE = /^(19|20)\d{2}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])([T_.-][\dTZ:._-]*)?$/
/** A shortened commit hash. Words can look like it (`ed25519`), so that one value alone proves nothing. */
const SHORT_HASH = /^(?=.*\d)(?=.*[a-f])[0-9a-f]{7,11}$/

/** True for text that looks like a hash, a UUID, a long counter, an address or a date. */
export function looksGenerated(value: string): boolean {
  return UUID.test(value) || KUBERNETES_HASH.test(value) || HEX_HASH.test(value) || LONG_NUMBER.test(value) || ADDRESS.test(value) || DATE.test(value)
}

/** True for text that may be a shortened commit hash. */
export function looksLikeShortHash(value: string): boolean {
  return SHORT_HASH.test(value)
}

/** More values than this are no vocabulary. Larger: roles of an unusually rich vocabulary are recognised; smaller: more keys count as per-instance. */
const VOCABULARY = 8

/** True for a few plain words such as `primary` and `replica`: a vocabulary that policies may well speak of. */
export function isVocabulary(values: ReadonlySet<string>): boolean {
  return values.size <= VOCABULARY && [...values].every((value) => !/\d/.test(value))
}
