import { describe, expect, test } from '@jest/globals'
import type { ObservedEdge } from '../../src/core/flow/edge.ts'
import type { RecommendationDocument } from '../../src/core/generate/recommendation.ts'
import { recommend } from '../../src/pipeline/recommend.ts'
import { edge, pod } from '../support/observed-edges.ts'
import { observeLines } from '../support/observe.ts'
import { createRandom, rounds } from '../support/random.ts'
import type { Random } from '../support/random.ts'

const NAMES = ['web', 'cart', 'db', 'mail', 'search']
const PORTS = [53, 443, 5432, 8080, 29_999, 33_000, 50_051]
const HIGH = 32_768

interface Log {
  readonly lines: readonly string[]
  /** `workload:port` of high ports that somebody really opened: over TCP with a handshake; UDP has none, there repetition counts. */
  readonly proven: ReadonlySet<string>
}

/** A Hubble log of connections with everything that lies about them: late packets, dropped replies, replies through a Service, packets without direction. */
function adversarialLog(random: Random): Log {
  const lines: string[] = []
  const proven = new Set<string>()
  const line = (from: string, to: string, l4: unknown, changes: Record<string, unknown>): void => {
    const end = (name: string): unknown => ({ namespace: 'shop', labels: [`k8s:app=${name}`, 'k8s:io.kubernetes.pod.namespace=shop'], pod_name: `${name}-7d4b9c6f58-x2k9p`, workloads: [{ kind: 'Deployment', name }] })
    const address = (name: string): string => `10.0.1.${NAMES.indexOf(name) + 1}`
    lines.push(JSON.stringify({ flow: {
      time: `2026-01-02T03:04:05.${String(lines.length).padStart(9, '0')}Z`, verdict: 'FORWARDED', IP: { source: address(from), destination: address(to), ipVersion: 'IPv4' }, l4,
      source: end(from), destination: end(to), Type: 'L3_L4', node_name: 'n1', event_type: { type: 4 }, traffic_direction: 'EGRESS', trace_observation_point: 'TO_STACK', ...changes,
    } }))
  }
  for (let i = 0; i < 40; i++) {
    const [client, server, port, own] = [random.pick(NAMES), random.pick(NAMES), random.pick(PORTS), HIGH + random.int(28_000)] as const
    const protocol = random.chance(0.8) ? 'TCP' : 'UDP'
    const l4 = (source: number, destination: number, flag: string): unknown => ({ [protocol]: { source_port: source, destination_port: destination, ...(protocol === 'TCP' ? { flags: { [flag]: true } } : {}) } })
    const back = random.pick(['FIN', 'RST', 'ACK', 'PSH'])
    const kinds: readonly (() => void)[] = [
      () => {
        line(client, server, l4(own, port, 'SYN'), { is_reply: false })
        if (port >= HIGH) proven.add(`${server}:${port}`)
      },
      () => { if (port < HIGH) line(client, server, l4(own, port, 'ACK'), { is_reply: false }) },
      () => { line(server, client, l4(port, own, 'ACK'), port < HIGH ? { is_reply: true } : {}) },
      () => { line(server, client, l4(port, own, back), { is_reply: false }) },
      () => { line(server, client, l4(port, own, back), {}) },
      () => { line(server, client, l4(port, own, 'ACK'), { verdict: 'DROPPED', drop_reason: 181, drop_reason_desc: 'POLICY_DENY', event_type: { type: 1 } }) },
      () => { line(server, client, l4(port, own, 'ACK'), { verdict: 'DROPPED', drop_reason: 134, drop_reason_desc: 'INVALID_SOURCE_IP', event_type: { type: 1 } }) },
      () => { line(server, client, l4(port, own, 'ACK'), { is_reply: true, IP: { source: '10.0.1.9', source_xlated: '10.96.0.10', destination: '10.0.1.1', ipVersion: 'IPv4' } }) },
    ]
    for (const kind of kinds) if (random.chance(0.35)) kind()
  }
  return { lines: random.shuffle(lines), proven }
}

