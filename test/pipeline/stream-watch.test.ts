import { describe, expect, test } from '@jest/globals'
import { hubbleProtocol } from '../../src/pipeline/live-protocols.ts'
import type { StreamHealth } from '../../src/pipeline/live-protocols.ts'
import { StreamWatch } from '../../src/pipeline/stream-watch.ts'

const T = 1_767_323_040_000_000
const S = 1_000_000
const head = (timeUs: number | undefined, node = 'a') => ({ timeUs, node })
const seen = (seenFlows: number, missingNodes: string[] = []): StreamHealth => ({ seenFlows, hasUnsent: false, missingNodes })

function watch(protocol = hubbleProtocol()): StreamWatch {
  return new StreamWatch({ protocol, address: 'relay:443', silenceUs: 60 * S })
}

describe('up to where a stream is complete', () => {
  test('the node that is furthest behind counts while it sends, and nobody is ahead of the clock', () => {
    const w = watch()
    w.opened(0, undefined, T)
    expect(w.completeUs(T)).toBeUndefined()
    w.delivered(head(T - 5 * S, 'a'), T)
    w.delivered(head(T - 40 * S, 'b'), T)
    expect(w.completeUs(T)).toBe(T - 40 * S)
    w.delivered(head(T + 1 * S, 'a'), T + 11 * S)
    // b has been quiet for 11 seconds.
    expect(w.completeUs(T + 11 * S)).toBe(T + 1 * S)
    w.delivered(head(T + 3_600 * S, 'fast'), T + 30 * S)
    expect(w.completeUs(T + 30 * S)).toBe(T + 30 * S)
    // Older flows never take it back.
    w.delivered(head(T, 'fast'), T + 30 * S)
    expect([w.completeUs(T + 31 * S), w.newestUs]).toEqual([T + 31 * S, T + 3_600 * S])
  })
})

describe('silence', () => {
  test('begins with the last flow, needs flows that were seen since, and is told once until the next flow', () => {
    const w = watch()
    w.opened(0, undefined, T)
    w.delivered(head(T), T)
    expect(w.asked(seen(100), T + 15 * S)).toEqual({ events: [], wake: undefined })
    expect(w.asked(seen(160), T + 45 * S)).toEqual({ events: [], wake: undefined })
    const { events, wake } = w.asked(seen(180), T + 61 * S)
    expect(events).toEqual([{ type: 'gap', atUs: T, node: '', lost: 0, detail: 'hubble-relay:relay:443: the stream is open and brings nothing, though 80 flows were seen since' }])
    expect(wake).toBe('Hubble Relay at relay:443 brought nothing for 61 s though there are flows.')
    // The relay's greeting is no flow.
    w.opened(0, T, T + 61 * S)
    w.delivered(head(undefined), T + 62 * S)
    w.asked(seen(200), T + 63 * S)
    expect(w.asked(seen(300), T + 122 * S)).toMatchObject({ events: [], wake: expect.stringContaining('brought nothing') as unknown as string })
    w.delivered(head(T + 125 * S), T + 125 * S)
    w.asked(seen(400), T + 126 * S)
    expect(w.asked(seen(500), T + 186 * S).events).toHaveLength(1)
  })

  test('attempts to wake a stream become rarer', () => {
    const w = watch()
    w.opened(0, undefined, T)
    w.asked(seen(1), T)
    const wakes: number[] = []
    for (let at = 0; at < 1_000; at += 10) if (w.asked(seen(2 + at), T + at * S).wake !== undefined) wakes.push(at)
    expect(wakes).toEqual([60, 120, 240, 480, 960])
  })

  test('a quiet relay, one that counts anew and one that does not count are not silent', () => {
    for (const counts of [[100, 100, 100], [100, 5, 5], [undefined, undefined, undefined]]) {
      const w = watch()
      w.opened(0, undefined, T)
      for (const [i, count] of counts.entries()) {
        expect(w.asked({ seenFlows: count, hasUnsent: false, missingNodes: [] }, T + i * 100 * S)).toEqual({ events: [], wake: undefined })
      }
    }
  })

  test('where only some flows were asked for, silence is no gap, and the stream is opened anew all the same', () => {
    const w = watch(hubbleProtocol({ deny: [{ verdict: [2] }] }))
    w.opened(0, undefined, T)
    w.asked(seen(1), T)
    expect(w.asked(seen(9), T + 60 * S)).toMatchObject({ events: [], wake: expect.stringContaining('brought nothing') as unknown as string })
  })

  test('a connection that was away is not silence', () => {
    const w = watch()
    w.opened(0, undefined, T)
    w.delivered(head(T), T)
    w.asked(seen(100), T + 5 * S)
    w.opened(T - 60 * S, T, T + 600 * S)
    expect(w.asked(seen(9_000), T + 601 * S)).toEqual({ events: [], wake: undefined })
  })
})

describe('gaps and missing nodes', () => {
  test('a node whose newest flow does not come again forgot it', () => {
    const w = watch()
    w.opened(0, undefined, T)
    for (const node of ['a', 'b', 'c']) expect(w.delivered(head(T, node), T)).toBeUndefined()
    w.delivered(head(T - 100 * S, 'quiet'), T)
    w.opened(T - 60 * S, T, T + 10 * S)
    expect(w.delivered(head(T - 5 * S, 'a'), T + 10 * S)).toBeUndefined()
    expect(w.delivered(head(T, 'b'), T + 10 * S)).toBeUndefined()
    expect(w.delivered(head(T + 3 * S, 'c'), T + 10 * S)).toEqual({
      type: 'gap', atUs: T, node: 'c', lost: 0, detail: 'hubble-relay:relay:443: the stream resumed at 2026-01-02T03:04:03Z: what was before is no longer remembered there',
    })
    // Its newest flow lies before what was asked for, and a new node never had one.
    expect(w.delivered(head(T + 4 * S, 'quiet'), T + 10 * S)).toBeUndefined()
    expect(w.delivered(head(T + 4 * S, 'new'), T + 10 * S)).toBeUndefined()
    // Once per call.
    expect(w.delivered(head(T + 5 * S, 'c'), T + 10 * S)).toBeUndefined()
  })

  test('a new process judges by its first flow', () => {
    const fresh = watch()
    fresh.opened(T - 60 * S, T, T + 10 * S)
    expect(fresh.delivered(head(T + 1, 'a'), T)).toMatchObject({ type: 'gap', atUs: T, node: 'a' })
    expect(fresh.delivered(head(T + 2, 'b'), T)).toBeUndefined()
    const early = watch()
    early.opened(T - 60 * S, T, T + 10 * S)
    expect(early.delivered(head(T, 'a'), T)).toBeUndefined()
  })

  test('nodes out of reach are told when they become so', () => {
    const w = watch()
    w.opened(0, undefined, T)
    const told = (names: string[]): string[] => w.asked(seen(1, names), T).events.map((event) => `${event.type} ${event.node}`)
    expect(told(['n1', 'n2'])).toEqual(['missing-node n1', 'missing-node n2'])
    expect(told(['n2', 'n3'])).toEqual(['missing-node n3'])
    expect(told([])).toEqual([])
    expect(told([''])).toEqual(['missing-node '])
    expect(told(['n1'])).toEqual(['missing-node n1'])
  })
})
