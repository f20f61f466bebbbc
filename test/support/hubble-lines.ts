/** Flow logs as Hubble's exporter writes them, for tests of ingest. Each line is a distinct flow. */
import type { Random } from './random.ts'
import { START_US } from './flow-records.ts'

const WORKLOADS = ['web', 'cart', 'db', 'mail', 'dns', 'search']

function end(random: Random): object {
  const name = random.pick(WORKLOADS)
  return {
    identity: 1000 + WORKLOADS.indexOf(name), namespace: name === 'dns' ? 'kube-system' : 'shop',
    labels: [`k8s:app=${name}`, `k8s:io.kubernetes.pod.namespace=${name === 'dns' ? 'kube-system' : 'shop'}`],
    pod_name: `${name}-7c9f8d6b5-${random.int(9)}x2lq`, workloads: [{ name, kind: 'Deployment' }],
  }
}

/** `amount` lines within two hours from `startUs`, in time order, with a newline each. */
export function hubbleLines(random: Random, amount: number, startUs = START_US): string[] {
  return Array.from({ length: amount }, (_, i) => {
    const time = new Date(startUs / 1000 + Math.floor((i / amount) * 7_200_000)).toISOString().replace('Z', `${String(i % 1_000_000).padStart(6, '0')}Z`)
    const isOutside = random.chance(0.15)
    const flow = {
      time, uuid: `${i.toString(16).padStart(8, '0')}-0000-4000-8000-${random.int(2 ** 32).toString(16).padStart(12, '0')}`, verdict: random.chance(0.9) ? 'FORWARDED' : 'DROPPED',
      IP: { source: `10.244.1.${random.int(50)}`, destination: isOutside ? `203.0.113.${random.int(250)}` : `10.244.2.${random.int(50)}`, ipVersion: 'IPv4' },
      l4: { TCP: { source_port: 32_768 + random.int(20_000), destination_port: random.pick([80, 443, 5432, 8080]), flags: { SYN: true } } },
      source: end(random), destination: isOutside ? { identity: 2, labels: ['reserved:world'] } : end(random),
      Type: 'L3_L4', node_name: `node-${random.int(3)}`, event_type: { type: 4 }, traffic_direction: random.pick(['INGRESS', 'EGRESS']), is_reply: false,
    }
    return `${JSON.stringify({ flow, node_name: flow.node_name, time })}\n`
  })
}

/** Two hours that end now, for processes with the clock of the machine. */
export function recentStartUs(): number {
  return Math.floor(Date.now() / 1000 - 7_200) * 1_000_000
}

/** Some flows among lines that are none: rejected or ignored each. */
export function messyLines(random: Random, amount: number, startUs = START_US): string[] {
  const others = ['\n', '{"flow":\n', '[1]\n', '{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"3"},"node_name":"node-1","time":"2026-01-01T00:00:00Z"}\n',
    '{"some":"thing"}\n', 'level=info msg="not json" token=abc\n', '{"flow":{"time":"yesterday","verdict":"FORWARDED","Type":"L3_L4"}}\n']
  return hubbleLines(random, amount, startUs).map((line) => (random.chance(0.2) ? random.pick(others) : line))
}
