import { afterEach, describe, expect, test } from '@jest/globals'
import { encodeFlowListRequest, encodeFlowStreamRequest, hasListedFlows } from '../../src/decode/protobuf/stream-messages.ts'
import { createGoldmane } from '../../src/sources/goldmane.ts'
import type { TlsMaterial } from '../../src/sources/grpc-failure.ts'
import { createAuthority } from '../support/certificates.ts'
import { GoldmaneServer, goldmaneMessage, RelayServer, tlsCredentials, until } from '../support/grpc-servers.ts'
import { StreamRecorder } from '../support/stream-recorder.ts'

const START = 1_767_323_040
const closing: (() => void | Promise<void>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

class Recorder extends StreamRecorder {
  override question(): Buffer {
    return encodeFlowListRequest((START + 15) * 1e6, (START + 60) * 1e6)
  }
}

function read(port: number, tls?: TlsMaterial) {
  const stream = createGoldmane({ address: `127.0.0.1:${port}`, readTls: () => Promise.resolve(tls), minPauseMs: 5, maxPauseMs: 50, questionEveryMs: 30 })
  const recorder = new Recorder(encodeFlowStreamRequest(START * 1e6))
  closing.push(() => recorder.stop())
  return { recorder, ended: recorder.start(stream) }
}

describe('a stream of Goldmane', () => {
  test('over mutual TLS: follows from a window on, asks what there is, and comes back after a restart', async () => {
    const authority = await createAuthority()
    const goldmane = await new GoldmaneServer({ credentials: tlsCredentials(await authority.server(), authority.ca) }).start()
    closing.push(() => goldmane.kill())
    goldmane.push(goldmaneMessage(0, START - 15), (START - 15) * 1e6)
    goldmane.push(goldmaneMessage(1, START), START * 1e6)
    const { recorder } = read(goldmane.port, { ca: authority.ca, ...await authority.client('flowfence') })
    await until(() => recorder.messages.length === 1)
    expect(recorder.messages).toEqual([goldmaneMessage(1, START)])
    expect([...goldmane.requests[0] ?? []]).toEqual([[1, [BigInt(START)]], [3, [15n]]])
    await until(() => recorder.answers.length > 0)
    expect(hasListedFlows(recorder.answers[0] as Buffer)).toBe(false)
    expect([...goldmane.lists[0] ?? []]).toEqual([[1, [BigInt(START + 15)]], [2, [BigInt(START + 60)]], [4, [1n]], [7, [15n]]])
    goldmane.push(goldmaneMessage(2, START + 15), (START + 15) * 1e6)
    await until(() => recorder.messages.length === 2 && hasListedFlows(recorder.answers.at(-1) as Buffer))
    goldmane.kill()
    await until(() => recorder.statuses.at(-1)?.isConnected === false)
    await goldmane.start()
    await until(() => recorder.messages.length === 4)
    expect(recorder.statuses.at(-1)).toEqual({ isConnected: true, text: `Goldmane at 127.0.0.1:${goldmane.port} streams.` })
  })

  test('a server of something else is refused with the setting to change', async () => {
    const relay = await new RelayServer().start()
    closing.push(() => relay.kill())
    await expect(read(relay.port).ended).rejects.toThrow(`Goldmane at 127.0.0.1:${relay.port} is none: it does not know the service (The server does not implement the method /goldmane.Flows/Stream). `
      + 'Set FLOWFENCE_GOLDMANE to the address of Goldmane itself.')
    expect(() => createGoldmane({ address: 'goldmane', readTls: () => Promise.resolve(undefined) })).toThrow('FLOWFENCE_GOLDMANE holds "goldmane"')
  })
})
