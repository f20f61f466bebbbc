/** Tokens for SASL OAUTHBEARER: from a file that is renewed by others, or from an authorization server by client credentials (RFC 6749, 4.4). */
import { readFile } from 'node:fs/promises'
import { AppError } from '../../core/base/app-error.ts'

/** Read anew every time. Retryable: the file may appear later. */
export function tokenFromFile(path: string): () => Promise<string> {
  return async () => {
    try {
      const token = (await readFile(path, 'utf8')).trim()
      if (token !== '') return token
    } catch (error) {
      throw new AppError('unavailable', `FLOWFENCE_KAFKA_SASL_TOKEN_FILE names ${path}, which cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'}).`, { retryable: true, at: path })
    }
    throw new AppError('unavailable', `FLOWFENCE_KAFKA_SASL_TOKEN_FILE names ${path}, which is empty.`, { retryable: true, at: path })
  }
}

export interface TokenServer {
  readonly url: string
  readonly clientId: string
  readonly clientSecret: string
  readonly scope?: string | undefined
}

const TIMEOUT_MS = 10_000
/** A token is asked for again so long before it expires. */
const SAFETY_MS = 30_000

/** Kept until shortly before it expires. AppError `unauthorized` when the server refuses the client, retryable `unavailable` when it does not answer. */
export function tokenFromServer(server: TokenServer): () => Promise<string> {
  let kept = { token: '', untilMs: 0 }
  return async () => {
    if (Date.now() >= kept.untilMs) kept = await requestToken(server)
    return kept.token
  }
}

async function requestToken({ url, clientId, clientSecret, scope }: TokenServer): Promise<{ token: string, untilMs: number }> {
  // Both parts are form-encoded before they are joined (RFC 6749, 2.3.1).
  const credentials = Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`).toString('base64')
  let response: Response
  try {
    response = await fetch(url, {
      method: 'POST', signal: AbortSignal.timeout(TIMEOUT_MS), redirect: 'error',
      headers: { authorization: `Basic ${credentials}`, accept: 'application/json' },
      body: new URLSearchParams({ grant_type: 'client_credentials', ...(scope !== undefined && { scope }) }),
    })
  } catch (error) {
    throw new AppError('unavailable', 'The server of FLOWFENCE_KAFKA_OAUTH_TOKEN_URL does not answer.', { cause: error, retryable: true })
  }
  if (response.status >= 400 && response.status < 500 && response.status !== 429) {
    throw new AppError('unauthorized', `The server of FLOWFENCE_KAFKA_OAUTH_TOKEN_URL gives no token (HTTP ${response.status}): check FLOWFENCE_KAFKA_OAUTH_CLIENT_ID, _CLIENT_SECRET and _SCOPE.`)
  }
  const answer: unknown = response.ok ? await response.json().catch(() => undefined) : undefined
  const { access_token: token, expires_in: seconds } = (typeof answer === 'object' && answer !== null ? answer : {}) as Record<string, unknown>
  if (typeof token !== 'string' || token === '') {
    throw new AppError('unavailable', `The server of FLOWFENCE_KAFKA_OAUTH_TOKEN_URL answers without a token (HTTP ${response.status}).`, { retryable: true })
  }
  return { token, untilMs: Date.now() + Math.max(0, (typeof seconds === 'number' ? seconds * 1000 : 0) - SAFETY_MS) }
}
