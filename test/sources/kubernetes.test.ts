import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { watchCluster } from '../../src/sources/kubernetes.ts'
import type { ClusterEvent, ClusterWatchOptions } from '../../src/sources/kubernetes.ts'
import { KubeApiServer } from '../support/kube-api-server.ts'
import type { KubeObject } from '../support/kube-api-server.ts'

let server: KubeApiServer
let folder: string
let stop: AbortController
let notices: string[]
let clockUs: number
let bookmarks: NodeJS.Timeout | undefined

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'flowfence-kube-'))
  server = new KubeApiServer()
  await server.start()
  stop = new AbortController()
  notices = []
  clockUs = 1_800_000_000_000_000
})

afterEach(async () => {
  clearInterval(bookmarks)
  bookmarks = undefined
  stop.abort()
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

function pod(name: string, ip: string): KubeObject {
  return { kind: 'Pod', metadata: { name, namespace: 'shop', managedFields: ['much'] }, status: { podIP: ip } }
}

function open(changes: Partial<ClusterWatchOptions> = {}): AsyncGenerator<ClusterEvent, void> {
  return watchCluster({
    kubeconfig: server.writeKubeconfig(join(folder, 'kubeconfig')), signal: stop.signal, nowUs: () => ++clockUs, flushMs: 20, maxBackoffMs: 50, deliveryMarginUs: 0,
    onNotice: (text) => notices.push(text),
    reduce: ({ kind, metadata, status }) => ({ kind, name: (metadata as { name: string }).name, status }),
    ...changes,
  })
}

async function next(events: AsyncGenerator<ClusterEvent, void>): Promise<ClusterEvent> {
  const result = await events.next()
  if (result.done === true) throw new Error('the watch ended')
  return result.value
}

/** The server says regularly that nothing else happened, as a real one does every minute. */
function sendBookmarks(): void {
  bookmarks ??= setInterval(() => server.bookmark(), 10)
}

const nameOf = (object: object): string => `${(object as { kind: string }).kind} ${(object as { name: string }).name}`

/** Reads on until `count` changes have come. */
async function changesOf(events: AsyncGenerator<ClusterEvent, void>, count: number): Promise<string[]> {
  sendBookmarks()
  const seen: string[] = []
  while (seen.length < count) {
    const event = await next(events)
    if (event.type === 'full') seen.push(`full ${event.objects.map(nameOf).join(', ')}`)
    else seen.push(...event.changes.map((c) => `${c.type} ${nameOf(c.object)}`))
  }
  return seen
}

async function until(condition: () => boolean): Promise<void> {
  const startedAt = performance.now()
  while (!condition() && performance.now() - startedAt < 20_000) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** Pulls events in the background, so that the watches are open. */
function pull(events: AsyncGenerator<ClusterEvent, void>): { readonly all: ClusterEvent[]; readonly ended: Promise<unknown> } {
  const all: ClusterEvent[] = []
  const ended = (async () => {
    for await (const event of events) all.push(event)
  })()
  return { all, ended }
}

describe('list', () => {
  test('everything is listed page by page, with its kind, reduced, and counts for the moment before the first request', async () => {
    for (let i = 0; i < 1201; i++) server.set(pod(`web-${i}`, '10.0.0.1'))
    server.set({ kind: 'Namespace', metadata: { name: 'shop' } })
    const event = await next(open())
    if (event.type !== 'full') throw new Error('no list')
    expect(event.objects).toHaveLength(1202)
    expect(event.objects[0]).toEqual({ kind: 'Namespace', name: 'shop', status: undefined })
    expect(event.objects[1201]).toEqual({ kind: 'Pod', name: 'web-1200', status: { podIP: '10.0.0.1' } })
    expect(event.atUs).toBe(1_800_000_000_000_001)
    expect(event.kinds).toContain('NetworkPolicy')
    expect(server.requests.filter((r) => r.startsWith('/api/v1/pods'))).toHaveLength(3)
    expect([...server.methods]).toEqual(['GET'])
  })

  test('a kind that may not be read or does not exist is left out with a notice; pods, namespaces, nodes and services are needed', async () => {
    server.refusals.set('/apis/networking.k8s.io/v1/networkpolicies', 403).set('/apis/batch/v1/cronjobs', 404)
    const event = await next(open())
    expect(event).toMatchObject({ type: 'full' })
    expect(event.type === 'full' ? event.kinds : []).not.toContain('NetworkPolicy')
    expect(notices.join('\n')).toMatch(/NetworkPolicy may not be read and is left out.*\n?.*no CronJob|no CronJob[^]*NetworkPolicy may not be read/)
    server.refusals.set('/api/v1/pods', 403)
    await expect(next(open())).rejects.toThrow(/Grant the verbs get, list and watch on pods/)
  })

  test('wrong credentials end it with the next step and without the token', async () => {
    const kubeconfig = server.writeKubeconfig(join(folder, 'wrong'), 'not-the-token')
    await expect(next(open({ kubeconfig }))).rejects.toThrow(/answered 401.*Log in again/)
    await expect(next(open({ kubeconfig }))).rejects.not.toThrow(/not-the-token/)
  })

  test('a kubeconfig that cannot be used is named', async () => {
    writeFileSync(join(folder, 'broken'), 'a: [')
    await expect(next(open({ kubeconfig: join(folder, 'broken') }))).rejects.toThrow(/kubeconfig .*broken cannot be read/)
    await expect(next(open({ kubeconfig: join(folder, 'missing') }))).rejects.toThrow(/kubeconfig .*missing cannot be read/)
    writeFileSync(join(folder, 'cut'), 'apiVersion: v1\nkind: Config\nusers:\n- name: u\n  user: {token: s3cret-token\n')
    const cut = await next(open({ kubeconfig: join(folder, 'cut') })).catch((error: unknown) => error)
    expect(inspect(cut)).toMatch(/kubeconfig .*cut cannot be read: [^\n]+\. Give one with --kubeconfig\./)
    expect(inspect(cut)).not.toContain('s3cret')
    writeFileSync(join(folder, 'plain'), JSON.stringify({ 'current-context': 'a', contexts: [{ name: 'a', context: { cluster: 'a' } }], clusters: [{ name: 'a', cluster: { server: 'http://127.0.0.1:1' } }] }))
    await expect(next(open({ kubeconfig: join(folder, 'plain') }))).rejects.toThrow(/http:\/\/127.0.0.1:1 is not https/)
    await expect(next(open({ context: 'prod' }))).rejects.toThrow('has no context "prod". It has: test.')
  })

  test('a server that does not answer is tried again', async () => {
    server.refusals.set('/api/v1/namespaces', 503)
    const events = open()
    const first = next(events)
    await until(() => notices.length >= 2)
    server.refusals.clear()
    expect(await first).toMatchObject({ type: 'full' })
    expect(notices[0]).toMatch(/answered 503.*trying again/)
  })
})

describe('watch', () => {
  test('changes arrive in order, also those between list and watch', async () => {
    server.set(pod('web-1', '10.0.0.1'))
    const events = open()
    await next(events)
    server.set(pod('web-2', '10.0.0.2'))
    server.delete('Pod', 'shop', 'web-1')
    expect(await changesOf(events, 2)).toEqual(['set Pod web-2', 'deleted Pod web-1'])
    server.set(pod('web-2', '10.0.0.9'))
    server.set({ kind: 'Namespace', metadata: { name: 'shop' } })
    expect((await changesOf(events, 2)).sort()).toEqual(['set Namespace shop', 'set Pod web-2'])
  })

  test('nothing is told before every kind was heard of: a bookmark on each confirms the state, also without any change', async () => {
    const events = open({ deliveryMarginUs: 5_000_000 })
    const full = await next(events)
    const { all } = pull(events)
    await until(() => server.watching === 12)
    const listedUs = full.type === 'full' ? full.atUs : 0
    clockUs += 60_000_000
    server.set(pod('web-1', '10.0.0.1'))
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(all).toEqual([])
    server.bookmark()
    const confirmed = (): number => Math.max(0, ...all.map((e) => (e.type === 'changes' ? e.confirmedUntilUs : 0)))
    await until(() => confirmed() > listedUs)
    expect(confirmed()).toBeGreaterThanOrEqual(listedUs + 60_000_000 - 5_000_000)
    expect(confirmed()).toBeLessThanOrEqual(clockUs - 5_000_000)
    // The change came within the margin for delivery: it waits for the next word.
    expect(all.flatMap((e) => (e.type === 'changes' ? e.changes : []))).toEqual([])
    clockUs += 60_000_000
    server.bookmark()
    await until(() => all.some((e) => e.type === 'changes' && e.changes.length === 1))
    for (const event of all) if (event.type === 'changes') for (const change of event.changes) expect(change.atUs).toBeLessThanOrEqual(event.confirmedUntilUs)
  })

  test('a lost connection goes on from the last version: nothing is missed, nothing listed again', async () => {
    server.set(pod('web-1', '10.0.0.1'))
    const events = open()
    await next(events)
    server.set(pod('web-2', '10.0.0.2'))
    expect(await changesOf(events, 1)).toEqual(['set Pod web-2'])
    server.dropWatches()
    server.set(pod('web-3', '10.0.0.3'))
    server.delete('Pod', 'shop', 'web-1')
    expect(await changesOf(events, 2)).toEqual(['set Pod web-3', 'deleted Pod web-1'])
    expect(server.requests.filter((r) => r.startsWith('/api/v1/pods?limit'))).toHaveLength(1)
    expect(notices.join()).toMatch(/watch of Pod broke/)
  })

  test('410 Gone leads to a new full list, so that what was missed is not lost', async () => {
    server.set(pod('web-1', '10.0.0.1'))
    server.set(pod('web-2', '10.0.0.2'))
    const events = open()
    await next(events)
    const { all } = pull(events)
    await until(() => server.watching === 12)
    server.delete('Pod', 'shop', 'web-1')
    sendBookmarks()
    await until(() => all.some((e) => e.type === 'changes' && e.changes.length > 0))
    server.dropWatches()
    server.delete('Pod', 'shop', 'web-2')
    server.set(pod('web-4', '10.0.0.2'))
    server.compact()
    await until(() => all.some((e) => e.type === 'full'))
    const full = all.find((e) => e.type === 'full')
    expect(full?.type === 'full' ? full.objects.map(nameOf) : []).toEqual(['Pod web-4'])
    expect(notices.join()).toMatch(/no longer has the version asked for.*listing everything again/)
  })

  test('a right that is taken away ends it with the next step', async () => {
    const events = open()
    await next(events)
    const { ended } = pull(events)
    await until(() => server.watching === 12)
    server.refusals.set('/api/v1/pods', 403)
    server.dropWatches()
    await expect(ended).rejects.toThrow(/Grant the verbs get, list and watch on pods/)
  })

  test('the signal ends it quietly and closes every connection', async () => {
    const events = open()
    await next(events)
    const { ended } = pull(events)
    await until(() => server.watching === 12)
    stop.abort()
    await ended
    await until(() => server.watching === 0)
  })
})
