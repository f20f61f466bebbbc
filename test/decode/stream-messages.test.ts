import { describe, expect, test } from '@jest/globals'
import { checkFlowFilters, namespaceFilters } from '../../src/decode/protobuf/flow-filters.ts'
import {
  encodeFlowListRequest, encodeFlowStreamRequest, encodeGetFlowsRequest, hasListedFlows, readGoldmaneHead, readHubbleHead, readServerStatus,
} from '../../src/decode/protobuf/stream-messages.ts'
import { goldmaneMessage, hubbleMessage, lostMessage, nodeMessage, readWire } from '../support/grpc-servers.ts'
import { message } from '../support/wire.ts'

const T = 1_767_323_045_123_456

describe('what a stream must know of a message', () => {
  test('Hubble: the time and node of its flow; other messages have none', () => {
    expect(readHubbleHead(hubbleMessage(1, T, 'prod/node-1'))).toEqual({ timeUs: T, node: 'node-1' })
    expect(readHubbleHead(message([1, [[1, [[1, 1_767_323_045]]]]], [1000, 'node-2']))).toEqual({ timeUs: 1_767_323_045_000_000, node: 'node-2' })
    expect(readHubbleHead(lostMessage(3, T)).timeUs).toBeUndefined()
    expect(readHubbleHead(nodeMessage(1, 'n', T)).timeUs).toBeUndefined()
    expect(readHubbleHead(message([1, [[1, [[1, 12]]]]])).timeUs).toBeUndefined()
    for (const bytes of [Buffer.alloc(0), Buffer.from('ffff', 'hex'), Buffer.from('{"flow":{}}')]) expect(readHubbleHead(bytes)).toEqual({ timeUs: undefined, node: '' })
  })

  test('Goldmane: the beginning of its window', () => {
    expect(readGoldmaneHead(goldmaneMessage(1, 1_767_323_040))).toEqual({ timeUs: 1_767_323_040_000_000, node: '' })
    expect(readGoldmaneHead(Buffer.from('ffff', 'hex'))).toEqual({ timeUs: undefined, node: '' })
  })

  test('answers that cannot be read say nothing', () => {
    expect(readServerStatus(Buffer.from('ffff', 'hex'))).toBeUndefined()
    expect(readServerStatus(Buffer.alloc(0))).toEqual({ seenFlows: 0, connectedNodes: undefined, unavailableNodes: 0, unavailableNames: [] })
    expect(hasListedFlows(Buffer.from('ffff', 'hex'))).toBe(false)
    expect(hasListedFlows(message([1, [[1, 0]]]))).toBe(false)
    expect(hasListedFlows(message([2, goldmaneMessage(1, 1_767_323_040)]))).toBe(true)
  })
})

describe('requests on the wire', () => {
  test('Goldmane takes seconds, and never 0, which means "now" to it', () => {
    expect([...readWire(encodeFlowStreamRequest(1_767_323_040_999_999))]).toEqual([[1, [1_767_323_040n]], [3, [15n]]])
    expect(readWire(encodeFlowStreamRequest(0)).get(1)).toEqual([1n])
    expect([...readWire(encodeFlowListRequest(15e6, 60e6))]).toEqual([[1, [15n]], [2, [60n]], [4, [1n]], [7, [15n]]])
  })

  test('filters: names become numbers, and each field has the number of the public interface', () => {
    const filters = checkFlowFilters([{
      sourcePod: ['shop/'], verdict: ['DROPPED', 4], reply: [false], event_type: [{ type: 1, matchSubType: true, sub_type: 133 }], drop_reason_desc: ['POLICY_DENIED'],
      node_labels: ['zone=a'], ip_trace_id: ['12'], experimental: { cel_expression: ['_flow.verdict == 2'] }, tcp_flags: [{ SYN: true }],
    }], 'FILTERS')
    const [filter] = readWire(encodeGetFlowsRequest({ sinceUs: T, allow: filters, deny: [] })).get(6) ?? []
    const fields = readWire(filter as Buffer)
    const hex = Object.fromEntries([...fields].map(([number, [value]]) => [number, Buffer.isBuffer(value) ? value.toString('hex') : String(value)]))
    expect(hex).toEqual({
      2: Buffer.from('shop/').toString('hex'), 5: '0204', 6: '080110011885' + '01', 15: '00', 23: '1001', 33: '8501', 36: Buffer.from('zone=a').toString('hex'), 39: '0c',
      999: message([1, '_flow.verdict == 2']).toString('hex'),
    })
  })

  test('namespaces: either end', () => {
    expect(namespaceFilters([])).toEqual([])
    expect(namespaceFilters(['shop', 'pay'])).toEqual([{ source_pod: ['shop/', 'pay/'] }, { destination_pod: ['shop/', 'pay/'] }])
  })

  test('a filter that would not do what it says is refused', () => {
    const refusals: readonly (readonly [unknown, string])[] = [
      [{ source_pods: ['shop/'] }, '"source_pods" is no field of FlowFilter. It has: source_ip, '],
      [{}, 'FILTERS holds an empty filter, which every flow would pass. Name at least one field, such as {"verdict":["DROPPED"]}.'],
      [{ source_pod: 'shop/' }, 'FILTERS: source_pod must be a list, such as ["…"].'],
      [{ verdict: ['DENIED'] }, 'FILTERS: verdict: "DENIED" is not known. Use one of VERDICT_UNKNOWN, FORWARDED, '],
      [{ reply: ['no'] }, 'FILTERS: reply takes true or false, not "no".'],
      [{ source_identity: ['12'] }, 'FILTERS: source_identity takes a number, not "12".'],
      [{ event_type: [5] }, 'FILTERS: event_type must hold JSON objects, such as '],
      [{ event_type: [{ kind: 1 }] }, 'FILTERS: event_type: "kind" is no field of EventTypeFilter. It has: type, match_sub_type, sub_type.'],
      ['shop/', 'FILTERS must hold JSON objects, such as {"source_pod":["shop/"]}.'],
    ]
    for (const [filter, text] of refusals) expect(() => checkFlowFilters([filter], 'FILTERS')).toThrow(text)
  })
})
