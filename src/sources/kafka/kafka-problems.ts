/**
 * What can be wrong with a Kafka that no patience heals, as one sentence each with the next step: the same words for every driver. None holds a secret.
 */
import { AppError } from '../../core/base/app-error.ts'

const WORDS: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'signed by itself', SELF_SIGNED_CERT_IN_CHAIN: 'unknown authority', UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'unknown authority',
  UNABLE_TO_GET_ISSUER_CERT: 'unknown authority', UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'unknown authority', CERT_REVOKED: 'revoked',
  ERR_OSSL_X509_KEY_VALUES_MISMATCH: 'they do not belong together', ERR_OSSL_BAD_DECRYPT: 'wrong passphrase', ERR_OSSL_EVP_BAD_DECRYPT: 'wrong passphrase',
  ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED: 'a passphrase is needed',
}

function words(reason: string): string {
  return WORDS[reason] ?? reason
}

/** Not among the cluster's topics, as far as this user may see them. */
export function unknownTopics(names: readonly string[], known: readonly string[]): AppError {
  const quoted = names.map((name) => `"${name}"`).join(', ')
  const near = [...new Set(names.flatMap((name) => similar(name, known)))].slice(0, 5)
  const hint = near.length === 0 ? '' : ` Similar: ${near.join(', ')}.`
  return new AppError('not-found', `Kafka has no topic ${quoted}, or this user may not see it.${hint} Create it, or correct FLOWFENCE_KAFKA_TOPICS.`)
}

export function refusedLogin(broker: string, mechanism: string, cause?: unknown): AppError {
  const names = mechanism === 'oauthbearer' ? 'the token (FLOWFENCE_KAFKA_SASL_TOKEN_FILE or FLOWFENCE_KAFKA_OAUTH_…)' : 'FLOWFENCE_KAFKA_SASL_USERNAME and FLOWFENCE_KAFKA_SASL_PASSWORD'
  return new AppError('unauthorized', `Kafka at ${broker} refused the login (SASL ${mechanism.toUpperCase()}): check ${names}.`, { cause })
}

export function unknownMechanism(broker: string, mechanism: string): AppError {
  return new AppError('unauthorized', `Kafka at ${broker} does not offer SASL ${mechanism.toUpperCase()}: correct FLOWFENCE_KAFKA_SASL_MECHANISM.`)
}

/** `reason` is the code of Node's error. */
export function untrustedCertificate(broker: string, reason: string): AppError {
  return new AppError('unauthorized', `The certificate of Kafka at ${broker} is not trusted (${words(reason)}): set FLOWFENCE_KAFKA_TLS_CA_FILE to the CA that signed it.`)
}

export function wrongCertificateName(broker: string): AppError {
  return new AppError('unauthorized', `The certificate of Kafka at ${broker} is not made for that name: name the brokers in FLOWFENCE_KAFKA_BROKERS as in their certificates.`)
}

export function expiredCertificate(broker: string): AppError {
  return new AppError('unauthorized', `The certificate of Kafka at ${broker} has expired or is not valid yet: renew it, or correct the clock of this machine.`)
}

export function refusedClientCertificate(broker: string): AppError {
  return new AppError('unauthorized', `Kafka at ${broker} refused the client certificate: check FLOWFENCE_KAFKA_TLS_CERT_FILE and FLOWFENCE_KAFKA_TLS_KEY_FILE.`)
}

/** `reason` is the code of Node's error, or what it says. */
export function unusableKeyPair(reason: string): AppError {
  return new AppError('usage', `The client certificate or key cannot be used (${words(reason)}): check FLOWFENCE_KAFKA_TLS_CERT_FILE, FLOWFENCE_KAFKA_TLS_KEY_FILE and FLOWFENCE_KAFKA_TLS_KEY_PASSPHRASE.`)
}

export function noTls(broker: string): AppError {
  return new AppError('usage', `${broker} does not speak TLS: name its TLS port in FLOWFENCE_KAFKA_BROKERS, or set FLOWFENCE_KAFKA_TLS=off.`)
}

export function wantsTls(broker: string): AppError {
  return new AppError('usage', `${broker} speaks TLS only: set FLOWFENCE_KAFKA_TLS=on.`)
}

/** `protocol` where its first bytes tell, such as HTTP. */
export function notKafka(broker: string, protocol?: string): AppError {
  return new AppError('usage', `${broker} is not a Kafka broker${protocol === undefined ? '' : ` (it speaks ${protocol})`}: correct FLOWFENCE_KAFKA_BROKERS.`)
}

export function brokerTooOld(broker: string, oldest: string): AppError {
  return new AppError('usage', `Kafka at ${broker} lacks protocol versions that this driver needs (Kafka ${oldest} or later): upgrade it, or try another FLOWFENCE_KAFKA_DRIVER.`)
}

/** `what`: such as `topic "flows"` or `group "flowfence"`; `operation`: such as READ. */
export function notAllowed(operation: string, what: string): AppError {
  return new AppError('forbidden', `Kafka does not allow this user to ${operation} ${what}: add the ACL, or use another user.`)
}

/** For `status`, while trying again: `reason` has no full stop. */
export function unreachable(brokers: readonly string[], reason: string): string {
  return `Kafka does not answer at ${brokers.join(', ')} (${reason}).`
}

/** The first bytes that a Kafka broker never sends tell what is there instead; `undefined` where it may be Kafka. `head`: the first bytes received. */
export function foreignProtocol(head: Buffer): 'TLS' | 'HTTP' | 'another protocol' | undefined {
  if (head.length < 4) return undefined
  // Every answer begins with its length as a 32-bit number; the first ones (versions, login) are short.
  if (head.readUInt32BE(0) <= 64 * 1024 * 1024) return undefined
  if (head[0] === 0x15 && head[1] === 0x03) return 'TLS'
  return head.toString('latin1', 0, 4) === 'HTTP' ? 'HTTP' : 'another protocol'
}

/** Those that hold the name or are held by it; if there are none, those that begin alike. */
function similar(name: string, known: readonly string[]): string[] {
  const bare = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]/g, '')
  const wanted = bare(name)
  const near = known.filter((other) => bare(other).includes(wanted) || (other.length > 3 && wanted.includes(bare(other))))
  return near.length > 0 ? near : known.filter((other) => bare(other).slice(0, 6) === wanted.slice(0, 6))
}
