/** What kafkajs throws -> what it means for people: an AppError where trying again cannot help, else the reason in a few words. */
import { AppError } from '../../../core/base/app-error.ts'
import {
  brokerTooOld, expiredCertificate, noTls, notAllowed, notKafka, refusedClientCertificate, refusedLogin, unknownMechanism, untrustedCertificate, unusableKeyPair,
  wantsTls, wrongCertificateName,
} from '../kafka-problems.ts'
import type { KafkaOptions } from '../kafka-driver.ts'

export interface Explanation {
  /** Set when trying again cannot help. */
  readonly permanent?: AppError
  /** Without a full stop. */
  readonly reason: string
}

/** The fields that errors of kafkajs, of Node's sockets and of its TLS have. */
interface AnyError {
  readonly name?: string
  readonly message?: string
  readonly code?: string | number
  readonly type?: string
  readonly broker?: string
  readonly cause?: unknown
}

const UNTRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_UNTRUSTED', 'CERT_REVOKED', 'CERT_SIGNATURE_FAILURE', 'INVALID_CA', 'CERT_REJECTED',
])
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused', ENOTFOUND: 'unknown host name', EAI_AGAIN: 'the name service does not answer', ETIMEDOUT: 'no answer', EHOSTUNREACH: 'no route',
  ENETUNREACH: 'no route', ECONNRESET: 'connection reset',
}

export function explain(error: unknown, options: KafkaOptions): Explanation {
  const chain = causes(error)
  const broker = chain.map((e) => e.broker).find((b) => b !== undefined) ?? options.brokers.join(', ')
  for (const e of chain) {
    const permanent = permanentProblem(e, broker, options)
    if (permanent !== undefined) return { permanent, reason: permanent.message.replace(/\.$/, '') }
  }
  if (chain.some(({ message }) => message?.includes('before secure TLS connection was established') === true)) {
    return { reason: 'it ends the TLS handshake; it may not speak TLS' }
  }
  for (const e of chain) {
    const reason = REASONS[String(e.code)] ?? (e instanceof AppError ? e.message.replace(/\.$/, '') : undefined)
    if (reason !== undefined) return { reason }
  }
  const last = chain.at(-1)
  if (last?.name === 'KafkaJSConnectionClosedError') {
    return { reason: options.sasl === undefined ? 'it closes the connection; it may want a login or TLS' : 'it closes the connection' }
  }
  return { reason: oneLine(last?.message ?? String(error)) }
}

function permanentProblem(e: AnyError, broker: string, { sasl, groupId }: KafkaOptions): AppError | undefined {
  if (e instanceof AppError) return e.retryable ? undefined : e
  const code = String(e.code)
  const text = e.message ?? ''
  return tlsProblem(code, text, broker) ?? loginProblem(e, broker, sasl?.mechanism ?? 'plain') ?? accessProblem(e.type, groupId)
    ?? (e.name === 'KafkaJSServerDoesNotSupportApiKey' || text.includes('API Versions not supported') ? brokerTooOld(broker, '0.11') : undefined)
}

function tlsProblem(code: string, text: string, broker: string): AppError | undefined {
  // kafkajs passes the message of a socket's error on, not always its fields.
  const foreign = /Connection error: (TLS|HTTP|another protocol)$/.exec(text)?.[1]
  if (foreign === 'TLS') return wantsTls(broker)
  if (foreign !== undefined) return notKafka(broker, foreign === 'HTTP' ? 'HTTP' : undefined)
  if (UNTRUSTED.has(code)) return untrustedCertificate(broker, code)
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return wrongCertificateName(broker)
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') return expiredCertificate(broker)
  if (/^ERR_SSL_.*ALERT.*(CERTIFICATE|UNKNOWN_CA)/.test(code) || /alert (bad certificate|unknown ca|certificate required|certificate unknown)/i.test(text)) {
    return refusedClientCertificate(broker)
  }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG' || /wrong version number|packet length too long/.test(text)) return noTls(broker)
  if (/^ERR_OSSL_/.test(code)) return unusableKeyPair(code)
  // kafkajs keeps the text alone of what a socket could not be made with.
  if (/PEM|key values mismatch|bad decrypt|DECODER|interrupted or cancelled/.test(text)) return unusableKeyPair(opensslCode(text))
  return undefined
}

function opensslCode(text: string): string {
  if (text.includes('key values mismatch')) return 'ERR_OSSL_X509_KEY_VALUES_MISMATCH'
  if (text.includes('bad decrypt')) return 'ERR_OSSL_BAD_DECRYPT'
  if (text.includes('interrupted or cancelled')) return 'ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED'
  return oneLine(text.replace(/^Failed to connect: /, ''))
}

function loginProblem(e: AnyError, broker: string, mechanism: string): AppError | undefined {
  const text = e.message ?? ''
  // A listener without logins calls one a wrong state.
  if (e.type === 'UNSUPPORTED_SASL_MECHANISM' || e.type === 'ILLEGAL_SASL_STATE' || text.includes('mechanism is not supported by the server')) return unknownMechanism(broker, mechanism)
  if (e.type === 'SASL_AUTHENTICATION_FAILED' || e.code === 'REFUSED_TOKEN') return refusedLogin(broker, mechanism)
  // Wrapped by kafkajs with the text alone; a connection lost during the login is no refusal.
  if (e.name === 'KafkaJSSASLAuthenticationError' && !/closed|connect|timed out|timeout|disconnect|ECONN|EPIPE/i.test(text)) return refusedLogin(broker, mechanism)
  return undefined
}

function accessProblem(type: string | undefined, groupId: string): AppError | undefined {
  if (type === 'GROUP_AUTHORIZATION_FAILED') return notAllowed('READ', `group "${groupId}"`)
  if (type === 'TOPIC_AUTHORIZATION_FAILED') return notAllowed('READ', 'its topics')
  if (type === 'CLUSTER_AUTHORIZATION_FAILED') return notAllowed('DESCRIBE', 'the cluster')
  return undefined
}

/** The error, what caused it, and so on. */
function causes(error: unknown): AnyError[] {
  const chain: AnyError[] = []
  for (let e = error; typeof e === 'object' && e !== null && chain.length < 10; e = (e as AnyError).cause) chain.push(e)
  return chain
}

function oneLine(text: string): string {
  return text.split('\n', 1)[0]?.trim().replace(/\.$/, '').slice(0, 200) ?? ''
}
