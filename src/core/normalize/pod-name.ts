import type { WorkloadRef } from '../flow/end.ts'

/** Kind of a workload whose controller a pod's name does not tell: `<name>-<5>` may be a DaemonSet, Job or ReplicaSet. */
const UNKNOWN_CONTROLLER = 'Workload'
/** Digits and letters that Kubernetes puts into generated names: no vowels, no 0, 1, 3. */
const GENERATED = /^[bcdfghjklmnpqrstvwxz2456789]+$/

/**
 * The workload that a pod's name points at: `web-7d4b9c6f58-x2k9p` a Deployment, `db-0` a StatefulSet, `job-28401234-k7x2z` a CronJob,
 * `agent-k7x2z` some controller (`Workload`), anything else the pod itself (`Pod`). A guess by shape: evidence `pod-name`.
 */
export function deriveWorkload(podName: string): WorkloadRef {
  const dash = podName.lastIndexOf('-')
  if (dash <= 0) return { kind: 'Pod', name: podName }
  const last = podName.slice(dash + 1)
  if (last.length === 5 && GENERATED.test(last)) return deriveController(podName.slice(0, dash))
  if (/^\d{1,6}$/.test(last)) return { kind: 'StatefulSet', name: podName.slice(0, dash) }
  return { kind: 'Pod', name: podName }
}

/** The workload behind the prefix that generated pod names share (`web-7d4b9c6f58`). */
export function deriveController(prefix: string): WorkloadRef {
  const dash = prefix.lastIndexOf('-')
  const last = prefix.slice(dash + 1)
  if (dash > 0 && last.length >= 8 && last.length <= 10) {
    const name = prefix.slice(0, dash)
    // A CronJob's suffix is its minute since 1970. Checked first: a hash of digits only is very rare.
    if (/^\d+$/.test(last)) return { kind: 'CronJob', name }
    if (GENERATED.test(last)) return { kind: 'Deployment', name }
  }
  return { kind: UNKNOWN_CONTROLLER, name: prefix }
}
