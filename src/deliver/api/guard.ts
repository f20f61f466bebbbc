/**
 * Who may talk to the service, and as whom.
 *
 * A presented key decides: the full key may do everything, an ingest key may push flows of its cluster. Without a key, a client certificate on the TLS
 * listener may push flows of the cluster it is mapped to. Without either, and only when the service has no full key: it listens on loopback only, and
 * a web page in the user's browser must not reach it either, so the Host header must name this machine (against DNS rebinding) and a foreign Origin is
 * refused. `/livez` and `/readyz` are open where there is a key: they tell nothing but up or not.
 */
import type { Request, RequestHandler } from 'express'
import { AppError } from '../../core/base/app-error.ts'
import type { Events, RefusalReason } from '../../observe/events.ts'
import { certificatePrincipal, peerCertificate } from './client-certificate.ts'
import { keyMatcher, setPrincipal } from './principal.ts'
import type { Access, Principal } from './principal.ts'

const OPEN_PATHS = new Set(['/livez', '/readyz'])

export interface GuardOptions {
  readonly access: Access
  /** Paths that credentials for ingest may use. */
  readonly ingestPaths: ReadonlySet<string>
  readonly events: Events
}

export function guard({ access, ingestPaths, events }: GuardOptions): RequestHandler {
  const identify = identifier(access, events)
  return (req, res, next) => {
    const principal = identify(req)
    if (principal !== undefined) {
      if (!principal.isFull && !ingestPaths.has(req.path)) {
        throw refused(events, 'scope', 'forbidden', `This credential (${principal.name}) may push flows and nothing else. Present FLOWFENCE_API_KEY for anything else.`)
      }
      setPrincipal(res, principal)
    }
    next()
  }
}

/** `undefined` for open paths without a credential. */
function identifier(access: Access, events: Events): (req: Request) => Principal | undefined {
  const { apiKey, ingestKeys, clients, cluster } = access
  const match = keyMatcher(access)
  const hasKeys = apiKey !== undefined || ingestKeys.length > 0
  return (req) => {
    if (apiKey !== undefined && OPEN_PATHS.has(req.path)) return undefined
    const presented = hasKeys ? presentedKey(req) : undefined
    if (presented !== undefined) {
      const principal = match(presented)
      if (principal === undefined) throw refused(events, 'key', 'unauthorized', 'The presented key is not a key of this service.')
      return principal
    }
    const certificate = clients.length > 0 ? peerCertificate(req.socket) : undefined
    if (certificate !== undefined) return byCertificate(() => certificatePrincipal(req.socket, certificate, clients), events)
    if (apiKey !== undefined) {
      const orCertificate = clients.length > 0 ? ' To push flows, a client certificate on the TLS listener will do.' : ''
      throw refused(events, 'key', 'unauthorized', `Present the key of this service: "Authorization: Bearer KEY" or "X-API-Key: KEY".${orCertificate}`)
    }
    checkLoopback(req, events)
    return { kind: 'local', cluster, name: 'local', isFull: true }
  }
}

function byCertificate(find: () => Principal, events: Events): Principal {
  try {
    return find()
  } catch (error) {
    events.requestRefused({ reason: error instanceof AppError && error.code === 'forbidden' ? 'client-not-mapped' : 'client-certificate' })
    throw error
  }
}

function refused(events: Events, reason: RefusalReason, code: 'unauthorized' | 'forbidden', message: string): AppError {
  events.requestRefused({ reason })
  return new AppError(code, message)
}

function presentedKey(req: Request): string | undefined {
  const authorization = req.get('authorization')
  const bearer = authorization === undefined ? null : /^Bearer +(\S+) *$/i.exec(authorization)
  return bearer?.[1] ?? req.get('x-api-key')
}

function checkLoopback(req: Request, events: Events): void {
  const port = req.socket.localPort ?? 0
  const isTls = 'encrypted' in req.socket
  const allowed = ['localhost', '127.0.0.1', '[::1]'].flatMap((name) => (port === (isTls ? 443 : 80) ? [name, `${name}:${port}`] : [`${name}:${port}`]))
  const host = req.headers.host?.toLowerCase() ?? ''
  if (!allowed.includes(host)) {
    throw refused(events, 'host', 'forbidden', `The Host header must be localhost, 127.0.0.1 or [::1] with port ${port}. Set FLOWFENCE_API_KEY to reach the service by other names.`)
  }
  const { origin } = req.headers
  if (origin === undefined || allowed.some((name) => origin.toLowerCase() === `${isTls ? 'https' : 'http'}://${name}`)) return
  throw refused(events, 'origin', 'forbidden', 'Web pages of other sites may not use this service.')
}

/** True when only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host)
}
