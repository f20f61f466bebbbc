import { describe, expect, test } from '@jest/globals'
import { parseTimeUs } from '../../../src/core/base/time.ts'
import { simulate } from '../../../src/core/simulate/simulate.ts'
import { hubbleFlows, hubbleLines, layer4 } from './observed-lines.ts'
import type { HubbleFlow } from './observed-lines.ts'
import { parsed, smallTopology } from './small-topology.ts'

const startUs = parseTimeUs('2026-01-01T00:00:00Z') ?? 0
const simulation = simulate(parsed(smallTopology()), { format: 'hubble', minutes: 20, seed: 3, startUs })
const lines = hubbleLines(simulation)
const flows = hubbleFlows(simulation)
const pods = new Map(simulation.pods.map((p) => [p.name, p]))
const podAddresses = /^10\.244\./

/** Records of connections between two named pods, by client address and port. */
function connections(): Map<string, HubbleFlow[]> {
  const byConnection = new Map<string, HubbleFlow[]>()
  for (const flow of flows) {
    if (flow.source.pod_name === undefined || flow.destination.pod_name === undefined || layer4(flow).protocol !== 'TCP') continue
    const { sourcePort, destinationPort } = layer4(flow)
    const isReply = destinationPort >= 32768 && sourcePort < 32768
    const key = isReply ? `${flow.IP.destination}:${destinationPort}` : `${flow.IP.source}:${sourcePort}`
    byConnection.set(key, [...(byConnection.get(key) ?? []), flow])
  }
  return byConnection
}

