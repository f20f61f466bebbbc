import { Option } from 'commander'
import { AppError } from '../../../core/base/app-error.ts'
import type { CheckDocument } from '../../../core/report/check-document.ts'
import { check } from '../../../pipeline/check.ts'
import { renderCheckText } from '../../render/check-text.ts'
import { renderJson } from '../../render/escape-text.ts'
import type { AddCommand } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { observationFlags, outputFlag, requireFlag } from '../flags.ts'
import { finishInput, readClusterState, readFlows, readPolicies, withStoreUnlessFlows } from '../inputs.ts'
import type { ObservationFlags } from '../inputs.ts'

interface CheckFlags extends ObservationFlags {
  readonly policies?: readonly string[]
  readonly includeDenied?: boolean
  readonly failOn?: string
  readonly output: 'text' | 'json'
}

/** `check`: which observed connections would a set of policies deny. */
export const checkCommand: AddCommand = (program, context, finish) => {
  const command = program.command('check')
    .summary('tell which observed connections policies would deny')
    .description('Judges every observed connection by the given policies taken together, on both ends, and lists those that would be denied and those that '
      + 'cannot be decided. Without --flows the stored flows are read (DATABASE_URL, or the embedded database).')
    .option('--policies <path...>', 'files or folders of NetworkPolicies (YAML or JSON), - for stdin (required)')
    .addOption(new Option('--flows <file...>', 'flow logs: files of JSON lines or arrays, also .gz, - for stdin'))
  for (const option of observationFlags(context.nowUs)) command.addOption(option)
  command
    .option('--include-denied', 'also judge connections that did not go through when they were observed (drift)')
    .option('--fail-on <list>', 'exit with 3 when there are findings of these kinds: denied, uncertain, drift (needs --include-denied)')
    .addOption(outputFlag(['text', 'json'], 'text'))
    .addHelpText('after', `
Examples:
  flowfence check --flows flows.ndjson --policies policies/
  flowfence check --flows flows.ndjson --policies policies/ --fail-on denied,uncertain -o json
  flowfence check --since 7d --namespace shop --policies new-policy.yaml`)
    .action(async (flags: CheckFlags) => {
      const failOn = parseFailOn(flags)
      checkStdin(flags)
      const { policies, inputErrors: policyErrors } = await readPolicies(requireFlag(flags.policies, '--policies PATH...'), context)
      const state = await readClusterState(flags.clusterState, context)
      const { observed, cluster, inputErrors } = await withStoreUnlessFlows(flags, context, (store) => readFlows(flags, context, store, state))
      const document = check(observed, {
        cluster, policies, includeDenied: flags.includeDenied ?? false, inputErrors: [...policyErrors, ...(state?.inputErrors ?? []), ...inputErrors],
        ...(flags.namespace === undefined ? {} : { namespace: flags.namespace }),
        ...(state === undefined ? {} : { snapshot: state.snapshot }),
      })
      await context.output.result(flags.output === 'json' ? renderJson(document) : renderCheckText(document))
      const inputCode = finishInput(document.inputErrors, { strict: flags.strict ?? false, isShown: true }, context)
      finish(inputCode === EXIT.done && hasFindings(document, failOn) ? EXIT.findings : inputCode)
    })
}

const COMPUTED = ['denied', 'uncertain', 'drift'] as const
type FailOn = (typeof COMPUTED)[number]
/** Named by the contract, but they compare with current policies or earlier reports, which `check` does not read yet. */
const NOT_YET = ['opened', 'closed', 'unused', 'over-grant']

function parseFailOn(flags: CheckFlags): ReadonlySet<FailOn> {
  const kinds = new Set<FailOn>()
  for (const name of (flags.failOn ?? '').split(',').map((part) => part.trim()).filter((part) => part !== '')) {
    const kind = COMPUTED.find((k) => k === name)
    if (kind !== undefined) kinds.add(kind)
    else if (NOT_YET.includes(name)) throw new AppError('usage', `--fail-on ${name} cannot be computed by this version of check, so it would never fail. Possible are ${COMPUTED.join(', ')}.`)
    else throw new AppError('usage', `--fail-on does not know "${name}". Possible are ${COMPUTED.join(', ')}.`)
  }
  if (flags.failOn !== undefined && kinds.size === 0) throw new AppError('usage', `--fail-on needs a list of ${COMPUTED.join(', ')}.`)
  if (kinds.has('drift') && flags.includeDenied !== true) throw new AppError('usage', '--fail-on drift needs --include-denied: without it, connections that did not go through are not judged.')
  return kinds
}

/** stdin can be read only once. */
function checkStdin(flags: CheckFlags): void {
  const readers = [['--policies', flags.policies], ['--flows', flags.flows], ['--cluster-state', flags.clusterState]] as const
  const users = readers.filter(([, paths]) => paths?.includes('-') === true).map(([name]) => name)
  if (users.length > 1) throw new AppError('usage', `${users.join(' and ')} cannot both read stdin (-).`)
}

/** Drift = findings about connections that did not go through when they were observed. */
function hasFindings(document: CheckDocument, failOn: ReadonlySet<FailOn>): boolean {
  return document.findings.some((f) => {
    const wentThrough = f.observedVerdict === 'allowed' || f.observedVerdict === 'audit'
    return failOn.has(wentThrough ? f.verdict : 'drift')
  })
}
