import { describe, expect, it } from '@jest/globals'
import { vouchedHistory } from '../../../src/core/cluster/build-history.ts'
import type { ClusterHistory } from '../../../src/core/cluster/cluster-history.ts'
import { clusterBase, namespaceObject, nodeObject, podObject, serviceObject, timeText, timeUs } from '../../support/cluster-objects.ts'
import { StateLog } from '../../support/state-log.ts'

const IP = '10.244.0.7'

/** States by second. */
function historyOf(states: Record<number, unknown[]>): ClusterHistory {
  const log = new StateLog()
  for (const [at, objects] of Object.entries(states)) log.save(timeUs(Number(at)), [...clusterBase(), ...objects])
  return log.history()
}

/** `pod name`, `node name`, ... */
function holder(history: ClusterHistory, at: number, ip = IP): string {
  const found = history.holderOf(ip, timeUs(at))
  return found.kind === 'pod' ? `pod ${found.pod.name}` : found.kind === 'node' ? `node ${found.node}` : found.kind === 'service' ? `service ${found.name}` : found.kind
}

const holders = (history: ClusterHistory, times: readonly number[]): string[] => times.map((at) => holder(history, at))

describe('who held an address', () => {
  const old = podObject('old', { ip: IP, created: 10, started: 12 })
  const young = podObject('young', { ip: IP, created: 150, started: 160 })

  it('a pod holds it from its first container on, to the last state that has it', () => {
    expect(holders(historyOf({ 100: [old], 200: [old] }), [11, 12, 100, 150, 200, 201])).toEqual(['unknown', 'pod old', 'pod old', 'pod old', 'pod old', 'unknown'])
  })

  it('a reused address is nobody\'s between the last sight of the one and the start of the other', () => {
    expect(holders(historyOf({ 100: [old], 200: [young] }), [100, 101, 159, 160, 200])).toEqual(['pod old', 'unknown', 'unknown', 'pod young', 'pod young'])
  })

  it('a pod that does not tell when it started holds it from its first sight with it: before, another one that was never seen may have had it', () => {
    const silent = podObject('silent', { ip: IP, created: 120 })
    expect(holders(historyOf({ 100: [old], 130: [], 200: [silent], 300: [silent] }), [110, 125, 130, 199, 200, 250])).toEqual(['unknown', 'unknown', 'unknown', 'unknown', 'pod silent', 'pod silent'])
    expect(holders(historyOf({ 100: [podObject('silent', { ip: IP, created: 20 })] }), [19, 20, 99, 100])).toEqual(['unknown', 'unknown', 'unknown', 'pod silent'])
  })

  it('a pod that was relabelled before it was seen terminated with the address: unknown while it may have had it, also after the next one was created', () => {
    const pending = podObject('old', { created: 10, phase: 'Pending', labels: { v: '1' } })
    const ended = podObject('old', { ip: IP, created: 10, started: 12, phase: 'Succeeded', finished: 60, labels: { v: '2' } })
    const silent = podObject('silent', { ip: IP, created: 40 })
    expect(holders(historyOf({ 11: [pending], 100: [ended, silent] }), [12, 39, 40, 59, 60, 99, 100])).toEqual([...Array<string>(6).fill('unknown'), 'pod silent'])
  })

  it('outside the pod networks, too, an address is not nobody\'s where a pod that was seen with it later may have had it', () => {
    const silent = podObject('silent', { ip: '10.9.0.1', created: 120 })
    expect([100, 150, 200].map((at) => holder(historyOf({ 100: [], 150: [podObject('silent', { created: 120, phase: 'Pending' })], 200: [silent] }), at, '10.9.0.1'))).toEqual(['nobody', 'unknown', 'pod silent'])
  })

  it('the end of a terminated pod is the end of its last container, and without one its last sight alive', () => {
    const ended = podObject('old', { ip: IP, created: 10, started: 12, phase: 'Succeeded', finished: 140 })
    expect(holders(historyOf({ 100: [old], 200: [ended] }), [139, 140, 200])).toEqual(['pod old', 'unknown', 'unknown'])
    const silent = podObject('old', { ip: IP, created: 10, phase: 'Failed' })
    expect(holders(historyOf({ 100: [old], 200: [silent] }), [100, 101])).toEqual(['pod old', 'unknown'])
    expect(holder(historyOf({ 200: [ended, young] }), 155)).toBe('unknown')
    expect(holder(historyOf({ 200: [ended, young] }), 130)).toBe('pod old')
  })

  it('a pod that is being deleted is not counted on past its time of deletion', () => {
    expect(holders(historyOf({ 100: [{ ...podObject('old', { ip: IP, created: 10, started: 12, deletion: 130 }) }], 200: [podObject('old', { ip: IP, created: 10, started: 12, deletion: 130 })] }), [129, 130, 150]))
      .toEqual(['pod old', 'unknown', 'unknown'])
  })

  it('two pods of one state with one address: unknown', () => {
    expect(holder(historyOf({ 200: [podObject('a', { ip: IP, created: 10 }), podObject('b', { ip: IP, created: 20 })] }), 200)).toBe('unknown')
  })

  it('a name that returns with another uid is another pod', () => {
    const first = podObject('web-0', { uid: 'one', ip: IP, created: 10, started: 12, labels: { v: '1' } })
    const second = podObject('web-0', { uid: 'two', ip: '10.244.0.8', created: 150, started: 155, labels: { v: '2' } })
    const history = historyOf({ 100: [first], 200: [second] })
    expect([100, 120, 150, 200].map((at) => history.podNamed('shop', 'web-0', timeUs(at))?.labels.v)).toEqual(['1', undefined, '2', '2'])
    expect(holders(history, [100, 120, 160])).toEqual(['pod web-0', 'unknown', 'unknown'])
  })

  it('without uid and creation time nothing spans two states', () => {
    const bare = podObject('web-0', { uid: '', ip: IP })
    expect(holders(historyOf({ 100: [bare], 200: [bare] }), [100, 150, 200])).toEqual(['pod web-0', 'unknown', 'pod web-0'])
  })

  it('labels that changed between two states are unknown in between, and each its own at the states', () => {
    const at = (v: string) => podObject('old', { ip: IP, created: 10, started: 12, labels: { v } })
    const history = historyOf({ 100: [at('1')], 200: [at('2')], 300: [at('1')] })
    expect([50, 100, 150, 200, 250, 300].map((t) => history.podNamed('shop', 'old', timeUs(t))?.labels.v)).toEqual(['1', '1', undefined, '2', undefined, '1'])
    expect(holders(history, [100, 150, 200])).toEqual(['pod old', 'unknown', 'pod old'])
  })

  it('an older state that comes late splits what it contradicts and keeps the rest', () => {
    const at = (v: string) => podObject('old', { ip: IP, created: 10, started: 12, labels: { v } })
    const log = new StateLog()
    for (const [t, v] of [[100, '1'], [300, '1'], [200, '2']] as const) log.save(timeUs(t), [...clusterBase(), at(v)])
    const history = log.history()
    expect([100, 150, 200, 250, 300].map((t) => history.podNamed('shop', 'old', timeUs(t))?.labels.v)).toEqual(['1', undefined, '2', undefined, '1'])
    expect(log.save(timeUs(200), [...clusterBase(), at('2')])).toBeUndefined()
  })

  it('a pod on the host\'s network and its node are the node', () => {
    const agent = podObject('agent', { ip: '192.168.0.1', created: 10, hostNetwork: true })
    expect(holder(historyOf({ 200: [agent] }), 200, '192.168.0.1')).toBe('node node-1')
  })

  it('nobody only at a moment that is fully known, outside the nodes\' pod networks', () => {
    const history = historyOf({ 100: [old], 200: [old] })
    expect([holder(history, 100, '203.0.113.9'), holder(history, 150, '203.0.113.9'), holder(history, 100, '10.244.9.9')]).toEqual(['nobody', 'unknown', 'unknown'])
  })

  it('labels of the namespace are those of the moment', () => {
    const log = new StateLog()
    for (const [at, team] of [[100, 'a'], [200, 'b']] as const) log.save(timeUs(at), [namespaceObject('shop', { team }), nodeObject('node-1', '192.168.0.1'), old])
    expect([100, 150, 200].map((at) => log.history().podNamed('shop', 'old', timeUs(at))?.namespaceLabels?.team)).toEqual(['a', undefined, 'b'])
  })

  it('a watch gives exact changes; what it deleted does not come back', () => {
    const log = new StateLog()
    log.save(timeUs(100), [...clusterBase(), old])
    log.change(timeUs(150), 'deleted', old)
    log.change(timeUs(160), 'set', podObject('young', { created: 155, phase: 'Pending' }))
    log.change(timeUs(170), 'set', podObject('young', { ip: IP, created: 155, started: 165 }))
    log.confirm(timeUs(100), timeUs(300))
    expect(holders(log.history(), [149, 150, 164, 165, 300, 301])).toEqual(['pod old', 'nobody', 'nobody', 'pod young', 'pod young', 'unknown'].map((h) => (h === 'nobody' ? 'unknown' : h)))
    expect(log.save(timeUs(400), [...clusterBase(), old])?.refused).toMatchObject([{ endedUs: timeUs(150) }])
  })
})