describe('Hubble lines', () => {
  test('are compact JSON in the order of time, wrapped with node and time', () => {
    const raw = [...simulation.lines()]
    expect(raw.every((line) => JSON.stringify(JSON.parse(line)) === line)).toBe(true)
    const first = new Set<string>()
    const firstTimes = lines.filter((l) => l.flow !== undefined && !first.has(l.flow.uuid) && first.add(l.flow.uuid)).map((l) => l.time.slice(0, 26))
    expect(firstTimes).toEqual([...firstTimes].sort())
    expect(lines.filter((line) => line.flow?.time !== line.time || line.flow.node_name !== line.node_name)).toEqual([])
    expect(lines[0]?.node_name).toMatch(/^default\/(worker-\d|control-plane)$/)
  })

  test('lie in the range', () => {
    const times = lines.map((l) => parseTimeUs(l.time) ?? 0)
    expect(Math.min(...times)).toBeGreaterThanOrEqual(startUs)
    expect(Math.max(...times)).toBeLessThan(startUs + 20 * 60_000_000)
  })

  test('repeat some records, with the same uuid and the same text', () => {
    const seen = new Map<string, string>()
    let repeated = 0
    for (const line of simulation.lines()) {
      const { uuid } = (JSON.parse(line) as { flow: HubbleFlow }).flow
      if (seen.has(uuid)) repeated += seen.get(uuid) === line ? 1 : Number.NaN
      seen.set(uuid, line)
    }
    expect(repeated).toBeGreaterThan(flows.length / 800)
    expect(repeated).toBeLessThan(flows.length / 200)
  })

  test('come from both nodes of a connection: a verdict at each side, replies in packet direction', () => {
    let across = 0
    const wrong: unknown[] = []
    for (const records of connections().values()) {
      const client = records.find((f) => f.event_type.type === 5 && f.traffic_direction === 'EGRESS')
      const server = records.find((f) => f.event_type.type === 5 && f.traffic_direction === 'INGRESS')
      const replies = records.filter((f) => f.is_reply === true)
      const isGood = client?.node_name === `default/${nodeName(client?.source.pod_name)}` && server?.node_name === `default/${nodeName(server?.destination.pod_name)}` &&
        replies.length > 0 && replies.every((r) => r.IP.source === client.IP.destination)
      if (!isGood) wrong.push(records)
      if (client?.node_name !== server?.node_name) across += 1
    }
    expect(wrong).toEqual([])
    expect(across).toBeGreaterThan(50)
  })

  test('a verdict and its trace carry the SYN, the answer SYN and ACK, the end FIN', () => {
    const wrong = [...connections().values()].filter((records) => {
      const flags = new Set(records.map((f) => Object.keys(layer4(f).flags).sort().join('+')))
      const first = records.reduce((a, b) => (a.time <= b.time ? a : b))
      return !flags.has('SYN') || !flags.has('ACK+SYN') || !flags.has('ACK+FIN') || Object.keys(layer4(first).flags).join() !== 'SYN'
    })
    expect(wrong).toEqual([])
  })

  test('show long connections again every five seconds', () => {
    const long = [...connections().values()].filter((records) => records.some((f) => layer4(f).flags['PSH'] === true))
    expect(long.length).toBeGreaterThan(5)
    const one = (long[0] as HubbleFlow[]).filter((f) => layer4(f).flags['PSH'] === true && f.trace_observation_point === 'TO_ENDPOINT' && f.is_reply === true)
    const times = [...new Set(one.map((f) => Math.round((parseTimeUs(f.time) ?? 0) / 1_000_000)))]
    expect(times.every((t, i) => i === 0 || t - (times[i - 1] as number) === 5)).toBe(true)
  })

  test('no forward record has an ephemeral destination port, and every connection has a source port of its own', () => {
    const forward = flows.filter((f) => f.is_reply === false).map(layer4)
    expect(forward.filter((p) => p.destinationPort >= 32768 || p.sourcePort < 32768 || p.sourcePort > 60999)).toEqual([])
    const opened = new Map(flows.filter((f) => f.event_type.type === 5 && f.traffic_direction === 'EGRESS').map((f) => [f.uuid, `${f.source.pod_name} ${layer4(f).sourcePort}`]))
    expect(new Set(opened.values()).size).toBe(opened.size)
  })

  test('part of the overlay records tell neither reply nor direction', () => {
    const overlay = flows.filter((f) => f.trace_observation_point === 'TO_OVERLAY')
    const untracked = overlay.filter((f) => f.is_reply === undefined && f.traffic_direction === undefined)
    expect(untracked.length / overlay.length).toBeGreaterThan(0.02)
    expect(untracked.length / overlay.length).toBeLessThan(0.12)
    expect(untracked.some((f) => layer4(f).sourcePort === 8080)).toBe(true)
  })

  test('workloads and endpoint ids stand only at the reporting node\'s own pods', () => {
    const wrong = flows.flatMap((flow) => [flow.source, flow.destination].filter((end) => {
      const isLocal = flow.node_name === `default/${nodeName(end.pod_name)}`
      return end.pod_name !== undefined && ((end.workloads !== undefined) !== isLocal || (end.ID !== undefined) !== isLocal)
    }))
    expect(wrong).toEqual([])
  })

  test('labels are the identity-relevant ones in Cilium\'s form', () => {
    const web = flows.find((f) => f.source.pod_name?.startsWith('web-'))?.source
    expect(web?.labels).toEqual([
      'k8s:app.kubernetes.io/version=1.2.3', 'k8s:app=web', 'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=app',
      'k8s:io.cilium.k8s.namespace.labels.team=team-app', 'k8s:io.cilium.k8s.policy.cluster=default', 'k8s:io.cilium.k8s.policy.serviceaccount=default',
      'k8s:io.kubernetes.pod.namespace=app',
    ])
    const all = new Set(flows.flatMap((f) => [...f.source.labels, ...f.destination.labels]).map((l) => l.split('=')[0]))
    for (const dropped of ['pod-template-hash', 'controller-revision-hash', 'statefulset.kubernetes.io/pod-name', 'controller-uid']) expect(all.has(`k8s:${dropped}`)).toBe(false)
  })

  test('nodes, the API server and the world have reserved identities', () => {
    const labelsOf = (port: number): Set<string> => new Set(flows.filter((f) => f.event_type.type === 5 && layer4(f).destinationPort === port)
      .map((f) => (f.source.pod_name === undefined ? f.source : f.destination).labels.join(' ')))
    expect(labelsOf(8081)).toEqual(new Set(['reserved:host']))
    expect(labelsOf(9100)).toEqual(new Set(['reserved:host', 'reserved:remote-node']))
    expect(labelsOf(6443)).toEqual(new Set(['reserved:kube-apiserver reserved:remote-node']))
    expect(labelsOf(8443)).toEqual(new Set(['reserved:world']))
  })

  test('probes come from the pod\'s own node and are seen only there', () => {
    const probes = flows.filter((f) => layer4(f).destinationPort === 8081)
    expect(probes.length).toBeGreaterThan(20)
    const isOwn = (f: HubbleFlow): boolean => f.traffic_direction === 'INGRESS' && f.node_name === `default/${nodeName(f.destination.pod_name)}` && f.IP.source.startsWith('172.18.0.')
    expect(probes.filter((f) => !isOwn(f))).toEqual([])
  })

  test('DNS is seen as packets and, where proxied, as queries and answers', () => {
    const queries = flows.filter((f) => f.event_type.type === 129)
    expect(queries.some((f) => f.l7?.type === 'REQUEST' && f.is_reply === false)).toBe(true)
    expect(queries.some((f) => f.l7?.type === 'RESPONSE' && f.is_reply === true)).toBe(true)
    expect(queries.map((f) => f.l7?.dns.query)).toContain('pay.example.')
    expect(queries.every((f) => f.Type === 'L7' && f.trace_observation_point === undefined && Object.keys(layer4(f).flags).length === 0)).toBe(true)
    expect(flows.filter((f) => f.event_type.type === 5 && layer4(f).destinationPort === 53).length).toBeGreaterThan(queries.length / 4)
  })

  test('replies translated on the node carry the Service\'s address and port', () => {
    const translated = flows.filter((f) => f.IP.source_xlated !== undefined)
    expect(translated.length).toBeGreaterThan(0)
    for (const flow of translated) expect({ reply: flow.is_reply, ports: [80, 53].includes(layer4(flow).sourcePort) }).toEqual({ reply: true, ports: true })
    const services = new Set(translated.map((f) => `${f.IP.source_xlated} ${layer4(f).sourcePort}`))
    expect([...services].every((s) => ['10.96.0.22 80', '10.96.0.10 53'].includes(s))).toBe(true)
  })

  test('late packets of gone pods come without name, reply mark and verdict event', () => {
    const strays = flows.filter((f) => f.source.labels.includes('reserved:world') && podAddresses.test(f.IP.source))
    expect(strays.length).toBeGreaterThan(0)
    for (const stray of strays) {
      expect({ type: stray.event_type.type, reply: stray.is_reply }).toEqual({ type: 4, reply: undefined })
      const atUs = parseTimeUs(stray.time) ?? 0
      const owner = simulation.pods.filter((p) => p.ip === stray.IP.source)
      expect(owner.some((p) => p.untilUs <= atUs && atUs < p.untilUs + 30_000_000)).toBe(true)
      expect(owner.some((p) => p.fromUs <= atUs && atUs < p.untilUs)).toBe(false)
    }
    const truth = new Set(simulation.truth().map((e) => e.from.cidr))
    for (const stray of strays) expect(truth.has(`${stray.IP.source}/32`)).toBe(false)
  })

  function nodeName(pod: string | undefined): string {
    const index = pods.get(pod ?? '')?.nodeIndex ?? -1
    return index === 0 ? 'control-plane' : `worker-${index}`
  }
})

test('a dual-stack end outside gives IPv6 records and pods two addresses', () => {
  const topology = smallTopology()
  topology.edges[3] = { ...topology.edges[3], to: { external: true, ip: '2001:db8::7', port: 443 } }
  const dual = simulate(parsed(topology), { format: 'hubble', minutes: 5, seed: 3, startUs })
  const calls = hubbleFlows(dual).filter((f) => f.IP.ipVersion === 'IPv6')
  expect(calls.length).toBeGreaterThan(0)
  for (const call of calls) expect([call.IP.source, call.IP.destination].sort()[0]).toBe('2001:db8::7')
  expect(dual.truth().some((e) => e.to.cidr === '2001:db8::7/128')).toBe(true)
})
