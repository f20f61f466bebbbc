import { AppError } from '../../../core/base/app-error.ts'
import { escapeText, renderJson } from '../../render/escape-text.ts'
import { ingestSentence, renderIngestCounts } from '../../render/ingest-text.ts'
import { inputErrorText } from '../../render/input-error-text.ts'
import type { AddCommand } from '../command.ts'
import { outputFlag, parseClusterFlag } from '../flags.ts'
import { finishInput } from '../inputs.ts'
import { trackFiles } from '../progress.ts'
import { countsOf } from '../report-counts.ts'

interface IngestFlags {
  readonly cluster?: string
  readonly strict?: boolean
  readonly output: 'text' | 'json'
}

/** `ingest`: flow logs into the database. */
export const ingestCommand: AddCommand = (program, context, finish) => {
  program.command('ingest')
    .summary('store flow logs in the database')
    .description('Reads flow logs (JSON lines or arrays, also .gz, - for stdin) and stores them in the database (DATABASE_URL, or the embedded one). The same '
      + 'file again changes nothing; a log that has grown is read on where it was left. Interrupted, it continues when run again.')
    .argument('<file...>', 'flow logs of Cilium Hubble or Calico Enterprise')
    .option('--cluster <name>', 'the cluster the flows belong to (default: FLOWFENCE_CLUSTER, else "default")', parseClusterFlag)
    .option('--backfill', 'take flows of any age; files are always read so, only the service refuses flows older than 8 days')
    .option('--strict', 'exit with 2 when any part of the input was bad')
    .addOption(outputFlag(['text', 'json'], 'text'))
    .addHelpText('after', `
Examples:
  flowfence ingest /var/run/cilium/hubble/events.log
  flowfence ingest --cluster prod day1.ndjson.gz day2.ndjson.gz -o json
  hubble observe -o jsonpb --last 10000 | flowfence ingest -`)
    .action(async (paths: string[], flags: IngestFlags) => {
      const { output, settings } = context
      const progress = trackFiles(output, 'storing')
      const store = await context.openStore()
      try {
        const report = await store.ingestFiles({ paths, cluster: flags.cluster ?? settings.cluster, onProgress: progress.onProgress })
        progress.stop()
        const counts = countsOf(report, 'files')
        if (flags.output === 'json') await output.result(renderJson(report))
        else await output.result(`${ingestSentence(counts)}\n\n${renderIngestCounts(counts)}`)
        if (report.stored + report.duplicate === 0) {
          const shown = report.inputErrors.slice(0, 20).map((e) => `\n  ${inputErrorText(e)}`).join('')
          throw new AppError('input-unusable', `No usable flow record in ${paths.map(escapeText).join(', ')}.${shown}`)
        }
        finish(finishInput(report.inputErrors, { strict: flags.strict ?? false, isShown: false }, context))
      } finally {
        progress.stop()
        await store.close()
      }
    })
}
