import type { ClusterSnapshot } from '../cluster/snapshot.ts'
import { parseAddress } from '../sets/address.ts'
import { AddressSet, parseCidr } from '../sets/cidr.ts'
import type { AcceptOptions } from './accept.ts'

/**
 * Says why an outside address must not become an ipBlock (T8, T9, T15): it lies where pods live, it is a Service's
 * address, or it is a node's. `podNetworks` are the networks in which pods were observed, as CIDR text.
 */
export function compileAddressProblem(podNetworks: readonly string[], snapshot?: ClusterSnapshot): AcceptOptions['addressProblem'] {
  const pods = AddressSet.fromCidrs([...podNetworks.flatMap((text) => parseCidr(text) ?? []), ...(snapshot?.nodes ?? []).flatMap((n) => n.podCidrs)])
    .union(AddressSet.fromAddresses((snapshot?.pods ?? []).filter((p) => !p.hostNetwork).flatMap((p) => p.ips)))
  const services = AddressSet.fromAddresses((snapshot?.services ?? []).flatMap((s) => s.clusterIps))
  const nodes = AddressSet.fromAddresses((snapshot?.nodes ?? []).flatMap((n) => n.addresses))
  return (ip) => {
    const address = parseAddress(ip)
    if (address === undefined || pods.has(address)) return 'may-be-pod'
    if (services.has(address)) return 'unknown-workload'
    return nodes.has(address) ? 'needs-node-cidr' : undefined
  }
}
