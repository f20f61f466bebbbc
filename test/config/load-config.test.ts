import { inspect } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import { loadConfig } from '../../src/config/load-config.ts'
import { SETTINGS } from '../../src/config/settings.ts'

describe('settings', () => {
  test('an empty environment gives the defaults, frozen', () => {
    const { config, problems, warnings } = loadConfig({})
    expect(problems).toEqual([])
    expect(warnings).toEqual([])
    expect(config).toEqual({
      databaseUrl: undefined, apiKey: undefined, host: '127.0.0.1', port: 8080, cluster: 'default', dataDir: '.flowfence', logLevel: undefined,
      bodyLimitBytes: 33_554_432, ingestConcurrency: 4, requestTimeoutMs: 120_000, podCidrs: [], labelRules: undefined, ownWorkloads: [], databaseConnections: 10, rawFlows: 'on', clusterAliases: [], decodeThreads: undefined,
      maxIdentities: 200_000, maxDeadLettersPerMinute: 1000, maxNodes: 10_000,
      retainRawDays: 7, retainWindowDays: 14, retainHourDays: 90, retainDayDays: 400, latenessDays: 8,
      ingestKeys: [], ingestClients: [], tlsCertFile: undefined, tlsKeyFile: undefined, tlsClientCaFile: undefined, tlsPort: undefined,
      ingestBodyLimitBytes: 268_435_456, ingestQueue: 64, spoolDir: undefined, spoolLimitBytes: 1_073_741_824,
      kafkaBrokers: [], kafkaTopics: [], kafkaGroup: 'flowfence', kafkaDriver: 'kafkajs', kafkaTls: undefined, kafkaTlsCaFile: undefined,
      kafkaTlsCertFile: undefined, kafkaTlsKeyFile: undefined, kafkaTlsKeyPassphrase: undefined, kafkaSaslMechanism: undefined, kafkaSaslUsername: undefined,
      kafkaSaslPassword: undefined, kafkaSaslTokenFile: undefined, kafkaOauthTokenUrl: undefined, kafkaOauthClientId: undefined, kafkaOauthClientSecret: undefined,
      kafkaOauthScope: undefined, kafkaInstanceId: undefined, kafkaDeadLetterTopic: undefined, kafkaStart: 'earliest', kafkaOnReset: 'earliest',
      hubbleRelays: [], hubbleTls: 'on', hubbleCaFile: undefined, hubbleCertFile: undefined, hubbleKeyFile: undefined, hubbleServerName: undefined,
      hubbleNamespaces: [], hubbleAllow: [], hubbleDeny: [], goldmanes: [], goldmaneTls: 'on', goldmaneCaFile: undefined, goldmaneCertFile: undefined,
      goldmaneKeyFile: undefined, goldmaneServerName: undefined, streamSilenceMs: 60_000,
    })
    expect(Object.isFrozen(config)).toBe(true)
  })

  test('every setting has a name, a default in words and an effect, and no two share a name', () => {
    const settings = Object.values(SETTINGS)
    expect(new Set(settings.map((s) => s.name)).size).toBe(settings.length)
    for (const s of settings) expect([s.defaultText, s.effect].every((text) => text.length > 0)).toBe(true)
  })

  test('variables are parsed', () => {
    const { config } = loadConfig({
      FLOWFENCE_HOST: '0.0.0.0', FLOWFENCE_PORT: '0', FLOWFENCE_CLUSTER: 'prod-eu.1', FLOWFENCE_LOG_LEVEL: 'DEBUG', FLOWFENCE_BODY_LIMIT: '64MiB',
      FLOWFENCE_POD_CIDRS: '10.244.0.0/16, fd00:10:244::/56', FLOWFENCE_INGEST_CONCURRENCY: '2', FLOWFENCE_OWN_WORKLOADS: 'logging, kafka/broker',
    })
    expect(config).toMatchObject({
      host: '0.0.0.0', port: 0, cluster: 'prod-eu.1', logLevel: 'debug', bodyLimitBytes: 67_108_864, podCidrs: ['10.244.0.0/16', 'fd00:10:244::/56'], ingestConcurrency: 2, ownWorkloads: ['logging', 'kafka/broker'],
    })
  })

  test('an empty variable counts as unset', () => {
    expect(loadConfig({ FLOWFENCE_API_KEY: '', FLOWFENCE_PORT: ' ' }).config).toMatchObject({ apiKey: undefined, port: 8080 })
  })

  test('the variable Kubernetes sets for a Service named flowfence is not taken for the port', () => {
    expect(loadConfig({ FLOWFENCE_PORT: 'tcp://10.96.0.7:8080' })).toMatchObject({ problems: [], config: { port: 8080 } })
  })

  test('a malformed value is a problem that names the variable, the value and what to write', () => {
    const { config, problems } = loadConfig({ FLOWFENCE_PORT: 'http', FLOWFENCE_LOG_LEVEL: 'loud', FLOWFENCE_BODY_LIMIT: '1TB', FLOWFENCE_POD_CIDRS: '10.0.0.0', FLOWFENCE_CLUSTER: 'a b', FLOWFENCE_OWN_WORKLOADS: 'Logging/*' })
    expect(config).toBeUndefined()
    expect(problems).toEqual([
      'FLOWFENCE_PORT is "http", but must be a whole number from 0 to 65535.',
      'FLOWFENCE_CLUSTER is "a b", but a cluster name has letters, digits, ".", "_" and "-", begins and ends with a letter or digit, and has at most 253 characters.',
      'FLOWFENCE_LOG_LEVEL is "loud", but must be one of debug, info, warn, error, silent.',
      'FLOWFENCE_BODY_LIMIT is "1TB", but must be a size from 1024 to 1073741824 bytes, such as 32MiB.',
      'FLOWFENCE_POD_CIDRS holds "10.0.0.0", but must be a comma list of networks, such as 10.244.0.0/16,fd00:10:244::/56.',
      'FLOWFENCE_OWN_WORKLOADS holds "Logging/*", but must be a comma list of workloads as namespace or namespace/workload, such as logging,kafka/broker.',
    ])
  })

  test('keys and client certificates are bound to clusters, also where an identity holds "="', () => {
    const { config } = loadConfig({ FLOWFENCE_INGEST_KEYS: 'prod=hunter2hunter2=, prod=hunter3hunter3,lab.1=hunter4hunter4', FLOWFENCE_INGEST_CLIENTS: 'goldmane=prod,spiffe://example.org/a=b=lab' })
    expect(config?.ingestKeys.map(({ cluster, key }) => [cluster, key.reveal()])).toEqual([['prod', 'hunter2hunter2='], ['prod', 'hunter3hunter3'], ['lab.1', 'hunter4hunter4']])
    expect(config?.ingestClients).toEqual([{ identity: 'goldmane', cluster: 'prod' }, { identity: 'spiffe://example.org/a=b', cluster: 'lab' }])
    const { problems } = loadConfig({ FLOWFENCE_INGEST_KEYS: 'prod=hunter2hunter2,hunter3hunter3', FLOWFENCE_INGEST_CLIENTS: 'goldmane' })
    expect(problems).toEqual([
      'FLOWFENCE_INGEST_KEYS must be a comma list of cluster=key, such as prod=KEY1,staging=KEY2; each key has 8 to 512 printable ASCII characters without spaces and commas. Its value is not shown.',
      'FLOWFENCE_INGEST_CLIENTS holds "goldmane", but must be a comma list of identity=cluster, such as goldmane=prod,spiffe://example.org/emitter=staging.',
    ])
  })

  test('retention that contradicts itself is refused, with the names of both variables', () => {
    expect(loadConfig({ FLOWFENCE_LATENESS_DAYS: '14' }).problems).toEqual([
      'FLOWFENCE_LATENESS_DAYS is 14, but must be less than FLOWFENCE_RETAIN_WINDOW_DAYS, which is 14: a flow may come that late, and its hour is summed up only then. Lower the first or raise the second.',
    ])
    expect(loadConfig({ FLOWFENCE_RETAIN_WINDOW_DAYS: '120', FLOWFENCE_RETAIN_DAY_DAYS: '90' }).problems).toEqual([
      'FLOWFENCE_RETAIN_WINDOW_DAYS is 120, but must be less than FLOWFENCE_RETAIN_HOUR_DAYS, which is 90: hours are what windows are summed up to. Lower the first or raise the second.',
      'FLOWFENCE_RETAIN_HOUR_DAYS is 90, but must be less than FLOWFENCE_RETAIN_DAY_DAYS, which is 90: days are what hours are summed up to. Lower the first or raise the second.',
    ])
    expect(loadConfig({ FLOWFENCE_RETAIN_RAW_DAYS: '0', FLOWFENCE_RETAIN_WINDOW_DAYS: 'two' }).problems).toEqual([
      'FLOWFENCE_RETAIN_RAW_DAYS is "0", but must be a whole number from 1 to 3650.', 'FLOWFENCE_RETAIN_WINDOW_DAYS is "two", but must be a whole number from 2 to 3650.',
    ])
    expect(loadConfig({ FLOWFENCE_LATENESS_DAYS: '2', FLOWFENCE_RETAIN_WINDOW_DAYS: '3', FLOWFENCE_RETAIN_HOUR_DAYS: '4', FLOWFENCE_RETAIN_DAY_DAYS: '5' }).problems).toEqual([])
  })

  test('a problem with a secret does not repeat it', () => {
    const { problems } = loadConfig({ DATABASE_URL: 'mysql://root:hunter2@db/x', FLOWFENCE_API_KEY: 'hun ter2' })
    expect(problems).toHaveLength(2)
    expect(problems.join(' ')).not.toMatch(/hun/)
  })

  test('secrets show in no form of printing', () => {
    const { config } = loadConfig({ DATABASE_URL: 'postgres://u:hunter2@db/x', FLOWFENCE_API_KEY: 'hunter2hunter2' })
    for (const text of [JSON.stringify(config), inspect(config, { depth: 9, showHidden: true }), String(config?.apiKey), `${String(config?.databaseUrl)}`]) expect(text).not.toContain('hunter2')
    expect(config?.apiKey?.reveal()).toBe('hunter2hunter2')
  })

  test('a misspelt variable is pointed out; foreign ones are left alone', () => {
    expect(loadConfig({ FLOWFENCE_API_KY: 'x', FLOWFENCE_SERVICE_HOST: '10.0.0.1', FLOWFENCE_TIER: 'small' }).warnings).toEqual([
      'FLOWFENCE_API_KY is not a setting and has no effect. Did you mean FLOWFENCE_API_KEY?',
    ])
  })
})
