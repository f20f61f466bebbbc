/**
 * Kafka clusters for tests and development: one broker or several, each of which can be killed, stopped, paused and started again with the same
 * data and ports. Needs no test runner.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createAuthority } from '../certificates.ts'
import type { Certificate } from '../certificates.ts'
import { killBrokers, spawnContainer, spawnJava, startNetwork } from './broker-process.ts'
import type { BrokerFolder, BrokerProcess } from './broker-process.ts'
import { freePort } from './ports.ts'
import { formatFolder, newClusterId } from './runtime.ts'
import type { KafkaRuntime } from './runtime.ts'
import { serverProperties } from './server-properties.ts'
import type { BrokerPorts } from './server-properties.ts'
import { waitForBrokers } from './topics.ts'

export interface KafkaNode {
  readonly id: number
  /** `host:port` without security. */
  readonly address: string
  /** SIGKILL: nothing is told to the cluster. */
  kill(): Promise<void>
  /** In order: leaders move to other brokers first. */
  stop(): Promise<void>
  /** Again after `kill` or `stop`; returns when it takes part in the cluster. */
  start(): Promise<void>
  /** SIGSTOP: connections stay open, nothing answers. */
  pause(): Promise<void>
  resume(): Promise<void>
}

/** Ways in that need credentials, `host:port` each; with what opens them. The SASL user is KAFKA_USER. */
export interface SecureListeners {
  readonly tls: string
  readonly mutualTls: string
  readonly sasl: string
  readonly saslTls: string
  /** Trusts the server's certificate. */
  readonly ca: string
  /** A client certificate that the brokers trust, common name `flowfence`. */
  readonly client: Certificate
}

export interface KafkaCluster {
  readonly clusterId: string
  readonly nodes: readonly KafkaNode[]
  /** All addresses without security. */
  readonly brokers: readonly string[]
  readonly secure?: SecureListeners
  /** What `killBrokers` takes when another process has to end it. */
  readonly processes: () => readonly string[]
  /** Kills all and removes the data; stops them in order where the data is kept. */
  end(): Promise<void>
}

export interface ClusterOptions {
  /** Absolute; data that is there already is used again, with its cluster id. */
  readonly folder: string
  readonly ownerPid: number
  readonly brokers?: 1 | 3
  readonly isSecure?: boolean
  /** Of the first broker's plain listener; free ones are taken otherwise. */
  readonly port?: number
  readonly keepsData?: boolean
  /** Further lines of server.properties. */
  readonly settings?: Readonly<Record<string, string>>
}

const START_TIMEOUT_MS = 90_000

/** Returns when every broker takes part. An error with the broker's own words when one does not come up. */
export async function startCluster(runtime: KafkaRuntime, options: ClusterOptions): Promise<KafkaCluster> {
  const ids = Array.from({ length: options.brokers ?? 1 }, (_, i) => i + 1)
  await mkdir(options.folder, { recursive: true })
  const clusterId = await knownClusterId(options.folder)
  const ports = await choosePorts(ids.length, options)
  const security = options.isSecure === true ? await certificates() : undefined
  const network = runtime.kind === 'docker' ? `flowfence-kafka-${clusterId}` : undefined
  if (runtime.kind === 'docker' && network !== undefined) {
    await startNetwork(runtime, { name: network, ports: ports.flatMap(numbers), ownerPid: options.ownerPid })
  }
  const controllers = ids.map((id, i) => ({ id, port: at(ports, i).controller }))
  const nodes = await Promise.all(ids.map(async (id, i) => {
    const folder = join(options.folder, `broker-${id}`)
    const dataFolder = join(folder, 'data')
    await formatFolder(runtime, dataFolder, { id, clusterId })
    await writeFile(join(folder, 'server.properties'), serverProperties({
      id, ports: at(ports, i), controllers, dataFolder, bind: network === undefined ? '127.0.0.1' : '0.0.0.0',
      ...(security && { tls: security }), ...(options.settings && { extra: options.settings }),
    }), { mode: 0o600 })
    const place: BrokerFolder = { folder, ownerPid: options.ownerPid, ...(options.keepsData !== true && { removedFolder: options.folder }) }
    const spawn = (): Promise<BrokerProcess> => runtime.kind === 'java'
      ? spawnJava(runtime, place)
      : spawnContainer(runtime, place, { name: `${network ?? ''}-${id}`, network: network ?? '' })
    return createNode(id, at(ports, i), spawn)
  }))
  const cluster: KafkaCluster = {
    clusterId,
    nodes,
    brokers: nodes.map((node) => node.address),
    ...(security && { secure: secureListeners(at(ports, 0), security) }),
    processes: () => [...nodes.map((node) => node.process()?.name), network].filter((name) => name !== undefined),
    end: async () => {
      await Promise.all(nodes.map((node) => options.keepsData === true ? node.stop() : node.kill()))
      if (network !== undefined) await killBrokers(cluster.processes())
      if (options.keepsData !== true) await rm(options.folder, { recursive: true, force: true })
    },
  }
  await Promise.all(nodes.map((node) => node.start(ids.length)))
  return cluster
}

