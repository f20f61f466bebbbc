/**
 *  queries + cluster state ─► ends ─► evaluate ─► verdict and explanation per query
 *
 * Answers "would this connection be allowed?" for concrete pods and addresses. Nothing is guessed: a pod that is not in the
 * cluster state leaves that query uncertain, with the problem told; the others are answered.
 */
import type { ClusterSnapshot, SnapshotPod } from '../core/cluster/snapshot.ts'
import { compilePolicies } from '../core/evaluate/compile.ts'
import type { CompiledPolicies } from '../core/evaluate/compile.ts'
import type { EvalEnd } from '../core/evaluate/eval-end.ts'
import { evaluateConnection } from '../core/evaluate/evaluate-connection.ts'
import { explainText } from '../core/evaluate/explain.ts'
import type { SideResult } from '../core/evaluate/verdict.ts'
import { PROTOCOLS } from '../core/flow/flow-record.ts'
import type { Protocol } from '../core/flow/flow-record.ts'
import type { NetworkPolicy } from '../core/policy/network-policy.ts'
import { parseAddress } from '../core/sets/address.ts'
import type { Address } from '../core/sets/address.ts'

/** One answered query: the query itself plus verdict and explanation (CONTRACTS `eval`). */
export interface EvalResult {
  readonly from: string
  readonly to: string
  readonly port: number | string
  readonly protocol: Protocol
  readonly verdict: 'allowed' | 'denied' | 'uncertain'
  readonly explanation: { readonly egress: SideResult; readonly ingress: SideResult; readonly text: string }
}

export interface QueryProblem {
  /** Zero-based position in the input array. */
  readonly index: number
  readonly message: string
}

export interface EvalOptions {
  readonly policies: readonly NetworkPolicy[]
  readonly snapshot: ClusterSnapshot
}

interface Query {
  readonly from: string
  readonly to: string
  readonly port: number | string
  readonly protocol: Protocol
}

/** `queries` is the parsed JSON input; anything malformed becomes a problem that names the entry and the field. */
export function evaluateQueries(queries: unknown, options: EvalOptions): { results: EvalResult[]; problems: QueryProblem[] } {
  if (!Array.isArray(queries)) return { results: [], problems: [{ index: 0, message: 'The input must be a JSON array of {"from", "to", "port", "protocol"} objects.' }] }
  const compiled = compilePolicies(options.policies)
  const problems: QueryProblem[] = []
  const results = queries.map((input: unknown, index): EvalResult => {
    const answer = answerQuery(input, compiled, options.snapshot)
    if (typeof answer !== 'string') return answer
    problems.push({ index, message: answer })
    return unanswered(input, answer)
  })
  return { results, problems }
}

function answerQuery(input: unknown, compiled: CompiledPolicies, snapshot: ClusterSnapshot): EvalResult | string {
  const query = parseQuery(input)
  if (typeof query === 'string') return query
  const from = findEnd(query.from, snapshot)
  const to = findEnd(query.to, snapshot)
  if (typeof from === 'string') return `from: ${from}`
  if (typeof to === 'string') return `to: ${to}`
  const port = resolvePort(query, to.end)
  if (typeof port === 'string') return `port: ${port}`
  const isSameEndpoint = from.pod !== undefined && from.pod === to.pod
  const isOwnNode = to.pod !== undefined && isNodeOf(from, to.pod, snapshot)
  const verdict = evaluateConnection(compiled, { from: from.end, to: to.end, protocol: query.protocol, port, isSameEndpoint, isOwnNode })
  return { ...query, verdict: verdict.verdict, explanation: { egress: verdict.egress, ingress: verdict.ingress, text: explainText(verdict) } }
}

/** The entry as it was given, uncertain, with what is wrong with it: the answer has an entry for every query. */
function unanswered(input: unknown, message: string): EvalResult {
  const given = (input !== null && typeof input === 'object' ? input : {}) as Partial<EvalResult>
  const side: SideResult = { verdict: 'uncertain', selectedBy: [], maybeSelectedBy: [], missing: [message] }
  return { from: '', to: '', port: 0, protocol: 'TCP', ...given, verdict: 'uncertain', explanation: { egress: side, ingress: side, text: `Not answered: ${message}` } }
}

