import type { Request } from 'express'
import { AppError } from '../../../core/base/app-error.ts'
import { parseTimeUs } from '../../../core/base/time.ts'
import { check } from '../../../pipeline/check.ts'
import type { ApiContext } from '../context.ts'
import type { Endpoint } from '../endpoint.ts'
import { sendJson } from '../endpoint.ts'
import { QueryReader } from '../query.ts'
import { requireNamespace } from '../require-namespace.ts'
import { mediaTypeOf, readBody } from '../read-body.ts'

const YAML_TYPES = ['application/yaml', 'application/x-yaml', 'text/yaml']
/** Parsing YAML takes some ten times its size in memory, so manifests get less room than flows. */
const LIMIT_BYTES = 8 * 1024 * 1024
const FIELDS = ['policies', 'cluster', 'since', 'until', 'namespace', 'includeDenied']

interface CheckRequest {
  /** YAML or JSON text. */
  readonly manifests: Buffer
  readonly cluster: string | undefined
  readonly namespace: string | undefined
  readonly range: { readonly sinceUs?: number; readonly untilUs?: number }
  readonly includeDenied: boolean
}

/** `POST /api/v1/check`: which observed connections would these policies deny. Stores nothing. */
export function checkEndpoints(context: ApiContext): Endpoint[] {
  return [{
    method: 'POST', path: '/api/v1/check',
    summary: 'which observed connections policies would deny: JSON {policies: [objects] or YAML text, cluster, namespace, since, until, includeDenied}, or YAML manifests with these as query parameters',
    handle: async (req, res) => {
      const request = await readRequest(req, Math.min(LIMIT_BYTES, context.bodyLimitBytes))
      const { policies, inputErrors } = await context.readPolicies(request.manifests)
      if (policies.length === 0) {
        const first = inputErrors[0]
        throw new AppError('input-unusable', first === undefined ? 'The request holds no NetworkPolicy.' : `The request holds no usable NetworkPolicy: ${first.message}`)
      }
      const cluster = request.cluster ?? context.cluster
      const observed = await context.store.observe({ cluster, ...request.range })
      requireNamespace(observed, request.namespace)
      sendJson(res, check(observed, {
        cluster, policies, includeDenied: request.includeDenied, inputErrors, ...(request.namespace === undefined ? {} : { namespace: request.namespace }),
      }))
    },
  }]
}

async function readRequest(req: Request, limitBytes: number): Promise<CheckRequest> {
  const body = Buffer.concat(await readBody(req, { limitBytes, mediaTypes: ['application/json', ...YAML_TYPES] }))
  if (body.length === 0) throw new AppError('usage', 'The body is empty. Send policies as JSON or YAML.')
  return mediaTypeOf(req) === 'application/json' ? fromJson(req, body) : fromYaml(req, body)
}

function fromYaml(req: Request, manifests: Buffer): CheckRequest {
  const query = new QueryReader(req)
  const request = { manifests, cluster: query.text('cluster'), namespace: query.text('namespace'), range: query.range(), includeDenied: query.flag('includeDenied') }
  query.done()
  return request
}

function fromJson(req: Request, body: Buffer): CheckRequest {
  new QueryReader(req).done()
  const fields = parseObject(body)
  const unknown = Object.keys(fields).find((name) => !FIELDS.includes(name))
  if (unknown !== undefined) throw new AppError('usage', `There is no field "${unknown}"; possible are ${FIELDS.join(', ')}.`, { at: unknown })
  const { policies } = fields
  if (typeof policies !== 'string' && !Array.isArray(policies)) throw new AppError('usage', 'The field "policies" must be an array of NetworkPolicy objects, or YAML text.', { at: 'policies' })
  const includeDenied = fields.includeDenied ?? false
  if (typeof includeDenied !== 'boolean') throw new AppError('usage', 'The field "includeDenied" must be true or false.', { at: 'includeDenied' })
  const sinceUs = timeField(fields, 'since')
  const untilUs = timeField(fields, 'until')
  if (sinceUs !== undefined && untilUs !== undefined && sinceUs >= untilUs) throw new AppError('usage', '"since" is not before "until".', { at: 'since' })
  return {
    manifests: Buffer.from(typeof policies === 'string' ? policies : jsonOf(policies)),
    cluster: textField(fields, 'cluster'), namespace: textField(fields, 'namespace'),
    range: { ...(sinceUs === undefined ? {} : { sinceUs }), ...(untilUs === undefined ? {} : { untilUs }) },
    includeDenied,
  }
}

function parseObject(body: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch (error) {
    throw new AppError('usage', `The body is not valid JSON: ${error instanceof Error ? error.message : String(error)}.`, { cause: error })
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Readonly<Record<string, unknown>>
  throw new AppError('usage', 'The body must be a JSON object such as {"policies": [...]}.')
}

function jsonOf(policies: readonly unknown[]): string {
  try {
    return JSON.stringify(policies)
  } catch (error) {
    throw new AppError('usage', 'The field "policies" is nested too deeply for NetworkPolicy objects.', { cause: error, at: 'policies' })
  }
}

function textField(fields: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = fields[name]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string' || value === '') throw new AppError('usage', `The field "${name}" must be text.`, { at: name })
  return value
}

function timeField(fields: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const text = textField(fields, name)
  const timeUs = text === undefined ? undefined : parseTimeUs(text)
  if (text !== undefined && timeUs === undefined) throw new AppError('usage', `The field "${name}" is "${text}", but must be a time such as 2026-01-01T00:00:00Z.`, { at: name })
  return timeUs
}
