import { afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { encodeGetFlowsRequest, readHubbleHead, readServerStatus } from '../../src/decode/protobuf/stream-messages.ts'
import type { TlsMaterial } from '../../src/sources/grpc-failure.ts'
import type { GrpcStreamOptions } from '../../src/sources/grpc-stream.ts'
import { createHubbleRelay } from '../../src/sources/hubble-relay.ts'
import { createAuthority } from '../support/certificates.ts'
import type { Certificate, CertificateAuthority } from '../support/certificates.ts'
import { hubbleMessage, RelayServer, startOtherServer, texts, tlsCredentials, until } from '../support/grpc-servers.ts'
import type { GrpcServerOptions } from '../support/grpc-servers.ts'
import { StreamRecorder } from '../support/stream-recorder.ts'
import { message } from '../support/wire.ts'

const NOW_US = 1_767_323_045_123_456
const REQUEST = encodeGetFlowsRequest({ sinceUs: NOW_US, allow: [], deny: [] })
const closing: (() => void | Promise<void>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function startRelay(options: GrpcServerOptions = {}): Promise<RelayServer> {
  const relay = await new RelayServer(options).start()
  closing.push(() => relay.kill())
  return relay
}

/** A stream to a port of this machine and who reads it; short pauses, so that tests wait for what happens and not for time. */
function read(port: number, { tls, request = REQUEST, ...options }: Partial<GrpcStreamOptions> & { tls?: TlsMaterial; request?: Buffer } = {}) {
  const stream = createHubbleRelay({ address: `127.0.0.1:${port}`, readTls: () => Promise.resolve(tls), minPauseMs: 5, maxPauseMs: 50, questionEveryMs: 50, ...options })
  const recorder = new StreamRecorder(request)
  closing.push(() => recorder.stop())
  const ended = recorder.start(stream)
  return { stream, recorder, ended }
}

/** The flows that a recorder got, without the relay's greetings. */
function flowsOf(recorder: StreamRecorder): Buffer[] {
  return recorder.messages.filter((bytes) => readHubbleHead(bytes).timeUs !== undefined)
}

describe('a stream of Hubble Relay', () => {
  test('asks to follow from a time on, with the filters, and hands on each message as it came', async () => {
    const relay = await startRelay()
    const sent = [hubbleMessage(1, NOW_US), hubbleMessage(2, NOW_US + 5, 'cluster-a/node-2')]
    relay.push(hubbleMessage(0, NOW_US - 1), NOW_US - 1)
    relay.push(sent[0] as Buffer, NOW_US)
    const allow = [{ source_pod: ['shop/'], verdict: [2] }, { destination_pod: ['shop/'] }]
    const { recorder } = read(relay.port, { request: encodeGetFlowsRequest({ sinceUs: NOW_US, allow, deny: [{ event_type: [{ type: 129 }] }] }) })
    await until(() => flowsOf(recorder).length === 1)
    relay.push(sent[1] as Buffer, NOW_US + 5)
    await until(() => flowsOf(recorder).length === 2)
    expect(flowsOf(recorder)).toEqual(sent)
    expect(flowsOf(recorder).map(readHubbleHead)).toEqual([{ timeUs: NOW_US, node: 'node-1' }, { timeUs: NOW_US + 5, node: 'node-2' }])
    const [asked] = relay.requests
    expect(asked?.get(3)).toEqual([1n])
    // Neither a number, nor `first`, which relays refuse beside `follow`.
    expect([1, 9, 8].map((field) => asked?.get(field))).toEqual([undefined, undefined, undefined])
    expect(asked?.get(7)).toEqual([message([1, 1_767_323_045], [2, 123_456_000])])
    // source_pod 2, verdict 5 (packed), destination_pod 4; event_type 6 { type 1 }
    expect(texts(asked?.get(6)).map((text) => Buffer.from(text).toString('hex'))).toEqual(['120573686f702f2a0102', '220573686f702f'])
    expect((asked?.get(5)?.[0] as Buffer).toString('hex')).toBe('3203088101')
  })

  test('asks the relay how it is, and tells that it is connected', async () => {
    const relay = await startRelay()
    Object.assign(relay.status, { seen: 12_345_678_901, connected: 3, unavailable: ['a/node-4', 'node-5'] })
    const { recorder } = read(relay.port)
    await until(() => recorder.answers.length > 1)
    expect(readServerStatus(recorder.answers[0] as Buffer)).toEqual({ seenFlows: 12_345_678_901, connectedNodes: 3, unavailableNodes: 2, unavailableNames: ['a/node-4', 'node-5'] })
    expect(recorder.statuses).toEqual([{ isConnected: true, text: `Hubble Relay at 127.0.0.1:${relay.port} streams.` }])
  })

  test('goes on when the relay is killed and comes back, and when it ends the stream', async () => {
    const relay = await startRelay()
    const { recorder } = read(relay.port)
    await until(() => relay.calls.size === 1)
    relay.push(hubbleMessage(1, NOW_US), NOW_US)
    await until(() => flowsOf(recorder).length === 1)
    relay.kill()
    await until(() => recorder.statuses.filter((status) => !status.isConnected).length > 3)
    await relay.start()
    await until(() => relay.calls.size === 1)
    relay.endCalls()
    await until(() => relay.calls.size === 1)
    relay.push(hubbleMessage(2, NOW_US), NOW_US)
    await until(() => flowsOf(recorder).length > 3)
    // Each call began anew and replayed what the relay remembers.
    expect(recorder.opened).toBe(recorder.statuses.filter((status) => !status.isConnected).length + 1)
    const lost = recorder.statuses.filter((status) => !status.isConnected).map((status) => status.text)
    expect(lost.some((text) => text.includes('ECONNREFUSED'))).toBe(true)
    expect(lost.at(-1)).toBe(`Hubble Relay at 127.0.0.1:${relay.port} cannot be read now: it ended the stream.`)
  })

  test('pauses between attempts grow and stay below the longest', async () => {
    const { recorder } = read(1, { minPauseMs: 20, maxPauseMs: 160 })
    const at: number[] = []
    const before = recorder.opening.bind(recorder)
    recorder.opening = () => {
      at.push(performance.now())
      return before()
    }
    await until(() => at.length === 8)
    const pauses = at.slice(1).map((time, i) => time - (at[i] as number))
    // Half of 20, 40, 80, 160, 160 … at least; how long attempts themselves take depends on the machine.
    for (const [i, least] of [10, 20, 40, 80, 80, 80].entries()) expect(pauses[i + 1]).toBeGreaterThanOrEqual(least - 2)
  })

  test('a consumer that is behind stops the relay, and misses nothing', async () => {
    const relay = await startRelay()
    const padding: [number, string] = [37, 'x'.repeat(30_000)]
    for (let i = 0; i < 1_000; i++) relay.push(hubbleMessage(i, NOW_US + i, 'node-1', [padding]), NOW_US + i)
    const { stream, recorder } = read(relay.port, { maxPausedMs: 60_000 })
    recorder.onMessage = () => {
      if (recorder.messages.length === 10) stream.pause()
    }
    const isWhole = (): boolean => recorder.messages.length > 1_000
    await until(() => recorder.messages.length >= 10)
    await new Promise((done) => setTimeout(done, 300))
    // Of 30 MB: what is in the flow-control windows, not the rest.
    const [got, sent] = [recorder.messages.length, relay.sent]
    expect(got).toBeLessThan(60)
    expect(sent).toBeLessThan(200)
    await new Promise((done) => setTimeout(done, 200))
    expect([recorder.messages.length, relay.sent]).toEqual([got, sent])
    stream.resume()
    await until(isWhole)
    expect(new Set(flowsOf(recorder).map((bytes) => bytes.toString('latin1'))).size).toBe(1_000)
  })

  test('a call that is paused for too long is given up, and opened again when there is room', async () => {
    const relay = await startRelay()
    const { stream, recorder } = read(relay.port, { maxPausedMs: 30 })
    await until(() => relay.calls.size === 1)
    stream.pause()
    await until(() => recorder.opened > 1)
    expect(recorder.statuses.map((status) => status.text)).toContain(`Hubble Relay at 127.0.0.1:${relay.port} waits until the flows before are stored.`)
    stream.resume()
    relay.push(hubbleMessage(1, NOW_US), NOW_US)
    await until(() => flowsOf(recorder).length > 0)
  })

  test('a message over the limit ends the call and is told, and what comes after another time is taken', async () => {
    const relay = await startRelay({ capacity: 1 })
    relay.push(hubbleMessage(1, NOW_US, 'node-1', [[37, 'x'.repeat(100_000)]]), NOW_US)
    const { recorder } = read(relay.port, { maxMessageBytes: 50_000 })
    await until(() => recorder.tooLarges > 1)
    relay.push(hubbleMessage(2, NOW_US + 1), NOW_US + 1)
    await until(() => flowsOf(recorder).length === 1)
  })

  test('a relay that is connected and answers no question is left', async () => {
    const relay = await startRelay()
    const { recorder } = read(relay.port, { patienceMs: 100 })
    await until(() => recorder.answers.length > 0)
    relay.isDeaf = true
    await until(() => recorder.opened > 1)
    expect(recorder.statuses.map((status) => status.text)).toContain(`Hubble Relay at 127.0.0.1:${relay.port} is connected and does not answer any more.`)
  })

  test('an address that takes connections and says nothing is left after a while', async () => {
    const sockets: Socket[] = []
    const silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1')
    closing.push(() => {
      silent.close()
      for (const socket of sockets) socket.destroy()
    })
    await until(() => silent.listening)
    const { port } = silent.address() as AddressInfo
    const { recorder } = read(port, { patienceMs: 150 })
    await until(() => recorder.statuses.length > 1)
    expect(recorder.statuses[0]?.isConnected).toBe(false)
  })

  test('stops at once, whatever it is doing', async () => {
    const relay = await startRelay()
    for (const port of [relay.port, 1]) {
      const { recorder, ended } = read(port, { minPauseMs: 60_000, maxPauseMs: 60_000 })
      await until(() => recorder.statuses.length > 0)
      await recorder.stop()
      await expect(ended).resolves.toBeUndefined()
    }
    await until(() => relay.calls.size === 0)
  })
})

describe('what cannot be healed by trying again', () => {
  let authority: CertificateAuthority
  let other: CertificateAuthority
  let server: Certificate

  beforeAll(async () => {
    authority = await createAuthority()
    other = await createAuthority()
    server = await authority.server()
  })

  async function refusal(port: number, tls?: TlsMaterial): Promise<string> {
    const { ended } = read(port, tls === undefined ? {} : { tls })
    return ended.then(() => 'ended', (error: unknown) => String(error).replaceAll(String(port), 'PORT'))
  }

  test('TLS and a client certificate let in, also under another name', async () => {
    const hidden = await authority.server({ hosts: [{ type: 'dns', value: '*.hubble-relay.cilium.io' }] })
    const client = await authority.client('flowfence')
    for (const [certificate, serverName] of [[server, undefined], [hidden, 'instance.hubble-relay.cilium.io']] as const) {
      const relay = await startRelay({ credentials: tlsCredentials(certificate, authority.ca) })
      const { recorder } = read(relay.port, { tls: { ca: authority.ca, ...client, ...(serverName !== undefined && { serverName }) } })
      relay.push(hubbleMessage(1, NOW_US), NOW_US)
      await until(() => flowsOf(recorder).length === 1)
    }
  })

  test('wrong certificates of either side, each with its next step', async () => {
    const start = async (certificate: Certificate, ca?: string): Promise<number> => (await startRelay({ credentials: tlsCredentials(certificate, ca) })).port
    const [plain, mutual] = [await start(server), await start(server, authority.ca)]
    const expired = await start(await authority.server({ notBefore: new Date(Date.now() - 1e9), notAfter: new Date(Date.now() - 1e8) }))
    const elsewhere = await start(await authority.server({ hosts: [{ type: 'dns', value: 'relay.example' }] }))
    const relay = 'AppError: The certificate of Hubble Relay at 127.0.0.1:PORT'
    expect(await refusal(plain, { ca: other.ca })).toBe(`${relay} is signed by an authority that is not trusted here. Set FLOWFENCE_HUBBLE_RELAY_CA_FILE to the certificate of that authority.`)
    expect(await refusal(plain, {})).toBe(`${relay} is signed by an authority that is not trusted here. Set FLOWFENCE_HUBBLE_RELAY_CA_FILE to the certificate of that authority.`)
    expect(await refusal(expired, { ca: authority.ca })).toBe(`${relay} has expired. Renew it there.`)
    expect(await refusal(elsewhere, { ca: authority.ca })).toBe(`${relay} is for another name. Set FLOWFENCE_HUBBLE_RELAY_SERVER_NAME to a name that it has.`)
    expect(await refusal(mutual, { ca: authority.ca })).toBe('AppError: Hubble Relay at 127.0.0.1:PORT asks for a client certificate. Set FLOWFENCE_HUBBLE_RELAY_CERT_FILE and FLOWFENCE_HUBBLE_RELAY_KEY_FILE.')
    expect(await refusal(mutual, { ca: authority.ca, ...await other.client('stranger') }))
      .toBe('AppError: Hubble Relay at 127.0.0.1:PORT does not accept the client certificate. Set FLOWFENCE_HUBBLE_RELAY_CERT_FILE to one of an authority that it trusts.')
    const [a, b] = [await authority.client('a'), await authority.client('b')]
    expect(await refusal(mutual, { ca: authority.ca, cert: a.cert, key: b.key })).toMatch(/^AppError: The certificates for Hubble Relay cannot be used: .*Check FLOWFENCE_HUBBLE_RELAY_CA_FILE, _CERT_FILE and _KEY_FILE\.$/)
  })

  test('TLS on one side only', async () => {
    const [plain, secure] = [await startRelay(), await startRelay({ credentials: tlsCredentials(server) })]
    expect(await refusal(plain.port, { ca: authority.ca }))
      .toBe('AppError: Hubble Relay at 127.0.0.1:PORT does not speak TLS. Set FLOWFENCE_HUBBLE_RELAY_TLS=off to read it in plain text, or use the port that speaks TLS.')
    expect(await refusal(secure.port)).toBe('AppError: Hubble Relay at 127.0.0.1:PORT speaks TLS, but FLOWFENCE_HUBBLE_RELAY_TLS is off. Leave FLOWFENCE_HUBBLE_RELAY_TLS unset.')
  })

  test('a server of something else, and what is no address', async () => {
    const stranger = await startOtherServer()
    closing.push(stranger.stop)
    expect(await refusal(stranger.port)).toBe('AppError: Hubble Relay at 127.0.0.1:PORT is none: it does not know the service (The server does not implement the method /observer.Observer/GetFlows). '
      + 'Set FLOWFENCE_HUBBLE_RELAY to the address of Hubble Relay itself.')
    for (const address of ['relay', 'relay:0', 'http://relay:80', 'relay:99999', '']) {
      expect(() => createHubbleRelay({ address, readTls: () => Promise.resolve(undefined) })).toThrow(`FLOWFENCE_HUBBLE_RELAY holds "${address}"`)
    }
  })

  test('after it worked once, nothing is final: certificates are renewed, and read again', async () => {
    const relay = await startRelay({ credentials: tlsCredentials(server) })
    let trusted = authority.ca
    const { recorder } = read(relay.port, { readTls: () => Promise.resolve({ ca: trusted }) })
    await until(() => recorder.statuses.some((status) => status.isConnected))
    relay.kill()
    trusted = other.ca
    await relay.start()
    await until(() => recorder.statuses.some((status) => status.text.includes('not trusted here')))
    trusted = authority.ca
    await until(() => recorder.statuses.at(-1)?.isConnected === true)
  })
})
