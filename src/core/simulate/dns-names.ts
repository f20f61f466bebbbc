import { hashText } from './random.ts'
import type { Topology } from './topology.ts'

/** The names each workload looks up, by workload key: the Services and outside names of its own edges, with trailing dot. */
export function dnsNamesOf(topology: Topology): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, string[]>()
  for (const { from, to, via } of topology.edges) {
    if (from.type !== 'workload') continue
    const name = via !== undefined ? `${via.name}.${via.namespace}.svc.cluster.local.` : to.type === 'external' && to.fqdn !== undefined ? `${to.fqdn}.` : undefined
    if (name === undefined || name.startsWith('kube-dns.')) continue
    const known = names.get(from.workload.key)
    if (known === undefined) names.set(from.workload.key, [name])
    else if (!known.includes(name)) known.push(name)
  }
  return names
}

interface DnsText {
  /** JSON of the l7 object. */
  readonly l7: string
  /** End of the summary, already inside a JSON string. */
  readonly summary: string
}

export function dnsQuestion(name: string): DnsText {
  return { l7: `{"type":"REQUEST","dns":{"query":"${name}","observation_source":"proxy","qtypes":["A"]}}`, summary: `${name} A` }
}

/** The Service's address, or no such name where the Service has none of its own in the table (one name in four is also a failed search-path guess). */
export function dnsAnswer(name: string, serviceIps: ReadonlyMap<string, string>): DnsText {
  const ip = serviceIps.get(name.split('.').slice(0, 2).join('.'))
  if (ip === undefined || ip === 'None' || hashText(`nx/${name}`) % 4 === 0) {
    return {
      l7: `{"type":"RESPONSE","latency_ns":"412318","dns":{"query":"${name}","ttl":4294967295,"observation_source":"proxy","rcode":3,"qtypes":["A"]}}`,
      summary: `RCode: Non-Existent Domain TTL: 4294967295 (Proxy ${name} A)`,
    }
  }
  return {
    l7: `{"type":"RESPONSE","latency_ns":"398211","dns":{"query":"${name}","ips":["${ip}"],"ttl":30,"observation_source":"proxy","qtypes":["A"],"rrtypes":["A"]}}`,
    summary: `\\"${ip}\\" TTL: 30 (Proxy ${name} A)`,
  }
}
