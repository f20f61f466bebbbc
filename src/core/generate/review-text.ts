import type { ReviewCode } from './recommendation.ts'

/** What each review code means and what to do next, for people. */
const TEXTS: Readonly<Record<ReviewCode, string>> = {
  'only-denied': 'Every sighting was denied by a policy; it is not evidence of wanted traffic. Accept it by hand if it should work.',
  'only-errors': 'It never worked: dropped for another reason than policy. Look at the drop reason before allowing it.',
  'unknown-workload': 'One end looks like a pod or a service address but could not be named (a terminated pod, or labels missing from the log). Give cluster state with --cluster-state.',
  unoriented: 'No record proves which end opened the connection, so no port is known to be the server\'s.',
  'no-port': 'The server\'s pod port is not in the log (address translation or aggregation hid it).',
  'needs-node-cidr': 'The peer is a node; a policy needs the node network\'s CIDR, never a single node\'s address. Until then the policies deny this traffic.',
  'needs-apiserver-cidr': 'The peer is the Kubernetes API server; a policy needs its address range and port. Until then the policies deny this traffic.',
  'needs-network-set': 'The peer is a Calico network set; a policy needs its CIDRs.',
  'needs-address': 'The log left out the outside address (aggregation); lower the aggregation level or name a CIDR.',
  'too-many-addresses': 'More outside addresses than are kept one by one; name the CIDR that this workload may talk to.',
  'may-be-node': 'A private address, in a log that cannot tell a node from the outside (kubelet probes look like this). Give cluster state with --cluster-state so that nodes are known.',
  'may-be-pod': 'The address lies in a network where pods live: probably a terminated pod, so an ipBlock would be wrong.',
  'metadata-address': 'The peer is the cloud\'s instance metadata, which hands out the node\'s credentials to whoever reaches it. Allow it by hand, and only for workloads that have no identity of their own.',
  'peer-not-selectable': 'No label selector picks exactly this peer among the pods of its namespace. Where the log gives no labels (NetObserv, GKE, AWS), give cluster state with --cluster-state; else give its pod template a label of its own.',
  'invalid-namespace': 'The namespace of the peer is not a name Kubernetes accepts, so no rule can name it. Look at where the log comes from: it is damaged, or somebody made it up.',
  'foreign-cluster': 'The peer is a pod of another cluster; a NetworkPolicy cannot select it.',
  'no-evidence': 'No traffic that a rule can be made of was seen in this direction. Silence is no proof that nothing is needed, so the direction stays open and the namespace\'s default-deny for it is withheld.',
}

export function reviewText(code: ReviewCode): string {
  return TEXTS[code]
}
