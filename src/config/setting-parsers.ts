import { Secret } from './secret.ts'

/** Reads the text of one variable. Throws an Error whose message completes "NAME …"; it never repeats a secret. */
export type Parse<T> = (text: string) => T

export function oneOf<T extends string>(values: readonly T[]): Parse<T> {
  return (text) => {
    const value = values.find((v) => v === text.toLowerCase())
    if (value === undefined) throw new Error(`is "${text}", but must be one of ${values.join(', ')}.`)
    return value
  }
}

export function wholeNumber(min: number, max: number): Parse<number> {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN
    if (!(value >= min && value <= max)) throw new Error(`is "${text}", but must be a whole number from ${min} to ${max}.`)
    return value
  }
}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 }

/** `33554432`, `512KiB`, `32MiB`, `1GiB` (also `K`, `M`, `G`). */
export function byteSize(min: number, max: number): Parse<number> {
  return (text) => {
    const m = /^(\d{1,12})\s*([kmg]?)(?:i?b)?$/i.exec(text)
    const value = m === null ? NaN : Number(m[1]) * (UNITS[(m[2] ?? '').toLowerCase()] ?? NaN)
    if (!(value >= min && value <= max)) throw new Error(`is "${text}", but must be a size from ${min} to ${max} bytes, such as 32MiB.`)
    return value
  }
}

const CLUSTER_NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/
const KEY = /^[\x21-\x7e]{8,512}$/

/** The name of a cluster: letters, digits, `.`, `_` and `-`, at most 253 characters. */
export function clusterName(text: string): string {
  if (!CLUSTER_NAME.test(text)) {
    throw new Error(`is "${text}", but a cluster name has letters, digits, ".", "_" and "-", begins and ends with a letter or digit, and has at most 253 characters.`)
  }
  return text
}

export function hostName(text: string): string {
  if (!/^[A-Za-z0-9.:_-]+$/.test(text)) throw new Error(`is "${text}", but must be an address or host name to listen on, such as 127.0.0.1, ::1 or 0.0.0.0.`)
  return text
}

/** Only the shape is checked here; core/sets parses the networks. */
export function cidrList(text: string): readonly string[] {
  const items = text.split(',').map((item) => item.trim()).filter((item) => item !== '')
  for (const item of items) {
    if (!/^[0-9a-fA-F:.]+\/\d{1,3}$/.test(item)) throw new Error(`holds "${item}", but must be a comma list of networks, such as 10.244.0.0/16,fd00:10:244::/56.`)
  }
  return items
}

/** Each `namespace` or `namespace/workload`, by the names that Kubernetes accepts. */
export function workloadList(text: string): readonly string[] {
  const items = text.split(',').map((item) => item.trim()).filter((item) => item !== '')
  for (const item of items) {
    if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$/.test(item)) {
      throw new Error(`holds "${item}", but must be a comma list of workloads as namespace or namespace/workload, such as logging,kafka/broker.`)
    }
  }
  return items
}

export function databaseUrl(text: string): Secret {
  const problem = 'must look like postgres://user:password@host:5432/database. (Its value is not shown, because it may hold a password.)'
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw new Error(problem)
  }
  if (url.protocol !== 'postgres:' && url.protocol !== 'postgresql:') throw new Error(problem)
  return new Secret(text)
}

export function apiKey(text: string): Secret {
  if (!KEY.test(text)) {
    throw new Error('must have 8 to 512 printable ASCII characters without spaces (32 random ones are good: "openssl rand -hex 16"). Its value is not shown.')
  }
  return new Secret(text)
}

/** Each `cluster=key`; a cluster may have several keys, so that one can be replaced while both are in use. */
export function ingestKeyList(text: string): readonly { readonly cluster: string; readonly key: Secret }[] {
  return listItems(text).map((item) => {
    const at = item.indexOf('=')
    const [cluster, key] = [item.slice(0, at), item.slice(at + 1)]
    if (at < 1 || !CLUSTER_NAME.test(cluster) || !KEY.test(key)) {
      throw new Error('must be a comma list of cluster=key, such as prod=KEY1,staging=KEY2; each key has 8 to 512 printable ASCII characters without spaces and commas. Its value is not shown.')
    }
    return { cluster, key: new Secret(key) }
  })
}

/** Each `identity=cluster`; the identity may hold `=` itself. */
export function ingestClientList(text: string): readonly { readonly identity: string; readonly cluster: string }[] {
  return listItems(text).map((item) => {
    const at = item.lastIndexOf('=')
    const [identity, cluster] = [item.slice(0, Math.max(0, at)).trim(), item.slice(at + 1).trim()]
    if (identity === '' || !CLUSTER_NAME.test(cluster)) {
      throw new Error(`holds "${item}", but must be a comma list of identity=cluster, such as goldmane=prod,spiffe://example.org/emitter=staging.`)
    }
    return { identity, cluster }
  })
}

function listItems(text: string): string[] {
  return text.split(',').map((item) => item.trim()).filter((item) => item !== '')
}

/** What logs call a cluster, and its name here. */
export interface ClusterAlias {
  readonly alias: string
  readonly cluster: string
}

/** Each `name=cluster`. */
export function aliasList(text: string): readonly ClusterAlias[] {
  return text.split(',').map((item) => item.trim()).filter((item) => item !== '').map((item) => {
    const [alias = '', cluster = '', ...rest] = item.split('=').map((part) => part.trim())
    if (alias === '' || cluster === '' || rest.length > 0) throw new Error(`holds "${item}", but must be a comma list of names in logs and clusters, such as gke_prod_eu=prod,minikube=dev.`)
    return { alias, cluster: clusterName(cluster) }
  })
}
