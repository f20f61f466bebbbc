/** The settings of live gRPC streams, part of the table in settings.ts. */
import { clusterName, oneOf, wholeNumber } from './setting-parsers.ts'

/** A stream and the cluster that it is bound to; `undefined`: the service's own. */
export interface StreamAddress {
  readonly address: string
  readonly cluster: string | undefined
}

const NO_STREAMS: readonly StreamAddress[] = []
const asIs = (text: string): string => text

/** Each `address` or `address=cluster`. */
export function streamList(text: string): readonly StreamAddress[] {
  const streams = itemsOf(text).map((item): StreamAddress => {
    const [, address, cluster] = /^(unix:[^=]+|\[[0-9a-fA-F:.]+\]:\d{1,5}|[A-Za-z0-9._-]+:\d{1,5})(?:=(.*))?$/.exec(item) ?? []
    if (address === undefined) {
      throw new Error(`holds "${item}", but must be a comma list of host:port or host:port=cluster, such as hubble-relay.kube-system:443 or relay.eu.example:443=prod-eu.`)
    }
    try {
      return { address, cluster: cluster === undefined ? undefined : clusterName(cluster) }
    } catch (error) {
      throw new Error(`holds "${item}", whose cluster ${error instanceof Error ? error.message : 'is not valid.'}`, { cause: error })
    }
  })
  const twice = streams.find((stream, i) => streams.findIndex((other) => other.address === stream.address) !== i)
  if (twice !== undefined) throw new Error(`holds ${twice.address} twice; each stream is read once and belongs to one cluster.`)
  return streams
}

export function namespaceList(text: string): readonly string[] {
  return itemsOf(text).map((item) => {
    if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(item)) throw new Error(`holds "${item}", but must be a comma list of namespaces, such as shop,payments.`)
    return item
  })
}

/** JSON objects in a list, or one after the other with blanks or commas between them. Only that it is JSON is checked here. */
export function jsonObjects(text: string): readonly unknown[] {
  try {
    const parsed: unknown = JSON.parse(text.startsWith('[') ? text : `[${text.replace(/\}\s*,?\s*\{/g, '},{')}]`)
    if (Array.isArray(parsed)) return parsed as readonly unknown[]
  } catch {
    // Told below.
  }
  throw new Error('must hold Hubble\'s flow filters as JSON, such as {"verdict":["DROPPED"]} or [{"source_pod":["shop/"]},{"destination_pod":["shop/"]}].')
}

function itemsOf(text: string): string[] {
  return text.split(',').map((item) => item.trim()).filter((item) => item !== '')
}

export const LIVE_SETTINGS = {
  hubbleRelays: {
    name: 'FLOWFENCE_HUBBLE_RELAY', parse: streamList, fallback: NO_STREAMS, defaultText: 'none',
    effect: 'Comma list of Hubble Relays to stream flows from, each host:port, or host:port=cluster for another cluster than FLOWFENCE_CLUSTER (docs/sources/hubble-relay.md).',
  },
  hubbleTls: {
    name: 'FLOWFENCE_HUBBLE_RELAY_TLS', parse: oneOf<'on' | 'off'>(['on', 'off']), fallback: 'on', defaultText: 'on',
    effect: 'off reads Hubble Relay in plain text, for relays that serve no TLS.',
  },
  hubbleCaFile: {
    name: 'FLOWFENCE_HUBBLE_RELAY_CA_FILE', parse: asIs, fallback: undefined as string | undefined, defaultText: 'the system\'s authorities',
    effect: 'PEM file of the authority that signed the certificate of Hubble Relay. Read again for each connection, as the next two.',
  },
  hubbleCertFile: {
    name: 'FLOWFENCE_HUBBLE_RELAY_CERT_FILE', parse: asIs, fallback: undefined as string | undefined, defaultText: 'none',
    effect: 'PEM file of the client certificate for relays that ask for one.',
  },
  hubbleKeyFile: {
    name: 'FLOWFENCE_HUBBLE_RELAY_KEY_FILE', parse: asIs, fallback: undefined as string | undefined, defaultText: 'none',
    effect: 'PEM file of the private key of FLOWFENCE_HUBBLE_RELAY_CERT_FILE.',
  },
  hubbleServerName: {
    name: 'FLOWFENCE_HUBBLE_RELAY_SERVER_NAME', parse: asIs, fallback: undefined as string | undefined, defaultText: 'the host of the address',
    effect: 'Name that the certificate of Hubble Relay is for, such as instance.hubble-relay.cilium.io.',
  },
  hubbleNamespaces: {
    name: 'FLOWFENCE_HUBBLE_NAMESPACES', parse: namespaceList, fallback: [] as readonly string[], defaultText: 'all',
    effect: 'Comma list of namespaces: the relay sends only flows of which either end is in one of them.',
  },
  hubbleAllow: {
    name: 'FLOWFENCE_HUBBLE_ALLOWLIST', parse: jsonObjects, fallback: [] as readonly unknown[], defaultText: 'everything',
    effect: 'Hubble\'s flow filters as JSON objects: the relay sends only flows that match one of them, or are of FLOWFENCE_HUBBLE_NAMESPACES.',
  },
  hubbleDeny: {
    name: 'FLOWFENCE_HUBBLE_DENYLIST', parse: jsonObjects, fallback: [] as readonly unknown[], defaultText: 'nothing',
    effect: 'Hubble\'s flow filters as JSON objects: the relay sends no flow that matches one of them.',
  },
  goldmanes: {
    name: 'FLOWFENCE_GOLDMANE', parse: streamList, fallback: NO_STREAMS, defaultText: 'none',
    effect: 'Comma list of Calico Goldmanes to stream flows from, each host:port or host:port=cluster, such as goldmane.calico-system:7443 (docs/sources/goldmane.md).',
  },
  goldmaneTls: {
    name: 'FLOWFENCE_GOLDMANE_TLS', parse: oneOf<'on' | 'off'>(['on', 'off']), fallback: 'on', defaultText: 'on',
    effect: 'off reads Goldmane in plain text, which Calico\'s own does not serve.',
  },
  goldmaneCaFile: {
    name: 'FLOWFENCE_GOLDMANE_CA_FILE', parse: asIs, fallback: undefined as string | undefined, defaultText: 'the system\'s authorities',
    effect: 'PEM file of the authority that signed the certificate of Goldmane. Read again for each connection, as the next two.',
  },
  goldmaneCertFile: {
    name: 'FLOWFENCE_GOLDMANE_CERT_FILE', parse: asIs, fallback: undefined as string | undefined, defaultText: 'none',
    effect: 'PEM file of the client certificate, which Goldmane asks for.',
  },
  goldmaneKeyFile: {
    name: 'FLOWFENCE_GOLDMANE_KEY_FILE', parse: asIs, fallback: undefined as string | undefined, defaultText: 'none',
    effect: 'PEM file of the private key of FLOWFENCE_GOLDMANE_CERT_FILE.',
  },
  goldmaneServerName: {
    name: 'FLOWFENCE_GOLDMANE_SERVER_NAME', parse: asIs, fallback: undefined as string | undefined, defaultText: 'the host of the address',
    effect: 'Name that the certificate of Goldmane is for, where it is reached by another.',
  },
  streamSilenceMs: {
    name: 'FLOWFENCE_STREAM_SILENCE_MS', parse: wholeNumber(5_000, 86_400_000), fallback: 60_000, defaultText: '60000',
    effect: 'A stream that is open and brings nothing for so many milliseconds, though the other side has flows, is noted as a gap and opened again. Shorter: noticed earlier; longer: fewer false alarms of slow relays.',
  },
} as const
