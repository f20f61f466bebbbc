/**
 * `POST /api/v1/ingest/flows` and `POST /v1/logs` (OTLP/HTTP): bodies of flow records, idempotent. A body is received whole, then waits for a place,
 * then is stored; 200 is answered when all of it is committed. Pages: docs/http-push.md, docs/sources/shippers.md.
 */
import { AppError } from '../../../core/base/app-error.ts'
import type { Request, Response } from 'express'
import type { BodyOutcome } from '../../../observe/events.ts'
import { countReport } from '../../../pipeline/count-report.ts'
import type { BodyKind, ReceivedBody } from '../../../pipeline/ingest-received.ts'
import type { IngestReport } from '../../../pipeline/ingest-report.ts'
import { BodySpool } from '../body-spool.ts'
import type { ApiContext } from '../context.ts'
import { checkBodyHead, decodedBody } from '../decoded-body.ts'
import type { BodyLimit } from '../decoded-body.ts'
import type { Endpoint } from '../endpoint.ts'
import { sendJson } from '../endpoint.ts'
import { IngestQueue } from '../ingest-queue.ts'
import type { BodyWeight } from '../ingest-queue.ts'
import { OTLP_LOGS_PATH, sendExported } from '../otlp-response.ts'
import { principalOf } from '../principal.ts'
import { QueryReader } from '../query.ts'
import { checkMediaType, mediaTypeOf } from '../read-body.ts'
import { separateValues } from '../separate-values.ts'

const FLOWS_PATH = '/api/v1/ingest/flows'
export const INGEST_PATHS: ReadonlySet<string> = new Set([FLOWS_PATH, OTLP_LOGS_PATH])

