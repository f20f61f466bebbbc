import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:tls'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { describe, expect, test } from '@jest/globals'
import { createAuthority } from './certificates.ts'

/** Connects to a server that demands a client certificate; tells the name the server saw, or the error of either side. */
async function handshake(authority: Awaited<ReturnType<typeof createAuthority>>, client: ConnectionOptions): Promise<string> {
  const server = createServer({ ...(await authority.server()), ca: authority.ca, requestCert: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const seen = new Promise<string>((resolve) => {
    server.once('secureConnection', (socket: TLSSocket) => { resolve(String(socket.getPeerCertificate().subject.CN)); socket.end() })
    server.once('tlsClientError', (error: NodeJS.ErrnoException) => { resolve(error.code ?? error.message) })
  })
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', servername: 'localhost', ...client })
  const failed = new Promise<string>((resolve) => { socket.once('error', (error: NodeJS.ErrnoException) => { resolve(error.code ?? error.message) }) })
  try {
    const outcome = await Promise.race([seen, failed])
    return outcome
  } finally {
    socket.destroy()
    server.close()
  }
}

describe('certificates made for tests', () => {
  test('a client of the same authority is known to the server by its name', async () => {
    const authority = await createAuthority()
    expect(await handshake(authority, { ca: authority.ca, ...(await authority.client('fluent-bit')) })).toBe('fluent-bit')
  })

  test('neither side accepts the other authority, nor a certificate past its time', async () => {
    const [authority, other] = [await createAuthority(), await createAuthority()]
    const mine = await authority.client('fluent-bit')
    expect(await handshake(authority, { ca: other.ca, ...mine })).toMatch(/UNABLE_TO_VERIFY|SELF_SIGNED|ALERT|UNKNOWN_CA/)
    expect(await handshake(authority, { ca: authority.ca, ...(await other.client('fluent-bit')) })).toMatch(/UNABLE_TO|SELF_SIGNED|ECONNRESET/)
    const old = { notBefore: new Date('2020-01-01'), notAfter: new Date('2020-01-02') }
    expect(await handshake(authority, { ca: authority.ca, ...(await authority.client('late', old)) })).toMatch(/EXPIRED|ECONNRESET/)
  })
})
