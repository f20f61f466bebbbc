import { AppError } from '../../../core/base/app-error.ts'
import type { Events } from '../../../observe/events.ts'
import type { IngestReport } from '../../../pipeline/ingest-report.ts'
import type { ApiContext } from '../context.ts'
import type { Endpoint } from '../endpoint.ts'
import { sendJson } from '../endpoint.ts'
import { Limiter } from '../limiter.ts'
import { QueryReader } from '../query.ts'
import { mediaTypeOf, readBody } from '../read-body.ts'

const PROTOBUF_TYPES = ['application/x-protobuf', 'application/vnd.google.protobuf', 'application/protobuf']
const MEDIA_TYPES = ['application/x-ndjson', 'application/ndjson', 'application/jsonl', 'application/json', ...PROTOBUF_TYPES]
/** Bodies in line per place. More: longer waits before a client hears 503; fewer: short bursts are refused. */
const WAITING_PER_PLACE = 16

/** `POST /api/v1/ingest/flows`: one body of flow records; idempotent. */
export function ingestEndpoints(context: ApiContext): Endpoint[] {
  const { store, metrics: { events }, logger, ingestConcurrency } = context
  const maxWaiting = ingestConcurrency * WAITING_PER_PLACE
  const refusal = `${ingestConcurrency} bodies are being read and ${maxWaiting} wait. Try again later, or raise FLOWFENCE_INGEST_CONCURRENCY.`
  const limiter = new Limiter({ limit: ingestConcurrency, maxWaiting, refusal })
  return [{
    method: 'POST',
    path: '/api/v1/ingest/flows',
    summary: 'push flow records: NDJSON, a JSON array or one object, or one protobuf message, plain or gzip; ?backfill=true takes flows older than 8 days',
    handle: async (req, res) => {
      const query = new QueryReader(req)
      const isBackfill = query.flag('backfill')
      query.done()
      const startedAt = performance.now()
      const report = await limiter.run(async () => {
        const chunks = await readBody(req, { limitBytes: context.bodyLimitBytes, mediaTypes: MEDIA_TYPES })
        if (chunks.length === 0) throw new AppError('usage', 'The body is empty. Send flow records, one JSON object per line.')
        return store.ingestBody({ cluster: context.cluster, chunks, isBackfill, ...(PROTOBUF_TYPES.includes(mediaTypeOf(req)) && { kind: 'protobuf' }) })
      })
      const seconds = (performance.now() - startedAt) / 1000
      countReport(report, seconds, events)
      const { received, stored, duplicate, bytes } = report
      logger.info({ received, stored, duplicate, bytes, seconds: Number(seconds.toFixed(3)) }, 'body ingested')
      sendJson(res, report)
    },
  }]
}

function countReport(report: IngestReport, seconds: number, events: Events): void {
  events.bodyIngested({ bytes: report.bytes, seconds })
  for (const { type, events: seen, lost } of report.coverage) events.coverageNoted({ type, events: seen, lost })
  events.deadLettersCounted(report.deadLetters)
  const tooMany = report.rejected['too-many-identities'] ?? 0
  for (const [limit, records] of [['identities', tooMany], ['dead-letters', report.deadLetters.notKept], ['nodes', report.nodesNotKept]] as const) {
    if (records > 0) events.limitHit({ limit, records })
  }
  for (const [format, counts] of Object.entries(report.byFormat)) {
    const count = (outcome: 'stored' | 'duplicate' | 'rejected' | 'ignored', reason: string, records: number): void => {
      if (records > 0) events.recordsCounted({ source: 'http', format, outcome, reason, records })
    }
    count('stored', '', counts.stored)
    count('duplicate', '', counts.duplicate)
    for (const [reason, records] of Object.entries(counts.rejected)) count('rejected', reason, records)
    for (const [reason, records] of Object.entries(counts.ignored)) count('ignored', reason, records)
  }
}
