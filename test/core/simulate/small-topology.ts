import { parseTopology } from '../../../src/core/simulate/parse-topology.ts'
import type { Topology } from '../../../src/core/simulate/topology.ts'

type Fields = Record<string, unknown>

const web = { kind: 'Deployment', namespace: 'app', name: 'web' }
const api = { kind: 'Deployment', namespace: 'app', name: 'api' }
const db = { kind: 'StatefulSet', namespace: 'data', name: 'db' }
const report = { kind: 'CronJob', namespace: 'app', name: 'report' }
const agent = { kind: 'DaemonSet', namespace: 'app', name: 'agent' }
const dns = { kind: 'Deployment', namespace: 'kube-system', name: 'coredns' }

const pod = (end: Fields, more: Fields = {}): Fields => ({ ...end, podLabels: { app: end.name }, containers: [{ name: 'main', ports: [] }], ...more })

/** Two Deployments, a StatefulSet, a CronJob, a hostNetwork DaemonSet, DNS, the world, the API server and the kubelet. */
export function smallTopology(): { namespaces: Fields[]; workloads: Fields[]; services: Fields[]; edges: Fields[] } & Fields {
  return {
    namespaces: ['app', 'data', 'kube-system'].map((name) => ({ name, labels: { 'kubernetes.io/metadata.name': name, team: `team-${name}` } })),
    workloads: [
      pod(web, { replicas: 3, podLabels: { app: 'web', 'app.kubernetes.io/version': '1.2.3' } }),
      pod(api, { replicas: 2 }), pod(db), pod(report), pod(agent, { hostNetwork: true }),
      pod(dns, { podLabels: { 'k8s-app': 'kube-dns' } }),
    ],
    services: [
      { name: 'api', namespace: 'app', selector: { app: 'api' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
      { name: 'kube-dns', namespace: 'kube-system', selector: { 'k8s-app': 'kube-dns' }, ports: [{ name: 'dns', port: 53, targetPort: 53, protocol: 'UDP' }] },
    ],
    edges: [
      { id: 'call', from: web, to: { ...api, port: 8080, protocol: 'TCP', via: { service: 'api.app', servicePort: 80, servicePortName: 'http' } } },
      { id: 'store', from: api, to: { ...db, port: 5432, protocol: 'TCP' } },
      { id: 'report', from: report, to: { ...db, port: 5432, protocol: 'TCP' }, schedule: '*/5 * * * *' },
      { id: 'pay', from: api, to: { external: true, fqdn: 'pay.example', port: 443, protocol: 'TCP' } },
      { id: 'visit', from: { external: true, cidr: '0.0.0.0/0' }, to: { ...web, port: 8443, protocol: 'TCP' } },
      { id: 'watch', category: 'kube-apiserver', from: api, to: { special: 'kube-apiserver', port: 6443, protocol: 'TCP' } },
      { id: 'probe', category: 'kubelet-probe', from: { special: 'kubelet' }, to: { ...api, port: 8081, protocol: 'TCP' } },
      { id: 'collect', from: agent, to: { ...api, port: 9100, protocol: 'TCP' } },
      ...[web, api, report].map((from) => ({ id: `dns-${from.name}`, category: 'dns', from, to: { ...dns, port: 53, protocol: 'UDP', via: { service: 'kube-dns.kube-system', servicePort: 53, servicePortName: 'dns' } } })),
    ],
  }
}

export function parsed(document: unknown): Topology {
  const result = parseTopology([document])
  if ('topology' in result) return result.topology
  throw new Error(JSON.stringify(result.problems, null, 2))
}
