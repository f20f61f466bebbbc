/** What commands read: flows from files or the database, policies, cluster state. What could not be used is collected, never dropped. */
import { AppError } from '../../core/base/app-error.ts'
import { formatTimeUs } from '../../core/base/time.ts'
import { vouchedHistory } from '../../core/cluster/build-history.ts'
import type { ClusterSnapshot } from '../../core/cluster/snapshot.ts'
import type { NetworkPolicy } from '../../core/policy/network-policy.ts'
import type { InputError } from '../../core/report/check-document.ts'
import { loadLabelRules } from '../../manifests/load-label-rules.ts'
import { loadPolicies } from '../../manifests/load-policies.ts'
import { loadSnapshot } from '../../manifests/load-snapshot.ts'
import type { IngestReport } from '../../pipeline/ingest-report.ts'
import { contentDigest } from '../../pipeline/identity-map.ts'
import { observeFiles } from '../../pipeline/observe-files.ts'
import { readIdentityMap } from '../../pipeline/observed-traffic.ts'
import type { ObservedTraffic } from '../../pipeline/observed-traffic.ts'
import { renderIngestCounts } from '../render/ingest-text.ts'
import { escapeText } from '../render/escape-text.ts'
import { inputErrorText, renderInputErrors } from '../render/input-error-text.ts'
import type { CliContext, Store } from './context.ts'
import type { ExitCode } from './exit-codes.ts'
import { EXIT } from './exit-codes.ts'
import type { RangeFlags } from './flags.ts'
import { rangeOf } from './flags.ts'
import { trackFiles } from './progress.ts'
import { countsOf } from './report-counts.ts'

export interface ObservationFlags extends RangeFlags {
  readonly flows?: readonly string[]
  readonly cluster?: string
  readonly namespace?: string
  readonly clusterState?: readonly string[]
  readonly podCidr?: readonly string[]
  readonly labelRules?: string
  readonly strict?: boolean
}

export interface Observation {
  readonly observed: ObservedTraffic
  readonly cluster: string
  readonly inputErrors: readonly InputError[]
}

/** Opens the database for commands that were given no `--flows`, for as long as `work` runs. */
export async function withStoreUnlessFlows<T>(flags: ObservationFlags, context: CliContext, work: (store: Store | undefined) => Promise<T>): Promise<T> {
  if (flags.flows !== undefined) return work(undefined)
  const store = await context.openStore()
  try {
    return await work(store)
  } finally {
    await store.close()
  }
}

/** Flows of `--flows`, else of the database, with the label rules to read them by. AppError when nothing usable is in them. */
export async function readFlows(flags: ObservationFlags, context: CliContext, store: Store | undefined, state?: ClusterState): Promise<Observation> {
  const cluster = flags.cluster ?? context.settings.cluster
  const rulesFile = flags.labelRules ?? context.settings.labelRules
  // Before flows are read for nothing.
  const labelRules = rulesFile === undefined ? undefined : await loadLabelRules(rulesFile)
  const observation = store === undefined ? await readFiles(flags, context, state) : await readStore(store, cluster, flags)
  requireNamespace(observation.observed, flags.namespace)
  const observed = labelRules === undefined ? observation.observed : { ...observation.observed, labelRules }
  return { cluster, ...observation, observed: store === undefined ? observed : await withSavedMap(observed, cluster, { store, state }) }
}

/** Saves the identity map of a reading of the store, so that documents can name its version. */
async function withSavedMap(observed: ObservedTraffic, cluster: string, { store, state }: { store: Store; state: ClusterState | undefined }): Promise<ObservedTraffic> {
  const map = readIdentityMap(observed, cluster, state?.snapshot)
  return { ...observed, identityMapVersions: new Map([[contentDigest(map), await store.versionIdentityMap(cluster, map)]]) }
}

async function readFiles(flags: ObservationFlags, context: CliContext, state: ClusterState | undefined): Promise<Omit<Observation, 'cluster'>> {
  const { output, settings, signal } = context
  const paths = flags.flows ?? []
  const cluster = flags.cluster ?? settings.cluster
  const progress = trackFiles(output, 'reading')
  try {
    const { report, ...observed } = await observeFiles(paths, {
      cluster, ...(state === undefined ? {} : { history: vouchedHistory(state.objects) }), podCidrs: flags.podCidr ?? settings.podCidrs, ownWorkloads: settings.ownWorkloads, ...rangeOf(flags), signal, onProgress: progress.onProgress,
    })
    progress.stop()
    if (report.stored === 0) throw nothingUsable(report, paths)
    return { observed, inputErrors: report.inputErrors }
  } finally {
    progress.stop()
  }
}