/** `workload:port` of every high port in a rule; for egress the workload of the peer. */
function highPorts(document: RecommendationDocument): string[] {
  return document.policies.flatMap((policy) => {
    const { metadata, spec } = policy as unknown as { metadata: { annotations?: unknown }; spec: { podSelector: Selector; ingress?: Rule[]; egress?: Rule[] } }
    expect(metadata).toBeDefined()
    const named = (selector: Selector | undefined): string[] => (selector?.matchLabels?.app === undefined ? [] : [selector.matchLabels.app])
    const of = (rule: Rule, owners: readonly string[]): string[] => (rule.ports ?? []).flatMap((p) => {
      const last = p.endPort ?? p.port
      const ports = Array.from({ length: last - p.port + 1 }, (_, i) => p.port + i).filter((port) => port >= HIGH)
      return owners.flatMap((owner) => ports.map((port) => `${owner}:${port}`))
    })
    return [
      ...(spec.ingress ?? []).flatMap((rule) => of(rule, named(spec.podSelector))),
      ...(spec.egress ?? []).flatMap((rule) => of(rule, (rule.to ?? []).flatMap((peer) => named(peer.podSelector)))),
    ]
  })
}

interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>
}

interface Rule {
  readonly ports?: readonly { readonly port: number; readonly endPort?: number }[]
  readonly to?: readonly { readonly podSelector?: Selector }[]
}

describe('whatever a log claims', () => {
  test('no rule is made of an ephemeral port that no handshake proves, and the order of records changes nothing', () => {
    let found = 0
    for (let seed = 1; seed <= rounds({ small: 60, full: 600 }); seed++) {
      const random = createRandom(seed)
      const { lines, proven } = adversarialLog(random)
      const document = recommend(observeLines(lines), { cluster: 'default' })
      const unproven = highPorts(document).filter((p) => !proven.has(p))
      expect({ seed, unproven }).toEqual({ seed, unproven: [] })
      found += highPorts(document).length
      const again = recommend(observeLines(random.shuffle(lines), 1 + random.int(60)), { cluster: 'default' })
      expect({ seed, equal: JSON.stringify(again) === JSON.stringify(document) }).toEqual({ seed, equal: true })
    }
    expect(found).toBeGreaterThan(0)
  })

  test('a proof re-judges what came before it, however the evidence is split and ordered', () => {
    for (let seed = 1; seed <= rounds({ small: 60, full: 3000 }); seed++) {
      const random = createRandom(seed)
      const end = (name: string) => pod(`shop/${name}`, { app: name, 'pod-template-hash': `${name}-${random.int(2)}` })
      const port = random.pick([8080, 50_051])
      const open = Array.from({ length: 1 + random.int(6) }, (): ObservedEdge => (random.chance(0.5)
        ? edge(end('web'), end('db'), `${port}/TCP`, { fromPort: HIGH + random.int(15_000), seen: 'client:allowed' })
        : edge(end('db'), end('web'), `${HIGH + random.int(15_000)}/TCP`, { fromPort: port, seen: 'server:allowed' })))
      const proof = edge(end('web'), end('db'), `${port}/TCP`, { orientation: random.pick(['verdict-event', 'tcp-flags']) })
      const read = (edges: readonly ObservedEdge[]) => recommend({ edges, podNetworks: [], sinceUs: null, untilUs: null }, { cluster: 'default' })
      const document = read([...open, proof])
      expect({ seed, unoriented: document.review.filter((r) => r.reason.code === 'unoriented') }).toEqual({ seed, unoriented: [] })
      expect({ seed, equal: JSON.stringify(read(random.shuffle([...open, proof]))) === JSON.stringify(document) }).toEqual({ seed, equal: true })
      if (port === 50_051) expect({ seed, rules: highPorts(read(open)) }).toEqual({ seed, rules: [] })
    }
  })
})
