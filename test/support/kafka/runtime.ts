/**
 * What runs a Kafka broker on this machine: a Docker engine that answers, else Java 17 or newer with the jars that Maven resolves from pom.xml.
 * Both run the same version. The class path and what a formatted data folder starts with are kept in the user's cache between runs
 * (`~/.cache/flowfence/kafka-<version>-<hash>`, or below XDG_CACHE_HOME); Maven keeps the jars themselves.
 */
import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { withLock } from '../file-lock.ts'
import { freePort } from './ports.ts'
import { KAFKA_USER, SCRAM_MECHANISMS, serverProperties } from './server-properties.ts'

const run = promisify(execFile)
const POM = fileURLToPath(new URL('pom.xml', import.meta.url))
const VERSION = /<kafka\.version>([^<]+)</.exec(readFileSync(POM, 'utf8'))?.[1] ?? ''
/** The first run downloads about 45 MB, or an image of about 400 MB. */
const DOWNLOAD_TIMEOUT_MS = 480_000
const ANSWER_TIMEOUT_MS = 20_000
const ARCHIVE_TIMEOUT_MS = 60_000

interface Runtime {
  readonly version: string
  /** `bootstrap.checkpoint` of a formatted data folder: the version of the metadata, and the SCRAM users. */
  readonly checkpoint: string
}

export interface JavaRuntime extends Runtime {
  readonly kind: 'java'
  readonly java: string
  /** Options that a broker needs, the class path among them. */
  readonly options: readonly string[]
}

/** The start is half of a broker's life in tests: compile quickly, collect simply, take little memory. */
export const JVM_OPTIONS = ['-Xms64m', '-Xmx320m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData', '-Djava.awt.headless=true']

export interface DockerRuntime extends Runtime {
  readonly kind: 'docker'
  readonly image: string
}

export type KafkaRuntime = JavaRuntime | DockerRuntime

/** Where the image keeps its jars; `*` is expanded by Java itself. */
export const IMAGE_CLASS_PATH = '/opt/kafka/libs/*'

/** Downloads what is missing on first use, which may take minutes. Where nothing can run a broker: one sentence that tells why. */
export async function findRuntime(): Promise<KafkaRuntime | { readonly kind: 'none'; readonly reason: string }> {
  const folder = cacheFolder()
  const reasons: string[] = []
  for (const find of [findDocker, findJava]) {
    try {
      const found = await withLock<KafkaRuntime>(join(folder, 'lock'), () => find(folder))
      return found
    } catch (error) {
      reasons.push(error instanceof Error ? error.message : String(error))
    }
  }
  return { kind: 'none', reason: reasons.join('; ') }
}

/** A new pom or user means a new folder. */
function cacheFolder(): string {
  const hash = createHash('sha256').update(readFileSync(POM)).update(JSON.stringify(KAFKA_USER)).digest('hex').slice(0, 8)
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'flowfence', `kafka-${VERSION}-${hash}`)
}

async function findDocker(folder: string): Promise<DockerRuntime> {
  const image = `apache/kafka:${VERSION}`
  await run('docker', ['version', '--format', '{{.Server.Version}}'], { timeout: ANSWER_TIMEOUT_MS })
    .catch(() => { throw new Error('no Docker engine answers') })
  try {
    await run('docker', ['image', 'inspect', image], { timeout: ANSWER_TIMEOUT_MS })
  } catch {
    await run('docker', ['pull', '--quiet', image], { timeout: DOWNLOAD_TIMEOUT_MS })
      .catch((error: unknown) => { throw new Error(`Docker cannot pull ${image} (${lastLine(error)})`) })
  }
  const checkpoint = await format(folder, (scratch, args) => run('docker', [
    'run', '--rm', ...userArguments(), '--volume', `${scratch}:${scratch}`, '--entrypoint', 'java', image, '-cp', IMAGE_CLASS_PATH, ...args,
  ]))
  return { kind: 'docker', version: VERSION, image, checkpoint }
}

/** Files written by a container belong to whoever runs the tests. */
export function userArguments(): string[] {
  const [uid, gid] = [process.getuid?.(), process.getgid?.()]
  return uid === undefined || gid === undefined ? [] : ['--user', `${uid}:${gid}`]
}

async function findJava(folder: string): Promise<JavaRuntime> {
  const java = process.env.JAVA_HOME === undefined ? 'java' : join(process.env.JAVA_HOME, 'bin', 'java')
  const { stdout } = await run(java, ['--version'], { timeout: ANSWER_TIMEOUT_MS }).catch(() => { throw new Error('no Java is on the PATH') })
  const major = Number(/\b(\d+)/.exec(stdout)?.[1])
  if (!(major >= 17)) throw new Error(`Java ${major} is too old, Kafka needs 17`)
  const classPath = await resolveClassPath(join(folder, 'classpath'))
  const checkpoint = await format(folder, (_, args) => run(java, ['-XX:TieredStopAtLevel=1', '-cp', classPath, ...args]))
  const options = [...JVM_OPTIONS, '-cp', classPath]
  const archive = join(folder, `classes-${createHash('sha256').update(stdout).update(options.join(' ')).digest('hex').slice(0, 8)}.jsa`)
  if (!existsSync(archive)) await archiveClasses(archive, { kind: 'java', version: VERSION, java, options, checkpoint })
  return { kind: 'java', version: VERSION, java, options: [`-XX:SharedArchiveFile=${archive}`, ...options], checkpoint }
}

