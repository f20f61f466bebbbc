import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Option } from 'commander'
import { AppError } from '../../../core/base/app-error.ts'
import type { RecommendationDocument } from '../../../core/generate/recommendation.ts'
import type { InputError } from '../../../core/report/check-document.ts'
import { printYaml } from '../../../manifests/print-manifests.ts'
import { recommend } from '../../../pipeline/recommend.ts'
import { countText } from '../../render/edge-text.ts'
import { escapeText, renderJson } from '../../render/escape-text.ts'
import { renderRecommendationSummary, renderRecommendationText } from '../../render/recommendation-text.ts'
import type { AddCommand } from '../command.ts'
import type { CliContext } from '../context.ts'
import { observationFlags, outputFlag } from '../flags.ts'
import { finishInput, readClusterState, readFlows, withStoreUnlessFlows } from '../inputs.ts'
import type { ObservationFlags } from '../inputs.ts'

interface RecommendFlags extends ObservationFlags {
  readonly output: 'yaml' | 'json' | 'text'
  readonly out?: string
}

/** `recommend`: observed flows in, verified policies out. */
export const recommendCommand: AddCommand = (program, context, finish) => {
  const command = program.command('recommend')
    .summary('write the policies that allow exactly the observed connections')
    .description('Writes one NetworkPolicy per workload that allows exactly the observed connections, verified before it is shown. Without --flows the '
      + 'stored flows are read (DATABASE_URL, or the embedded database), and the recommendation is saved there too.')
    .addOption(new Option('--flows <file...>', 'flow logs: files of JSON lines or arrays, also .gz, - for stdin'))
  for (const option of observationFlags(context.nowUs)) command.addOption(option)
  command
    .addOption(outputFlag(['yaml', 'json', 'text'], 'yaml'))
    .option('--out <folder>', 'write policies/NAMESPACE/NAME.yaml and recommendation.json here instead of stdout')
    .addHelpText('after', `
Examples:
  flowfence recommend --flows flows.ndjson --namespace shop > policies.yaml
  flowfence recommend --flows day1.ndjson.gz day2.ndjson.gz --cluster-state cluster.yaml -o json
  hubble observe -o jsonpb --last 10000 | flowfence recommend --flows - -o text
  flowfence recommend --since 7d --out recommended   # then: flowfence check --policies recommended/policies`)
    .action(async (flags: RecommendFlags) => {
      const state = await readClusterState(flags.clusterState, context)
      const { document, errors } = await withStoreUnlessFlows(flags, context, async (store) => {
        const { observed, cluster, inputErrors } = await readFlows(flags, context, store, state)
        const computed = recommend(observed, {
          cluster,
          ...(flags.namespace === undefined ? {} : { namespace: flags.namespace }),
          ...(state === undefined ? {} : { snapshot: state.snapshot }),
        })
        await store?.saveRecommendation(cluster, computed)
        return { document: computed, errors: [...(state?.inputErrors ?? []), ...inputErrors] }
      })
      await deliver(document, errors, flags, context)
      finish(finishInput(errors, { strict: flags.strict ?? false, isShown: false }, context))
    })
}

async function deliver(document: RecommendationDocument, inputErrors: readonly InputError[], flags: RecommendFlags, { output }: CliContext): Promise<void> {
  const withErrors = { ...document, inputErrors }
  if (flags.out !== undefined) {
    await writeFolder(flags.out, document, withErrors)
    output.note(`Wrote ${countText(document.policies.length, 'policy', 'policies')} and recommendation.json to ${escapeText(flags.out)}`)
  } else if (flags.output === 'yaml') await output.result(printYaml(document.policies))
  else if (flags.output === 'json') await output.result(renderJson(withErrors))
  else await output.result(renderRecommendationText(document))
  if (flags.out !== undefined || flags.output === 'yaml') output.note(renderRecommendationSummary(document))
}

async function writeFolder(folder: string, document: RecommendationDocument, withErrors: unknown): Promise<void> {
  for (const policy of document.policies) {
    const { namespace = '', name = '' } = (policy as { metadata: { namespace?: string; name?: string } }).metadata
    const place = join(folder, 'policies', pathPart(namespace))
    await mkdir(place, { recursive: true })
    await writeFile(join(place, `${pathPart(name)}.yaml`), printYaml([policy]))
  }
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'recommendation.json'), renderJson(withErrors))
}

/** Names come from logs: anything but a Kubernetes name could leave the folder. */
function pathPart(name: string): string {
  if (/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name) && !name.includes('..')) return name
  throw new AppError('input-unusable', `"${name}" is not a Kubernetes name, so no file can be named after it; use -o yaml instead of --out.`)
}