function parseQuery(input: unknown): Query | string {
  if (input === null || typeof input !== 'object') return 'must be an object with "from", "to" and "port".'
  const { from, to, port, protocol = 'TCP' } = input as Record<string, unknown>
  if (typeof from !== 'string') return 'field "from" must be "namespace/pod" or an address.'
  if (typeof to !== 'string') return 'field "to" must be "namespace/pod" or an address.'
  if (typeof port !== 'number' && typeof port !== 'string') return 'field "port" must be a port number or a named port.'
  if (typeof port === 'number' && (!Number.isInteger(port) || port < 1 || port > 65_535)) return `field "port" must be 1 to 65535, not ${port}.`
  const upper = typeof protocol === 'string' ? protocol.toUpperCase() : ''
  const known = PROTOCOLS.find((p) => p === upper)
  if (known === undefined) return `field "protocol" must be TCP, UDP or SCTP, not ${JSON.stringify(protocol)}.`
  return { from, to, port, protocol: known }
}

interface FoundEnd {
  readonly end: EvalEnd
  readonly pod: SnapshotPod | undefined
}

function findEnd(text: string, snapshot: ClusterSnapshot): FoundEnd | string {
  const address = parseAddress(text)
  if (address !== undefined) return findAddress(address, snapshot)
  const slash = text.indexOf('/')
  if (slash < 1) return `${JSON.stringify(text)} is neither "namespace/pod" nor an address.`
  const pod = snapshot.pods.find((p) => p.namespace === text.slice(0, slash) && p.name === text.slice(slash + 1))
  if (pod === undefined) return `no running pod ${JSON.stringify(text)} in the cluster state; give the folder that holds it with --cluster-state.`
  return { end: podEnd(pod, snapshot), pod }
}

function podEnd(pod: SnapshotPod, snapshot: ClusterSnapshot): EvalEnd {
  const namespace = snapshot.namespaces.get(pod.namespace)
  return {
    kind: 'pod', namespace: pod.namespace, labels: pod.labels, labelsComplete: () => true,
    namespaceLabels: namespace?.labels ?? {}, namespaceLabelsComplete: namespace?.isComplete ?? false,
    ips: pod.ips, hostNetwork: pod.hostNetwork, display: `${pod.namespace}/${pod.name}`,
    namedPorts: pod.ports.flatMap((p) => (p.name === undefined ? [] : [{ name: p.name, port: p.containerPort, protocol: p.protocol }])),
  }
}

/** An address that a pod of the snapshot has is that pod's; one that pods share with their node is the node's. */
function findAddress(address: Address, snapshot: ClusterSnapshot): FoundEnd {
  const pod = snapshot.pods.find((p) => !p.hostNetwork && hasAddress(p.ips, address))
  if (pod !== undefined) return { end: podEnd(pod, snapshot), pod }
  return {
    pod: undefined,
    end: {
      kind: 'external', namespace: '', labels: {}, labelsComplete: () => true, namespaceLabels: {}, namespaceLabelsComplete: true,
      ips: [address], namedPorts: [], hostNetwork: false, display: address.text,
    },
  }
}

function hasAddress(addresses: readonly Address[], address: Address): boolean {
  return addresses.some((a) => a.text === address.text)
}

function resolvePort(query: Query, to: EvalEnd): number | string {
  if (typeof query.port === 'number') return query.port
  const named = to.namedPorts?.find((p) => p.name === query.port && p.protocol === query.protocol)
  return named?.port ?? `${to.display} declares no ${query.protocol} port named ${JSON.stringify(query.port)}.`
}

/** Does it come from the node on which the pod runs: a pod on that node's network, or an address of the node? */
function isNodeOf(from: FoundEnd, pod: SnapshotPod, snapshot: ClusterSnapshot): boolean {
  if (pod.nodeName === '') return false
  if (from.pod !== undefined) return from.pod.hostNetwork && from.pod.nodeName === pod.nodeName
  const node = snapshot.nodes.find((n) => n.name === pod.nodeName)
  const sharing = snapshot.pods.filter((p) => p.hostNetwork && p.nodeName === pod.nodeName)
  const addresses = [...(node?.addresses ?? []), ...sharing.flatMap((p) => p.ips)]
  return from.end.ips.some((ip) => hasAddress(addresses, ip))
}
