import { formatTimeUs } from '../../../core/base/time.ts'
import type { SyncStep } from '../../../pipeline/sync.ts'
import { escapeText } from '../../render/escape-text.ts'
import type { AddCommand } from '../command.ts'
import { parseClusterFlag } from '../flags.ts'

interface SyncFlags {
  readonly kubeconfig?: string
  readonly context?: string
  readonly cluster?: string
  readonly once?: boolean
}

/** `sync`: cluster state from the API server into the database, read only. */
export const syncCommand: AddCommand = (program, context) => {
  program.command('sync')
    .summary('keep the cluster state in the database up to date')
    .description('Lists and watches namespaces, nodes, pods, services and controllers of a Kubernetes cluster and stores who had which address when, so that '
      + 'flows are named by the state of their own time. Reads only (get, list, watch); runs until Ctrl-C.')
    .option('--kubeconfig <file>', 'default: KUBECONFIG, ~/.kube/config, else the service account of the pod')
    .option('--context <name>', 'context of the kubeconfig (default: its current one)')
    .option('--cluster <name>', 'the cluster the state belongs to (default: FLOWFENCE_CLUSTER, else "default")', parseClusterFlag)
    .option('--once', 'store the state of now and end')
    .addHelpText('after', `
Examples:
  flowfence sync --context prod --cluster prod
  flowfence sync --once`)
    .action(async (flags: SyncFlags) => {
      const { output, settings, signal } = context
      const cluster = flags.cluster ?? settings.cluster
      const store = await context.openStore()
      try {
        await store.sync({
          cluster, once: flags.once ?? false,
          ...(flags.kubeconfig === undefined ? {} : { kubeconfig: flags.kubeconfig }),
          ...(flags.context === undefined ? {} : { context: flags.context }),
          onNotice: (text) => output.note(`flowfence: ${escapeText(text)}`),
          onStep: (step) => { if (step.type === 'full') output.note(fullText(step)) },
        })
      } finally {
        await store.close()
      }
      if (signal.aborted) output.note('Stopped. The state stored so far stays; it counts up to the last confirmation.')
    })
}

function fullText({ report, confirmedUntilUs }: SyncStep): string {
  const kinds = Object.entries(report.objects).map(([kind, count]) => `${escapeText(kind)} ${count}`).join(', ')
  const problems = report.problems.length === 0 ? '' : `\n${report.problems.slice(0, 10).map((p) => `  ${escapeText(`${p.name}: ${p.field} ${p.message}`)}`).join('\n')}`
  return `State of ${formatTimeUs(confirmedUntilUs)}: ${kinds === '' ? 'nothing' : kinds}. ${report.added} new, ${report.changed} changed, ${report.ended} gone.${problems}`
}
