/** Requests over TLS with chosen certificates, for what fetch does not let one set. */
import { Agent, request } from 'node:https'
import type { PeerCertificate, TLSSocket } from 'node:tls'

export interface HttpsAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  /** The server's certificate and the connection's own port, which tells connections apart. */
  readonly server: { readonly fingerprint: string; readonly localPort: number }
}

export interface HttpsClientOptions {
  readonly ca: string
  readonly cert?: string
  readonly key?: string
}

export interface HttpsClient {
  send(method: string, path: string, options?: { readonly headers?: Readonly<Record<string, string>>; readonly body?: string | Buffer }): Promise<HttpsAnswer>
  close(): void
}

/** One kept-alive connection at a time to 127.0.0.1. */
export function httpsClient(port: number, options: HttpsClientOptions): HttpsClient {
  const agent = new Agent({ ...options, keepAlive: true, maxSockets: 1 })
  return {
    close: () => agent.destroy(),
    send: (method, path, { headers = {}, body } = {}) => new Promise((done, failed) => {
      const req = request({ agent, host: '127.0.0.1', port, method, path, headers: { ...headers, ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }) } }, (res) => {
        const socket = res.socket as TLSSocket
        const server = { fingerprint: (socket.getPeerCertificate() as Partial<PeerCertificate>).fingerprint256 ?? '', localPort: socket.localPort ?? 0 }
        let text = ''
        res.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('end', () => done({ status: res.statusCode ?? 0, headers: res.headers, text, server }))
      })
      req.on('error', failed).end(body)
    }),
  }
}
