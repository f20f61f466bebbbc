import type { ClusterSnapshot } from '../cluster/snapshot.ts'
import { parseAddress } from '../sets/address.ts'
import { AddressSet, parseCidr } from '../sets/cidr.ts'
import type { AddressProblem } from './accept.ts'

/**
 * Says why an outside address must not become an ipBlock (T8, T9, T15): it lies where pods live, it is a Service's
 * address, it is a node's, or nobody can tell whether it is. `podNetworks` are the networks in which pods were observed, as CIDR text.
 */
export function compileAddressProblem(podNetworks: readonly string[], snapshot?: ClusterSnapshot): AddressProblem {
  const pods = AddressSet.fromCidrs([...podNetworks.flatMap((text) => parseCidr(text) ?? []), ...(snapshot?.nodes ?? []).flatMap((n) => n.podCidrs)])
    .union(AddressSet.fromAddresses((snapshot?.pods ?? []).filter((p) => !p.hostNetwork).flatMap((p) => p.ips)))
  const services = AddressSet.fromAddresses((snapshot?.services ?? []).flatMap((s) => s.clusterIps))
  const nodes = AddressSet.fromAddresses((snapshot?.nodes ?? []).flatMap((n) => n.addresses))
  const knowsNodes = !nodes.isEmpty
  return (ip, isUnverified) => {
    const address = parseAddress(ip)
    if (address === undefined || pods.has(address)) return 'may-be-pod'
    if (services.has(address)) return 'unknown-workload'
    if (nodes.has(address)) return 'needs-node-cidr'
    return isUnverified && !knowsNodes ? 'may-be-node' : undefined
  }
}
