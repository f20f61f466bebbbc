import { US_PER_SECOND } from '../base/time.ts'
import type { Labels } from '../flow/end.ts'
import { createRandom, generatedText, generatedUuid } from './random.ts'
import type { Random } from './random.ts'
import type { TopologyWorkload } from './topology.ts'

/** What distinguishes one pod of a workload: name, labels and the object between workload and pod. */
export interface PodIdentity {
  readonly workload: TopologyWorkload
  readonly name: string
  readonly labels: Labels
  /** Name of the ReplicaSet or Job; `undefined` when the workload owns the pod itself. */
  readonly owner: string | undefined
}

export interface PodOptions {
  readonly ordinal: number
  /** When the CronJob was due. */
  readonly scheduledUs?: number
}

const TEMPLATE_HASH = /^[bcdfghjklmnpqrstvwxz2456789]{5,10}$/
const ORDINAL_KINDS = new Set(['StatefulSet', 'StrimziPodSet'])

/** Names and labels a pod the way its controller would; `controllerLabels` of the topology win over invented ones. */
export function podIdentity(workload: TopologyWorkload, random: Random, options: PodOptions): PodIdentity {
  const { name } = workload
  const labelled = (podName: string, owner: string | undefined, generated: Labels): PodIdentity => ({
    workload, name: podName, owner,
    labels: { ...workload.podLabels, ...generated, ...controllerLabels(workload, podName, options.ordinal) },
  })
  if (workload.kind === 'Deployment' || workload.kind === 'ReplicaSet') {
    const hash = templateHash(workload)
    const owner = workload.kind === 'Deployment' ? `${name}-${hash}` : name
    return labelled(`${owner}-${generatedText(random, 5)}`, workload.kind === 'Deployment' ? owner : undefined, { 'pod-template-hash': hash })
  }
  if (ORDINAL_KINDS.has(workload.kind)) return labelled(`${name}-${options.ordinal}`, undefined, ordinalLabels(workload, options.ordinal))
  if (workload.kind === 'CronJob') {
    const job = `${name}-${Math.floor((options.scheduledUs ?? 0) / (60 * US_PER_SECOND))}`
    return labelled(`${job}-${generatedText(random, 5)}`, job, jobLabels(job, random))
  }
  if (workload.kind === 'Job') return labelled(`${name}-${generatedText(random, 5)}`, undefined, jobLabels(name, random))
  if (workload.kind === 'DaemonSet') {
    return labelled(`${name}-${generatedText(random, 5)}`, undefined, { 'controller-revision-hash': templateHash(workload), 'pod-template-generation': '1' })
  }
  return labelled(workload.kind === 'Pod' ? name : `${name}-${generatedText(random, 5)}`, undefined, {})
}

/** From the topology when it is one, else a function of the workload. */
function templateHash(workload: TopologyWorkload): string {
  const given = workload.controllerLabels['pod-template-hash'] ?? workload.controllerLabels['controller-revision-hash']
  if (given !== undefined && TEMPLATE_HASH.test(given)) return given
  const random = createRandom(0, `${workload.key}/template`)
  return generatedText(random, 9)
}

function ordinalLabels(workload: TopologyWorkload, ordinal: number): Labels {
  if (workload.kind !== 'StatefulSet') return {}
  return {
    'apps.kubernetes.io/pod-index': String(ordinal),
    'controller-revision-hash': `${workload.name}-${templateHash(workload)}`,
    'statefulset.kubernetes.io/pod-name': `${workload.name}-${ordinal}`,
  }
}

function jobLabels(job: string, random: Random): Labels {
  const uid = generatedUuid(random)
  return { 'batch.kubernetes.io/controller-uid': uid, 'batch.kubernetes.io/job-name': job, 'controller-uid': uid, 'job-name': job }
}

/** The topology shows the labels of the workload's first pod: those that name it are renamed for the others. */
function controllerLabels(workload: TopologyWorkload, podName: string, ordinal: number): Labels {
  const labels: Record<string, string> = {}
  for (const [key, value] of Object.entries(workload.controllerLabels)) {
    if (key === 'job-name' || key === 'controller-uid' || key.startsWith('batch.kubernetes.io/')) continue
    if (key === 'apps.kubernetes.io/pod-index') labels[key] = String(ordinal)
    else labels[key] = ORDINAL_KINDS.has(workload.kind) && value === `${workload.name}-0` ? podName : value
  }
  return labels
}
