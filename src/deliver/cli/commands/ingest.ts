import { Option } from 'commander'
import { AppError } from '../../../core/base/app-error.ts'
import { formatTimeUs } from '../../../core/base/time.ts'
import type { DeadLetter, DeadLetterTotals } from '../../../store/read/select-dead-letters.ts'
import { renderDeadLetters, replaySentence } from '../../render/dead-letter-text.ts'
import { escapeText, renderJson } from '../../render/escape-text.ts'
import { ingestSentence, renderCoverage, renderIngestCounts } from '../../render/ingest-text.ts'
import { inputErrorText } from '../../render/input-error-text.ts'
import type { AddCommand } from '../command.ts'
import type { CliContext, Store } from '../context.ts'
import type { ExitCode } from '../exit-codes.ts'
import { EXIT } from '../exit-codes.ts'
import { startFollowStatus } from '../follow-status.ts'
import { outputFlag, parseClusterFlag, parseMoment } from '../flags.ts'
import { finishInput, readClusterState } from '../inputs.ts'
import type { Output } from '../output.ts'
import { trackFiles } from '../progress.ts'
import { countsOf } from '../report-counts.ts'

interface IngestFlags {
  readonly cluster?: string
  readonly backfill?: boolean
  readonly clusterState?: readonly string[]
  readonly stateAt?: number
  readonly follow?: boolean
  readonly deadLetters?: boolean
  readonly list?: boolean
  readonly reason?: string
  readonly strict?: boolean
  readonly output: 'text' | 'json'
}

/** Dead letters shown by `--list`. */
const LISTED = 100

/** `ingest`: flow logs into the database; and dead letters once more. */
export const ingestCommand: AddCommand = (program, context, finish) => {
  program.command('ingest')
    .summary('store flow logs in the database')
    .description('Reads flow logs (JSON lines or arrays, also .gz, - for stdin) and stores them in the database (DATABASE_URL, or the embedded one). The same '
      + 'file again changes nothing; a log that has grown is read on where it was left. Interrupted, it continues when run again. Without files, reads the '
      + 'configured Kafka topics and live streams until Ctrl-C: any number of such processes share the topics (docs/scaling.md).')
    .argument('[file...]', 'flow logs of Cilium Hubble, Calico, NetObserv, Antrea, GKE or the AWS VPC CNI')
    .option('--cluster <name>', 'the cluster the flows belong to (default: FLOWFENCE_CLUSTER, else "default")', parseClusterFlag)
    .option('--backfill', 'take flows of any age; files are always read so, only the service refuses flows older than 8 days')
    .option('--cluster-state <path...>', 'files or folders of Kubernetes objects: stored first, and taken as the state of the cluster during the flows of these files')
    .addOption(new Option('--state-at <time>', 'with --cluster-state: when that state was taken (default: now)').argParser(parseMoment(context.nowUs)))
    .option('--follow', 'go on reading what is appended, like tail -F, until Ctrl-C: through rotation (renamed, compressed, copied and truncated); also folders and '
      + 'globs, whose new files are taken as they appear; flows of any age are taken, as from all files')
    .option('--dead-letters', 'read records again that were refused before: what is accepted now is stored, the rest stays where it is')
    .option('--list', 'with --dead-letters: only show them, newest first')
    .option('--reason <code>', 'with --dead-letters: only those refused with this code, e.g. unknown-format')
    .option('--strict', 'exit with 2 when any part of the input was bad')
    .addOption(outputFlag(['text', 'json'], 'text'))
    .addHelpText('after', `
Examples:
  flowfence ingest /var/run/cilium/hubble/events.log
  flowfence ingest --cluster prod day1.ndjson.gz day2.ndjson.gz -o json
  hubble observe -o jsonpb --last 10000 | flowfence ingest -
  flowfence ingest --follow /var/run/cilium/hubble/events.log '/var/log/flows/*.log'
  flowfence ingest --dead-letters --reason unknown-format`)
    .action(async (paths: string[], flags: IngestFlags) => {
      checkFlags(paths, flags, context.nowUs())
      if (paths.length === 0 && flags.deadLetters !== true) {
        await context.ingestStreams()
        return
      }
      const store = await context.openStore()
      try {
        if (flags.deadLetters === true) finish(await readLetters(store, flags, context))
        else if (flags.follow === true) finish(await follow(store, { paths, flags }, context))
        else finish(await ingestFiles(store, { paths, flags }, context))
      } finally {
        await store.close()
      }
    })
}

function checkFlags(paths: readonly string[], flags: IngestFlags, nowUs: number): void {
  if (flags.stateAt !== undefined && flags.clusterState === undefined) throw new AppError('usage', '--state-at belongs to --cluster-state.')
  if (flags.stateAt !== undefined && flags.stateAt > nowUs) throw new AppError('usage', `--state-at ${formatTimeUs(flags.stateAt)} lies in the future: nobody knows the state of then.`)
  if (flags.deadLetters === true) {
    if (flags.clusterState !== undefined) throw new AppError('usage', '--cluster-state belongs to flow logs, not to --dead-letters.')
    if (flags.follow === true) throw new AppError('usage', '--follow belongs to flow logs, not to --dead-letters.')
    if (paths.length > 0) throw new AppError('usage', '--dead-letters reads what the database holds; leave out the files.')
    return
  }
  if (flags.list === true || flags.reason !== undefined) throw new AppError('usage', '--list and --reason belong to --dead-letters.')
  if (flags.follow === true && paths.includes('-')) throw new AppError('usage', '--follow reads files by name; standard input is read to its end without it.')
  if (paths.length > 0 || (flags.follow !== true && flags.clusterState === undefined)) return
  throw new AppError('usage', `Name at least one flow log, or - for standard input.${flags.clusterState === undefined ? '' : ' Name it before --cluster-state, which takes every path behind it.'}`)
}

