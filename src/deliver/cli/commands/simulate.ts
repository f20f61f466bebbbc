import { createWriteStream } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { Option } from 'commander'
import { parseTimeUs } from '../../../core/base/time.ts'
import { simulate, SIMULATED_FORMATS } from '../../../core/simulate/simulate.ts'
import type { SimulatedFormat, Simulation } from '../../../core/simulate/simulate.ts'
import { loadTopology } from '../../../manifests/load-topology.ts'
import { printYaml } from '../../../manifests/print-manifests.ts'
import { escapeText, renderJson } from '../../render/escape-text.ts'
import type { CliContext } from '../context.ts'
import { parseClusterFlag, parseMoment, parseNumberFlag, requireFlag } from '../flags.ts'
import type { AddCommand } from '../command.ts'

interface SimulateFlags {
  readonly topology?: string
  readonly format?: SimulatedFormat
  readonly minutes: number
  readonly seed: number
  readonly start: number
  readonly rate: number
  readonly cluster?: string
  readonly out?: string
}

const DEFAULT_START = '2026-01-01T00:00:00Z'

/** `simulate`: flow logs of an invented cluster with known truth. */
export const simulateCommand: AddCommand = (program, context) => {
  program.command('simulate')
    .summary('write the flow logs of an invented cluster')
    .description('Writes the flow log that a cluster running the given applications would write. The same flags give the same bytes.')
    .option('--topology <path>', 'YAML file, or folder with workloads.yaml, services.yaml and edges.json (required)')
    .addOption(new Option('--format <format>', 'log format (required)').choices(SIMULATED_FORMATS))
    .option('--minutes <number>', 'simulated minutes', parseNumberFlag(0.1, 1_000_000, { isWhole: false }), 60)
    .option('--seed <number>', 'seed of everything random', parseNumberFlag(0, 4_294_967_295, { isWhole: true }), 1)
    .addOption(new Option('--start <time>', 'first instant: a time, or an age such as 1h').argParser(parseMoment(context.nowUs)).default(parseTimeUs(DEFAULT_START), DEFAULT_START))
    .option('--rate <factor>', "multiplies every edge's connections a minute", parseNumberFlag(0.001, 100_000, { isWhole: false }), 1)
    .option('--cluster <name>', 'name of the cluster (default: FLOWFENCE_CLUSTER, else "default")', parseClusterFlag)
    .option('--out <folder>', 'write flows.ndjson, cluster.yaml (for --cluster-state) and truth.json here instead of lines on stdout')
    .addHelpText('after', `
Examples:
  flowfence simulate --topology examples/shop.yaml --format hubble --minutes 5 | head
  flowfence simulate --topology examples/shop.yaml --format calico-enterprise --out simulated`)
    .action(async (flags: SimulateFlags) => {
      const { minutes, seed, rate } = flags
      const path = requireFlag(flags.topology, '--topology PATH')
      const format = requireFlag(flags.format, '--format FORMAT')
      const topology = await loadTopology(path)
      const simulation = simulate(topology, { format, minutes, seed, rate, startUs: flags.start, cluster: flags.cluster ?? context.settings.cluster })
      if (flags.out === undefined) await printLines(simulation, context)
      else await writeFolder(simulation, flags.out, context)
    })
}

/** Large enough that a write costs nothing that shows, small enough that memory stays flat. */
const CHUNK_CHARACTERS = 65_536

function* chunksOf(lines: Iterable<string>, signal: AbortSignal): Generator<string> {
  let chunk = ''
  for (const line of lines) {
    chunk += `${line}\n`
    if (chunk.length < CHUNK_CHARACTERS) continue
    signal.throwIfAborted()
    yield chunk
    chunk = ''
  }
  if (chunk !== '') yield chunk
}

async function printLines(simulation: Simulation, { output, signal }: CliContext): Promise<void> {
  for (const chunk of chunksOf(simulation.lines(), signal)) {
    await output.result(chunk)
    // Signals arrive only when the event loop turns.
    await new Promise((done) => setImmediate(done))
  }
}

async function writeFolder(simulation: Simulation, folder: string, { output, signal }: CliContext): Promise<void> {
  await mkdir(folder, { recursive: true })
  await pipeline(Readable.from(chunksOf(simulation.lines(), signal)), createWriteStream(join(folder, 'flows.ndjson')))
  await writeFile(join(folder, 'cluster.yaml'), printYaml(simulation.clusterObjects()))
  await writeFile(join(folder, 'truth.json'), renderJson(simulation.truth()))
  output.note(`Wrote flows.ndjson, cluster.yaml and truth.json to ${escapeText(folder)}`)
}
