import { describe, expect, test } from '@jest/globals'
import { deriveController, deriveWorkload } from '../../../src/core/normalize/pod-name.ts'

describe('the workload behind a pod name', () => {
  test.each([
    ['web-7d4b9c6f58-x2k9p', 'Deployment/web'],
    ['reviews-v1-545db77b95-s6jb8', 'Deployment/reviews-v1'],
    ['a-b-c-67986489c8-svnrf', 'Deployment/a-b-c'],
    ['backup-28401234-k7x2z', 'CronJob/backup'],
    ['backup-2840123456-k7x2z', 'CronJob/backup'],
    ['db-0', 'StatefulSet/db'],
    ['redis-cluster-12', 'StatefulSet/redis-cluster'],
    ['agent-k7x2z', 'Workload/agent'],
    ['web-notahash-x2k9p', 'Workload/web-notahash'],
    ['index-job-3-x2k9p', 'Workload/index-job-3'],
    ['xwing', 'Pod/xwing'],
    ['kube-apiserver-master', 'Pod/kube-apiserver-master'],
    ['tool-aeiou', 'Pod/tool-aeiou'],
    ['-abc', 'Pod/-abc'],
    ['abc-', 'Pod/abc-'],
    ['7d4b9c6f58-x2k9p', 'Workload/7d4b9c6f58'],
    ['', 'Pod/'],
  ])('%s is %s', (name, workload) => {
    const { kind, name: own } = deriveWorkload(name)
    expect(`${kind}/${own}`).toBe(workload)
  })

  test.each([['web-7d4b9c6f58', 'Deployment/web'], ['backup-28401234', 'CronJob/backup'], ['agent', 'Workload/agent']])('the prefix %s is %s', (prefix, workload) => {
    const { kind, name } = deriveController(prefix)
    expect(`${kind}/${name}`).toBe(workload)
  })
})
