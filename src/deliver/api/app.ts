/**
 * The HTTP service: guard, endpoints, problems.
 *
 * In: requests. Out: JSON documents of CONTRACTS' shapes, or RFC 9457 problems. Invariants: every request passes the guard first; a body is bounded
 * before it is read; nothing is written but through pipeline functions. Leaves to others: listening (server.ts), opening the database (start).
 */
import express from 'express'
import type { Express, Request, RequestHandler, Response } from 'express'
import { AppError } from '../../core/base/app-error.ts'
import { renderHomePage } from '../render/home-page.ts'
import type { ApiContext, ApiStore } from './context.ts'
import type { Endpoint } from './endpoint.ts'
import { guard } from './guard.ts'
import { Limiter } from './limiter.ts'
import { problemHandler, sendProblem } from './problem.ts'
import { checkEndpoints } from './routes/check.ts'
import { deadLetterEndpoints } from './routes/dead-letters.ts'
import { healthEndpoints } from './routes/health.ts'
import { INGEST_PATHS, ingestEndpoints } from './routes/ingest.ts'
import { recommendationEndpoints } from './routes/recommendations.ts'
import { statusEndpoints } from './routes/status.ts'
import { stateEndpoints } from './routes/state.ts'
import { trafficEndpoints } from './routes/traffic.ts'

export function createApp(context: ApiContext): Express {
  const app = express()
  app.disable('x-powered-by')
  app.enable('strict routing')
  app.enable('case sensitive routing')
  // `a[b]=c` stays a name and does not become an object.
  app.set('query parser', 'simple')
  app.use(securityHeaders)
  app.use(observeRequests(context))
  app.use(guard({ access: context.access, ingestPaths: INGEST_PATHS, events: context.metrics.events }))
  addEndpoints(app, endpointsOf({ ...context, store: limitReads(context.store) }))
  app.use((req) => {
    throw new AppError('not-found', `There is nothing at ${req.path}. GET / lists what there is.`)
  })
  app.use(problemHandler(context.logger))
  return app
}

/** Reads of all observed traffic at a time, and in line. More: more memory, up to a few times what the edges take; computing takes turns anyway. */
const READS = 2
const WAITING_READS = 64

function limitReads(store: ApiStore): ApiStore {
  const refusal = `${READS} questions about the observed traffic are being answered and ${WAITING_READS} wait. Try again later.`
  const limiter = new Limiter({ limit: READS, maxWaiting: WAITING_READS, refusal })
  return { ...store, observe: (query) => limiter.run(() => store.observe(query)), ingestStatus: (query) => limiter.run(() => store.ingestStatus(query)) }
}

function endpointsOf(context: ApiContext): Endpoint[] {
  const endpoints = [
    ...ingestEndpoints(context), ...statusEndpoints(context), ...deadLetterEndpoints(context), ...trafficEndpoints(context), ...recommendationEndpoints(context), ...checkEndpoints(context), ...stateEndpoints(context),
    ...healthEndpoints(context),
  ]
  const page = renderHomePage({ version: context.version, cluster: context.cluster, endpoints })
  const home: Endpoint = {
    method: 'GET', path: '/', summary: 'this page',
    handle: (_req, res) => {
      res.type('text/html').send(page)
      return Promise.resolve()
    },
  }
  return [home, ...endpoints]
}

function addEndpoints(app: Express, endpoints: readonly Endpoint[]): void {
  for (const { method, path, handle } of endpoints) {
    const run: RequestHandler = async (req, res) => {
      setRoute(res, path)
      await handle(req, res)
    }
    if (method === 'GET') app.get(path, run)
    else if (method === 'PUT') app.put(path, run)
    else app.post(path, run)
  }
  for (const path of new Set(endpoints.map((e) => e.path))) {
    const allowed = endpoints.filter((e) => e.path === path).flatMap((e) => (e.method === 'GET' ? ['GET', 'HEAD'] : [e.method])).join(', ')
    app.all(path, (req, res) => {
      setRoute(res, path)
      res.set('allow', allowed).set('connection', 'close')
      sendProblem(res, { status: 405, title: 'The method is not allowed here', code: 'method-not-allowed', detail: `${path} takes ${allowed}, not ${req.method}.` })
    })
  }
}

/** Answers are data, never a page to embed, sniff or keep. */
const securityHeaders: RequestHandler = (_req, res, next) => {
  res.set({
    'x-content-type-options': 'nosniff', 'content-security-policy': "default-src 'none'; frame-ancestors 'none'", 'cache-control': 'no-store',
    'referrer-policy': 'no-referrer', 'cross-origin-resource-policy': 'same-origin',
  })
  next()
}

function setRoute(res: Response, path: string): void {
  res.locals.route = path
}

/** No status of HTTP: what proxies write in their logs for a client that closed the connection. */
const CLIENT_LEFT = 499

function observeRequests({ metrics: { events }, logger }: ApiContext): RequestHandler {
  return (req: Request, res, next) => {
    const startedAt = performance.now()
    // Before routing: express cuts the mounted part off later.
    const { method, path } = req
    res.once('close', () => {
      const seconds = (performance.now() - startedAt) / 1000
      const route = typeof res.locals.route === 'string' ? res.locals.route : 'unmatched'
      // A client that left before the answer was out has seen no 200.
      const status = res.writableFinished ? res.statusCode : CLIENT_LEFT
      events.requestServed({ method, route, status, seconds })
      logger.debug({ method, path, status, seconds: Number(seconds.toFixed(3)) }, 'request answered')
    })
    next()
  }
}
