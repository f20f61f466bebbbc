import type { Request } from 'express'
import { AppError } from '../../../core/base/app-error.ts'
import { formatTimeUs, US_PER_SECOND } from '../../../core/base/time.ts'
import type { ApiContext, StateSummary } from '../context.ts'
import type { Endpoint } from '../endpoint.ts'
import { sendJson } from '../endpoint.ts'
import { Limiter } from '../limiter.ts'
import { QueryReader } from '../query.ts'
import { mediaTypeOf, readBody } from '../read-body.ts'

const YAML_TYPES = ['application/yaml', 'application/x-yaml', 'text/yaml']
/** Parsing YAML takes some ten times its size in memory, so it gets less room than JSON. */
const YAML_LIMIT_BYTES = 8 * 1024 * 1024
/** States in line behind the one that is being stored. */
const WAITING = 8
/** Known moments that GET shows, the latest ones. */
const SHOWN_SPANS = 100
/** How far the clock of who sends a state may be ahead. */
const CLOCK_SKEW_US = 60 * US_PER_SECOND
const PATH = '/api/v1/clusters/:cluster/state'

/** `PUT` and `GET /api/v1/clusters/{cluster}/state`: who is who in the cluster, as Kubernetes objects of one moment. */
export function stateEndpoints(context: ApiContext): Endpoint[] {
  const { store, logger } = context
  const limiter = new Limiter({ limit: 1, maxWaiting: WAITING, refusal: `A cluster state is being stored and ${WAITING} wait. Try again later.` })
  return [
    {
      method: 'PUT', path: PATH,
      summary: 'store the whole cluster state of a moment (?at=, default now): Kubernetes objects or Lists as JSON or YAML, e.g. of kubectl get ns,nodes,pods,svc,endpointslices,deploy,rs,sts,ds,jobs,cronjobs,netpol -A -o json',
      handle: async (req, res) => {
        requireOwnCluster(req, context)
        const query = new QueryReader(req)
        const atUs = query.moment('at') ?? context.nowUs()
        query.done()
        if (atUs > context.nowUs() + CLOCK_SKEW_US) throw new AppError('usage', `"at" (${formatTimeUs(atUs)}) lies in the future: nobody knows the state of then.`, { at: 'at' })
        const report = await limiter.run(async () => {
          const { objects, unread } = await readObjects(req, context)
          return { ...await store.saveState({ atUs, objects, hasUnread: unread.length > 0 }), unread }
        })
        const { added, changed, ended, problems } = report
        logger.info({ at: formatTimeUs(atUs), added, changed, ended, problems: problems.length }, 'cluster state stored')
        sendJson(res, { cluster: context.cluster, at: formatTimeUs(atUs), ...report, atUs: undefined })
      },
    },
    {
      method: 'GET', path: PATH, summary: 'how far the cluster state is known: moments, spans of watches, objects by kind',
      handle: async (req, res) => {
        requireOwnCluster(req, context)
        new QueryReader(req).done()
        sendJson(res, { cluster: context.cluster, ...summaryView(await store.stateSummary()) })
      },
    },
  ]
}

/** What is pushed belongs to the service's own cluster; another name is a mistake, not a wish. */
function requireOwnCluster(req: Request, { cluster }: ApiContext): void {
  if (req.params.cluster === cluster) return
  throw new AppError('not-found', `This service is bound to the cluster "${cluster}"; it holds no state of "${String(req.params.cluster)}".`)
}

async function readObjects(req: Request, context: ApiContext): Promise<{ objects: readonly unknown[]; unread: readonly unknown[] }> {
  const isJson = mediaTypeOf(req) === 'application/json'
  const limitBytes = isJson ? context.bodyLimitBytes : Math.min(YAML_LIMIT_BYTES, context.bodyLimitBytes)
  const body = Buffer.concat(await readBody(req, { limitBytes, mediaTypes: ['application/json', ...YAML_TYPES] }))
  if (body.length === 0) throw new AppError('usage', 'The body is empty. Send Kubernetes objects or a List as JSON or YAML.')
  if (!isJson) {
    const { objects, inputErrors } = await context.readObjects(body)
    const [first] = inputErrors
    if (objects.length === 0 && first !== undefined) throw new AppError('input-unusable', `The body holds no Kubernetes object: ${first.line === undefined ? '' : `line ${first.line}: `}${first.message}.`)
    return { objects, unread: inputErrors }
  }
  const value = parseJson(body)
  return { objects: Array.isArray(value) ? (value as unknown[]) : [value], unread: [] }
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch (error) {
    throw new AppError('usage', `The body is not valid JSON: ${error instanceof Error ? error.message : String(error)}.`, { cause: error })
  }
}

function summaryView({ head, spans, objects, versions }: StateSummary): Readonly<Record<string, unknown>> {
  return {
    confirmedUntil: head === undefined ? null : formatTimeUs(head.confirmedUntilUs),
    objects, versions,
    moments: spans.length,
    latest: spans.slice(-SHOWN_SPANS).reverse().map((s) => ({
      source: s.source, from: formatTimeUs(s.fromUs), until: formatTimeUs(s.untilUs), objects: s.objects, isComplete: s.isComplete,
    })),
  }
}