async function ingestFiles(store: Store, { paths, flags }: { paths: readonly string[]; flags: IngestFlags }, context: CliContext): Promise<ExitCode> {
  const { output, settings } = context
  const cluster = flags.cluster ?? settings.cluster
  const state = await readClusterState(flags.clusterState, context)
  if (state !== undefined) await saveState(store, { cluster, atUs: flags.stateAt, objects: state.objects, hasUnread: state.inputErrors.length > 0 }, output)
  const progress = trackFiles(output, 'storing')
  try {
    const report = await store.ingestFiles({
      paths, cluster, onProgress: progress.onProgress, ...(state === undefined ? {} : { vouched: state.objects }),
    })
    progress.stop()
    const counts = countsOf(report, 'files')
    if (flags.output === 'json') await output.result(renderJson(report))
    else await output.result(`${ingestSentence(counts)}\n\n${renderIngestCounts(counts)}${renderCoverage(report.coverage)}`)
    if (report.stored + report.duplicate === 0) {
      const shown = report.inputErrors.slice(0, 20).map((e) => `\n  ${inputErrorText(e)}`).join('')
      throw new AppError('input-unusable', `No usable flow record in ${paths.map(escapeText).join(', ')}.${shown}`)
    }
    return finishInput([...(state?.inputErrors ?? []), ...report.inputErrors], { strict: flags.strict ?? false, isShown: false }, context)
  } finally {
    progress.stop()
  }
}

/** Ends by Ctrl-C: that nothing came until then is no failure. */
async function follow(store: Store, { paths, flags }: { paths: readonly string[]; flags: IngestFlags }, context: CliContext): Promise<ExitCode> {
  const { output, settings } = context
  const cluster = flags.cluster ?? settings.cluster
  const state = await readClusterState(flags.clusterState, context)
  if (state !== undefined) await saveState(store, { cluster, atUs: flags.stateAt, objects: state.objects, hasUnread: state.inputErrors.length > 0 }, output)
  const status = startFollowStatus(output)
  try {
    const run = await store.followFiles({ patterns: paths, cluster, onNotice: (text) => status.note(`flowfence: ${escapeText(text)}`) })
    output.note(`Following ${paths.map(escapeText).join(', ')}; Ctrl-C ends it, and what was read is stored.`)
    status.show(run)
    const report = await run.ended
    status.stop()
    const counts = countsOf(report, 'files')
    if (flags.output === 'json') await output.result(renderJson(report))
    else await output.result(`${ingestSentence(counts)}\n\n${renderIngestCounts(counts)}${renderCoverage(report.coverage)}`)
    return finishInput([...(state?.inputErrors ?? []), ...report.inputErrors], { strict: flags.strict ?? false, isShown: false }, context)
  } finally {
    status.stop()
  }
}

async function saveState(store: Store, state: Parameters<Store['saveState']>[0], output: Output): Promise<void> {
  const { atUs, objects, added, changed, ended, isKnown } = await store.saveState(state)
  const count = Object.values(objects).reduce((sum, n) => sum + n, 0)
  const news = isKnown ? 'nothing new' : `${added} added, ${changed} changed, ${ended} ended`
  output.note(`Cluster state of ${formatTimeUs(atUs)}: ${count} objects, ${news}.`)
}

function letterDocument(letters: readonly DeadLetter[], { kept, complete }: DeadLetterTotals): unknown {
  return { kept, complete, items: letters.map(({ rejectedAtUs, ...letter }) => ({ ...letter, rejectedAt: formatTimeUs(rejectedAtUs) })) }
}

async function readLetters(store: Store, flags: IngestFlags, context: CliContext): Promise<ExitCode> {
  const { output, settings } = context
  const request = { cluster: flags.cluster ?? settings.cluster, reason: flags.reason }
  if (flags.list === true) {
    const { letters, totals } = await store.deadLetters({ ...request, limit: LISTED })
    await output.result(flags.output === 'json' ? renderJson(letterDocument(letters, totals)) : renderDeadLetters(letters, totals))
    return EXIT.done
  }
  const report = await store.replayLetters({ ...request, isBackfill: flags.backfill ?? false })
  const counts = countsOf(report, 'dead-letters')
  if (flags.output === 'json') await output.result(renderJson(report))
  else await output.result(`${replaySentence(report)}\n\n${renderIngestCounts(counts)}${renderCoverage(report.coverage)}`)
  return finishInput(report.inputErrors, { strict: flags.strict ?? false, isShown: false }, context)
}
