/**
 * What went wrong with a gRPC stream, in one sentence for people with the next step, and whether trying again can help. gRPC tells every failed
 * connection as UNAVAILABLE with a text of the TLS library, and a refused client certificate not even with that: `askTls` looks again by itself.
 */
import { connect } from 'node:tls'
import { status } from '@grpc/grpc-js'

/** Names in sentences. */
export interface StreamNames {
  /** Such as `Hubble Relay`. */
  readonly what: string
  readonly address: string
  /** The setting that holds the address; those of TLS begin with it. */
  readonly setting: string
}

export interface StreamFailure {
  /** One sentence, without secrets. */
  readonly text: string
  /** Trying again cannot help, as far as a first attempt can tell. */
  readonly isFinal: boolean
  /** A message is larger than what is taken; all that comes before it was delivered. */
  readonly isTooLarge?: true
}

export interface TlsMaterial {
  /** PEM texts. Without a CA the system's are trusted. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  /** Name that the server's certificate must have, where it is not the address. */
  readonly serverName?: string
}

/** What a call ended with, without classes: errors may come from another realm. */
interface CallError {
  readonly code?: number
  readonly details?: string
}

export async function explainFailure(error: CallError, names: StreamNames, { tls, isFirst }: { tls: TlsMaterial | undefined; isFirst: boolean }): Promise<StreamFailure> {
  const details = error.details ?? ''
  const refusal = refusals(names)[error.code ?? -1]
  if (refusal !== undefined) return { text: refusal(clean(details)), isFinal: true }
  if (error.code === status.RESOURCE_EXHAUSTED && /larger than max/i.test(details)) {
    return { text: `${named(names)} sent a message that is too large (${clean(details)}).`, isFinal: false, isTooLarge: true }
  }
  const known = tlsSentence(details, names)
  if (known !== undefined) return { text: known, isFinal: true }
  // Only while nothing ever worked: later, a restart of the other side looks the same.
  const asked = isFirst && /Failed to connect|Protocol error|ECONNRESET|socket hang up/i.test(details) ? await askTls(names, tls) : undefined
  if (asked !== undefined) return { text: asked, isFinal: true }
  const why = error.code === status.OK ? 'it ended the stream' : clean(details)
  return { text: `${named(names)} cannot be read now: ${why}.`, isFinal: false }
}

function refusals(names: StreamNames): Readonly<Record<number, (details: string) => string>> {
  const { what, setting } = names
  return {
    [status.UNIMPLEMENTED]: (details) => `${named(names)} is none: it does not know the service (${details}). Set ${setting} to the address of ${what} itself.`,
    [status.UNAUTHENTICATED]: (details) => `${named(names)} does not know this client (${details}). Set ${setting}_CERT_FILE and ${setting}_KEY_FILE to a client certificate that it accepts.`,
    [status.PERMISSION_DENIED]: (details) => `${named(names)} refuses this client (${details}). Give the client certificate of ${setting}_CERT_FILE the right to read flows.`,
    [status.INVALID_ARGUMENT]: (details) => `${named(names)} does not take the request (${details}). Check the filters.`,
  }
}

/** Sentences for texts of OpenSSL and Node. */
function tlsSentence(details: string, names: StreamNames): string | undefined {
  const { setting } = names
  if (/unable to verify|self.signed certificate|unable to get (local )?issuer|certificate signature failure/i.test(details)) {
    return `The certificate of ${named(names)} is signed by an authority that is not trusted here. Set ${setting}_CA_FILE to the certificate of that authority.`
  }
  if (/certificate has expired/i.test(details)) return `The certificate of ${named(names)} has expired. Renew it there.`
  if (/certificate is not yet valid/i.test(details)) return `The certificate of ${named(names)} is not valid yet. Check the clocks of both sides.`
  if (/ERR_TLS_CERT_ALTNAME_INVALID|does not match certificate's altnames/i.test(details)) {
    return `The certificate of ${named(names)} is for another name. Set ${setting}_SERVER_NAME to a name that it has.`
  }
  if (/wrong version number|packet length too long|http request/i.test(details)) {
    return `${named(names)} does not speak TLS. Set ${setting}_TLS=off to read it in plain text, or use the port that speaks TLS.`
  }
  if (/alert certificate required|alert handshake failure|certificate_required/i.test(details)) {
    return `${named(names)} asks for a client certificate. Set ${setting}_CERT_FILE and ${setting}_KEY_FILE.`
  }
  if (/alert (bad certificate|unknown ca|certificate unknown|certificate expired|certificate revoked|unsupported certificate|access denied|decrypt error)/i.test(details)) {
    return refusedClient(names)
  }
  return undefined
}

