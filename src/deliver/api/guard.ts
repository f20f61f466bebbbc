/**
 * Who may talk to the service.
 *
 * With a key: every client must present it, from anywhere. Without: the service listens on loopback only, and a web page in the user's browser must
 * not reach it either, so the Host header must name this machine (against DNS rebinding) and a foreign Origin is refused.
 * `/livez` and `/readyz` are open: they tell nothing but up or not.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Request, RequestHandler } from 'express'
import { AppError } from '../../core/base/app-error.ts'
import type { Events } from '../../observe/events.ts'

const OPEN_PATHS = new Set(['/livez', '/readyz'])

export interface GuardOptions {
  readonly apiKey: string | undefined
  /** The port clients connect to; the Host header must name it. */
  readonly port: () => number
  readonly events: Events
}

export function guard(options: GuardOptions): RequestHandler {
  const check = options.apiKey === undefined ? loopbackCheck(options) : keyCheck(options.apiKey, options.events)
  return (req, _res, next) => {
    check(req)
    next()
  }
}

function keyCheck(apiKey: string, events: Events): (req: Request) => void {
  const expected = digest(apiKey)
  return (req) => {
    if (OPEN_PATHS.has(req.path)) return
    const presented = presentedKey(req)
    if (presented !== undefined && timingSafeEqual(digest(presented), expected)) return
    events.requestRefused({ reason: 'key' })
    throw new AppError('unauthorized', presented === undefined
      ? 'Present the key of this service: "Authorization: Bearer KEY" or "X-API-Key: KEY".'
      : 'The presented key is not the key of this service.')
  }
}

/** Comparing digests takes the same time for every key, and hides its length. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function presentedKey(req: Request): string | undefined {
  const authorization = req.get('authorization')
  const bearer = authorization === undefined ? null : /^Bearer +(\S+) *$/i.exec(authorization)
  return bearer?.[1] ?? req.get('x-api-key')
}

function loopbackCheck({ port, events }: GuardOptions): (req: Request) => void {
  return (req) => {
    const allowed = ['localhost', '127.0.0.1', '[::1]'].flatMap((name) => (port() === 80 ? [name, `${name}:80`] : [`${name}:${port()}`]))
    const host = req.headers.host?.toLowerCase() ?? ''
    if (!allowed.includes(host)) {
      events.requestRefused({ reason: 'host' })
      throw new AppError('forbidden', `The Host header must be localhost, 127.0.0.1 or [::1] with port ${port()}. Set FLOWFENCE_API_KEY to reach the service by other names.`)
    }
    const { origin } = req.headers
    if (origin === undefined || allowed.some((name) => origin.toLowerCase() === `http://${name}`)) return
    events.requestRefused({ reason: 'origin' })
    throw new AppError('forbidden', 'Web pages of other sites may not use this service.')
  }
}

/** True when only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host)
}
