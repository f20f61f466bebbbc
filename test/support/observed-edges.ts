import type { EndKind, LabelQuality, Labels } from '../../src/core/flow/end.ts'
import { createIdentity } from '../../src/core/flow/identity.ts'
import type { Identity } from '../../src/core/flow/identity.ts'
import type { ObservedEdge, Sighting } from '../../src/core/flow/edge.ts'
import { ORIENTATION_BITS } from '../../src/core/flow/edge.ts'
import type { ObservedVerdict, Orientation, Protocol, Side } from '../../src/core/flow/flow-record.ts'

/** A pod identity from `ns/name` and labels; kind Deployment unless `ns/name:Kind`. */
export function pod(place: string, labels: Labels = {}, quality: LabelQuality = 'full'): Identity {
  const [namespace = '', rest = ''] = place.split('/')
  const [name = '', kind = 'Deployment'] = rest.split(':')
  return createIdentity({
    kind: 'pod', cluster: 'default', namespace, labels, namespaceLabels: {}, labelQuality: quality,
    workload: name === '' ? null : { kind, name }, workloadEvidence: name === '' ? 'none' : 'record', name: '',
  })
}

/** An end that is no pod. */
export function classEnd(kind: EndKind): Identity {
  return createIdentity({
    kind, cluster: 'default', namespace: '', labels: {}, namespaceLabels: {}, labelQuality: 'none', workload: null, workloadEvidence: 'none', name: '',
  })
}

export interface EdgeOptions {
  readonly fromPort?: number
  readonly orientation?: Orientation
  /** `client:allowed server:denied` */
  readonly seen?: string
  /** Outside addresses. */
  readonly ips?: readonly string[]
}

/** An observed edge to `port/proto`, e.g. `edge(web, db, '5432/TCP')`. */
export function edge(from: Identity, to: Identity, portText: string, options: EdgeOptions = {}): ObservedEdge {
  const [port = '0', protocol = 'TCP'] = portText.split('/')
  const sightings = (options.seen ?? 'client:allowed server:allowed').split(' ').map((text): Sighting => {
    const [side, verdict] = text.split(':')
    return { side: side as Side, verdict: verdict as ObservedVerdict, flows: 1, firstAtUs: 1_000_000, lastAtUs: 2_000_000 }
  })
  return {
    from, to, protocol: protocol as Protocol, port: Number(port), fromPort: options.fromPort ?? 0,
    evidence: options.fromPort === undefined ? ORIENTATION_BITS[options.orientation ?? 'verdict-event'] : 0,
    sightings, externals: (options.ips ?? []).flatMap((ip) => sightings.map((s) => ({ ...s, ip }))), manyExternals: false,
  }
}