describe('behind a service', () => {
  const web = (name: string, fields: Parameters<typeof podObject>[1] = {}) => podObject(name, {
    ip: `10.244.0.${name.length + 20}`, created: 10, started: 12, labels: { app: 'web' }, owner: { kind: 'StatefulSet', name: 'web' }, ports: [{ name: 'http', containerPort: 8080 }], ...fields,
  })
  const service = (target: unknown) => serviceObject('web', '10.96.0.50', { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: target, protocol: 'TCP' }] })
  const slice = (port: number, ...pods: string[]) => ({
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: `web-${port}`, namespace: 'shop', uid: `uid-slice-${port}`, creationTimestamp: timeText(5), labels: { 'kubernetes.io/service-name': 'web' } },
    ports: [{ name: 'http', port, protocol: 'TCP' }], endpoints: pods.map((name) => ({ addresses: ['10.244.0.1'], targetRef: { kind: 'Pod', name, uid: `uid-${name}` } })),
  })
  const backends = (objects: unknown[], at = 100, port = 80) => {
    const found = historyOf({ 100: objects }).backendsOf('10.96.0.50', port, 'TCP', timeUs(at))
    return found === undefined ? undefined : `${found.pods.map((p) => p.name).join(' ')} :${found.port}`
  }

  it('the selector and the target port, also by name', () => {
    expect(backends([service(8080), web('a'), web('bb')])).toBe('a bb :8080')
    expect(backends([service('http'), web('a'), web('bb')])).toBe('a bb :8080')
  })

  it('nothing where a pod lacks the named port or has another number under it', () => {
    expect(backends([service('http'), web('a'), web('bb', { ports: [] })])).toBeUndefined()
    expect(backends([service('http'), web('a'), web('bb', { ports: [{ name: 'http', containerPort: 9090 }] })])).toBeUndefined()
  })

  it('EndpointSlices win over the selector, and must agree on the port', () => {
    expect(backends([service(8080), web('a'), web('bb'), slice(8443, 'a')])).toBe('a :8443')
    expect(backends([service(8080), web('a'), web('bb'), slice(8443, 'a'), slice(8080, 'bb')])).toBeUndefined()
    expect(backends([service(8080), web('a'), slice(8080, 'a', 'gone')])).toBeUndefined()
  })

  it('no other port, no other moment, and the address itself is the service\'s', () => {
    expect([backends([service(8080), web('a')], 100, 81), backends([service(8080), web('a')], 101)]).toEqual([undefined, undefined])
    expect(holder(historyOf({ 100: [service(8080)] }), 100, '10.96.0.50')).toBe('service web')
  })
})