const PROTOBUF_TYPES = ['application/x-protobuf', 'application/vnd.google.protobuf', 'application/protobuf']
/** '': without a Content-Type the body is text. */
const MEDIA_TYPES = ['application/x-ndjson', 'application/ndjson', 'application/jsonl', 'application/json', 'text/plain', '', ...PROTOBUF_TYPES]
const OTLP_TYPES = ['application/json', 'application/x-protobuf']
/** One message, or one JSON value on one line, is decoded at once, which takes about ten times its size. Larger: larger requests of exporters; smaller: less memory. */
const WHOLE_BYTES = 16 << 20
/** How an OTLP request begins: the whole body is one value, mostly on one line. */
const OTLP_HEAD = /^\s*\{\s*"resource_?[lL]ogs"\s*:/

export function ingestEndpoints(context: ApiContext): Endpoint[] {
  const push = new IngestPush(context)
  return [
    {
      method: 'POST', path: FLOWS_PATH,
      summary: 'push flow records: NDJSON, a JSON array or one object, or one protobuf message, plain, gzip, deflate or zstd; ?backfill=true takes flows older than 8 days',
      handle: async (req, res) => {
        sendJson(res, await push.ingest(req, res, MEDIA_TYPES))
      },
    },
    {
      method: 'POST', path: OTLP_LOGS_PATH,
      summary: 'push flow records as OTLP/HTTP logs, JSON or protobuf (OpenTelemetry Collector\'s otlphttp exporter)',
      handle: async (req, res) => {
        const { rejected, inputErrors } = await push.ingest(req, res, OTLP_TYPES)
        const records = Object.values(rejected).reduce((sum, n) => sum + n, 0)
        sendExported(req, res, { records, message: inputErrors[0]?.message ?? 'some records were rejected' })
      },
    },
  ]
}

/** Both paths share one line and one spool. */
class IngestPush {
  readonly #context: ApiContext
  readonly #spool: BodySpool
  readonly #queue: IngestQueue

  constructor(context: ApiContext) {
    const { events } = context.metrics
    this.#context = context
    this.#spool = new BodySpool({ ...context.spool, onChange: (held) => events.spoolChanged(held) })
    this.#queue = new IngestQueue({ places: context.ingestConcurrency, maxWaiting: context.ingestQueue, onChange: (line) => events.queueChanged(line) })
  }

  /** What became of the body; counts and logs it whatever that was. */
  async ingest(req: Request, res: Response, mediaTypes: readonly string[]): Promise<IngestReport> {
    const principal = principalOf(res)
    const { metrics: { events }, logger } = this.#context
    const startedAt = performance.now()
    try {
      const report = await this.#receiveAndStore(req, res, mediaTypes)
      const seconds = (performance.now() - startedAt) / 1000
      events.bodyAnswered({ principal: principal.kind, outcome: 'ingested' })
      events.bodyIngested({ bytes: report.bytes, seconds })
      countReport(report, 'http', events)
      const { received, stored, duplicate, bytes } = report
      logger.info({ principal: principal.name, cluster: principal.cluster, received, stored, duplicate, bytes, seconds: Number(seconds.toFixed(3)) }, 'body ingested')
      return report
    } catch (error) {
      const outcome = outcomeOf(error, req)
      events.bodyAnswered({ principal: principal.kind, outcome })
      logger[outcome === 'failed' ? 'warn' : 'info']({ principal: principal.name, cluster: principal.cluster, outcome, reason: reasonOf(error) }, 'body not ingested')
      throw error
    }
  }

  async #receiveAndStore(req: Request, res: Response, mediaTypes: readonly string[]): Promise<IngestReport> {
    const query = new QueryReader(req)
    const isBackfill = query.flag('backfill')
    query.done()
    checkMediaType(req, mediaTypes)
    const isProtobuf = PROTOBUF_TYPES.includes(mediaTypeOf(req))
    const limit = isProtobuf ? this.#wholeLimit() : { limitBytes: this.#context.ingestBodyLimitBytes, setting: 'raise FLOWFENCE_INGEST_BODY_LIMIT' }
    checkBodyHead(req, limit)
    this.#queue.requireRoom()
    const chunks = decodedBody(req, limit)
    const body = await this.#spool.receive(mediaTypeOf(req) === 'application/json' ? separateValues(chunks) : chunks)
    try {
      const kind = isProtobuf ? 'protobuf' : await this.#kindOf(body)
      if (body.sizeBytes === 0 && req.path !== OTLP_LOGS_PATH) throw new AppError('usage', 'The body is empty. Send flow records, one JSON object per line.')
      const { cluster } = principalOf(res)
      return await this.#queue.run(weightOf(body, kind), () => this.#context.store.ingestBody({ cluster, body, isBackfill, kind }))
    } finally {
      await body.release()
    }
  }

  #wholeLimit(): BodyLimit {
    return { limitBytes: Math.min(WHOLE_BYTES, this.#context.ingestBodyLimitBytes), setting: 'let the sender make smaller batches' }
  }

  async #kindOf(body: ReceivedBody): Promise<BodyKind> {
    let head = ''
    for await (const chunk of body.chunks(0)) {
      head = chunk.toString('latin1', 0, 256)
      break
    }
    if (!OTLP_HEAD.test(head)) return 'lines'
    // A small request is read like any text; a stream of many requests, each on its line, too.
    const { limitBytes, setting } = this.#wholeLimit()
    if (body.isSmall || await hasSeveralLines(body)) return 'lines'
    if (body.sizeBytes > limitBytes) throw new AppError('too-large', `This OTLP request is larger than ${limitBytes} bytes (decompressed): ${setting}.`)
    return 'value'
  }
}

/** True when another value begins on a line of its own. */
async function hasSeveralLines(body: ReceivedBody): Promise<boolean> {
  for await (const chunk of body.chunks(0)) if (chunk.includes('\n{')) return true
  return false
}

function weightOf(body: ReceivedBody, kind: BodyKind): BodyWeight {
  return body.isSmall ? 'small' : kind === 'lines' ? 'stream' : 'whole'
}

function outcomeOf(error: unknown, req: Request): BodyOutcome {
  if (req.destroyed && !req.complete) return 'left'
  if (!(error instanceof AppError)) return 'failed'
  if (error.code === 'busy') return 'busy'
  return error.code === 'unavailable' || error.code === 'internal' || error.code === 'conflict' ? 'failed' : 'refused'
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
