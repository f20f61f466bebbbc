import type { ApiContext } from '../context.ts'
import type { Endpoint } from '../endpoint.ts'
import { sendJson } from '../endpoint.ts'

/** `/livez`, `/readyz`, `/metrics`. */
export function healthEndpoints({ store, metrics }: ApiContext): Endpoint[] {
  return [
    {
      method: 'GET', path: '/livez', summary: 'the process answers',
      handle: (_req, res) => {
        sendJson(res, { status: 'ok' })
        return Promise.resolve()
      },
    },
    {
      method: 'GET', path: '/readyz', summary: 'the database answers and its schema is up to date (503 until then)',
      handle: async (_req, res) => {
        const checks = await store.checkReadiness()
        const isReady = checks.every((c) => c.isReady)
        metrics.events.readinessChecked({ isReady })
        res.status(isReady ? 200 : 503)
        if (!isReady) res.set('retry-after', '5')
        sendJson(res, {
          status: isReady ? 'ok' : 'not ready',
          checks: Object.fromEntries(checks.map((c) => [c.name, { status: c.isReady ? 'ok' : 'failed', text: c.text }])),
        })
      },
    },
    {
      method: 'GET', path: '/metrics', summary: 'metrics for Prometheus',
      handle: async (_req, res) => {
        res.set('content-type', metrics.contentType).send(await metrics.render())
      },
    },
  ]
}