function refusedClient(names: StreamNames): string {
  return `${named(names)} does not accept the client certificate. Set ${names.setting}_CERT_FILE to one of an authority that it trusts.`
}

function named({ what, address }: StreamNames): string {
  return `${what} at ${address}`
}

/** How long a server has to refuse a client certificate after the handshake, which TLS 1.3 lets it do only then. */
const SECOND_LOOK_MS = 2_000

/**
 * Opens one TLS connection as gRPC does and listens to what the server says before it hangs up. In plain text it finds out whether the server wants
 * TLS. `undefined` when that tells nothing.
 */
function askTls(names: StreamNames, tls: TlsMaterial | undefined): Promise<string | undefined> {
  const { host, port } = splitAddress(names.address) ?? {}
  if (host === undefined || port === undefined) return Promise.resolve(undefined)
  return new Promise((done) => {
    const finish = (text: string | undefined): void => {
      clearTimeout(timer)
      socket.destroy()
      done(text)
    }
    // Nothing is sent over it: without our material, anybody's certificate will do to learn that there is TLS.
    const socket = connect({
      host, port, ALPNProtocols: ['h2'], ...(tls === undefined ? { rejectUnauthorized: false } : { ca: tls.ca, cert: tls.cert, key: tls.key }),
      ...(serverNameOf(host, tls) !== undefined && { servername: serverNameOf(host, tls) }),
    })
    const timer = setTimeout(() => finish(undefined), SECOND_LOOK_MS)
    let isSecure = false
    socket.on('secureConnect', () => {
      isSecure = true
      if (tls === undefined) finish(`${named(names)} speaks TLS, but ${names.setting}_TLS is off. Leave ${names.setting}_TLS unset.`)
      else socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0')
    })
    let isGreeted = false
    socket.on('data', () => {
      isGreeted = true
      finish(undefined)
    })
    // Some servers say it with an alert, others hang up after the handshake, before the greeting that HTTP/2 wants of them.
    const hungUp = (): void => finish(isSecure && !isGreeted && tls?.cert !== undefined ? refusedClient(names) : undefined)
    socket.on('error', (error: Error) => {
      const known = tls === undefined ? undefined : tlsSentence(error.message, names)
      if (known === undefined) hungUp()
      else finish(known)
    })
    socket.on('close', hungUp)
  })
}

function serverNameOf(host: string, tls: TlsMaterial | undefined): string | undefined {
  return tls?.serverName ?? (/^[\d.]+$|:/.test(host) ? undefined : host)
}

/** `host:port` or `[v6]:port`; `undefined` for anything else. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } | undefined {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(address)
  const host = parts?.[1] ?? parts?.[2]
  const port = Number(parts?.[3])
  return host !== undefined && port >= 1 && port <= 65_535 ? { host, port } : undefined
}

/** gRPC's text without its frame, times and places in OpenSSL's code. */
function clean(details: string): string {
  const inner = /^No connection established\. Last error: (.*?)\.? Resolution note:/s.exec(details)?.[1] ?? details
  const text = inner.replace(/[0-9A-F]{8,}:error:[0-9A-F]+:/g, '').replace(/:\.\.\/\S*/g, '').replace(/ \(\d{4}-\d\d-\d\dT[\d:.]+Z\)/g, '').replace(/\bError: /g, '')
  return text.replace(/\s+/g, ' ').trim().replace(/\.$/, '').slice(0, 300) || 'no reason given'
}
