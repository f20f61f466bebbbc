/**
 * The principal of a client certificate. The TLS listener asks for one and takes connections with any, so that the answer can say what is wrong with
 * it; here it is refused unless an authority of FLOWFENCE_TLS_CLIENT_CA_FILE issued it, it is valid now, and its identity is mapped to a cluster.
 */
import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { AppError } from '../../core/base/app-error.ts'
import type { IngestClient, Principal } from './principal.ts'

const REASONS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has expired; let the client renew it',
  CERT_NOT_YET_VALID: 'is not valid yet; check the clocks',
  INVALID_PURPOSE: 'may not be used by clients (extended key usage)',
}
const FOREIGN = 'was not issued by an authority in FLOWFENCE_TLS_CLIENT_CA_FILE'

/** The certificate that the other end showed; `undefined` without TLS or without one. */
export function peerCertificate(socket: Socket): X509Certificate | undefined {
  return socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined
}

/** AppError `unauthorized` for a certificate that proves nothing, `forbidden` for one that is not mapped. */
export function certificatePrincipal(socket: Socket, certificate: X509Certificate, clients: readonly IngestClient[]): Principal {
  const { authorized, authorizationError } = socket as TLSSocket
  // Connections outlive certificates: the dates are looked at for every request.
  const now = Date.now()
  const code = now > Date.parse(certificate.validTo) ? 'CERT_HAS_EXPIRED' : now < Date.parse(certificate.validFrom) ? 'CERT_NOT_YET_VALID' : errorCode(authorizationError)
  if (!authorized || REASONS[code] !== undefined) throw new AppError('unauthorized', `The client certificate ${REASONS[code] ?? FOREIGN}.`)
  const identities = identitiesOf(socket as TLSSocket, certificate)
  const found = clients.filter((client) => identities.includes(client.identity))
  const [first] = found
  if (first === undefined) {
    const shown = identities.slice(0, 5).map((identity) => `"${identity.slice(0, 253)}"`).join(', ')
    throw new AppError('forbidden', `No cluster belongs to the client certificate of ${shown === '' ? 'nobody: it has no name' : shown}. Add NAME=CLUSTER to FLOWFENCE_INGEST_CLIENTS.`)
  }
  if (found.some((client) => client.cluster !== first.cluster)) {
    throw new AppError('forbidden', `The client certificate has names of several clusters (${found.map((client) => `${client.identity}=${client.cluster}`).join(', ')}). Map one of them.`)
  }
  return { kind: 'client-certificate', cluster: first.cluster, name: `certificate of ${first.identity}`, isFull: false }
}

/** Node tells the code as text, though its types say otherwise. */
function errorCode(error: unknown): string {
  return typeof error === 'string' ? error : typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''
}

/** Common names, DNS names and URIs, as they are written. */
function identitiesOf(socket: TLSSocket, certificate: X509Certificate): string[] {
  const commonNames: unknown = socket.getPeerCertificate().subject.CN
  const names = Array.isArray(commonNames) ? commonNames.map(String) : typeof commonNames === 'string' ? [commonNames] : []
  return [...new Set([...names, ...alternativeNames(certificate.subjectAltName ?? '')])]
}

/** `DNS:a, URI:spiffe://b`; a name with special characters is written as a JSON text. */
export function alternativeNames(text: string): string[] {
  return [...text.matchAll(/(?:^|, )(DNS|URI):("(?:[^"\\]|\\.)*"|[^,"]*)(?=, |$)/g)].map(([, , name = '']) => (name.startsWith('"') ? String(JSON.parse(name)) : name))
}
