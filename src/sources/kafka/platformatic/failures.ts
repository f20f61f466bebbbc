/**
 * What a failure of the client library means for people: one clear sentence with the next step where trying again cannot help (kafka-problems.ts has
 * the words), else a few words for the status. Nothing of credentials gets into either.
 */
import { AppError } from '../../../core/base/app-error.ts'
import {
  brokerTooOld, expiredCertificate, noTls, notAllowed, refusedClientCertificate, refusedLogin, unknownMechanism, untrustedCertificate, unusableKeyPair, wantsTls, wrongCertificateName,
} from '../kafka-problems.ts'
import type { KafkaOptions } from '../kafka-driver.ts'

/** Numbers of the Kafka protocol that the driver acts on. */
export const KafkaCode = {
  offsetOutOfRange: 1, unknownTopic: 3, leaderNotAvailable: 5, illegalGeneration: 22, inconsistentGroupProtocol: 23, invalidGroupId: 24, unknownMember: 25,
  invalidSessionTimeout: 26, rebalanceInProgress: 27, topicNotPermitted: 29, groupNotPermitted: 30, clusterNotPermitted: 31, illegalSaslState: 34,
  unsupportedVersion: 35, memberIdRequired: 79, fencedInstance: 82,
} as const

export const OLDEST_KAFKA = '2.4'

/** The library's errors are told apart by these properties only, so that no class of it is needed. */
interface Told {
  readonly message?: unknown
  readonly code?: unknown
  readonly cause?: unknown
  readonly errors?: unknown
  readonly apiCode?: unknown
  readonly apiId?: unknown
}

/** An error and everything below it, causes and parts. */
function chain(error: unknown): Told[] {
  const found: Told[] = []
  const walk = (at: unknown): void => {
    if (typeof at !== 'object' || at === null || found.length > 50) return
    const told = at as Told
    found.push(told)
    walk(told.cause)
    if (Array.isArray(told.errors)) told.errors.forEach(walk)
  }
  walk(error)
  return found
}

/** The first code of the Kafka protocol in an error. */
export function kafkaCodeOf(error: unknown): number | undefined {
  const code = chain(error).find((told) => typeof told.apiCode === 'number')?.apiCode
  return typeof code === 'number' ? code : undefined
}

/** A refusal told by its number only. */
export function kafkaError(apiCode: number): Error {
  return Object.assign(new Error(`Kafka's error ${apiCode}`), { apiCode, apiId: `error ${apiCode}` })
}

function codeIn(told: readonly Told[], pattern: RegExp): string | undefined {
  for (const { code } of told) if (typeof code === 'string' && pattern.test(code)) return code
  return undefined
}

const NOT_TRUSTED = /SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|CERT_(UNTRUSTED|REJECTED|SIGNATURE_FAILURE|CHAIN_TOO_LONG|REVOKED)|INVALID_CA|INVALID_PURPOSE/
const OUT_OF_TIME = /CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/
const WRONG_NAME = /ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH/
const NO_TLS = /ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|UNEXPECTED_MESSAGE|RECORD_LAYER_FAILURE|UNKNOWN_PROTOCOL|INVALID_)/
/** The broker refuses our certificate, or misses it. */
const CLIENT_REFUSED = /ERR_SSL_.*ALERT/
const UNUSABLE_KEY = /ERR_OSSL|ERR_SSL_(KEY_VALUES|NO_START|CA_|EE_|PEM)|ERR_CRYPTO/

/** The place that gives tokens may be down for a while: that is worth trying again. */
export class TokenFailure extends Error {
  readonly isTokenFailure = true
}

