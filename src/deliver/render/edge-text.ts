import type { EdgeView, EndView } from '../../core/flow/edge-view.ts'

const CLASS_TEXT: Readonly<Record<EndView['kind'], string>> = {
  pod: 'pod', node: 'another node', host: 'its own node', external: 'outside', 'kube-apiserver': 'Kubernetes API server', ingress: 'CNI ingress proxy',
  health: 'CNI health check', networkset: 'network set', unknown: 'unknown workload',
}

/** One end for people: `shop/web (Deployment)`, `outside 203.0.113.7`, `Kubernetes API server`. Raw: the table or caller escapes. */
export function endText(end: EndView): string {
  if (end.kind !== 'pod') return [CLASS_TEXT[end.kind], end.name, end.cidr?.replace(/\/(32|128)$/, '')].filter((part) => part !== undefined).join(' ')
  const { workload, namespace = '' } = end
  if (workload !== undefined) return `${namespace}/${workload.name} (${workload.kind})`
  if (end.name !== undefined) return `${namespace}/${end.name}`
  return `${namespace}/{${Object.entries(end.labels ?? {}).map(([k, v]) => `${k}=${v}`).join(', ')}}`
}

export function portText(edge: Pick<EdgeView, 'port' | 'protocol'>): string {
  return edge.port === null ? `${edge.protocol} (port unknown)` : `${edge.port}/${edge.protocol}`
}

/** `1 edge`, `2 edges`. */
export function countText(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}