/**
 * One broker lives for a moment and leaves its loaded classes behind for the next: 2.0 s of CPU for a start instead of 2.9 s.
 * Without the archive Java starts all the same, so failure is no failure.
 */
async function archiveClasses(archive: string, runtime: JavaRuntime): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'flowfence-classes-'))
  try {
    const [dataFolder, properties] = [join(scratch, 'data'), join(scratch, 'server.properties')]
    await formatFolder(runtime, dataFolder, { id: 1, clusterId: newClusterId() })
    const [plain, controller] = [await freePort(), await freePort()]
    await writeFile(properties, serverProperties({ id: 1, ports: { plain, controller }, controllers: [{ id: 1, port: controller }], dataFolder, bind: '127.0.0.1' }))
    const broker = spawn(runtime.java, [`-XX:ArchiveClassesAtExit=${archive}.new`, ...runtime.options, 'kafka.Kafka', properties], {
      stdio: ['ignore', 'ignore', 'pipe'], timeout: ARCHIVE_TIMEOUT_MS, killSignal: 'SIGKILL',
    })
    broker.stderr.on('data', (text: Buffer) => { if (text.includes('Server started')) broker.kill('SIGTERM') })
    const [code] = (await once(broker, 'close')) as [number | null]
    // 143: ended by SIGTERM, in order.
    if (code === 143) await rename(`${archive}.new`, archive).catch(() => undefined)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** From the cache while all of its jars are still there. */
async function resolveClassPath(path: string): Promise<string> {
  const known = await readFile(path, 'utf8').catch(() => '')
  if (known !== '' && known.split(delimiter).every((jar) => existsSync(jar))) return known
  const scratch = await mkdtemp(join(tmpdir(), 'flowfence-maven-'))
  try {
    const output = join(scratch, 'classpath')
    await copyFile(POM, join(scratch, 'pom.xml'))
    await run('mvn', ['--batch-mode', '--quiet', '--file', join(scratch, 'pom.xml'), 'dependency:build-classpath', `-Dmdep.outputFile=${output}`], {
      timeout: DOWNLOAD_TIMEOUT_MS,
    }).catch((error: unknown) => { throw new Error(`Maven cannot resolve Kafka ${VERSION} (${lastLine(error)})`) })
    const classPath = (await readFile(output, 'utf8')).trim()
    await writeFile(path, classPath)
    return classPath
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** Formatting takes a Java start of its own; its outcome does not depend on the cluster, so it is kept and copied into each new data folder. */
async function format(folder: string, java: (scratch: string, args: string[]) => Promise<unknown>): Promise<string> {
  const checkpoint = join(folder, 'bootstrap.checkpoint')
  if (existsSync(checkpoint)) return checkpoint
  const scratch = await mkdtemp(join(tmpdir(), 'flowfence-format-'))
  try {
    const dataFolder = join(scratch, 'data')
    await mkdir(dataFolder)
    const properties = serverProperties({ id: 1, ports: { plain: 9092, controller: 9093 }, controllers: [{ id: 1, port: 9093 }], dataFolder, bind: '127.0.0.1' })
    await writeFile(join(scratch, 'server.properties'), properties)
    const users = SCRAM_MECHANISMS.flatMap((mechanism) => [
      '--add-scram', `${mechanism}=[name=${KAFKA_USER.username},password=${KAFKA_USER.password}]`,
    ])
    await java(scratch, ['kafka.tools.StorageTool', 'format', '--cluster-id', newClusterId(), '--config', join(scratch, 'server.properties'), ...users])
      .catch((error: unknown) => { throw new Error(`Kafka's storage cannot be formatted (${lastLine(error)})`) })
    await copyFile(join(dataFolder, 'bootstrap.checkpoint'), `${checkpoint}.new`)
    await rename(`${checkpoint}.new`, checkpoint)
    return checkpoint
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** Makes an empty folder the data folder of a broker; leaves one that is it already. */
export async function formatFolder(runtime: KafkaRuntime, folder: string, node: { readonly id: number; readonly clusterId: string }): Promise<void> {
  if (existsSync(join(folder, 'meta.properties'))) return
  await mkdir(folder, { recursive: true })
  await copyFile(runtime.checkpoint, join(folder, 'bootstrap.checkpoint'))
  await writeFile(
    join(folder, 'meta.properties'),
    `version=1\ncluster.id=${node.clusterId}\nnode.id=${node.id}\ndirectory.id=${newClusterId()}\n`,
  )
}

/** Kafka's own form: 16 random bytes in URL-safe base64; one that begins with a dash would be read as an option. */
export function newClusterId(): string {
  for (;;) {
    const id = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('base64url')
    if (!id.startsWith('-')) return id
  }
}

/** The line of a failed program that says most: Maven marks it, others end with it. */
function lastLine(error: unknown): string {
  const { stdout = '', stderr = '', message = '' } = error as { stdout?: string; stderr?: string; message?: string }
  const lines = `${stdout}\n${stderr}`.split('\n').map((line) => line.trim()).filter((line) => line !== '')
  return (lines.find((line) => line.startsWith('[ERROR]')) ?? lines.at(-1) ?? message).slice(0, 300)
}
