import { AppError } from '../../../core/base/app-error.ts'
import { formatTimeUs } from '../../../core/base/time.ts'
import type { DeadLetter } from '../../../store/read/select-dead-letters.ts'
import type { ApiContext } from '../context.ts'
import type { Endpoint } from '../endpoint.ts'
import { sendJson } from '../endpoint.ts'
import { cursorOf, readPageRequest } from '../page.ts'
import { QueryReader } from '../query.ts'

/** `GET /api/v1/dead-letters`: refused records, newest first. `flowfence ingest --dead-letters` reads the complete ones again. */
export function deadLetterEndpoints({ store, cluster: ownCluster }: ApiContext): Endpoint[] {
  return [{
    method: 'GET', path: '/api/v1/dead-letters', summary: 'refused records, newest first (cluster, source, format, reason, limit, cursor)',
    handle: async (req, res) => {
      const query = new QueryReader(req)
      const cluster = query.text('cluster') ?? ownCluster
      const filter = { source: query.text('source'), format: query.text('format'), reason: query.text('reason') }
      const { limit, after } = readPageRequest(query)
      query.done()
      if (after !== undefined && !/^\d{1,18}$/.test(after)) {
        throw new AppError('usage', 'The query parameter "cursor" is not one that this service gave out.', { at: 'cursor' })
      }
      // One more than asked for tells whether there is a next page.
      const letters = await store.deadLetters({ cluster, ...filter, limit: limit + 1, before: after })
      const shown = letters.slice(0, limit)
      const last = shown.at(-1)
      sendJson(res, { cluster, items: shown.map(letterView), ...(letters.length > limit && last !== undefined ? { nextCursor: cursorOf(last.id) } : {}) })
    },
  }]
}

function letterView({ rejectedAtUs, ...letter }: DeadLetter): unknown {
  return { ...letter, rejectedAt: formatTimeUs(rejectedAtUs) }
}
