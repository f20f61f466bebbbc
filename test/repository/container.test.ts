import { describe, expect, test } from '@jest/globals'
import { existsSync } from 'node:fs'
import { parse } from 'yaml'
import { SETTINGS } from '../../src/config/settings.ts'
import { readText, root } from './repository-files.ts'

interface Instruction {
  readonly word: string
  readonly rest: string
}

/** Dockerfile text -> instructions; comments dropped, continued lines joined. */
function parseDockerfile(text: string): Instruction[] {
  const lines = text.split('\n').filter((line) => !/^\s*(#|$)/.test(line)).join('\n').replace(/\\\n/g, ' ').split('\n')
  return lines.map((line) => {
    const [, word = '', rest = ''] = /^\s*(\w+)\s+(.*)$/.exec(line) ?? []
    return { word: word.toUpperCase(), rest: rest.trim() }
  })
}

interface Service {
  readonly image?: string
  readonly build?: string
  readonly user?: string
  readonly environment: Readonly<Record<string, string>>
  readonly healthcheck?: { readonly test: readonly string[] }
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
  readonly read_only?: boolean
  readonly cap_drop?: readonly string[]
  readonly security_opt?: readonly string[]
  readonly privileged?: boolean
}

interface ComposeFile {
  readonly services: Readonly<Record<'postgres' | 'kafka' | 'flowfence', Service>>
  readonly volumes: Readonly<Record<string, unknown>>
}

const docker = parseDockerfile(readText('Dockerfile'))
const compose = parse(readText('docker-compose.yml')) as ComposeFile
const { postgres, kafka, flowfence } = compose.services
const settingNames: readonly string[] = Object.values(SETTINGS).map((setting) => setting.name)

/** Arguments of all instructions of one word, in order. */
function all(word: string): string[] {
  return docker.filter((i) => i.word === word).map((i) => i.rest)
}

describe('the Dockerfile', () => {
  const lastStage = docker.slice(docker.map((i) => i.word).lastIndexOf('FROM'))

  test('has only instructions that Docker knows', () => {
    const known = ['FROM', 'WORKDIR', 'COPY', 'RUN', 'ENV', 'USER', 'EXPOSE', 'HEALTHCHECK', 'ENTRYPOINT', 'CMD']
    expect(docker.map((i) => i.word).filter((word) => !known.includes(word))).toEqual([])
  })

  test('builds on the Node version that development uses, pinned in every stage', () => {
    const { devDependencies } = JSON.parse(readText('package.json')) as { devDependencies: { node: string } }
    expect(all('FROM').length).toBeGreaterThan(1)
    for (const from of all('FROM')) expect(from).toMatch(new RegExp(`^node:${devDependencies.node.replaceAll('.', '\\.')}-[a-z-]+( AS \\w+)?$`))
  })

  test('runs as a user other than root, given as a number so that Kubernetes can check it', () => {
    const user = lastStage.filter((i) => i.word === 'USER').at(-1)?.rest
    expect(user).toMatch(/^[1-9]\d*:[1-9]\d*$/)
    const words = lastStage.map((i) => i.word)
    expect(words.lastIndexOf('USER')).toBeLessThan(words.indexOf('ENTRYPOINT'))
    expect(words.lastIndexOf('RUN')).toBe(-1)
  })

  test('installs exactly what the lock file says, and ships production dependencies only', () => {
    const installs = all('RUN').filter((run) => /\bnpm\b/.test(run))
    expect(installs.every((run) => run.startsWith('npm ci'))).toBe(true)
    expect(lastStage.filter((i) => i.word === 'COPY').map((i) => i.rest)).toContain('--from=dependencies /app/node_modules node_modules')
    const from = docker.findIndex((i) => i.word === 'FROM' && i.rest.endsWith('AS dependencies'))
    expect(docker.slice(from).find((i) => i.word === 'RUN')?.rest).toContain('--omit=dev')
  })

  test('starts the command of the package, listens on the exposed port, and reports its health', () => {
    expect(JSON.parse(all('ENTRYPOINT')[0] ?? '[]')).toEqual(['node', '/app/bin/flowfence.mjs'])
    expect(JSON.parse(all('CMD')[0] ?? '[]')).toEqual(['serve'])
    expect(all('EXPOSE')).toEqual([String(SETTINGS.port.fallback)])
    expect(all('HEALTHCHECK')).toHaveLength(1)
    expect(all('HEALTHCHECK')[0]).toContain('/livez')
  })

  test('sets only variables that the program knows, and no secret', () => {
    const names = all('ENV').map((env) => env.split('=')[0] ?? '')
    expect(names.filter((name) => name !== 'NODE_ENV' && !settingNames.includes(name))).toEqual([])
    expect(docker.some((i) => /PASSWORD|API_KEY|SECRET|TOKEN/.test(i.rest))).toBe(false)
  })

  test('copies only files that exist and that .dockerignore lets through', () => {
    const admitted = readText('.dockerignore').split('\n').filter((line) => line.startsWith('!')).map((line) => line.slice(1))
    const copied = all('COPY').filter((copy) => !copy.startsWith('--from')).flatMap((copy) => copy.split(/\s+/).slice(0, -1))
    expect(copied.filter((path) => !admitted.includes(path))).toEqual([])
    expect(copied.filter((path) => !existsSync(`${root}/${path}`))).toEqual([])
  })
})

describe('docker-compose.yml', () => {
  test('runs postgres, kafka and flowfence, each with a health check and no privileges to gain', () => {
    expect(Object.keys(compose.services).sort()).toEqual(['flowfence', 'kafka', 'postgres'])
    for (const service of Object.values(compose.services)) {
      expect(service.healthcheck?.test.length).toBeGreaterThan(1)
      expect(service.security_opt).toContain('no-new-privileges:true')
      expect(service.privileged).toBeUndefined()
    }
  })

  test('pins images by version', () => {
    expect(postgres.image).toMatch(/^postgres:18\.\d+$/)
    expect(kafka.image).toMatch(/^apache\/kafka:\d+\.\d+\.\d+$/)
    expect(flowfence.build).toBe('.')
  })

  test('runs the version of Kafka that the tests run', () => {
    const [, version = ''] = /<kafka\.version>([^<]+)</.exec(readText('test/support/kafka/pom.xml')) ?? []
    expect(kafka.image).toBe(`apache/kafka:${version}`)
  })

  test('keeps data of postgres and kafka in declared volumes', () => {
    const mounts = [...postgres.volumes ?? [], ...kafka.volumes ?? []].map((mount) => mount.split(':')[0] ?? '')
    expect(mounts.sort()).toEqual(Object.keys(compose.volumes).sort())
    // The image of version 18 moved its data folder; a volume at the old place would stay empty.
    expect(postgres.volumes).toEqual(['postgres-data:/var/lib/postgresql'])
    expect(kafka.volumes).toEqual([`kafka-data:${kafka.environment.KAFKA_LOG_DIRS ?? ''}`])
  })

  test('runs Kafka in KRaft mode on one node: no ZooKeeper, one replica', () => {
    const { environment } = kafka
    expect(environment.KAFKA_PROCESS_ROLES?.split(',').sort()).toEqual(['broker', 'controller'])
    const voter = /^(\d+)@kafka:(\d+)$/.exec(environment.KAFKA_CONTROLLER_QUORUM_VOTERS ?? '')
    expect(voter?.[1]).toBe(environment.KAFKA_NODE_ID)
    const listeners = new Map((environment.KAFKA_LISTENERS ?? '').split(',').map((l) => [l.split('://')[0], l.split(':').at(-1)]))
    expect(listeners.get(environment.KAFKA_CONTROLLER_LISTENER_NAMES)).toBe(voter?.[2])
    expect(listeners.has(environment.KAFKA_INTER_BROKER_LISTENER_NAME)).toBe(true)
    const advertised = (environment.KAFKA_ADVERTISED_LISTENERS ?? '').split(',').map((l) => l.split('://')[0])
    expect(advertised).toEqual([environment.KAFKA_INTER_BROKER_LISTENER_NAME])
    expect(environment.KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR).toBe('1')
    expect(environment.KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR).toBe('1')
    expect(readText('docker-compose.yml')).not.toMatch(/KAFKA_ZOOKEEPER/)
  })

  test('requires every secret instead of inventing one', () => {
    const secrets = Object.values(compose.services).flatMap((s) => Object.entries(s.environment)).filter(([name]) => /PASSWORD|API_KEY|DATABASE_URL/.test(name))
    expect(secrets.map(([name]) => name).sort()).toEqual(['DATABASE_URL', 'FLOWFENCE_API_KEY', 'POSTGRES_PASSWORD'])
    for (const [, value] of secrets) expect(value).toMatch(/\$\{[A-Z_]+:\?[^}]+\}/)
    expect(flowfence.environment.DATABASE_URL).toMatch(/^postgres:\/\/flowfence:\$\{POSTGRES_PASSWORD:\?[^}]+\}@postgres:5432\/flowfence$/)
  })

  test('gives flowfence only variables that the program knows, with values it accepts', () => {
    for (const [name, value] of Object.entries(flowfence.environment)) {
      const setting = Object.values(SETTINGS).find((s) => s.name === name)
      expect({ name, isKnown: setting !== undefined }).toEqual({ name, isKnown: true })
      const fallback = /^\$\{[A-Z_]+:-([^}]*)\}$/.exec(value)?.[1] ?? value
      if (!fallback.includes('${') && fallback !== '') expect(() => setting?.parse(fallback)).not.toThrow()
    }
  })

  test('starts flowfence when the database is healthy, without root, on a read-only file system, for this machine only', () => {
    expect(flowfence.depends_on?.postgres?.condition).toBe('service_healthy')
    expect(flowfence.user).toMatch(/^[1-9]\d*:[1-9]\d*$/)
    expect(flowfence.read_only).toBe(true)
    expect(flowfence.cap_drop).toEqual(['ALL'])
    expect(flowfence.ports?.every((port) => port.startsWith('127.0.0.1:'))).toBe(true)
    expect(postgres.ports ?? kafka.ports).toBeUndefined()
  })
})
