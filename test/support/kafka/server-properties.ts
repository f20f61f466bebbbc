/**
 * The settings of one broker of the tests, which is broker and controller of a KRaft cluster. Chosen for quick tests on small machines:
 * one partition for each of Kafka's own topics, groups that form at once, topics only where a test makes them.
 */
import type { Certificate } from '../certificates.ts'

/** What a test uses to get in: the same user for every SASL mechanism, known to every broker of the tests. */
export const KAFKA_USER = { username: 'flowfence', password: 'test-password' } as const

export const SCRAM_MECHANISMS = ['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const

/** Ports of one broker. Only `plain` and `controller` are there without security. */
export interface BrokerPorts {
  readonly plain: number
  readonly controller: number
  readonly security?: SecurePorts
}

export interface SecurePorts {
  /** TLS; a client certificate is asked for and may be missing. */
  readonly tls: number
  /** TLS with a client certificate of the authority, or no connection. */
  readonly mutualTls: number
  readonly sasl: number
  readonly saslTls: number
}

export interface BrokerSettings {
  readonly id: number
  readonly ports: BrokerPorts
  /** Every broker of the cluster, this one included. */
  readonly controllers: readonly { readonly id: number; readonly port: number }[]
  readonly dataFolder: string
  /** Where clients are listened for: 127.0.0.1, or 0.0.0.0 inside a container. */
  readonly bind: string
  readonly tls?: { readonly server: Certificate; readonly ca: string }
  readonly extra?: Readonly<Record<string, string>>
}

/** The text of server.properties. */
export function serverProperties(settings: BrokerSettings): string {
  const { id, ports, controllers, bind } = settings
  const replicas = String(Math.min(controllers.length, 3))
  const listeners = listenersOf(ports)
  const properties: Record<string, string> = {
    'node.id': String(id),
    'process.roles': 'broker,controller',
    'controller.quorum.voters': controllers.map((each) => `${each.id}@127.0.0.1:${each.port}`).join(','),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAIN',
    listeners: [...listeners.map(([name, port]) => `${name}://${bind}:${port}`), `CONTROLLER://127.0.0.1:${ports.controller}`].join(','),
    'advertised.listeners': listeners.map(([name, port]) => `${name}://localhost:${port}`).join(','),
    'listener.security.protocol.map': 'PLAIN:PLAINTEXT,TLS:SSL,MUTUAL:SSL,SASL:SASL_PLAINTEXT,SASLTLS:SASL_SSL,CONTROLLER:PLAINTEXT',
    'log.dirs': settings.dataFolder,
    'auto.create.topics.enable': 'false',
    'delete.topic.enable': 'true',
    'offsets.topic.num.partitions': '1',
    'offsets.topic.replication.factor': replicas,
    'transaction.state.log.num.partitions': '1',
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': '1',
    'share.coordinator.state.topic.num.partitions': '1',
    'share.coordinator.state.topic.replication.factor': replicas,
    'share.coordinator.state.topic.min.isr': '1',
    'default.replication.factor': replicas,
    // A group forms with its first member, and one that was killed is missed soon.
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '1000',
    // A broker that was killed is missed within seconds; the default of 9 s would make fault tests wait.
    'broker.session.timeout.ms': '4000',
    'broker.heartbeat.interval.ms': '500',
    'controlled.shutdown.enable': 'true',
    // Small segments and frequent checks, so that a test of retention or compaction sees it happen.
    'log.segment.bytes': '16777216',
    'log.index.size.max.bytes': '1048576',
    'log.segment.delete.delay.ms': '1000',
    'log.retention.check.interval.ms': '2000',
    'log.cleaner.backoff.ms': '1000',
    'log.cleaner.dedupe.buffer.size': '2097152',
    'log.cleaner.io.buffer.size': '131072',
    // Few threads: the tests share two cores with it.
    'num.network.threads': '1',
    'num.io.threads': '2',
    'num.recovery.threads.per.data.dir': '1',
    'background.threads': '2',
    'group.coordinator.threads': '1',
    'share.coordinator.threads': '1',
    // Without a rule everybody may do everything, so that a test can forbid one topic to one user; the plain listener may do all.
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'allow.everyone.if.no.acl.found': 'true',
    'super.users': 'User:ANONYMOUS;User:admin',
    ...security(settings),
    ...settings.extra,
  }
  return Object.entries(properties).map(([key, value]) => `${key}=${value.replaceAll('\n', '\\n')}\n`).join('')
}

function listenersOf({ plain, security: secure }: BrokerPorts): [string, number][] {
  if (secure === undefined) return [['PLAIN', plain]]
  return [['PLAIN', plain], ['TLS', secure.tls], ['MUTUAL', secure.mutualTls], ['SASL', secure.sasl], ['SASLTLS', secure.saslTls]]
}

function security({ tls, ports }: BrokerSettings): Record<string, string> {
  if (tls === undefined || ports.security === undefined) return {}
  return {
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.certificate.chain': tls.server.cert,
    'ssl.keystore.key': tls.server.key,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.certificates': tls.ca,
    'listener.name.tls.ssl.client.auth': 'requested',
    'listener.name.mutual.ssl.client.auth': 'required',
    ...sasl('sasl'),
    ...sasl('sasltls'),
  }
}

/** OAUTHBEARER takes unsigned tokens (`alg: none`) with `sub`, `iat` and `exp`: what Kafka itself offers for tests. */
function sasl(listener: string): Record<string, string> {
  const name = `listener.name.${listener}`
  const login = 'org.apache.kafka.common.security'
  return {
    [`${name}.sasl.enabled.mechanisms`]: ['PLAIN', ...SCRAM_MECHANISMS, 'OAUTHBEARER'].join(','),
    [`${name}.plain.sasl.jaas.config`]: `${login}.plain.PlainLoginModule required user_${KAFKA_USER.username}="${KAFKA_USER.password}";`,
    ...Object.fromEntries(SCRAM_MECHANISMS.map((mechanism) => [
      `${name}.${mechanism.toLowerCase()}.sasl.jaas.config`, `${login}.scram.ScramLoginModule required;`,
    ])),
    [`${name}.oauthbearer.sasl.jaas.config`]: `${login}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="admin";`,
    [`${name}.oauthbearer.sasl.server.callback.handler.class`]:
      `${login}.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler`,
  }
}