/** A failure to reach a broker or to log in that trying again cannot mend. */
export function fatalConnectionError(error: unknown, broker: string, options: KafkaOptions): AppError | undefined {
  if (error instanceof AppError) return error.retryable ? undefined : error
  const told = chain(error)
  if (told.some((at) => at instanceof TokenFailure)) return undefined
  const says = (text: string): boolean => told.some(({ message }) => typeof message === 'string' && message.includes(text))
  const notTrusted = codeIn(told, NOT_TRUSTED)
  if (notTrusted !== undefined) return untrustedCertificate(broker, notTrusted)
  if (codeIn(told, WRONG_NAME) !== undefined) return wrongCertificateName(broker)
  if (codeIn(told, OUT_OF_TIME) !== undefined) return expiredCertificate(broker)
  if (codeIn(told, NO_TLS) !== undefined || says('verify the broker supports TLS')) return noTls(broker)
  if (codeIn(told, CLIENT_REFUSED) !== undefined) return refusedClientCertificate(broker)
  const unusable = codeIn(told, UNUSABLE_KEY)
  if (unusable !== undefined) return unusableKeyPair(unusable)
  if (says('Broker requires TLS')) return wantsTls(broker)
  const mechanism = options.sasl?.mechanism ?? 'none'
  if (says('suitable SASL mechanism') && kafkaCodeOf(error) !== undefined) return unknownMechanism(broker, mechanism)
  if (codeIn(told, /^PLT_KFK_AUTHENTICATION$/) !== undefined && !says('suitable SASL mechanism')) return refusedLogin(broker, mechanism, error)
  return undefined
}

/** A refusal by a broker that trying again cannot mend. */
export function fatalKafkaError(error: unknown, options: KafkaOptions, topic?: string): AppError | undefined {
  if (error instanceof AppError) return error.retryable ? undefined : error
  const brokers = options.brokers.join(', ')
  switch (kafkaCodeOf(error)) {
    case KafkaCode.topicNotPermitted: return notAllowed('READ', topic === undefined ? 'the topics' : `topic "${topic}"`)
    case KafkaCode.groupNotPermitted: return notAllowed('READ', `group "${options.groupId}"`)
    case KafkaCode.clusterNotPermitted: return notAllowed('DESCRIBE', 'the cluster')
    case KafkaCode.illegalSaslState: return new AppError('unauthorized', `Kafka at ${brokers} asks for a login: set FLOWFENCE_KAFKA_SASL_MECHANISM and its credentials.`)
    case KafkaCode.unsupportedVersion: return brokerTooOld(brokers, OLDEST_KAFKA)
    case KafkaCode.invalidGroupId: return new AppError('usage', `Kafka does not accept the consumer group "${options.groupId}": give it another name.`)
    case KafkaCode.invalidSessionTimeout:
      return new AppError('usage', 'Kafka does not accept this session timeout: choose one within group.min.session.timeout.ms and group.max.session.timeout.ms of the brokers (6 s to 30 min by default).')
    case KafkaCode.fencedInstance:
      return new AppError('conflict', `Another consumer has taken over the instance id "${options.instanceId ?? ''}" in group "${options.groupId}": give every replica its own.`)
    default: return undefined
  }
}

/** What went wrong, in a few words without a full stop. */
export function reasonOf(error: unknown, hasLogin = true): string {
  const told = chain(error)
  const system = codeIn(told, /^(E[A-Z]+|ENOTFOUND|EAI_AGAIN)$/)
  if (system === 'ECONNREFUSED') return 'connection refused'
  if (system === 'ENOTFOUND' || system === 'EAI_AGAIN') return 'its name is not known'
  if (system !== undefined) return system
  if (told.some((at) => at instanceof TokenFailure)) return 'no OAuth token could be had'
  const kafka = told.find((at) => typeof at.apiCode === 'number')?.apiId
  if (typeof kafka === 'string') return kafka
  if (told.some(({ message }) => message === 'Connection closed')) return hasLogin ? 'it closes the connection' : 'it closes the connection; it may want a login or TLS'
  const last = told.at(-1)?.message
  return typeof last === 'string' && last !== '' ? last.replace(/[.\s]+$/, '') : 'no reason given'
}