/** Says what was there instead: counts by reason and the first errors. */
function nothingUsable(report: IngestReport, paths: readonly string[]): AppError {
  const shown = report.inputErrors.slice(0, 10).map((e) => `\n  ${inputErrorText(e)}`).join('')
  const counts = report.received === 0 ? '' : `\n${renderIngestCounts(countsOf(report, 'files')).trimEnd()}`
  const where = paths.map(escapeText).join(', ')
  if (report.bytes === 0 && report.inputErrors.length === 0) return new AppError('input-unusable', `${where}: nothing in it, the input is empty.`)
  const ignored = Object.values(report.byFormat).reduce((sum, c) => sum + (c.ignored['outside-range'] ?? 0), 0)
  if (ignored > 0) return new AppError('input-unusable', `No flow in ${where} lies between --since and --until.${shown}${counts}`)
  return new AppError('input-unusable', report.received === 0 && report.inputErrors.length > 0
    ? `No flows could be read:${shown}`
    : `No usable flow record in ${where}. Flow logs of Cilium Hubble, Calico, NetObserv, Antrea, GKE and AWS VPC CNI are understood.${manifestHint(paths)}${shown}${counts}`)
}

/** Manifests given as flows are the usual mix-up. */
function manifestHint(paths: readonly string[]): string {
  return paths.some((path) => /\.ya?ml$/i.test(path)) ? ' Policies belong to --policies, cluster state to --cluster-state.' : ''
}

async function readStore(store: Store, cluster: string, flags: ObservationFlags): Promise<Omit<Observation, 'cluster'>> {
  const range = rangeOf(flags)
  const observed = await store.observe({ cluster, ...range })
  if (observed.edges.length > 0) return { observed, inputErrors: [] }
  const since = range.sinceUs === undefined ? 'the beginning' : formatTimeUs(range.sinceUs)
  const until = range.untilUs === undefined ? 'now' : formatTimeUs(range.untilUs)
  const hint = range.sinceUs === undefined && range.untilUs === undefined ? '' : 'Leave out --since and --until to use all that is stored. '
  throw new AppError('input-unusable', `The database holds no flows of cluster "${cluster}" from ${since} to ${until}. ${hint}Store some with "flowfence ingest FILE", or read files with --flows FILE.`)
}

/** A namespace nobody was seen in is a misspelt one. */
function requireNamespace(observed: ObservedTraffic, namespace: string | undefined): void {
  if (namespace === undefined) return
  const seen = new Set(observed.edges.flatMap((e) => [e.from, e.to]).filter((i) => i.kind === 'pod').map((i) => i.namespace))
  if (seen.has(namespace)) return
  throw new AppError('input-unusable', `No flow of namespace "${namespace}" was observed. Observed namespaces: ${[...seen].sort().join(', ') || 'none; where the log names addresses only (AWS), give cluster state with --cluster-state'}.`)
}

export interface ClusterState {
  readonly snapshot: ClusterSnapshot
  readonly objects: readonly unknown[]
  readonly policies: readonly NetworkPolicy[]
  readonly inputErrors: readonly InputError[]
}

export async function readClusterState(paths: readonly string[] | undefined, context: CliContext): Promise<ClusterState | undefined> {
  if (paths === undefined) return undefined
  const loaded = await loadSnapshot(paths, { stdin: context.stdin })
  return { ...loaded, inputErrors: loaded.inputErrors.map(namingStdin) }
}

/** AppError `input-unusable` when not one policy can be used. */
export async function readPolicies(paths: readonly string[], context: CliContext): Promise<{ policies: readonly NetworkPolicy[]; inputErrors: readonly InputError[] }> {
  const loaded = await loadPolicies(paths, { stdin: context.stdin })
  const inputErrors = loaded.inputErrors.map(namingStdin)
  if (loaded.policies.length === 0) throw new AppError('input-unusable', `No usable NetworkPolicy:${inputErrors.map((e) => `\n  ${inputErrorText(e)}`).join('')}`)
  return { policies: loaded.policies, inputErrors }
}

function namingStdin(error: InputError): InputError {
  return error.file === '-' ? { ...error, file: 'stdin' } : error
}

/** Shows what could not be read (unless the result lists it already) and gives the exit code that bad input asks for. */
export function finishInput(inputErrors: readonly InputError[], options: { strict: boolean; isShown: boolean }, context: CliContext): ExitCode {
  if (inputErrors.length === 0) return EXIT.done
  if (!options.isShown) context.output.note(renderInputErrors(inputErrors, 20))
  return options.strict ? EXIT.unusable : EXIT.done
}
