import { Option } from 'commander'
import { loadLabelRules } from '../../../manifests/load-label-rules.ts'
import { renderJson } from '../../render/escape-text.ts'
import { renderReaggregation } from '../../render/reaggregate-text.ts'
import type { AddCommand } from '../command.ts'
import { outputFlag, parseClusterFlag, parseMoment, rangeOf } from '../flags.ts'
import type { RangeFlags } from '../flags.ts'
import { startProgress } from '../progress.ts'

interface ReaggregateFlags extends RangeFlags {
  readonly cluster?: string
  readonly labelRules?: string
  readonly dryRun?: boolean
  readonly output: 'text' | 'json'
}

/** `reaggregate`: edges of the days that raw flows cover, made anew with what is known of the cluster now. */
export const reaggregateCommand: AddCommand = (program, context) => {
  program.command('reaggregate')
    .summary('rebuild edges from raw flows with what is known of the cluster now')
    .description('Reads the stored raw flows again, day by day: ends that only had an address or a pod name are looked up in the cluster state that is known '
      + 'now, at the time of each flow, and the edges of the day are replaced. Safe next to ingest and serve, and to interrupt and repeat. Older edges need no '
      + 'rebuilding for other label rules: those are applied when edges are read.')
    .addOption(new Option('--cluster <name>', 'the cluster (default: FLOWFENCE_CLUSTER, else "default")').argParser(parseClusterFlag))
    .addOption(new Option('--since <time>', 'start of the range: a time such as 2026-01-01T00:00:00Z, or an age such as 24h or 7d; whole days (UTC) are rebuilt').argParser(parseMoment(context.nowUs)))
    .addOption(new Option('--until <time>', 'end of the range, not included').argParser(parseMoment(context.nowUs)))
    .addOption(new Option('--label-rules <file>', 'YAML file of label rules that the identity map is made of (default: FLOWFENCE_LABEL_RULES, else the built-in rules)'))
    .option('--dry-run', 'only tell what would be rebuilt')
    .addOption(outputFlag(['text', 'json'], 'text'))
    .addHelpText('after', `
Examples:
  flowfence sync --once && flowfence reaggregate --dry-run
  flowfence reaggregate --cluster prod --since 2d
  flowfence reaggregate -o json`)
    .action(async (flags: ReaggregateFlags) => {
      const { output, settings } = context
      const rulesFile = flags.labelRules ?? settings.labelRules
      const labelRules = rulesFile === undefined ? undefined : await loadLabelRules(rulesFile)
      const range = rangeOf(flags)
      const store = await context.openStore()
      const bar = { progress: startProgress(output, 'rebuilding', 0), days: 0 }
      try {
        const report = await store.reaggregate({
          ...range, cluster: flags.cluster ?? settings.cluster, isDryRun: flags.dryRun ?? false, labelRules,
          onProgress: ({ days, daysDone }) => {
            if (daysDone === 0 && bar.days === 0) bar.progress = startProgress(output, 'rebuilding', days)
            bar.progress.advance(daysDone - bar.days)
            bar.days = daysDone
          },
        })
        bar.progress.stop()
        await output.result(flags.output === 'json' ? renderJson(report) : renderReaggregation(report))
      } finally {
        bar.progress.stop()
        await store.close()
      }
    })
}