interface OwnNode extends KafkaNode {
  start(members?: number): Promise<void>
  process(): BrokerProcess | undefined
}

function createNode(id: number, ports: BrokerPorts, spawn: () => Promise<BrokerProcess>): OwnNode {
  const address = `localhost:${ports.plain}`
  let current: BrokerProcess | undefined
  return {
    id,
    address,
    process: () => current,
    kill: async () => { await current?.kill() },
    stop: async () => { await current?.stop() },
    pause: async () => { await current?.pause() },
    resume: async () => { await current?.resume() },
    start: async (members = 1) => {
      if (current !== undefined && !(await current.hasExited())) throw new Error(`Broker ${id} runs already.`)
      const started = current = await spawn()
      await waitForBrokers(address, { id, members }, START_TIMEOUT_MS, async () => {
        if (await started.hasExited()) throw new Error(`Broker ${id} did not start:\n${await started.log()}`)
      }).catch(async (error: unknown) => {
        await started.kill()
        throw error
      })
    },
  }
}

async function knownClusterId(folder: string): Promise<string> {
  const text = await readFile(join(folder, 'broker-1', 'data', 'meta.properties'), 'utf8').catch(() => '')
  return /^cluster\.id=(.+)$/m.exec(text)?.[1] ?? newClusterId()
}

async function certificates(): Promise<{ ca: string; server: Certificate; client: Certificate }> {
  const authority = await createAuthority()
  return { ca: authority.ca, server: await authority.server(), client: await authority.client('flowfence') }
}

function secureListeners({ security }: BrokerPorts, { ca, client }: { ca: string; client: Certificate }): SecureListeners {
  if (security === undefined) throw new Error('The broker has no ports for security.')
  const { tls, mutualTls, sasl, saslTls } = security
  return { tls: `localhost:${tls}`, mutualTls: `localhost:${mutualTls}`, sasl: `localhost:${sasl}`, saslTls: `localhost:${saslTls}`, ca, client }
}

async function choosePorts(brokers: number, { isSecure = false, port }: ClusterOptions): Promise<BrokerPorts[]> {
  const taken = new Set<number>()
  const chosen: BrokerPorts[] = []
  for (let i = 0; i < brokers; i++) {
    const plain = i === 0 && port !== undefined ? port : await freePort(taken)
    const controller = await freePort(taken)
    chosen.push({ plain, controller, ...(isSecure && { security: {
      tls: await freePort(taken), mutualTls: await freePort(taken), sasl: await freePort(taken), saslTls: await freePort(taken),
    } }) })
  }
  return chosen
}

function numbers({ plain, security }: BrokerPorts): number[] {
  return security === undefined ? [plain] : [plain, security.tls, security.mutualTls, security.sasl, security.saslTls]
}

function at<T>(list: readonly T[], i: number): T {
  const item = list[i]
  if (item === undefined) throw new RangeError(`There is no ${i}.`)
  return item
}
