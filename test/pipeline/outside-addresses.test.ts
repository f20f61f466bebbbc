import { describe, expect, test } from '@jest/globals'
import { recommend } from '../../src/pipeline/recommend.ts'
import { observeLines } from '../support/observe.ts'
import { reviewOf } from '../support/recommend.ts'

/** A pod at 10.244.1.5 or, without name, something at `ip`. */
interface End { readonly ip: string; readonly name?: string }
type Write = (from: End, to: End) => object

const TIME = '2026-01-02T03:04:05Z'
const SECOND = 1_767_323_045

/** One allowed connection to port 443 in the shape of each format that has addresses beside pod names. */
const FORMATS: Readonly<Record<string, Write>> = {
  hubble: (from, to) => {
    const end = ({ name }: End): object => (name === undefined ? { identity: 2, labels: ['reserved:world'] } : { namespace: 'shop', pod_name: `${name}-0`, labels: [`k8s:app=${name}`] })
    return {
      flow: {
        time: TIME, verdict: 'FORWARDED', IP: { source: from.ip, destination: to.ip }, l4: { TCP: { source_port: 40_000, destination_port: 443, flags: { SYN: true } } },
        source: end(from), destination: end(to), Type: 'L3_L4', node_name: 'n', event_type: { type: 4 }, traffic_direction: 'EGRESS',
      },
    }
  },
  'calico-enterprise': (from, to) => {
    const end = (side: string, { name, ip }: End): object => (name === undefined
      ? { [`${side}_ip`]: ip, [`${side}_name`]: '-', [`${side}_name_aggr`]: 'pvt', [`${side}_namespace`]: '-', [`${side}_type`]: 'net' }
      : { [`${side}_ip`]: ip, [`${side}_name`]: `${name}-0`, [`${side}_name_aggr`]: `${name}-*`, [`${side}_namespace`]: 'shop', [`${side}_type`]: 'wep', [`${side}_labels`]: { labels: [`app=${name}`] } })
    return { start_time: SECOND, end_time: SECOND, ...end('source', from), ...end('dest', to), dest_port: 443, proto: 'tcp', action: 'allow', reporter: 'src', num_flows: 1 }
  },
  netobserv: (from, to) => {
    const end = (side: string, { name, ip }: End): object => ({ [`${side}Addr`]: ip, ...(name === undefined ? {} : {
      [`${side}K8S_Name`]: `${name}-0`, [`${side}K8S_Namespace`]: 'shop', [`${side}K8S_Type`]: 'Pod', [`${side}K8S_OwnerName`]: name, [`${side}K8S_OwnerType`]: 'StatefulSet' }) })
    return { ...end('Src', from), ...end('Dst', to), SrcPort: 40_000, DstPort: 443, Proto: 6, Flags: 2, FlowDirection: 1, Bytes: 60, Packets: 1, TimeFlowStartMs: SECOND * 1000, TimeFlowEndMs: SECOND * 1000 }
  },
  antrea: (from, to) => {
    const end = (side: string, { name, ip }: End): object => ({ [`${side}IP`]: ip, [`${side}PodName`]: name === undefined ? '' : `${name}-0`, [`${side}PodNamespace`]: name === undefined ? '' : 'shop',
      [`${side}PodLabels`]: name === undefined ? '' : JSON.stringify({ app: name }) })
    return {
      flowStartSeconds: TIME, flowEndSeconds: TIME, ...end('source', from), ...end('destination', to), sourceTransportPort: 40_000, destinationTransportPort: 443, protocolIdentifier: 6,
      flowType: to.name === undefined ? 3 : 1, egressNetworkPolicyRuleAction: 1,
    }
  },
  gke: (from, to) => {
    const end = ({ name, ip }: End): object => (name === undefined ? { instance: ip } : { pod_name: `${name}-0`, pod_namespace: 'shop', workload_kind: 'StatefulSet', workload_name: name })
    return {
      connection: { src_ip: from.ip, dest_ip: to.ip, src_port: 40_000, dest_port: 443, protocol: 'tcp', direction: 'egress' }, disposition: 'allow', src: end(from), dest: end(to), timestamp: TIME,
    }
  },
  'aws-vpc-cni': (from, to) => ({ ts: TIME, msg: `Flow Info: Src IP: ${from.ip} Src Port: 40000 Dest IP: ${to.ip} Dest Port: 443 Proto TCP Verdict ACCEPT Direction egress` }),
}

describe('an address without a pod, in a network where pods were seen', () => {
  test.each(Object.entries(FORMATS))('is held back and never a rule: %s', (format, write) => {
    const web = { ip: '10.244.1.5', name: 'web' }
    const lines = [write(web, { ip: '10.244.1.6', name: 'db' }), write(web, { ip: '10.244.1.77' })].map((line) => JSON.stringify(line))
    const observed = observeLines(lines)
    expect(observed.edges).not.toEqual([])
    const document = recommend(observed, { cluster: 'default' })
    expect(JSON.stringify(document.policies)).not.toContain('10.244.1.77')
    // Without cluster state AWS' log has no pods, and so nobody to make a policy for.
    if (format === 'aws-vpc-cni') expect(observed.edges.map((e) => [e.from.kind, e.to.kind])).toEqual([['unknown', 'unknown']])
    else expect(reviewOf(document).map((item) => item.split(' ')[0])).toContain('may-be-pod')
  })
})
