/**
 * One broker as a process of its own: Java, or a container. It never outlives the process that owns it: a watchdog shell beside it
 * looks every second and kills it, even a stopped one, once the owner is gone.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, closeSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { IMAGE_CLASS_PATH, JVM_OPTIONS, userArguments } from './runtime.ts'
import type { DockerRuntime, JavaRuntime } from './runtime.ts'

const run = promisify(execFile)

const LOG_OPTIONS = ['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-Dorg.slf4j.simpleLogger.showDateTime=true']

export interface BrokerProcess {
  /** A process number, or a container: what `killBroker` takes. */
  readonly name: string
  /** SIGKILL; returns when it is gone. */
  kill(): Promise<void>
  /** SIGTERM: the broker leaves its cluster and closes its files; returns when it is gone. */
  stop(): Promise<void>
  pause(): Promise<void>
  resume(): Promise<void>
  hasExited(): Promise<boolean>
  /** The end of what it has written, for people. */
  log(): Promise<string>
}

export interface BrokerFolder {
  /** Holds server.properties, the data and, for Java, broker.log. */
  readonly folder: string
  /** The process without which the broker must not be. */
  readonly ownerPid: number
  /** Removed by the watchdog after the owner's death. */
  readonly removedFolder?: string
}

export async function spawnJava(runtime: JavaRuntime, { folder, ownerPid, removedFolder = '' }: BrokerFolder): Promise<BrokerProcess> {
  const logPath = join(folder, 'broker.log')
  const log = openSync(logPath, 'a')
  // A session of its own: Ctrl-C in a terminal reaches the owner alone, who then stops it in order.
  const child = spawn(runtime.java, [...runtime.options, ...LOG_OPTIONS, 'kafka.Kafka', join(folder, 'server.properties')], {
    detached: true, stdio: ['ignore', log, log],
  })
  closeSync(log)
  await once(child, 'spawn')
  child.unref()
  const { pid } = child
  if (pid === undefined) throw new Error('The broker has no process number.')
  guard(ownerPid, `kill -0 ${pid}`, `kill -9 ${pid}`, removedFolder)
  const hasExited = (): boolean => child.exitCode !== null || child.signalCode !== null
  const signal = async (name: NodeJS.Signals): Promise<void> => {
    if (hasExited()) return
    const exit = once(child, 'exit')
    // Its own event must be waited for: a killed process holds its ports until it is gone.
    child.ref()
    child.kill(name)
    await exit
  }
  return {
    name: String(pid),
    kill: () => signal('SIGKILL'),
    stop: async () => {
      const exit = signal('SIGTERM')
      // A paused one cannot listen.
      child.kill('SIGCONT')
      await exit
    },
    pause: () => { child.kill('SIGSTOP'); return Promise.resolve() },
    resume: () => { child.kill('SIGCONT'); return Promise.resolve() },
    hasExited: () => Promise.resolve(hasExited()),
    log: async () => (await readFile(logPath, 'utf8').catch(() => '')).slice(-4000),
  }
}

/** All containers of a cluster share the network of one that only sleeps: there `localhost` means the same for all, and it keeps the ports open. */
export async function startNetwork(runtime: DockerRuntime, network: { name: string; ports: readonly number[]; ownerPid: number }): Promise<void> {
  const { name, ports, ownerPid } = network
  await docker('run', '--detach', '--rm', '--name', name, ...ports.flatMap((port) => ['--publish', `127.0.0.1:${port}:${port}`]),
    '--entrypoint', 'sleep', runtime.image, 'infinity')
  guard(ownerPid, `docker inspect ${name}`, `docker rm --force ${name}`, '')
}

/** The container keeps its name over `kill` and the next start. */
export async function spawnContainer(
  runtime: DockerRuntime, { folder, ownerPid, removedFolder = '' }: BrokerFolder, container: { name: string; network: string },
): Promise<BrokerProcess> {
  const { name, network } = container
  await docker('rm', '--force', name).catch(() => undefined)
  await docker('run', '--detach', '--name', name, '--network', `container:${network}`, ...userArguments(), '--volume', `${folder}:${folder}`,
    '--entrypoint', 'java', runtime.image, ...JVM_OPTIONS, ...LOG_OPTIONS, '-cp', IMAGE_CLASS_PATH, 'kafka.Kafka', join(folder, 'server.properties'))
  guard(ownerPid, `docker inspect ${name}`, `docker rm --force ${name}`, removedFolder)
  const hasExited = async (): Promise<boolean> => {
    const { stdout } = await docker('inspect', '--format', '{{.State.Running}}', name).catch(() => ({ stdout: 'false' }))
    return stdout.trim() !== 'true'
  }
  // Docker refuses to signal a paused container.
  const unpause = (): Promise<unknown> => docker('unpause', name).catch(() => undefined)
  return {
    name,
    kill: async () => {
      if (await hasExited()) return
      await unpause()
      await docker('kill', name)
    },
    stop: async () => {
      if (await hasExited()) return
      await unpause()
      await docker('stop', '--time', '30', name)
    },
    pause: async () => { await docker('pause', name) },
    resume: async () => { await docker('unpause', name) },
    hasExited,
    log: async () => {
      const { stdout, stderr } = await docker('logs', '--tail', '40', name).catch(() => ({ stdout: '', stderr: '' }))
      return stdout + stderr
    },
  }
}

/** Ends brokers, or networks of brokers, that another process has started. Those that are gone already do no harm. */
export async function killBrokers(names: readonly string[]): Promise<void> {
  for (const name of names) {
    if (!/^\d+$/.test(name)) await docker('rm', '--force', name).catch(() => undefined)
    else {
      try {
        process.kill(Number(name), 'SIGKILL')
      } catch {
        // Gone already.
      }
    }
  }
}

function docker(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  return run('docker', args, { timeout: 60_000 })
}

/** `isThere` and `end` are shell commands. The watchdog ends by itself when the broker does. */
function guard(ownerPid: number, isThere: string, end: string, removedFolder: string): void {
  const script = `while kill -0 ${ownerPid}; do ${isThere} || exit 0; sleep 1; done; ${end}; if [ -n "$1" ]; then rm -rf "$1"; fi`
  spawn('sh', ['-c', script, 'flowfence-kafka-watchdog', removedFolder], { detached: true, stdio: 'ignore' }).unref()
}
