import { readFile } from 'node:fs/promises'
import { AppError } from '../../../core/base/app-error.ts'
import { buildSnapshot } from '../../../core/cluster/build-snapshot.ts'
import { evaluateQueries } from '../../../pipeline/eval.ts'
import { escapeText, renderJson } from '../../render/escape-text.ts'
import { renderEvalText } from '../../render/eval-text.ts'
import type { AddCommand } from '../command.ts'
import type { CliContext } from '../context.ts'
import { outputFlag } from '../flags.ts'
import { finishInput, readClusterState, readPolicies } from '../inputs.ts'

interface EvalFlags {
  readonly policies?: readonly string[]
  readonly clusterState?: readonly string[]
  readonly strict?: boolean
  readonly output: 'text' | 'json'
}

/** `eval`: would these connections be allowed? */
export const evalCommand: AddCommand = (program, context, finish) => {
  program.command('eval')
    .summary('tell whether connections between pods or addresses would be allowed')
    .description('Answers each query {"from": "namespace/pod" or address, "to": ..., "port": number or name, "protocol": "TCP"} of a JSON array with allowed, '
      + 'denied or uncertain, and explains it.')
    .argument('[queries]', 'file with the JSON array, - or nothing for stdin')
    .option('--policies <path...>', 'files or folders of NetworkPolicies (default: those in the cluster state)')
    .option('--cluster-state <path...>', 'files or folders of Kubernetes objects: namespaces, pods, nodes (kubectl get ns,nodes,pods,netpol -A -o yaml)')
    .option('--strict', 'exit with 2 when any part of the input was bad')
    .addOption(outputFlag(['text', 'json'], 'text'))
    .addHelpText('after', `
Examples:
  flowfence eval --policies policies/ --cluster-state cluster.yaml queries.json
  echo '[{"from":"shop/web-7d4b9c-x2x1v","to":"10.1.2.3","port":443}]' | flowfence eval --cluster-state cluster.yaml -o json`)
    .action(async (queriesPath: string | undefined, given: EvalFlags) => {
      const { flags, path } = await separateQueries(queriesPath, given)
      if (flags.policies === undefined && flags.clusterState === undefined) throw new AppError('usage', 'Give --policies, --cluster-state, or both.')
      checkStdin(flags, path)
      const loaded = flags.policies === undefined ? undefined : await readPolicies(flags.policies, context)
      const state = await readClusterState(flags.clusterState, context)
      const { results, problems } = evaluateQueries(await readQueries(path, context), {
        policies: loaded?.policies ?? state?.policies ?? [], snapshot: state?.snapshot ?? buildSnapshot([]).snapshot,
      })
      const name = path === '-' ? 'stdin' : path
      const queryErrors = problems.map((p) => ({ file: name, message: `[${p.index}]: ${p.message}` }))
      if (problems.length > 0 && problems.length >= results.length) throw new AppError('input-unusable', `No usable query:\n${queryErrors.map((e) => `  ${escapeText(e.file)}${e.message}`).join('\n')}`)
      await context.output.result(flags.output === 'json' ? renderJson(results) : renderEvalText(results))
      const errors = [...(loaded?.inputErrors ?? []), ...(state?.inputErrors ?? []), ...queryErrors]
      finish(finishInput(errors, { strict: flags.strict ?? false, isShown: false }, context))
    })
}

/**
 * `--cluster-state a b queries.json`: a flag that takes several paths also takes the last one. A JSON array of queries can never be policies or
 * cluster state, so where QUERIES is missing, such a last path is it; so is one that does not exist, which is then named in the message.
 */
async function separateQueries(queries: string | undefined, flags: EvalFlags): Promise<{ flags: EvalFlags; path: string }> {
  if (queries !== undefined) return { flags, path: queries }
  for (const name of ['clusterState', 'policies'] as const) {
    const paths = flags[name]
    const last = paths?.at(-1)
    if (paths === undefined || last === undefined || paths.length < 2 || !(last === '-' || await holdsQueries(last))) continue
    return { flags: { ...flags, [name]: paths.slice(0, -1) }, path: last }
  }
  return { flags, path: '-' }
}

async function holdsQueries(path: string): Promise<boolean> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) && value.some((item: unknown) => typeof item === 'object' && item !== null && 'from' in item && !('apiVersion' in item))
  } catch {
    return false
  }
}

function checkStdin(flags: EvalFlags, queries: string): void {
  const readers = [['QUERIES', [queries]], ['--policies', flags.policies], ['--cluster-state', flags.clusterState]] as const
  const users = readers.filter(([, paths]) => paths?.includes('-') === true).map(([name]) => name)
  if (users.length > 1) throw new AppError('usage', `${users.join(' and ')} cannot both read stdin (-).`)
}

async function readQueries(path: string, context: CliContext): Promise<unknown> {
  const name = path === '-' ? 'stdin' : path
  let text = ''
  try {
    if (path === '-') for await (const chunk of context.stdin) text += String(chunk)
    else text = await readFile(path, 'utf8')
  } catch (error) {
    throw new AppError('input-unreadable', `${escapeText(name)} cannot be read: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file; check the path' : String(error)}.`, { cause: error })
  }
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new AppError('input-unusable', `${escapeText(name)} is not valid JSON (${error instanceof Error ? error.message : String(error)}). Write an array such as [{"from": "shop/web-0", "to": "shop/db-0", "port": 5432}].`, { cause: error })
  }
}
