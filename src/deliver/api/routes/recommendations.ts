import { AppError } from '../../../core/base/app-error.ts'
import { formatTimeUs } from '../../../core/base/time.ts'
import { recommend } from '../../../pipeline/recommend.ts'
import type { RecommendationHead } from '../../../store/read/select-recommendations.ts'
import type { ApiContext } from '../context.ts'
import type { Endpoint } from '../endpoint.ts'
import { sendJson } from '../endpoint.ts'
import { cursorOf, readPageRequest } from '../page.ts'
import { QueryReader } from '../query.ts'
import { requireNamespace } from '../require-namespace.ts'

/**
 * `GET /api/v1/recommendations` computes from the stored flows and saves nothing (a GET has no effect); `flowfence recommend` saves.
 * The saved ones are listed and read under `/saved`, byte for byte as they were computed.
 */
export function recommendationEndpoints({ store, cluster: ownCluster }: ApiContext): Endpoint[] {
  return [
    {
      method: 'GET', path: '/api/v1/recommendations', summary: 'policies that allow exactly the observed connections, computed now (cluster, namespace, since, until)',
      handle: async (req, res) => {
        const query = new QueryReader(req)
        const cluster = query.text('cluster') ?? ownCluster
        const namespace = query.text('namespace')
        const range = query.range()
        query.done()
        const observed = await store.observe({ cluster, ...range })
        requireNamespace(observed, namespace)
        sendJson(res, recommend(observed, { cluster, ...(namespace === undefined ? {} : { namespace }) }))
      },
    },
    {
      method: 'GET', path: '/api/v1/recommendations/saved', summary: 'recommendations saved by `flowfence recommend`, newest first (cluster, limit, cursor)',
      handle: async (req, res) => {
        const query = new QueryReader(req)
        const cluster = query.text('cluster') ?? ownCluster
        const { limit, after } = readPageRequest(query)
        query.done()
        if (after !== undefined && !isId(after)) throw new AppError('usage', 'The query parameter "cursor" is not one that this service gave out.', { at: 'cursor' })
        // One more than asked for tells whether there is a next page.
        const heads = await store.savedRecommendations({ cluster, limit: limit + 1, before: after })
        const shown = heads.slice(0, limit)
        const last = shown.at(-1)
        sendJson(res, {
          cluster, items: shown.map(headView),
          ...(heads.length > limit && last !== undefined ? { nextCursor: cursorOf(last.id) } : {}),
        })
      },
    },
    {
      method: 'GET', path: '/api/v1/recommendations/saved/:id', summary: 'one saved recommendation (cluster)',
      handle: async (req, res) => {
        const query = new QueryReader(req)
        const cluster = query.text('cluster') ?? ownCluster
        query.done()
        const id = String(req.params.id)
        const found = isId(id) ? await store.savedRecommendation({ cluster, id }) : undefined
        if (found === undefined) throw new AppError('not-found', `There is no saved recommendation "${id}" of cluster "${cluster}".`)
        res.set('etag', `"${found.contentDigest}"`).type('application/json').send(found.document)
      },
    },
  ]
}

function isId(text: string): boolean {
  return /^\d{1,18}$/.test(text)
}

function headView(head: RecommendationHead): unknown {
  return {
    id: head.id, cluster: head.cluster, createdAt: formatTimeUs(head.createdAtUs), schema: head.schema, contentDigest: head.contentDigest,
    href: `/api/v1/recommendations/saved/${head.id}`,
  }
}