describe('a state that a person vouches for', () => {
  it('holds for ever, from each creation on; what ended, until its end', () => {
    const history = vouchedHistory([
      ...clusterBase(), podObject('now', { ip: IP, created: 100 }), podObject('always', { ip: '10.244.0.8' }),
      podObject('job', { ip: '10.244.0.9', created: 10, started: 12, phase: 'Succeeded', finished: 50 }), podObject('lost', { ip: '10.244.0.10', created: 10, phase: 'Failed' }),
    ])
    expect(holders(history, [99, 100, 1e9])).toEqual(['unknown', 'pod now', 'pod now'])
    expect([holder(history, -1e9, '10.244.0.8'), holder(history, 49, '10.244.0.9'), holder(history, 50, '10.244.0.9'), holder(history, 20, '10.244.0.10')]).toEqual(['pod always', 'pod job', 'unknown', 'unknown'])
  })

  it('an address beside those of pods may have been a pod\'s that is gone; others are nobody\'s', () => {
    const history = vouchedHistory([...clusterBase(), podObject('now', { ip: '10.9.1.7', created: 100 })])
    expect([holder(history, 100, '10.9.1.8'), holder(history, 100, '203.0.113.9'), holder(history, 100, '192.168.0.1')]).toEqual(['unknown', 'nobody', 'node node-1'])
  })

  it('two that claim one address at one time: unknown, before and after the one that is alone', () => {
    const history = vouchedHistory([...clusterBase(), podObject('a', { ip: IP, created: 10 }), podObject('b', { ip: IP, created: 50 })])
    expect(holders(history, [49, 50])).toEqual(['pod a', 'unknown'])
  })
})
