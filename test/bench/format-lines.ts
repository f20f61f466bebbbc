/** Invented lines of the formats that `simulate` does not write, in each format's exact shape. Same seed, same lines. */
import { createRandom, type Random } from '../support/random.ts'

const START_MS = Date.UTC(2026, 0, 1)
const PODS = 400
const PORTS = [80, 443, 5432, 8080, 9090]

interface Pod {
  readonly name: string
  readonly namespace: string
  readonly workload: string
  readonly ip: string
}

function pods(): Pod[] {
  return Array.from({ length: PODS }, (_, i) => {
    const workload = `app-${i >> 2}`
    return { name: `${workload}-7d4b9c6f58-x2k${'bcdfghjklm'[i % 10]}p`, namespace: `team-${i % 12}`, workload, ip: `10.244.${i >> 8}.${i & 255}` }
  })
}

const timeOf = (i: number): string => new Date(START_MS + i * 7).toISOString()

function make(amount: number, line: (i: number, from: Pod, to: Pod, random: Random) => string): string[] {
  const random = createRandom(5)
  const all = pods()
  return Array.from({ length: amount }, (_, i) => line(i, random.pick(all), random.pick(all), random))
}

export function gkeLines(amount: number): string[] {
  const end = (pod: Pod): object => ({
    pod_name: pod.name, workload_kind: 'ReplicaSet', workload_name: `${pod.workload}-7d4b9c6f58`, pod_namespace: pod.namespace, namespace: pod.namespace,
  })
  return make(amount, (i, from, to, random) => JSON.stringify({
    connection: { src_ip: from.ip, dest_ip: to.ip, src_port: 32_768 + random.int(28_000), dest_port: random.pick(PORTS), protocol: 'tcp', direction: 'ingress' },
    disposition: 'allow', policies: [{ kind: 'NetworkPolicy', name: to.workload, namespace: to.namespace }], src: end(from), dest: end(to),
    count: 1, node_name: `gke-pool-1-${i % 5}`, timestamp: timeOf(i),
  }))
}

export function awsLines(amount: number): string[] {
  return make(amount, (i, from, to, random) => JSON.stringify({
    level: 'info', ts: timeOf(i), logger: 'ebpf-client', caller: 'events/events.go:193', msg: 'Flow Info:  ',
    'Src IP': from.ip, 'Src Port': 32_768 + random.int(28_000), 'Dest IP': to.ip, 'Dest Port': random.pick(PORTS), Proto: 'TCP', Verdict: 'ACCEPT',
  }))
}

/** The newer agent: everything in the message. */
export function awsMessageLines(amount: number): string[] {
  return make(amount, (i, from, to, random) => JSON.stringify({
    level: 'debug', ts: timeOf(i), caller: 'runtime/asm_amd64.s:1700',
    msg: `Flow Info: Src IP: ${from.ip} Src Port: ${32_768 + random.int(28_000)} Dest IP: ${to.ip} Dest Port: ${random.pick(PORTS)} Proto TCP Verdict ACCEPT Direction egress, Tier NETWORK_POLICY`,
  }))
}

/** CloudWatch text. */
export function awsTextLines(amount: number): string[] {
  return make(amount, (i, from, to, random) => `${timeOf(i)} Node: ip-10-0-1-${i % 5}.ec2.internal;SIP: ${from.ip};SPORT: ${32_768 + random.int(28_000)};DIP: ${to.ip};DPORT: ${
    random.pick(PORTS)};PROTOCOL: TCP;PolicyVerdict: ACCEPT;Tier: NETWORK_POLICY`)
}

/** The flow logger's CSV: 30 columns. */
export function antreaCsvLines(amount: number): string[] {
  return make(amount, (i, from, to, random) => {
    const second = START_MS / 1000 + (i >> 6)
    return `${second},${second + 60},${from.ip},${to.ip},${32_768 + random.int(28_000)},${random.pick(PORTS)},6,${from.name},${from.namespace},worker-${i % 5},${to.name},${
      to.namespace},worker-${(i + 1) % 5},10.96.0.44,,5433,${to.namespace}/${to.workload}:pg,${to.workload},${to.namespace},,1,1,,,,0,0,,,`
  })
}
