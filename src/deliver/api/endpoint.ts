import type { Request, Response } from 'express'
import { renderJson } from '../render/escape-text.ts'

/** One operation of the API. The table of them makes the routes, the 405 answers, the page at `/` and the metric labels. */
export interface Endpoint {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** Pattern of express. */
  readonly path: string
  readonly summary: string
  readonly handle: (req: Request, res: Response) => Promise<void>
}

export function sendJson(res: Response, document: unknown): void {
  res.type('application/json').send(renderJson(document))
}
