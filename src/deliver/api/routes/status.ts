import type { ApiContext } from '../context.ts'
import type { Endpoint } from '../endpoint.ts'
import { sendJson } from '../endpoint.ts'
import { QueryReader } from '../query.ts'

/**
 * `GET /api/v1/ingest/status`: `flowfence.ingest-status/v1`, the document of pipeline/ingest-status.ts.
 * `since` and `until` bound the coverage events only; counts are those since the beginning.
 */
export function statusEndpoints({ store, cluster: ownCluster }: ApiContext): Endpoint[] {
  return [{
    method: 'GET', path: '/api/v1/ingest/status',
    summary: 'what became of everything received, how far each source is, signs of incomplete observation (cluster, since, until, limit)',
    handle: async (req, res) => {
      const query = new QueryReader(req)
      const cluster = query.text('cluster') ?? ownCluster
      const range = query.range()
      const limit = query.wholeNumber('limit', { min: 0, max: 1000, fallback: 100 })
      query.done()
      sendJson(res, await store.ingestStatus({ cluster, ...range, limit }))
    },
  }]
}
